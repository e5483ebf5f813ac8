/* What the parts of the module share. */
#ifndef BPFHEAP_MODULE_H
#define BPFHEAP_MODULE_H

#include <Python.h>

#include "map.h"

struct core {
	PyObject_HEAD
	struct bh_core *core;
	uint64_t *random; /* of bpf_get_prandom_u32, by slot */
};

struct heap {
	PyObject_HEAD
	struct core *owner;
	struct bh_heap *heap;
	PyObject *types; /* of units, which live as long as the heap */
};

struct unit {
	PyObject_HEAD
	struct heap *owner;
	struct bh_unit *unit;
};

/*
 * The patience of a thread of Python: it lasts until a signal handler raises (Ctrl-C), which is then the
 * thread's exception. Lets other threads of Python go on, in case one of them is who it waits for.
 */
bool bh_py_patience(struct bh_here *here);
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

/* Exceptions of bpfheap.errors. */
extern PyObject *bh_py_usage_error, *bh_py_closed_error, *bh_py_poisoned_error, *bh_py_memory_error;

extern PyTypeObject *bh_py_core, *bh_py_heap_type, *bh_py_unit;

/* Methods of Core, about memory that programs name. */
PyObject *bh_py_core_read(struct core *self, PyObject *args);
PyObject *bh_py_core_read_string(struct core *self, PyObject *args);
PyObject *bh_py_core_type_at(struct core *self, PyObject *args);

/* For types of this module: allocate one; let go of one and of what it holds; add one. */
PyObject *bh_py_new(PyTypeObject *type);
void bh_py_free(PyObject *self, PyObject *held);
PyTypeObject *bh_py_add(PyObject *module, PyType_Spec *spec);

/* The type that a Type is; NULL with an exception set if it is none. */
struct bh_type *bh_py_type(PyObject *type);

/* The map that a Map is; NULL with an exception set if it is none, or gone. */
struct bh_map *bh_py_map(PyObject *map);
/* A tuple of names, as a constant of the module. */
int bh_py_names(PyObject *module, const char *name, const char *const *names);

/* Add a part's types and functions. -1 with an exception set. */
int bh_py_heap(PyObject *module);
int bh_py_types(PyObject *module);
int bh_py_maps(PyObject *module);
int bh_py_program(PyObject *module);
int bh_py_execution(PyObject *module);
int bh_py_entry(PyObject *module);
int bh_py_probe(PyObject *module);
int bh_py_compiled(PyObject *module);
int bh_py_loops(PyObject *module);

#endif
