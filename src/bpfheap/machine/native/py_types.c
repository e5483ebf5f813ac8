/* Types of objects and values for Python, and events: what became of objects of watched types. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdlib.h>

#include "py_base.h"
#include "py_parts.h"
#include "py_types.h"

struct events {
	PyObject_HEAD
	struct bh_events *events;
};

struct type {
	PyObject_HEAD
	struct bh_type *type;
	PyObject *events;
};

static PyTypeObject *events_type, *type_type;

/* -- Events */

static PyObject *events_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	struct events *self = (struct events *)bh_py_new(type);

	(void)args;
	(void)kwargs;
	if (!self)
		return NULL;
	self->events = calloc(1, sizeof(*self->events));
	if (!self->events) {
		Py_DECREF(self);
		return PyErr_NoMemory();
	}
	return (PyObject *)self;
}

static void events_dealloc(struct events *self)
{
	free(self->events);
	bh_py_free((PyObject *)self, NULL);
}

static PyObject *events_drain(struct events *self, PyObject *unused)
{
	uint32_t count = atomic_exchange(&self->events->count, 0);
	PyObject *list = PyList_New(0);

	(void)unused;
	for (uint32_t i = 0; list && i < count && i < BH_EVENTS; i++) {
		const struct bh_event *e = &self->events->event[i];
		PyObject *one = Py_BuildValue("(OIIIi)", e->freed ? Py_True : Py_False, e->owner,
					      e->type, e->cpu, e->program);

		if (!one || PyList_Append(list, one))
			Py_CLEAR(list);
		Py_XDECREF(one);
	}
	return list;
}

static PyMethodDef events_methods[] = {
	{ "drain", (PyCFunction)events_drain, METH_NOARGS,
	  "Those since the last time: (freed, owner, type, cpu, program) each." },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot events_slots[] = {
	{ Py_tp_doc, "What became of objects, for those who watch." },
	{ Py_tp_new, events_new },
	{ Py_tp_dealloc, events_dealloc },
	{ Py_tp_methods, events_methods },
	{ 0, NULL },
};

static PyType_Spec events_spec = {
	.name = "bpfheap.machine.native._core.Events",
	.basicsize = sizeof(struct events),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = events_slots,
};

/* -- Type */

static PyObject *type_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "size", "fields", "copies", "owner", "id", "events", NULL };
	unsigned int size, copies = 1, owner = 0, id = 0;
	PyObject *fields, *events = Py_None;
	struct type *self;
	Py_ssize_t count;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "IO!|IIIO", names, &size, &PyTuple_Type,
					 &fields, &copies, &owner, &id, &events))
		return NULL;
	if (events != Py_None && !PyObject_TypeCheck(events, events_type)) {
		PyErr_SetString(PyExc_TypeError, "events must be an Events");
		return NULL;
	}
	count = PyTuple_Size(fields);
	self = (struct type *)bh_py_new(type);
	if (!self)
		return NULL;
	self->type = calloc(1, sizeof(*self->type) + (size_t)count * sizeof(struct bh_field));
	if (!self->type) {
		Py_DECREF(self);
		return PyErr_NoMemory();
	}
	self->type->size = size;
	self->type->copies = copies;
	self->type->owner = owner;
	self->type->id = id;
	self->type->lock = self->type->refcount = -1;
	self->type->fields = (uint32_t)count;
	for (Py_ssize_t i = 0; i < count; i++) {
		struct bh_field *f = &self->type->field[i];

		if (!PyArg_ParseTuple(PyTuple_GetItem(fields, i), "IIII", &f->kind, &f->offset,
				      &f->size, &f->node)) {
			Py_DECREF(self);
			return NULL;
		}
		if (f->kind == BH_LOCK)
			self->type->lock = (int32_t)f->offset;
		if (f->kind == BH_REFCOUNT)
			self->type->refcount = (int32_t)f->offset;
	}
	if (events != Py_None) {
		Py_INCREF(events);
		self->events = events;
		self->type->events = ((struct events *)events)->events;
	}
	return (PyObject *)self;
}

static void type_dealloc(struct type *self)
{
	free(self->type);
	bh_py_free((PyObject *)self, self->events);
}

struct bh_type *bh_py_type(PyObject *type)
{
	if (!PyObject_TypeCheck(type, type_type)) {
		PyErr_SetString(PyExc_TypeError, "not a Type");
		return NULL;
	}
	return ((struct type *)type)->type;
}

static PyType_Slot type_slots[] = {
	{ Py_tp_doc, "Type(size, fields, copies=1, owner=0, id=0, events=None): what values or objects "
		     "are; a field is (kind, offset, size, offset of the node in what a head holds)." },
	{ Py_tp_new, type_new },
	{ Py_tp_dealloc, type_dealloc },
	{ 0, NULL },
};

static PyType_Spec type_spec = {
	.name = "bpfheap.machine.native._core.Type",
	.basicsize = sizeof(struct type),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = type_slots,
};

int bh_py_types(PyObject *module)
{
	/* In the order of enum bh_kind. */
	static const char *const kinds[] = { "kptr",	"bpf_spin_lock", "bpf_list_head",
					     "bpf_list_node", "bpf_rb_root", "bpf_rb_node",
					     "bpf_refcount",  "other",	     NULL };

	events_type = bh_py_add(module, &events_spec);
	type_type = events_type ? bh_py_add(module, &type_spec) : NULL;
	if (!type_type || bh_py_names(module, "KINDS", kinds))
		return -1;
	return 0;
}
