/* Programs, as what runs them is given them. */
#ifndef BPFHEAP_PY_PROGRAM_H
#define BPFHEAP_PY_PROGRAM_H

#include <Python.h>

#include "record.h"

/* A Program. */
struct prog {
	PyObject_HEAD
	struct bh_prog *prog;
	PyObject *held;
};

extern PyTypeObject *bh_py_prog;

#endif
