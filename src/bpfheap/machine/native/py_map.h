/* Maps, as programs and loops are given them. */
#ifndef BPFHEAP_PY_MAP_H
#define BPFHEAP_PY_MAP_H

#include <Python.h>

#include "map.h"

/* The map that a Map is; NULL with an exception set if it is none, or gone. */
struct bh_map *bh_py_map(PyObject *map);

#endif
