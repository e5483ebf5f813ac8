/* Executions for Python: they stop before calls, and go on. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "py_driver.h"
#include "py_heap.h"
#include "py_parts.h"
#include "py_program.h"
#include "run.h"

struct execution {
	PyObject_HEAD
	struct core *owner;
	struct prog *program;
	struct bh_run *run;
	struct driver driver;
	Py_ssize_t ctx_size;
	void *own_ctx;
	int cpu;
	bool held; /* it stopped in the middle */
	bool going; /* in a thread: with the GIL */
	uint32_t hold;
};

/* A page below 4 GiB, since contexts have 32 bits for a pointer into it. */
static char *low_page(void)
{
#ifdef MAP_32BIT
	char *page = mmap(NULL, BH_PACKET, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	return page == MAP_FAILED ? NULL : page;
#else
	for (uintptr_t at = 1u << 28; at < UINT32_MAX - BH_PACKET; at += 1u << 20) {
		char *page = mmap((void *)at, BH_PACKET, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (page == MAP_FAILED)
			return NULL;
		if ((uintptr_t)page < UINT32_MAX - BH_PACKET)
			return page;
		munmap(page, BH_PACKET);
	}
	return NULL;
#endif
}

static PyObject *execution_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "core", "program", "ctx", "cpu", "limit", NULL };
	struct execution *self;
	struct core *core;
	struct prog *prog;
	const char *ctx;
	Py_ssize_t size;
	long long limit = 0;
	int cpu = -1;
	char *copy;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!y#|iL", names, bh_py_core, &core,
					 bh_py_prog, &prog, &ctx, &size, &cpu, &limit))
		return NULL;
	if (cpu >= (int)bh_core_cpus(core->core))
		return PyErr_Format(PyExc_ValueError, "there is no CPU %d", cpu);
	self = (struct execution *)bh_py_new(type);
	if (!self)
		return NULL;
	Py_INCREF((PyObject *)core);
	self->owner = core;
	Py_INCREF((PyObject *)prog);
	self->program = prog;
	self->cpu = cpu;
	self->held = true;
	self->hold = bh_hold(core->core);
	self->driver.left = limit > 0 ? limit : -1;
	self->ctx_size = size;
	self->run = bh_run_create(core->core, core->random);
	self->own_ctx = malloc((size_t)size + 8);
	copy = self->run ? bh_run_room(self->run, self->own_ctx, (uint64_t)size) : NULL;
	if (!copy) {
		Py_DECREF(self);
		return PyErr_NoMemory();
	}
	memcpy(copy, ctx, (size_t)size);
	bh_faults_catch(core->core);
	bh_run_begin(self->run, prog->prog, copy);
	self->run->ctx_size = (uint64_t)size;
	self->run->r[1] = (uintptr_t)copy;
	self->run->r[2] = (uint64_t)size;
	return (PyObject *)self;
}

static bool is_at_rest(const struct execution *self)
{
	if (self->going)
		PyErr_SetString(bh_py_usage_error, "the run is going on, in this thread or in another one");
	return !self->going;
}

/* Nobody goes on with it: what it may have seen can be reclaimed. */
static void end_hold(struct execution *self)
{
	if (self->held)
		bh_unhold(self->owner->core, self->hold);
	self->held = false;
}

static void execution_dealloc(struct execution *self)
{
	end_hold(self);
	if (self->run && !self->run->window && self->run->packet.page)
		munmap(self->run->packet.page, BH_PACKET);
	free(self->own_ctx);
	bh_run_destroy(self->owner->core, self->run);
	Py_XDECREF((PyObject *)self->program);
	bh_py_free((PyObject *)self, (PyObject *)self->owner);
}

/* packet(frame, room, most, data, data_end, data_meta, wide) */
static PyObject *execution_packet(struct execution *self, PyObject *args)
{
	struct bh_packet *p = &self->run->packet;
	const char *frame;
	Py_ssize_t size;
	unsigned int room, most;
	int wide;

	if (!is_at_rest(self) ||
	    !PyArg_ParseTuple(args, "y#IIiiip", &frame, &size, &room, &most, &p->fields[0],
			      &p->fields[1], &p->fields[2], &wide))
		return NULL;
	if (p->page || room + most > BH_PACKET || size > (Py_ssize_t)most)
		return PyErr_Format(PyExc_ValueError, "no room for a packet of %zd bytes", size);
	/* Of an address in a region the lower 32 bits are enough. */
	p->page = self->run->window ? self->run->window->packet : low_page();
	if (!p->page)
		return PyErr_NoMemory();
	p->wide = wide;
	p->start = p->data = room;
	p->end = room + (uint32_t)size;
	p->highest = room + most;
	memcpy(p->page + p->data, frame, (size_t)size);
	bh_packet_show(self->run);
	Py_RETURN_NONE;
}

/* go(stepping, ask) */
static PyObject *execution_go(struct execution *self, PyObject *const *args, Py_ssize_t count)
{
	struct bh_run *run = self->run;
	enum bh_stop stop = BH_GOING;
	bool entered;

	if (!is_at_rest(self))
		return NULL;
	self->going = true;
	run->stepping = count > 0 && PyObject_IsTrue(args[0]) == 1;
	self->driver.ask = count > 1 ? args[1] : NULL;
	bh_py_drive(&self->driver, run);
	Py_BEGIN_ALLOW_THREADS
	entered = bh_enter(self->owner->core, self->cpu, bh_py_run_patience, &run->here);
	if (entered) {
		stop = bh_run_go(run);
		bh_leave(&run->here);
		if (stop == BH_DONE) {
			end_hold(self);
		}
	}
	Py_END_ALLOW_THREADS
	self->going = false;
	bh_py_end_slice(&self->driver, run);
	if (bh_py_failed(&self->driver))
		return NULL;
	if (!entered)
		return bh_py_refuse(self->owner);
	return PyLong_FromLong(stop);
}

/* The lock of a run that is given up while it stands at a call: on a hardened core nobody waits for it. */
static bool release(struct bh_run *run)
{
	uint64_t lock = (uintptr_t)run->lock;

	if (!run->window || !bh_region_at(bh_region_of(run->here.core), lock, sizeof(uint32_t), BH_VACANT))
		return false;
	bh_unlock(run->lock);
	run->lock = NULL;
	run->locked = false;
	return true;
}

static PyObject *execution_close(struct execution *self, PyObject *unused)
{
	(void)unused;
	if (!is_at_rest(self))
		return NULL;
	if (self->run->locked && !release(self->run))
		bh_core_break(self->owner->core);
	end_hold(self);
	Py_RETURN_NONE;
}

static PyObject *execution_answer(struct execution *self, PyObject *r0)
{
	unsigned long long value = PyLong_AsUnsignedLongLongMask(r0);

	if (PyErr_Occurred() || !is_at_rest(self))
		return NULL;
	bh_run_answer(self->run, value);
	Py_RETURN_NONE;
}

static PyObject *execution_register(struct execution *self, PyObject *args)
{
	unsigned int n;

	if (!PyArg_ParseTuple(args, "I", &n))
		return NULL;
	if (n > 10)
		return PyErr_Format(PyExc_ValueError, "there is no r%u", n);
	return PyLong_FromUnsignedLongLong(self->run->r[n]);
}

static PyObject *execution_data(struct execution *self, PyObject *unused)
{
	const struct bh_packet *p = &self->run->packet;

	(void)unused;
	if (!is_at_rest(self))
		return NULL;
	if (!p->page)
		Py_RETURN_NONE;
	return PyBytes_FromStringAndSize(p->page + p->start, (Py_ssize_t)(p->end - p->start));
}

static PyObject *execution_ctx(struct execution *self, void *unused)
{
	(void)unused;
	return PyBytes_FromStringAndSize(self->run->ctx, self->ctx_size);
}

static PyObject *execution_slot(struct execution *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(self->run->slot);
}

static PyObject *execution_fault(struct execution *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(self->run->fault);
}

static PyObject *execution_pc(struct execution *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(self->run->pc);
}

static PyObject *execution_pointer(struct execution *self, void *unused)
{
	(void)unused;
	return PyLong_FromVoidPtr(self->run);
}

static PyObject *execution_cpu(struct execution *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(self->run->here.cpu);
}

static PyObject *execution_program(struct execution *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(self->run->prog->id);
}

static PyMethodDef execution_methods[] = {
	{ "packet", (PyCFunction)execution_packet, METH_VARARGS,
	  "packet(frame, room, most, data, data_end, data_meta, wide): give it one; the last ones are "
	  "where the context leads to it, -1 for nowhere, and whether that takes 8 bytes." },
	{ "go", (PyCFunction)(void (*)(void))execution_go, METH_FASTCALL,
	  "go(stepping=False, ask=None): on to the next stop, the name of which STOPS has. If it is "
	  "not stepping, ask(run, cpu, program, slot, r1, ..., r5) makes calls outside." },
	{ "close", (PyCFunction)execution_close, METH_NOARGS,
	  "Not to be gone on with; an exception may keep it for long." },
	{ "answer", (PyCFunction)execution_answer, METH_O, "answer(r0): what a call outside gives." },
	{ "register", (PyCFunction)execution_register, METH_VARARGS, "register(n): its 64 bits." },
	{ "data", (PyCFunction)execution_data, METH_NOARGS, "The packet behind its metadata." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef execution_fields[] = {
	{ "ctx", (getter)execution_ctx, NULL, "The context's bytes.", NULL },
	{ "slot", (getter)execution_slot, NULL, "Where it stopped.", NULL },
	{ "fault", (getter)execution_fault, NULL, "The address that a fault is about.", NULL },
	{ "pc", (getter)execution_pc, NULL, "Of machine code that faulted; 0: see slot.", NULL },
	{ "pointer", (getter)execution_pointer, NULL, "What Core.fetch and its like know it by.", NULL },
	{ "cpu", (getter)execution_cpu, NULL, "The number of the CPU that it is or was on.", NULL },
	{ "program", (getter)execution_program, NULL, "The id of the program it is in.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot execution_slots[] = {
	{ Py_tp_doc, "Execution(core, program, ctx, cpu=-1, limit=0): r1 is the context, r2 its size; "
		     "at most `limit` jumps back and calls, 0 for any number." },
	{ Py_tp_new, execution_new },
	{ Py_tp_dealloc, execution_dealloc },
	{ Py_tp_methods, execution_methods },
	{ Py_tp_getset, execution_fields },
	{ 0, NULL },
};

static PyType_Spec execution_spec = {
	.name = "bpfheap.machine.native._core.Execution",
	.basicsize = sizeof(struct execution),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = execution_slots,
};

int bh_py_execution(PyObject *module)
{
	/* In the order of enum bh_stop. */
	static const char *const stops[] = { "going", "done",	 "at-call",  "again",
					     "outside", "pause", "too-deep", "no-call",
					     "fault",	NULL };

	return !bh_py_add(module, &execution_spec) || bh_py_names(module, "STOPS", stops) ? -1 : 0;
}
