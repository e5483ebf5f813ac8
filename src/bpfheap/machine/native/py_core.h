/* A Core, as all parts use one: whether it is over, and waits. Its type is in py_heap.c. */
#ifndef BPFHEAP_PY_CORE_H
#define BPFHEAP_PY_CORE_H

#include <Python.h>

#include "cpu.h"

struct core {
	PyObject_HEAD
	struct bh_core *core;
	uint64_t *random; /* of bpf_get_prandom_u32, by slot */
	_Atomic uint32_t wanted; /* threads in runs that wait for a lock of Python */
};

/*
 * The patience of a thread of Python: it lasts until a signal handler raises (Ctrl-C), which is then the
 * thread's exception. Lets other threads of Python go on, in case one of them is who it waits for.
 */
bool bh_py_patience(struct bh_here *here);
/* How often a thread of Python looked whether to go on waiting: others may be counted along. */
uint64_t bh_py_waits(unsigned long thread);
/* Raise what says that no run can begin any more. */
bool bh_py_raise_over(enum bh_over over);
/* Begin a run on a CPU, or on any for -1, and wait for it. False with an exception set. */
bool bh_py_enter(struct core *core, int cpu, struct bh_here *here);
/* Raise why no run begins; NULL. */
PyObject *bh_py_refuse(const struct core *core);
/* False with an exception set: if no run may begin any more; if nothing of the core may be touched. */
bool bh_py_usable(const struct core *core);
bool bh_py_here(const struct core *core);
/* Raise that there is no memory, or no more than there may be; NULL. */
PyObject *bh_py_no_memory(const struct core *core);

#endif
