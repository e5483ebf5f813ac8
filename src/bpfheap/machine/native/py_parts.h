/* The parts of the module, which module.c puts together. */
#ifndef BPFHEAP_PY_PARTS_H
#define BPFHEAP_PY_PARTS_H

#include <Python.h>

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
