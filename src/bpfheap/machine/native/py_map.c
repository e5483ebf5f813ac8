/* Maps for Python, where sizes of single keys and values are checked; those of batches are checked here. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "py_heap.h"
#include "py_map.h"
#include "py_parts.h"
#include "py_types.h"

struct map {
	PyObject_HEAD
	struct core *owner;
	struct bh_map *map;
	PyObject *held; /* what else it needs */
	Py_ssize_t uses; /* views of it, and calls that may let others go on meanwhile */
	bool gone; /* to be destroyed after the last of these */
};

static PyTypeObject *map_type;

static PyObject *map_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "core",      "id",	      "shape",	  "key_size", "value_size",
				 "max_entries", "per_cpu",    "pointers", "preallocated", "readonly",
				 "type",      "heap",	      "allocates", "programs", "waits", NULL };
	PyObject *layout = Py_None, *heap = Py_None, *allocates = Py_None;
	int shape, per_cpu = 0, pointers = 0, preallocated = 0, readonly = 0, programs = 0, waits = 0;
	struct bh_map_spec spec = { 0 };
	struct core *core;
	struct map *self;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!IiIII|$ppppOOOpp", names, bh_py_core, &core,
					 &spec.id, &shape, &spec.key_size, &spec.value_size,
					 &spec.max_entries, &per_cpu, &pointers, &preallocated,
					 &readonly, &layout, &heap, &allocates, &programs, &waits))
		return NULL;
	if ((layout != Py_None && !bh_py_type(layout)) ||
	    (heap != Py_None && !PyObject_TypeCheck(heap, bh_py_heap_type)) ||
	    (allocates != Py_None && !PyObject_TypeCheck(allocates, bh_py_heap_type))) {
		PyErr_SetString(PyExc_TypeError, "type must be a Type, heap and allocates Heaps");
		return NULL;
	}
	spec.shape = (enum bh_shape)shape;
	spec.per_cpu = per_cpu;
	spec.pointers = pointers;
	spec.preallocated = preallocated;
	spec.readonly = readonly;
	spec.programs = programs;
	spec.waits = waits;
	spec.type = layout == Py_None ? NULL : bh_py_type(layout);
	spec.heap = heap == Py_None ? NULL : ((struct heap *)heap)->heap;
	spec.allocates = allocates == Py_None ? NULL : ((struct heap *)allocates)->heap;
	self = (struct map *)bh_py_new(type);
	if (!self)
		return NULL;
	self->held = Py_BuildValue("(OOO)", layout, heap, allocates);
	Py_INCREF((PyObject *)core);
	self->owner = core;
	if (!bh_py_usable(core)) {
		Py_DECREF(self);
		return NULL;
	}
	Py_BEGIN_ALLOW_THREADS
	self->map = bh_map_create(core->core, &spec);
	Py_END_ALLOW_THREADS
	if (!self->map || !self->held) {
		Py_DECREF(self);
		return bh_py_no_memory(core);
	}
	return (PyObject *)self;
}

static void map_dealloc(struct map *self)
{
	/* When all of a machine goes, what the values hold may have gone before. */
	if (self->map)
		bh_map_destroy(self->map);
	Py_XDECREF((PyObject *)self->owner);
	bh_py_free((PyObject *)self, self->held);
}

static bool is_there(const struct map *self)
{
	if (!self->map || self->gone)
		PyErr_SetString(bh_py_usage_error, "the map is gone");
	return self->map && !self->gone;
}

/* What it shows stays until end_use. False with an exception set. */
static bool use(struct map *self)
{
	if (!is_there(self))
		return false;
	self->uses++;
	return true;
}

static void end_use(struct map *self)
{
	if (--self->uses || !self->gone || !self->map)
		return;
	bh_map_destroy(self->map);
	self->map = NULL;
}

/* A run of user space's that uses the map: others may go on before it begins, and while it waits for a lock. */
static bool enter(struct map *self, struct bh_here *here)
{
	if (!use(self))
		return false;
	if (bh_py_enter(self->owner, -1, here)) {
		if (is_there(self))
			return true;
		bh_leave(here);
	}
	end_use(self);
	return false;
}

static void leave(struct map *self, struct bh_here *here)
{
	bh_leave(here);
	end_use(self);
}

/*
 * Where a change is made: `address` is where a run is that stands at a call which Python performs, so that it may
 * do what its own calls may; 0: in a run of user space's. NULL with an exception set.
 */
static struct bh_here *context(struct map *self, unsigned long long address, struct bh_here *own)
{
	if (!address)
		return enter(self, own) ? own : NULL;
	return use(self) ? (struct bh_here *)(uintptr_t)address : NULL;
}

static void end_context(struct map *self, struct bh_here *here, struct bh_here *own)
{
	if (here == own)
		leave(self, own);
	else
		end_use(self);
}

struct bh_map *bh_py_map(PyObject *map)
{
	if (!PyObject_TypeCheck(map, map_type)) {
		PyErr_SetString(PyExc_TypeError, "not a Map");
		return NULL;
	}
	return is_there((struct map *)map) ? ((struct map *)map)->map : NULL;
}

static PyObject *map_free(struct map *self, PyObject *unused)
{
	struct bh_here here;

	(void)unused;
	if (!is_there(self))
		return NULL;
	/* Programs that nobody verified name what they like: let those end that named this map. */
	bh_map_forget(self->map);
	if (bh_is_hardened(self->map->core) && !bh_within_run(self->map->core)) {
		bool ended;

		Py_BEGIN_ALLOW_THREADS
		ended = bh_synchronize_rcu(self->map->core, bh_py_patience);
		Py_END_ALLOW_THREADS
		if (!ended)
			return NULL;
	}
	if (!enter(self, &here))
		return NULL;
	bh_map_empty(self->map, &here);
	/* Somebody kept a value's lock until a signal handler raised: what is left can be freed later. */
	if (!PyErr_Occurred())
		self->gone = true;
	leave(self, &here);
	if (PyErr_Occurred())
		return NULL;
	Py_RETURN_NONE;
}

static size_t value_bytes(const struct bh_map *map)
{
	if (!map->spec.per_cpu)
		return map->spec.value_size;
	return (size_t)map->stride * bh_core_cpus(map->core);
}

/* Kptrs, locks and nodes read as 0 (check_and_init_map_value). */
static void blank(const struct bh_map *map, char *value)
{
	const struct bh_type *type = map->spec.type;

	if (!type)
		return;
	for (uint32_t cpu = 0; cpu < (map->spec.per_cpu ? bh_core_cpus(map->core) : 1); cpu++)
		for (uint32_t i = 0; i < type->fields; i++)
			memset(value + (size_t)cpu * map->stride + type->field[i].offset, 0,
			       type->field[i].size);
}

static PyObject *map_lookup(struct map *self, PyObject *args)
{
	PyObject *found = NULL;
	struct bh_here here;
	const char *key;
	Py_ssize_t size;
	char *value;

	if (!PyArg_ParseTuple(args, "y#", &key, &size) || !enter(self, &here))
		return NULL;
	value = bh_map_peek(self->map, key);
	if (value && self->map->spec.pointers) {
		/* A map or a program begins with its id. */
		found = PyBytes_FromStringAndSize(value, 4);
	} else if (value) {
		found = PyBytes_FromStringAndSize(value, (Py_ssize_t)value_bytes(self->map));
		if (found)
			blank(self->map, PyBytes_AsString(found));
	}
	leave(self, &here);
	if (found || PyErr_Occurred())
		return found;
	Py_RETURN_NONE;
}

static PyObject *map_address(struct map *self, PyObject *args)
{
	struct bh_here here;
	const char *key;
	Py_ssize_t size;
	void *value;

	if (!PyArg_ParseTuple(args, "y#", &key, &size) || !enter(self, &here))
		return NULL;
	value = bh_map_peek(self->map, key);
	leave(self, &here);
	if (!value)
		Py_RETURN_NONE;
	return PyLong_FromVoidPtr(value);
}

static PyObject *map_update(struct map *self, PyObject *args)
{
	unsigned long long flags = 0, address = 0;
	struct bh_here own, *here;
	const char *key, *value;
	Py_ssize_t sizes[2];
	int answer;

	if (!PyArg_ParseTuple(args, "y#y#|KK", &key, &sizes[0], &value, &sizes[1], &flags, &address))
		return NULL;
	here = context(self, address, &own);
	if (!here)
		return NULL;
	answer = bh_map_update(self->map, here, key, value, flags, -1);
	end_context(self, here, &own);
	return PyErr_Occurred() ? NULL : PyLong_FromLong(answer);
}

static PyObject *map_delete(struct map *self, PyObject *args)
{
	unsigned long long address = 0;
	struct bh_here own, *here;
	const char *key;
	Py_ssize_t size;
	int answer;

	if (!PyArg_ParseTuple(args, "y#|K", &key, &size, &address))
		return NULL;
	here = context(self, address, &own);
	if (!here)
		return NULL;
	answer = bh_map_delete(self->map, here, key);
	end_context(self, here, &own);
	return PyErr_Occurred() ? NULL : PyLong_FromLong(answer);
}

static PyObject *map_keys(struct map *self, PyObject *unused)
{
	struct bh_walk walk = { 0 };
	struct bh_here here;
	PyObject *list;

	(void)unused;
	if (!enter(self, &here))
		return NULL;
	list = PyList_New(0);
	while (list && bh_map_walk(self->map, &walk)) {
		PyObject *key;

		if (self->map->spec.pointers && self->map->spec.shape == BH_ARRAY &&
		    !*(void **)walk.value)
			continue;
		key = PyBytes_FromStringAndSize(walk.key, (Py_ssize_t)self->map->spec.key_size);
		if (!key || PyList_Append(list, key))
			Py_CLEAR(list);
		Py_XDECREF(key);
	}
	leave(self, &here);
	return list;
}

static PyObject *map_records(struct map *self, PyObject *unused)
{
	PyObject *list;
	const void *data;
	int64_t size;

	(void)unused;
	if (!is_there(self))
		return NULL;
	list = PyList_New(0);
	if (self->map->spec.shape != BH_RING)
		return list;
	while (list && (size = bh_ring_peek(self->map, &data)) >= 0) {
		PyObject *record = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);

		if (!record || PyList_Append(list, record))
			Py_CLEAR(list);
		else
			bh_ring_consume(self->map);
		Py_XDECREF(record);
	}
	return list;
}

/* -- many elements at once */

enum batch { LOOKUP, UPDATE, DELETE };

static int batch_step(struct map *self, struct bh_here *here, enum batch doing, char *key, char *value,
	       unsigned long long flags)
{
	char *found;

	switch (doing) {
	case UPDATE:
		return bh_map_update(self->map, here, key, value, flags, -1);
	case DELETE:
		return bh_map_delete(self->map, here, key);
	default:
		found = bh_map_peek(self->map, key);
		if (!found)
			return -ENOENT;
		memcpy(value, found, value_bytes(self->map));
		blank(self->map, value);
		return 0;
	}
}

/* How many were done, and the error of the one that was not. */
static PyObject *batch(struct map *self, enum batch doing, PyObject *keys, PyObject *values,
		       unsigned long long flags)
{
	Py_buffer k = { 0 }, v = { 0 };
	PyObject *result = NULL;
	struct bh_here here;
	size_t value_size, count, done;
	int error = 0;

	if (!use(self))
		return NULL;
	if (PyObject_GetBuffer(keys, &k, PyBUF_C_CONTIGUOUS))
		goto out;
	if (values && PyObject_GetBuffer(values, &v, doing == LOOKUP ?
							     PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE :
							     PyBUF_C_CONTIGUOUS))
		goto out;
	value_size = value_bytes(self->map);
	count = self->map->spec.key_size ? (size_t)k.len / self->map->spec.key_size : 0;
	if (count * self->map->spec.key_size != (size_t)k.len ||
	    (values && count * value_size != (size_t)v.len)) {
		PyErr_Format(PyExc_ValueError,
			     "keys have %u bytes each, values %zu; there must be as many of each",
			     self->map->spec.key_size, value_size);
		goto out;
	}
	if (!bh_py_enter(self->owner, -1, &here))
		goto out;
	Py_BEGIN_ALLOW_THREADS
	for (done = 0; done < count && !error; done++)
		error = batch_step(self, &here, doing, (char *)k.buf + done * self->map->spec.key_size,
			    values ? (char *)v.buf + done * value_size : NULL, flags);
	bh_leave(&here);
	Py_END_ALLOW_THREADS
	if (!PyErr_Occurred())
		result = Py_BuildValue("(ni)", (Py_ssize_t)(error ? done - 1 : done), error);
out:
	if (k.obj)
		PyBuffer_Release(&k);
	if (v.obj)
		PyBuffer_Release(&v);
	end_use(self);
	return result;
}

static PyObject *map_lookup_batch(struct map *self, PyObject *args)
{
	PyObject *keys, *values;

	if (!PyArg_ParseTuple(args, "OO", &keys, &values))
		return NULL;
	return batch(self, LOOKUP, keys, values, 0);
}

static PyObject *map_update_batch(struct map *self, PyObject *args)
{
	unsigned long long flags = 0;
	PyObject *keys, *values;

	if (!PyArg_ParseTuple(args, "OO|K", &keys, &values, &flags))
		return NULL;
	return batch(self, UPDATE, keys, values, flags);
}

static PyObject *map_delete_batch(struct map *self, PyObject *keys)
{
	return batch(self, DELETE, keys, NULL, 0);
}

/* An array's values, one after the other: no copy. The memory stays as long as somebody has a view of it. */
static int map_getbuffer(struct map *self, Py_buffer *view, int flags)
{
	if (!is_there(self))
		return -1;
	if (self->map->spec.shape != BH_ARRAY || self->map->spec.pointers || self->map->spec.type) {
		PyErr_SetString(PyExc_BufferError,
				"only arrays of plain values can be looked at in place");
		return -1;
	}
	if (PyBuffer_FillInfo(view, (PyObject *)self, self->map->memory, (Py_ssize_t)self->map->bytes, 0,
			      flags))
		return -1;
	self->uses++;
	return 0;
}

static void map_releasebuffer(struct map *self, Py_buffer *view)
{
	(void)view;
	end_use(self);
}

static PyObject *map_pointer(struct map *self, void *unused)
{
	(void)unused;
	return is_there(self) ? PyLong_FromVoidPtr(self->map) : NULL;
}

static PyObject *map_count(struct map *self, void *unused)
{
	(void)unused;
	return is_there(self) ? PyLong_FromUnsignedLong(bh_map_count(self->map)) : NULL;
}

static PyObject *map_stride(struct map *self, void *unused)
{
	(void)unused;
	return is_there(self) ? PyLong_FromUnsignedLong(self->map->stride) : NULL;
}

static PyMethodDef map_methods[] = {
	{ "lookup", (PyCFunction)map_lookup, METH_VARARGS,
	  "lookup(key): the value's bytes, of all CPUs, or the id of what it points to; or None." },
	{ "address", (PyCFunction)map_address, METH_VARARGS, "address(key): where the value is." },
	{ "update", (PyCFunction)map_update, METH_VARARGS,
	  "update(key, value, flags=0): 0 or a negative errno." },
	{ "delete", (PyCFunction)map_delete, METH_VARARGS, "delete(key): 0 or a negative errno." },
	{ "keys", (PyCFunction)map_keys, METH_NOARGS, "All keys." },
	{ "records", (PyCFunction)map_records, METH_NOARGS,
	  "A ring's records that were not read yet." },
	{ "lookup_batch", (PyCFunction)map_lookup_batch, METH_VARARGS,
	  "lookup_batch(keys, values): fill values; how many, and the errno of the first failure." },
	{ "update_batch", (PyCFunction)map_update_batch, METH_VARARGS,
	  "update_batch(keys, values, flags=0): how many, and the errno of the first failure." },
	{ "delete_batch", (PyCFunction)map_delete_batch, METH_O,
	  "delete_batch(keys): how many, and the errno of the first failure." },
	{ "free", (PyCFunction)map_free, METH_NOARGS, "Free what it holds, and the map." },
	{ NULL, NULL, 0, NULL },
};

/* Where its memory is, how many bytes; of a hash map, the mask of hashes, and where in an element its
 * value is. */
static PyObject *map_layout(struct map *self, void *unused)
{
	const struct bh_map *map;

	(void)unused;
	if (!is_there(self))
		return NULL;
	map = self->map;
	return Py_BuildValue("(KKIL)", (unsigned long long)(uintptr_t)map->memory,
			     (unsigned long long)map->bytes, map->mask, (long long)map->value_at);
}

static PyGetSetDef map_fields[] = {
	{ "layout", (getter)map_layout, NULL, "What compiled programs know it by.", NULL },
	{ "pointer", (getter)map_pointer, NULL, "What programs know the map by.", NULL },
	{ "count", (getter)map_count, NULL, "How many elements a hash map has.", NULL },
	{ "stride", (getter)map_stride, NULL, "Bytes from one CPU's value to the next.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot map_slots[] = {
	{ Py_tp_doc, "A map of one of the SHAPES." },
	{ Py_tp_new, map_new },
	{ Py_tp_dealloc, map_dealloc },
	{ Py_tp_methods, map_methods },
	{ Py_tp_getset, map_fields },
	{ Py_bf_getbuffer, map_getbuffer },
	{ Py_bf_releasebuffer, map_releasebuffer },
	{ 0, NULL },
};

static PyType_Spec map_spec = {
	.name = "bpfheap.machine.native._core.Map",
	.basicsize = sizeof(struct map),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = map_slots,
};

int bh_py_maps(PyObject *module)
{
	/* In the order of enum bh_shape. */
	static const char *const shapes[] = { "hash", "lru", "array", "ring", "none", "trie", "played", NULL };

	map_type = bh_py_add(module, &map_spec);
	return !map_type || bh_py_names(module, "SHAPES", shapes) ? -1 : 0;
}
