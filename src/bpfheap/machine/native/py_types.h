/* Types, which units and maps are given. */
#ifndef BPFHEAP_PY_TYPES_H
#define BPFHEAP_PY_TYPES_H

#include <Python.h>

#include "object.h"

/* The type that a Type is; NULL with an exception set if it is none. */
struct bh_type *bh_py_type(PyObject *type);

#endif
