/*
 * What compiled programs have to know of the core: where fields of its structs are, what constants
 * are, and where its functions are. It is said here once, by the compiler of the core itself.
 */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <string.h>
#include <time.h>

#include "calls.h"
#include "checks.h"
#include "element.h"
#include "py_parts.h"
#include "run.h"

#define FIELD(s, field) { #s "." #field, offsetof(struct s, field) }
#define SIZE(s) { #s, sizeof(struct s) }
#define NUMBER(name) { #name, name }
#define FUNCTION(name) { #name, (uintptr_t)name }

struct named {
	const char *name;
	unsigned long long value;
};

static const struct named layout[] = {
	FIELD(bh_run, r),
	FIELD(bh_run, prog),
	FIELD(bh_run, slot),
	FIELD(bh_run, stop),
	FIELD(bh_run, budget),
	FIELD(bh_run, region),
	FIELD(bh_run, sp),
	FIELD(bh_run, sp_end),
	{ "bh_run.core", offsetof(struct bh_run, here.core) },
	FIELD(bh_prog, id),
	FIELD(bh_map, stride),
	{ "bh_map.per_cpu", offsetof(struct bh_map, spec.per_cpu) },
	FIELD(bh_run, ctx),
	{ "bh_run.cpu", offsetof(struct bh_run, here.cpu) },
	{ "bh_run.here", offsetof(struct bh_run, here) },
	{ "bh_run.cache", offsetof(struct bh_run, here.slot) },
	{ "bh_run.recent", offsetof(struct bh_run, here.recent) },
	{ "bh_run.recent_unit", offsetof(struct bh_run, here.recent_unit) },
	SIZE(bh_run),
	SIZE(bh_map),
	SIZE(bh_cache),
	FIELD(bh_cache, top),
	FIELD(bh_cache, low),
	FIELD(bh_cache, high),
	FIELD(bh_cache, life),
	FIELD(bh_slab, unit),
	FIELD(bh_map, memory),
	FIELD(bh_map, mask),
	FIELD(bh_map, seed),
	FIELD(bh_map, value_at),
	FIELD(bh_map, produced),
	FIELD(bh_map, consumed),
	FIELD(bh_elem, hash),
	FIELD(bh_elem, next),
	FIELD(bh_elem, key),
	SIZE(bh_elem),
	SIZE(bh_bucket),
	FIELD(bh_bucket, first),
	SIZE(bh_walk),
	FIELD(bh_walk, key),
	FIELD(bh_walk, value),
	FIELD(bh_rb_root, node),
	FIELD(bh_rb_node, left),
	FIELD(bh_rb_node, right),
	FIELD(bh_rb_node, owner),
	FIELD(bh_list_head, first),
	FIELD(bh_list_head, last),
	NUMBER(BH_SLAB),
	NUMBER(BH_SHADOW),
	NUMBER(BH_LIFE),
	NUMBER(BH_UNIT_LIFE),
	NUMBER(BH_FREE),
	NUMBER(BH_TOO_DEEP),
	{ "bh_core.clocked", sizeof(struct bh_region) + offsetof(struct bh_world, clocked) },
	NUMBER(BH_STACK),
	NUMBER(BH_FRAMES),
	NUMBER(BH_LOOPS),
	NUMBER(BH_LOOK),
	NUMBER(BH_HASH_WORD),
	NUMBER(BH_HASH_LAST),
	NUMBER(BH_RING_HEADER),
	NUMBER(BH_RING_BUSY),
	NUMBER(BH_RING_DISCARD),
	NUMBER(BH_RING_DONE),
	NUMBER(CLOCK_MONOTONIC),
	NUMBER(CLOCK_BOOTTIME),
	{ NULL, 0 },
};

static const struct named functions[] = {
	FUNCTION(bh_alloc_slow),
	FUNCTION(bh_free_slow),
	FUNCTION(bh_object_new),
	FUNCTION(bh_object_drop),
	FUNCTION(bh_map_lookup),
	FUNCTION(bh_map_walk),
	FUNCTION(bh_ring_reserve),
	FUNCTION(bh_rb_reserve),
	FUNCTION(bh_rb_insert),
	FUNCTION(bh_run_count),
	FUNCTION(bh_run_load),
	FUNCTION(bh_run_tail),
	FUNCTION(bh_tail),
	FUNCTION(bh_call_by_number),
	FUNCTION(bh_call_checked),
	FUNCTION(bh_run_ask),
	FUNCTION(bh_packet_load),
	FUNCTION(bh_call_refuse),
	FUNCTION(clock_gettime),
	FUNCTION(memset),
	FUNCTION(memcpy),
	FUNCTION(memmove),
	{ NULL, 0 },
};

static int add(PyObject *dict, const char *name, unsigned long long value)
{
	PyObject *number = PyLong_FromUnsignedLongLong(value);
	int error = number ? PyDict_SetItemString(dict, name, number) : -1;

	Py_XDECREF(number);
	return error;
}

static int add_all(PyObject *module, const char *name, const struct named *all, bool calls)
{
	PyObject *dict = PyDict_New();
	int error = dict ? 0 : -1;

	for (; !error && all->name; all++)
		error = add(dict, all->name, all->value);
	for (unsigned i = 0; !error && calls && bh_call_names[i]; i++)
		error = add(dict, bh_call_names[i], (uintptr_t)bh_calls[i]);
	if (!error)
		error = PyModule_AddObjectRef(module, name, dict);
	Py_XDECREF(dict);
	return error;
}

int bh_py_compiled(PyObject *module)
{
	return add_all(module, "LAYOUT", layout, false) || add_all(module, "FUNCTIONS", functions, true) ?
		       -1 : 0;
}
