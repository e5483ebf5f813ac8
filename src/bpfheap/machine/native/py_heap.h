/* Cores, heaps and units, as types that other parts are given. */
#ifndef BPFHEAP_PY_HEAP_H
#define BPFHEAP_PY_HEAP_H

#include "heap.h"
#include "py_base.h"
#include "py_core.h"

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

extern PyTypeObject *bh_py_core, *bh_py_heap_type, *bh_py_unit;

#endif
