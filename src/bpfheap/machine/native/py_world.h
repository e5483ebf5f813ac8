/* Methods of Core, about the kernel around programs. */
#ifndef BPFHEAP_PY_WORLD_H
#define BPFHEAP_PY_WORLD_H

#include "py_core.h"

PyObject *bh_py_core_chunk(struct core *self, PyObject *args);
PyObject *bh_py_core_block(struct core *self, PyObject *args);
PyObject *bh_py_core_block_at(struct core *self, PyObject *args);
PyObject *bh_py_core_store(struct core *self, PyObject *args);
PyObject *bh_py_core_current(struct core *self, PyObject *args);
PyObject *bh_py_core_variable(struct core *self, PyObject *args);
PyObject *bh_py_core_fetch(struct core *self, PyObject *args);
PyObject *bh_py_core_put(struct core *self, PyObject *args);
PyObject *bh_py_core_probe(struct core *self, PyObject *args);
PyObject *bh_py_core_text(struct core *self, PyObject *args);
PyObject *bh_py_core_context(struct core *self, PyObject *args);
PyObject *bh_py_core_packet(struct core *self, PyObject *args);
PyObject *bh_py_core_frame(struct core *self, PyObject *args);
PyObject *bh_py_core_reframe(struct core *self, PyObject *args);
PyObject *bh_py_core_poke(struct core *self, PyObject *args);
PyObject *bh_py_core_now(struct core *self, void *unused);
int bh_py_core_set_now(struct core *self, PyObject *value, void *unused);

#endif
