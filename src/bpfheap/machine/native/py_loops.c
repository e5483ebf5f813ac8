/* The loops that benches time, for Python. All give nanoseconds, 0 if there was no memory. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <dlfcn.h>

#include "loops.h"
#include "py_heap.h"
#include "py_map.h"
#include "py_parts.h"

/* loop(what, side, core, unit, size, rounds, more): unit is None for somebody's malloc; `more` are
 * threads, or objects that live meanwhile. */
static PyObject *run_loop(PyObject *module, PyObject *args)
{
	static uint64_t (*const plain[])(const struct bh_loop *) = { bh_loop_pairs, bh_loop_batch,
								     bh_loop_pass_on };
	struct bh_loop loop = { 0 };
	unsigned long long rounds, more;
	PyObject *unit;
	struct core *core;
	int what, side;
	uint64_t took;

	(void)module;
	if (!PyArg_ParseTuple(args, "iiO!OIKK", &what, &side, bh_py_core, &core, &unit, &loop.size,
			      &rounds, &more))
		return NULL;
	if (unit != Py_None && !PyObject_TypeCheck(unit, bh_py_unit)) {
		PyErr_SetString(PyExc_TypeError, "not a Unit");
		return NULL;
	}
	if (what < 0 || what > 4 || side < 0 || side > BH_PEER ||
	    (unit == Py_None) != (side == BH_PEER)) {
		PyErr_SetString(PyExc_ValueError, "there is no such loop");
		return NULL;
	}
	loop.side = (enum bh_side)side;
	loop.core = core->core;
	loop.unit = unit == Py_None ? NULL : ((struct unit *)unit)->unit;
	loop.rounds = rounds;
	/* Those that were put in front of libc's, if any were. */
	loop.malloc = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "malloc");
	loop.free = (void (*)(void *))dlsym(RTLD_DEFAULT, "free");
	Py_BEGIN_ALLOW_THREADS
	if (what < 3)
		took = plain[what](&loop);
	else if (what == 3)
		took = bh_loop_threads(&loop, (unsigned)more);
	else
		took = bh_loop_among(&loop, more);
	Py_END_ALLOW_THREADS
	return PyLong_FromUnsignedLongLong(took);
}

static PyObject *footprint(PyObject *module, PyObject *args)
{
	struct bh_footprint found = { 0 };
	unsigned long long live;
	struct core *core;
	unsigned int size;
	bool enough;

	(void)module;
	if (!PyArg_ParseTuple(args, "O!IK", bh_py_core, &core, &size, &live))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	enough = bh_loop_footprint(core->core, size, live, &found);
	Py_END_ALLOW_THREADS
	if (!enough)
		return PyErr_NoMemory();
	return Py_BuildValue("(LLLL)", (long long)found.before, (long long)found.with,
			     (long long)found.after, (long long)found.mapped);
}

static PyObject *map_loop(PyObject *module, PyObject *args)
{
	unsigned long long rounds;
	struct core *core;
	PyObject *map;
	uint64_t took;
	int what;

	(void)module;
	if (!PyArg_ParseTuple(args, "O!OiK", bh_py_core, &core, &map, &what, &rounds))
		return NULL;
	if (!bh_py_map(map))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	took = bh_loop_map(core->core, bh_py_map(map), (enum bh_map_loop)what, rounds);
	Py_END_ALLOW_THREADS
	return PyLong_FromUnsignedLongLong(took);
}

static PyObject *empty(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
	(void)module;
	(void)args;
	(void)count;
	return PyLong_FromLong(0);
}

static PyMethodDef functions[] = {
	{ "empty", (PyCFunction)(void (*)(void))empty, METH_FASTCALL,
	  "empty(*anything): 0, for what a call alone takes." },
	{ "loop", run_loop, METH_VARARGS,
	  "loop(what, side, core, unit, size, rounds, more): nanoseconds; LOOPS and SIDES name them." },
	{ "footprint", footprint, METH_VARARGS,
	  "footprint(core, size, live): bytes that are resident before, with so many objects, and "
	  "after; and that were mapped." },
	{ "map_loop", map_loop, METH_VARARGS,
	  "map_loop(core, map, what, rounds): nanoseconds; MAP_LOOPS names them." },
	{ NULL, NULL, 0, NULL },
};

int bh_py_loops(PyObject *module)
{
	static const char *const loops[] = { "pairs", "batch", "pass_on", "threads", "among", NULL };
	static const char *const sides[] = { "cache",	   "told", "by_pointer",
					     "uncounted", "peer", NULL };
	static const char *const map_loops[] = { "update_delete", "lookup", "fill_delete", NULL };

	return PyModule_AddFunctions(module, functions) ||
			       bh_py_names(module, "LOOPS", loops) ||
			       bh_py_names(module, "SIDES", sides) ||
			       bh_py_names(module, "MAP_LOOPS", map_loops) ?
		       -1 : 0;
}
