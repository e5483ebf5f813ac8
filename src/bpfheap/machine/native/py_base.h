/* What all parts of the module rest on. */
#ifndef BPFHEAP_PY_BASE_H
#define BPFHEAP_PY_BASE_H

#include <Python.h>

/* Exceptions of bpfheap.errors. */
extern PyObject *bh_py_usage_error, *bh_py_closed_error, *bh_py_poisoned_error, *bh_py_memory_error;

/* Before any of these is raised. -1 with an exception set. */
int bh_py_import_errors(void);

/* For types of this module: allocate one; let go of one and of what it holds; add one. */
PyObject *bh_py_new(PyTypeObject *type);
void bh_py_free(PyObject *self, PyObject *held);
PyTypeObject *bh_py_add(PyObject *module, PyType_Spec *spec);

/* A tuple of names, as a constant of the module. */
int bh_py_names(PyObject *module, const char *name, const char *const *names);

#endif
