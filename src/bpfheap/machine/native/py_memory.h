/* Methods of Core, about memory that programs name. */
#ifndef BPFHEAP_PY_MEMORY_H
#define BPFHEAP_PY_MEMORY_H

#include "py_core.h"

PyObject *bh_py_core_read(struct core *self, PyObject *args);
PyObject *bh_py_core_read_string(struct core *self, PyObject *args);
PyObject *bh_py_core_type_at(struct core *self, PyObject *args);

#endif
