/* Probes for Python: programs that a signal runs. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "py_heap.h"
#include "py_parts.h"
#include "py_program.h"
#include "sample.h"

struct probe {
	PyObject_HEAD
	struct core *owner;
	struct bh_probe *probe;
	struct bh_probe_stats stats; /* in the end */
	PyObject *program;
};

static PyObject *probe_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "core", "program", "signal", "hz", "budget", NULL };
	long long budget;
	struct core *core;
	struct prog *prog;
	struct probe *self;
	unsigned int hz;
	int number;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!iIL", names, bh_py_core, &core, bh_py_prog,
					 &prog, &number, &hz, &budget) ||
	    !bh_py_usable(core))
		return NULL;
	self = (struct probe *)bh_py_new(type);
	if (!self)
		return NULL;
	Py_INCREF((PyObject *)core);
	self->owner = core;
	Py_INCREF((PyObject *)prog);
	self->program = (PyObject *)prog;
	bh_faults_catch(core->core);
	self->probe = bh_probe_attach(core->core, prog->prog, core->random, number, hz,
				      budget);
	if (!self->probe) {
		PyErr_SetFromErrno(PyExc_OSError);
		Py_DECREF(self);
		return NULL;
	}
	return (PyObject *)self;
}

static PyObject *probe_detach(struct probe *self, PyObject *unused)
{
	struct bh_probe *probe = self->probe;
	bool detached;

	(void)unused;
	if (!probe)
		Py_RETURN_NONE;
	self->stats = bh_probe_stats(probe);
	/* Others, and signal handlers, may come here while this waits. */
	self->probe = NULL;
	Py_BEGIN_ALLOW_THREADS
	detached = bh_probe_detach(probe, bh_py_patience);
	Py_END_ALLOW_THREADS
	if (!detached) {
		self->probe = probe;
		return NULL;
	}
	Py_RETURN_NONE;
}

static void probe_dealloc(struct probe *self)
{
	if (self->probe)
		bh_probe_detach(self->probe, NULL);
	Py_XDECREF((PyObject *)self->owner);
	bh_py_free((PyObject *)self, self->program);
}

static PyObject *probe_stats(struct probe *self, PyObject *unused)
{
	(void)unused;
	if (self->probe)
		self->stats = bh_probe_stats(self->probe);
	return Py_BuildValue("(KKK)", (unsigned long long)self->stats.runs,
			     (unsigned long long)self->stats.missed,
			     (unsigned long long)self->stats.last);
}

static PyObject *probe_end(struct probe *self, PyObject *unused)
{
	(void)unused;
	if (self->probe)
		self->stats = bh_probe_stats(self->probe);
	if (self->stats.stop == BH_DONE)
		Py_RETURN_NONE;
	return Py_BuildValue("(IIIKK)", (unsigned int)self->stats.stop, self->stats.program,
			     self->stats.slot, (unsigned long long)self->stats.fault,
			     (unsigned long long)self->stats.pc);
}

static PyMethodDef probe_methods[] = {
	{ "detach", (PyCFunction)probe_detach, METH_NOARGS, "Put back what the signal did before." },
	{ "stats", (PyCFunction)probe_stats, METH_NOARGS,
	  "Runs, signals that were missed, and what the last run returned." },
	{ "end", (PyCFunction)probe_end, METH_NOARGS,
	  "None, or why the signal runs it no more: a stop, the program's id, slot, address, and pc." },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot probe_slots[] = {
	{ Py_tp_doc, "Probe(core, program, signal, hz, budget): let the signal run the program, for so many "
		     "steps at most." },
	{ Py_tp_new, probe_new },
	{ Py_tp_dealloc, probe_dealloc },
	{ Py_tp_methods, probe_methods },
	{ 0, NULL },
};

static PyType_Spec probe_spec = {
	.name = "bpfheap.machine.native._core.Probe",
	.basicsize = sizeof(struct probe),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = probe_slots,
};

int bh_py_probe(PyObject *module)
{
	return bh_py_add(module, &probe_spec) ? 0 : -1;
}
