/* What the parts of the module share. */
#ifndef BPFHEAP_MODULE_H
#define BPFHEAP_MODULE_H

#include <Python.h>

/* Add a part's types and functions. -1 with an exception set. */
int bh_py_heap(PyObject *module);

#endif
