/* Programs for Python: what an execution, an entry or a probe runs. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "py_heap.h"
#include "py_parts.h"
#include "py_program.h"
#include "run.h"

PyTypeObject *bh_py_prog;

static PyObject *prog_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "id", "code", "heap", "sites", "numbers", "held", "arguments", "exception", NULL };
	PyObject *sites, *held, *result = NULL;
	struct heap *global;
	struct prog *self;
	const char *code, *numbers, *arguments = "";
	Py_ssize_t size, count, n, m = 0;
	size_t calls = (size_t)(bh_call_unknown + 1) * BH_ARGS * sizeof(struct bh_arg);
	unsigned int id, exception = 0;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Iy#O!O!y#O|y#I", names, &id, &code, &size,
					 bh_py_heap_type, &global, &PyTuple_Type, &sites, &numbers, &n,
					 &held, &arguments, &m, &exception))
		return NULL;
	self = (struct prog *)bh_py_new(type);
	if (!self)
		return NULL;
	count = PyTuple_Size(sites);
	self->prog = calloc(1, sizeof(*self->prog) + (size_t)size);
	if (!self->prog)
		goto memory;
	self->prog->site = calloc((size_t)count + 1, sizeof(struct bh_site));
	self->prog->number = malloc((size_t)n + 1);
	self->prog->arg = calloc(1, calls);
	if (!self->prog->site || !self->prog->number || !self->prog->arg)
		goto memory;
	self->prog->id = id;
	self->prog->length = (uint32_t)((size_t)size / sizeof(struct bh_insn));
	memcpy(self->prog->insn, code, (size_t)size);
	self->prog->numbers = (uint32_t)n / 2;
	memcpy(self->prog->number, numbers, (size_t)n);
	memcpy(self->prog->arg, arguments, (size_t)m < calls ? (size_t)m : calls);
	self->prog->global = global->heap;
	if ((uint64_t)exception * sizeof(struct bh_insn) < (uint64_t)size)
		self->prog->exception = exception;
	for (Py_ssize_t i = 0; i < count; i++) {
		struct bh_site *site = &self->prog->site[i];
		struct unit *unit;

		if (!PyArg_ParseTuple(PyTuple_GetItem(sites, i), "IO!", &site->type, bh_py_unit,
				      &unit))
			goto out;
		site->unit = unit->unit;
		site->heap = bh_unit_heap(unit->unit);
		self->prog->sites++;
	}
	self->held = Py_BuildValue("(OOO)", global, sites, held);
	if (!self->held)
		goto out;
	return (PyObject *)self;
memory:
	PyErr_NoMemory();
out:
	Py_DECREF(self);
	return result;
}

static void prog_dealloc(struct prog *self)
{
	if (self->prog) {
		free(self->prog->site);
		free(self->prog->number);
		free(self->prog->arg);
	}
	free(self->prog);
	bh_py_free((PyObject *)self, self->held);
}

static PyObject *prog_pointer(struct prog *self, void *unused)
{
	(void)unused;
	return PyLong_FromVoidPtr(self->prog);
}

/* compiled(address, holder): run that machine code instead, which `holder` keeps. */
static PyObject *prog_compiled(struct prog *self, PyObject *args)
{
	unsigned long long address;
	PyObject *holder, *held;

	if (!PyArg_ParseTuple(args, "KO", &address, &holder))
		return NULL;
	held = Py_BuildValue("(OO)", self->held, holder);
	if (!held)
		return NULL;
	Py_DECREF(self->held);
	self->held = held;
	self->prog->code = (bh_code)(uintptr_t)address;
	Py_RETURN_NONE;
}

static PyMethodDef prog_methods[] = {
	{ "compiled", (PyCFunction)prog_compiled, METH_VARARGS,
	  "compiled(address, holder): run that machine code instead, which `holder` keeps." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef prog_fields[] = {
	{ "pointer", (getter)prog_pointer, NULL, "What an array of programs knows it by.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot prog_slots[] = {
	{ Py_tp_doc, "Program(id, code, heap, sites, numbers, held, arguments=b\"\", exception=0): ready to run. "
		     "`arguments` are, for each of the CALLS, a kind of the ARGUMENTS and a size for "
		     "r1 to r5: a hardened core checks them. `exception` is where the function "
		     "begins that is called when it throws." },
	{ Py_tp_new, prog_new },
	{ Py_tp_dealloc, prog_dealloc },
	{ Py_tp_methods, prog_methods },
	{ Py_tp_getset, prog_fields },
	{ 0, NULL },
};

static PyType_Spec prog_spec = {
	.name = "bpfheap.machine.native._core.Program",
	.basicsize = sizeof(struct prog),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = prog_slots,
};

int bh_py_program(PyObject *module)
{
	/* In the order of enum bh_arg_kind. */
	static const char *const arguments[] = { "any",	  "map",   "values", "ring",   "programs",
						 "key",	  "value", "read",   "read or NULL", "write",
						 "place",  "record", "object", "counted", "code",
						 "copies", NULL };

	bh_py_prog = bh_py_add(module, &prog_spec);
	return !bh_py_prog || bh_py_names(module, "ARGUMENTS", arguments) || bh_py_names(module, "OPS", bh_op_names) ||
			       bh_py_names(module, "CALLS", bh_call_names) ||
			       PyModule_AddIntConstant(module, "ASKED", bh_call_asked) ?
		       -1 : 0;
}
