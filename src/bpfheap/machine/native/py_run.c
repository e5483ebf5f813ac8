/* Programs, their executions, and what else runs them, for Python. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "module.h"
#include "run.h"
#include "sample.h"

struct prog {
	PyObject_HEAD
	struct bh_prog *prog;
	PyObject *held;
};

/* Whom a run asks for what it cannot do itself. */
struct driver {
	PyObject *ask; /* of the caller, or of whoever has the driver */
	long long left; /* of the budget; -1 for no end */
	PyObject *error[3];
};

struct execution {
	PyObject_HEAD
	struct core *owner;
	struct prog *program;
	struct bh_run *run;
	struct driver driver;
	Py_ssize_t ctx_size;
	int cpu;
	bool held; /* it stopped in the middle */
};

struct entry {
	PyObject_HEAD
	struct core *owner;
	struct prog *program;
	PyObject *ask, *fail;
	struct bh_run *run; /* nobody else's while it is here */
	Py_ssize_t ctx_size; /* at most */
	Py_ssize_t ctx_used; /* what programs look at */
	long long limit;
	int cpu;
	bool brief; /* it ends soon, and waits for nobody: other threads of Python may wait */
	_Atomic bool closed;
};

struct probe {
	PyObject_HEAD
	struct core *owner;
	struct bh_probe *probe;
	struct bh_probe_stats stats; /* in the end */
	PyObject *program;
};

static PyTypeObject *probe_type, *prog_type, *execution_type, *entry_type;

/* -- Program */

static PyObject *prog_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "id", "code", "heap", "sites", "numbers", "held", NULL };
	PyObject *sites, *held, *result = NULL;
	struct heap *global;
	struct prog *self;
	const char *code, *numbers;
	Py_ssize_t size, count, n;
	unsigned int id;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Iy#O!O!y#O", names, &id, &code, &size,
					 bh_py_heap_type, &global, &PyTuple_Type, &sites, &numbers, &n,
					 &held))
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
	if (!self->prog->site || !self->prog->number)
		goto memory;
	self->prog->id = id;
	self->prog->length = (uint32_t)((size_t)size / sizeof(struct bh_insn));
	memcpy(self->prog->insn, code, (size_t)size);
	self->prog->numbers = (uint32_t)n / 2;
	memcpy(self->prog->number, numbers, (size_t)n);
	self->prog->global = global->heap;
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
	{ Py_tp_doc, "Program(id, code, heap, sites, numbers, held): ready to run." },
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

/* -- what runs ask for */

enum { SLICE = 1 << 22 }; /* of the budget, between two looks for signals */

static void take_slice(struct driver *driver, struct bh_run *run)
{
	run->budget = driver->left < 0 || driver->left > SLICE ? SLICE : driver->left;
	if (driver->left >= 0)
		driver->left -= run->budget;
}

/* What was not used goes back. */
static void end_slice(struct driver *driver, const struct bh_run *run)
{
	if (driver->left >= 0 && run->budget > 0)
		driver->left += run->budget;
}

static bool more(struct bh_run *run)
{
	struct driver *driver = run->driver;
	PyGILState_STATE state = PyGILState_Ensure();
	bool stop = driver->error[0] != NULL;

	if (!stop && PyErr_CheckSignals()) {
		PyErr_Fetch(&driver->error[0], &driver->error[1], &driver->error[2]);
		stop = true;
	}
	PyGILState_Release(state);
	if (stop || !driver->left)
		return false;
	take_slice(driver, run);
	return true;
}

static uint64_t ask(struct bh_run *run)
{
	struct driver *driver = run->driver;
	PyGILState_STATE state = PyGILState_Ensure();
	uint64_t r0 = (uint64_t)(int64_t)-EFAULT;
	PyObject *answer = NULL;

	/* The first error is the one that counts. */
	if (!driver->error[0])
		answer = PyObject_CallFunction(driver->ask, "IIKKKKK", run->prog->id, run->slot,
					       run->r[1], run->r[2], run->r[3], run->r[4],
					       run->r[5]);
	if (answer)
		r0 = PyLong_AsUnsignedLongLongMask(answer);
	Py_XDECREF(answer);
	if (PyErr_Occurred())
		PyErr_Fetch(&driver->error[0], &driver->error[1], &driver->error[2]);
	PyGILState_Release(state);
	return r0;
}

/*
 * While a run waits for a CPU or a lock. What a signal handler raises is kept, as calls outside must not
 * begin with it, and the budget ends: the run goes no further than to where it is counted next.
 */
static bool run_patience(struct bh_here *here)
{
	struct bh_run *run = (void *)((char *)here - offsetof(struct bh_run, here));
	struct driver *driver = run->driver;
	PyGILState_STATE state;

	if (driver->error[0])
		return false;
	if (bh_py_patience(here))
		return true;
	state = PyGILState_Ensure();
	PyErr_Fetch(&driver->error[0], &driver->error[1], &driver->error[2]);
	PyGILState_Release(state);
	run->budget = 0;
	return false;
}

static void drive(struct driver *driver, struct bh_run *run)
{
	run->driver = driver;
	run->more = more;
	run->ask = driver->ask && driver->ask != Py_None ? ask : NULL;
	take_slice(driver, run);
}

/* Raise what happened meanwhile. */
static bool failed(struct driver *driver)
{
	if (!driver->error[0])
		return false;
	PyErr_Restore(driver->error[0], driver->error[1], driver->error[2]);
	memset(driver->error, 0, sizeof(driver->error));
	return true;
}

/* -- Execution */

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
					 prog_type, &prog, &ctx, &size, &cpu, &limit))
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
	bh_hold(core->core);
	self->driver.left = limit > 0 ? limit : -1;
	self->ctx_size = size;
	self->run = aligned_alloc(BH_LINE, (sizeof(*self->run) + BH_LINE - 1) / BH_LINE * BH_LINE);
	copy = malloc((size_t)size + 8);
	if (!self->run || !copy) {
		free(copy);
		free(self->run);
		self->run = NULL;
		Py_DECREF(self);
		return PyErr_NoMemory();
	}
	memcpy(copy, ctx, (size_t)size);
	memset(self->run, 0, offsetof(struct bh_run, frame));
	self->run->random = core->random;
	bh_run_begin(self->run, prog->prog, copy);
	self->run->r[1] = (uintptr_t)copy;
	self->run->r[2] = (uint64_t)size;
	return (PyObject *)self;
}

static void execution_dealloc(struct execution *self)
{
	if (self->held)
		bh_unhold(self->owner->core);
	if (self->run) {
		if (self->run->packet.page)
			munmap(self->run->packet.page, BH_PACKET);
		free(self->run->ctx);
	}
	free(self->run);
	Py_XDECREF((PyObject *)self->program);
	bh_py_free((PyObject *)self, (PyObject *)self->owner);
}

/* packet(frame, room, most, data, data_end, data_meta) */
static PyObject *execution_packet(struct execution *self, PyObject *args)
{
	struct bh_packet *p = &self->run->packet;
	const char *frame;
	Py_ssize_t size;
	unsigned int room, most;

	if (!PyArg_ParseTuple(args, "y#IIiii", &frame, &size, &room, &most, &p->fields[0],
			      &p->fields[1], &p->fields[2]))
		return NULL;
	if (p->page || room + most > BH_PACKET || size > (Py_ssize_t)most)
		return PyErr_Format(PyExc_ValueError, "no room for a packet of %zd bytes", size);
	p->page = low_page();
	if (!p->page)
		return PyErr_NoMemory();
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

	run->stepping = count > 0 && PyObject_IsTrue(args[0]) == 1;
	self->driver.ask = count > 1 ? args[1] : NULL;
	drive(&self->driver, run);
	Py_BEGIN_ALLOW_THREADS
	entered = bh_enter(self->owner->core, self->cpu, run_patience, &run->here);
	if (entered) {
		stop = bh_run_go(run);
		bh_leave(&run->here);
		if (stop == BH_DONE) {
			self->held = false;
			bh_unhold(self->owner->core);
		}
	}
	Py_END_ALLOW_THREADS
	end_slice(&self->driver, run);
	if (failed(&self->driver))
		return NULL;
	if (!entered)
		return PyErr_Format(PyExc_RuntimeError, "runs nest no deeper than %d levels",
				    BH_LEVELS);
	return PyLong_FromLong(stop);
}

static PyObject *execution_answer(struct execution *self, PyObject *r0)
{
	unsigned long long value = PyLong_AsUnsignedLongLongMask(r0);

	if (PyErr_Occurred())
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

static PyObject *execution_program(struct execution *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(self->run->prog->id);
}

static PyMethodDef execution_methods[] = {
	{ "packet", (PyCFunction)execution_packet, METH_VARARGS,
	  "packet(frame, room, most, data, data_end, data_meta): give it one; the last three are "
	  "where the context leads to it, -1 for nowhere." },
	{ "go", (PyCFunction)(void (*)(void))execution_go, METH_FASTCALL,
	  "go(stepping=False, ask=None): on to the next stop, the name of which STOPS has. If it is "
	  "not stepping, ask(program, slot, r1, ..., r5) makes calls outside." },
	{ "answer", (PyCFunction)execution_answer, METH_O, "answer(r0): what a call outside gives." },
	{ "register", (PyCFunction)execution_register, METH_VARARGS, "register(n): its 64 bits." },
	{ "data", (PyCFunction)execution_data, METH_NOARGS, "The packet behind its metadata." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef execution_fields[] = {
	{ "ctx", (getter)execution_ctx, NULL, "The context's bytes.", NULL },
	{ "slot", (getter)execution_slot, NULL, "Where it stopped.", NULL },
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

/* -- Entry */

enum { CTX_SIZE = 256 }; /* larger contexts are allocated */

static PyObject *entry_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "core",  "program", "ctx_size", "ctx_used", "cpu",
				 "limit", "brief",   "ask",	 "fail",     NULL };
	struct entry *self;
	struct core *core;
	struct prog *prog;
	PyObject *ask_, *fail;
	long long limit;
	Py_ssize_t size, used;
	int cpu, brief;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!nniLpOO", names, bh_py_core, &core,
					 prog_type, &prog, &size, &used, &cpu, &limit, &brief, &ask_, &fail))
		return NULL;
	if (cpu >= (int)bh_core_cpus(core->core))
		return PyErr_Format(PyExc_ValueError, "there is no CPU %d", cpu);
	self = (struct entry *)bh_py_new(type);
	if (!self)
		return NULL;
	Py_INCREF((PyObject *)core);
	Py_INCREF((PyObject *)prog);
	Py_INCREF(ask_);
	Py_INCREF(fail);
	self->owner = core;
	self->program = prog;
	self->ask = ask_;
	self->fail = fail;
	self->ctx_size = size;
	self->ctx_used = used;
	self->cpu = cpu;
	self->limit = limit > 0 ? limit : -1;
	self->brief = brief;
	return (PyObject *)self;
}

static void entry_dealloc(struct entry *self)
{
	free(self->run);
	Py_XDECREF((PyObject *)self->program);
	Py_XDECREF(self->ask);
	Py_XDECREF(self->fail);
	bh_py_free((PyObject *)self, (PyObject *)self->owner);
}

/* A run of one's own. Runs are large, so one is kept. */
static struct bh_run *take_run(struct entry *self)
{
	struct bh_run *run = self->run;

	self->run = NULL;
	if (run)
		return run;
	run = aligned_alloc(BH_LINE, (sizeof(*run) + BH_LINE - 1) / BH_LINE * BH_LINE);
	if (!run)
		return NULL;
	memset(run, 0, offsetof(struct bh_run, frame));
	run->random = self->owner->random;
	return run;
}

static void give_run_back(struct entry *self, struct bh_run *run)
{
	if (self->run)
		free(run);
	else
		self->run = run;
}

/* False, with nothing entered, if runs nest too deep or the entry is closed: whoever closed it waits
 * for those who were in before. */
static bool go_in(struct entry *self, struct bh_run *run, bh_patience patience)
{
	if (!bh_enter(self->owner->core, self->cpu, patience, &run->here))
		return false;
	run->here.patience = run_patience;
	if (BH_LIKELY(!atomic_load(&self->closed)))
		return true;
	bh_leave(&run->here);
	return false;
}

static enum bh_stop run_once(struct entry *self, struct bh_run *run, void *ctx)
{
	return bh_run_whole(run, self->program->prog, ctx, (uint64_t)self->ctx_size);
}

static PyObject *why(struct entry *self, const struct bh_run *run, struct driver *driver,
		     enum bh_stop stop, bool entered)
{
	if (failed(driver))
		return NULL;
	if (!entered && !atomic_load(&self->closed))
		return PyErr_Format(PyExc_RuntimeError, "runs nest no deeper than %d levels",
				    BH_LEVELS);
	return PyObject_CallFunction(self->fail, "iII", entered ? (int)stop : -1,
				     self->program->prog->id, run->slot);
}

static PyObject *run_with(struct entry *self, void *ctx)
{
	struct driver driver = { .ask = self->ask, .left = self->limit };
	struct bh_run *run = take_run(self);
	enum bh_stop stop = BH_GOING;
	PyObject *result;
	bool entered;

	if (!run)
		return PyErr_NoMemory();
	drive(&driver, run);
	/* To let other threads go on costs more than most programs take. */
	entered = self->brief && go_in(self, run, bh_at_once);
	if (entered) {
		stop = run_once(self, run, ctx);
		bh_leave(&run->here);
	} else {
		Py_BEGIN_ALLOW_THREADS
		entered = go_in(self, run, run_patience);
		if (entered) {
			stop = run_once(self, run, ctx);
			bh_leave(&run->here);
		}
		Py_END_ALLOW_THREADS
	}
	if (BH_LIKELY(stop == BH_DONE && !driver.error[0]))
		result = PyLong_FromUnsignedLong((uint32_t)run->r[0]);
	else
		result = why(self, run, &driver, stop, entered);
	give_run_back(self, run);
	return result;
}

/* The bytes that somebody may look at: those that were given, and zeros. Mostly these are a word or
 * two. */
static void fill_ctx(const struct entry *self, char *ctx, const char *from, Py_ssize_t size)
{
	Py_ssize_t used = self->ctx_used, at = 0;

	if (size > used)
		size = used;
	for (; at + 8 <= size && at < 32; at += 8)
		memcpy(ctx + at, from + at, 8);
	if (at < size)
		memcpy(ctx + at, from + at, (size_t)(size - at));
	if (size < used)
		memset(ctx + size, 0, (size_t)(used - size));
}

static PyObject *too_long(const struct entry *self, Py_ssize_t size)
{
	return PyErr_Format(PyExc_ValueError, "a context has %zd bytes, not %zd", self->ctx_size,
			    size);
}

/* run(ctx=b""): r0's lower half. */
static PyObject *entry_run(struct entry *self, PyObject *const *args, Py_ssize_t count)
{
	char small[CTX_SIZE] BH_ALIGNED(16), *ctx = small;
	Py_buffer view = { 0 };
	PyObject *result;
	Py_ssize_t size = 0;

	if (count > 1)
		return PyErr_Format(PyExc_TypeError, "a program is given its context, no more");
	if (count && PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE))
		return NULL;
	if (count)
		size = view.len;
	if (size > self->ctx_size) {
		result = too_long(self, size);
	} else if (self->ctx_used > CTX_SIZE && !(ctx = malloc((size_t)self->ctx_used))) {
		result = PyErr_NoMemory();
	} else {
		fill_ctx(self, ctx, count ? (const char *)view.buf : "", size);
		result = run_with(self, ctx);
	}
	if (ctx != small)
		free(ctx);
	if (count)
		PyBuffer_Release(&view);
	return result;
}

enum { TOGETHER = 256 }; /* runs of a batch that grace periods wait for at a time */

/* The number of runs that ended; `stop` is the last one's. */
static Py_ssize_t run_all(struct entry *self, struct bh_run *run, char *ctx, const char *inputs,
			  Py_ssize_t size, Py_ssize_t count, uint32_t *results,
			  const struct driver *driver, enum bh_stop *stop)
{
	Py_ssize_t done = 0;

	*stop = BH_DONE;
	while (done < count && *stop == BH_DONE && !driver->error[0]) {
		Py_ssize_t end = count - done < TOGETHER ? count : done + TOGETHER;

		if (!go_in(self, run, run_patience)) {
			*stop = BH_GOING;
			break;
		}
		for (; done < end; done++) {
			fill_ctx(self, ctx, inputs + done * size, size);
			*stop = run_once(self, run, ctx);
			if (BH_UNLIKELY(*stop != BH_DONE))
				break;
			results[done] = (uint32_t)run->r[0];
		}
		bh_leave(&run->here);
	}
	return done;
}

/* batch(inputs, size, results): a run for each `size` bytes, and a u32 of each run. */
static PyObject *entry_batch(struct entry *self, PyObject *args)
{
	struct driver driver = { .ask = self->ask, .left = self->limit };
	Py_buffer inputs, results;
	PyObject *from, *to, *result = NULL;
	struct bh_run *run = NULL;
	Py_ssize_t size, count, done;
	enum bh_stop stop;
	char *ctx = NULL;

	if (!PyArg_ParseTuple(args, "OnO", &from, &size, &to) ||
	    PyObject_GetBuffer(from, &inputs, PyBUF_SIMPLE))
		return NULL;
	if (PyObject_GetBuffer(to, &results, PyBUF_WRITABLE)) {
		PyBuffer_Release(&inputs);
		return NULL;
	}
	if (size <= 0 || size > self->ctx_size) {
		too_long(self, size);
		goto out;
	}
	count = inputs.len / size;
	if (inputs.len % size || results.len < count * 4) {
		PyErr_Format(PyExc_ValueError, "%zd bytes are no inputs of %zd each", inputs.len, size);
		goto out;
	}
	run = take_run(self);
	ctx = malloc((size_t)self->ctx_used + 8);
	if (!run || !ctx) {
		PyErr_NoMemory();
		goto out;
	}
	drive(&driver, run);
	Py_BEGIN_ALLOW_THREADS
	done = run_all(self, run, ctx, inputs.buf, size, count, results.buf, &driver, &stop);
	Py_END_ALLOW_THREADS
	if (stop == BH_DONE && !driver.error[0])
		result = PyLong_FromSsize_t(done);
	else
		result = why(self, run, &driver, stop, stop != BH_GOING);
out:
	if (run)
		give_run_back(self, run);
	free(ctx);
	PyBuffer_Release(&results);
	PyBuffer_Release(&inputs);
	return result;
}

static PyObject *entry_close(struct entry *self, PyObject *unused)
{
	(void)unused;
	atomic_store(&self->closed, true);
	Py_RETURN_NONE;
}

static PyMethodDef entry_methods[] = {
	{ "close", (PyCFunction)entry_close, METH_NOARGS,
	  "No runs from here on; those that go on end first where somebody synchronizes." },
	{ "run", (PyCFunction)(void (*)(void))entry_run, METH_FASTCALL,
	  "run(ctx=b\"\"): the lower half of r0." },
	{ "batch", (PyCFunction)entry_batch, METH_VARARGS,
	  "batch(inputs, size, results): run once for each `size` bytes; results are u32." },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot entry_slots[] = {
	{ Py_tp_doc, "Entry(core, program, ctx_size, ctx_used, cpu, limit, brief, ask, fail): the short "
		     "way into a program. It calls ask as Execution.go does, and fail(stop, program, slot), which "
		     "raises, for a run that does not end." },
	{ Py_tp_new, entry_new },
	{ Py_tp_dealloc, entry_dealloc },
	{ Py_tp_methods, entry_methods },
	{ 0, NULL },
};

static PyType_Spec entry_spec = {
	.name = "bpfheap.machine.native._core.Entry",
	.basicsize = sizeof(struct entry),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = entry_slots,
};

/* -- Probe */

static PyObject *probe_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "core", "program", "signal", "hz", NULL };
	struct core *core;
	struct prog *prog;
	struct probe *self;
	unsigned int hz;
	int number;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!iI", names, bh_py_core, &core, prog_type,
					 &prog, &number, &hz))
		return NULL;
	self = (struct probe *)bh_py_new(type);
	if (!self)
		return NULL;
	Py_INCREF((PyObject *)core);
	self->owner = core;
	Py_INCREF((PyObject *)prog);
	self->program = (PyObject *)prog;
	self->probe = bh_probe_attach(core->core, prog->prog, core->random, number, hz);
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
	Py_BEGIN_ALLOW_THREADS
	detached = bh_probe_detach(probe, bh_py_patience);
	Py_END_ALLOW_THREADS
	if (!detached)
		return NULL;
	self->probe = NULL;
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

static PyMethodDef probe_methods[] = {
	{ "detach", (PyCFunction)probe_detach, METH_NOARGS, "Put back what the signal did before." },
	{ "stats", (PyCFunction)probe_stats, METH_NOARGS,
	  "Runs, signals that were missed, and what the last run returned." },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot probe_slots[] = {
	{ Py_tp_doc, "Probe(core, program, signal, hz): let the signal run the program." },
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

int bh_py_run(PyObject *module)
{
	/* In the order of the enum. */
	static const char *const stops[] = { "going", "done",	 "at-call",  "again",
					     "outside", "pause", "too-deep", "no-call", NULL };

	prog_type = bh_py_add(module, &prog_spec);
	execution_type = prog_type ? bh_py_add(module, &execution_spec) : NULL;
	entry_type = execution_type ? bh_py_add(module, &entry_spec) : NULL;
	probe_type = entry_type ? bh_py_add(module, &probe_spec) : NULL;
	if (!probe_type || bh_py_names(module, "OPS", bh_op_names) ||
	    bh_py_names(module, "CALLS", bh_call_names) || bh_py_names(module, "STOPS", stops))
		return -1;
	return 0;
}
