/* Entries for Python: the short way into a program, from beginning to end, once or many times. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "py_driver.h"
#include "py_heap.h"
#include "py_parts.h"
#include "py_program.h"
#include "run.h"

enum { CTX_SIZE = 256 }; /* larger contexts are allocated */

enum { TOGETHER = 256 }; /* runs of a batch that grace periods wait for at a time */

struct entry {
	PyObject_HEAD
	struct core *owner;
	struct prog *program;
	PyObject *ask, *fail;
	struct bh_run *run; /* that no thread uses now, NULL if there is none */
	Py_ssize_t ctx_size; /* at most */
	Py_ssize_t ctx_used; /* what programs look at */
	long long limit;
	int cpu;
	bool brief; /* it ends soon, and waits for nobody: it may keep the GIL */
	_Atomic bool closed;
};

static PyObject *entry_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "core",  "program", "ctx_size", "ctx_used", "cpu",
				 "limit", "brief",   "ask",	 "fail",     NULL };
	struct entry *self;
	struct core *core;
	struct prog *prog;
	PyObject *ask, *fail;
	long long limit;
	Py_ssize_t size, used;
	int cpu, brief;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!nniLpOO", names, bh_py_core, &core,
					 bh_py_prog, &prog, &size, &used, &cpu, &limit, &brief, &ask, &fail))
		return NULL;
	if (cpu >= (int)bh_core_cpus(core->core))
		return PyErr_Format(PyExc_ValueError, "there is no CPU %d", cpu);
	self = (struct entry *)bh_py_new(type);
	if (!self)
		return NULL;
	Py_INCREF((PyObject *)core);
	Py_INCREF((PyObject *)prog);
	Py_INCREF(ask);
	Py_INCREF(fail);
	self->owner = core;
	self->program = prog;
	self->ask = ask;
	self->fail = fail;
	self->ctx_size = size;
	self->ctx_used = used;
	self->cpu = cpu;
	self->limit = limit > 0 ? limit : -1;
	self->brief = brief;
	bh_faults_catch(core->core);
	return (PyObject *)self;
}

static void entry_dealloc(struct entry *self)
{
	if (self->run)
		bh_run_destroy(self->owner->core, self->run);
	Py_XDECREF((PyObject *)self->program);
	Py_XDECREF(self->ask);
	Py_XDECREF(self->fail);
	bh_py_free((PyObject *)self, (PyObject *)self->owner);
}

/* A run record that no other thread uses; NULL without memory. They are large, so one is kept. */
static struct bh_run *take_run(struct entry *self)
{
	struct bh_run *run = self->run;

	self->run = NULL;
	return run ? run : bh_run_create(self->owner->core, self->owner->random);
}

static void give_run_back(struct entry *self, struct bh_run *run)
{
	if (self->run)
		bh_run_destroy(self->owner->core, run);
	else
		self->run = run;
}

/* False, with nothing entered, if runs nest too deep or the entry is closed: whoever closed it waits
 * for those who were in before. */
static bool enter_open(struct entry *self, struct bh_run *run, bh_patience patience)
{
	if (!bh_enter(self->owner->core, self->cpu, patience, &run->here))
		return false;
	run->here.patience = bh_py_run_patience;
	if (BH_LIKELY(!atomic_load(&self->closed)))
		return true;
	bh_leave(&run->here);
	return false;
}

static enum bh_stop run_once(struct entry *self, struct bh_run *run, void *ctx)
{
	return bh_run_whole(run, self->program->prog, ctx, (uint64_t)self->ctx_size);
}

static PyObject *raise_stop(struct entry *self, const struct bh_run *run, struct driver *driver,
		     enum bh_stop stop, bool entered)
{
	if (entered && run->locked)
		bh_core_break(self->owner->core);
	if (bh_py_failed(driver))
		return NULL;
	if (!entered && (!atomic_load(&self->closed) || !bh_py_usable(self->owner)))
		return bh_py_refuse(self->owner);
	return PyObject_CallFunction(self->fail, "iIIKK", entered ? (int)stop : -1,
				     entered ? run->prog->id : self->program->prog->id, run->slot,
				     (unsigned long long)run->fault, (unsigned long long)run->pc);
}

static PyObject *run_with(struct entry *self, void *ctx, Py_ssize_t used)
{
	struct driver driver = { .ask = self->ask, .left = self->limit };
	struct bh_run *run = take_run(self);
	enum bh_stop stop = BH_GOING;
	void *room;
	PyObject *result;
	bool entered;

	room = run ? bh_run_room(run, ctx, (uint64_t)used) : NULL;
	if (!room)
		return run ? (give_run_back(self, run), PyErr_NoMemory()) : PyErr_NoMemory();
	if (room != ctx)
		memcpy(room, ctx, (size_t)used);
	ctx = room;
	run->ctx_size = (uint64_t)used;
	bh_py_drive(&driver, run);
	/* To release the GIL costs more than most programs take. */
	entered = self->brief && enter_open(self, run, bh_at_once);
	if (entered) {
		stop = run_once(self, run, ctx);
		bh_leave(&run->here);
	} else {
		Py_BEGIN_ALLOW_THREADS
		entered = enter_open(self, run, bh_py_run_patience);
		if (entered) {
			stop = run_once(self, run, ctx);
			bh_leave(&run->here);
		}
		Py_END_ALLOW_THREADS
	}
	if (BH_LIKELY(stop == BH_DONE && !driver.error[0]))
		result = PyLong_FromUnsignedLong((uint32_t)run->r[0]);
	else
		result = raise_stop(self, run, &driver, stop, entered);
	give_run_back(self, run);
	return result;
}

/* Of a context there are the bytes that programs look at, and those that are given: calls read further. */
static Py_ssize_t used_of(const struct entry *self, Py_ssize_t size)
{
	return size > self->ctx_used ? size : self->ctx_used;
}

/* Those that were given, then zeros. Usually 8 or 16 bytes, which the loop copies faster than memcpy. */
static void fill_ctx(char *ctx, Py_ssize_t used, const char *from, Py_ssize_t size)
{
	Py_ssize_t at = 0;

	for (; at + 8 <= size && at < 32; at += 8)
		memcpy(ctx + at, from + at, 8);
	if (at < size)
		memcpy(ctx + at, from + at, (size_t)(size - at));
	if (size < used)
		memset(ctx + size, 0, (size_t)(used - size));
}

static PyObject *too_long(const struct entry *self, Py_ssize_t size)
{
	return PyErr_Format(bh_py_usage_error, "a context has at most %zd bytes, not %zd", self->ctx_size,
			    size);
}

/* run(ctx=b""): r0's lower half. */
static PyObject *entry_run(struct entry *self, PyObject *const *args, Py_ssize_t count)
{
	char small[CTX_SIZE] BH_ALIGNED(16), *ctx = small;
	Py_buffer view = { 0 };
	PyObject *result;
	Py_ssize_t size = 0, used;

	if (count > 1)
		return PyErr_Format(bh_py_usage_error, "a program is given its context, no more");
	if (count && PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE))
		return PyErr_Format(bh_py_usage_error, "a context is given as bytes, not as %R", args[0]);
	if (count)
		size = view.len;
	used = used_of(self, size);
	if (size > self->ctx_size) {
		result = too_long(self, size);
	} else if (used > CTX_SIZE && !(ctx = malloc((size_t)used))) {
		result = PyErr_NoMemory();
	} else {
		fill_ctx(ctx, used, count ? (const char *)view.buf : "", size);
		result = run_with(self, ctx, used);
	}
	if (ctx != small)
		free(ctx);
	if (count)
		PyBuffer_Release(&view);
	return result;
}

/* The number of runs that ended; `stop` is the last one's. */
static Py_ssize_t run_batch(struct entry *self, struct bh_run *run, char *ctx, const char *inputs,
			  Py_ssize_t size, Py_ssize_t count, uint32_t *results,
			  const struct driver *driver, enum bh_stop *stop)
{
	Py_ssize_t done = 0;

	*stop = BH_DONE;
	while (done < count && *stop == BH_DONE && !driver->error[0]) {
		Py_ssize_t end = count - done < TOGETHER ? count : done + TOGETHER;

		if (!enter_open(self, run, bh_py_run_patience)) {
			*stop = BH_GOING;
			break;
		}
		for (; done < end; done++) {
			fill_ctx(ctx, used_of(self, size), inputs + done * size, size);
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
	Py_ssize_t size, used, count, done;
	enum bh_stop stop;
	char *own = NULL, *ctx;

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
		PyErr_Format(bh_py_usage_error, "%zd bytes are no inputs of %zd each", inputs.len, size);
		goto out;
	}
	run = take_run(self);
	used = used_of(self, size);
	own = malloc((size_t)used + 8);
	ctx = run && own ? bh_run_room(run, own, (uint64_t)used) : NULL;
	if (!ctx) {
		PyErr_NoMemory();
		goto out;
	}
	run->ctx_size = (uint64_t)used;
	bh_py_drive(&driver, run);
	Py_BEGIN_ALLOW_THREADS
	done = run_batch(self, run, ctx, inputs.buf, size, count, results.buf, &driver, &stop);
	Py_END_ALLOW_THREADS
	if (stop == BH_DONE && !driver.error[0])
		result = PyLong_FromSsize_t(done);
	else
		result = raise_stop(self, run, &driver, stop, stop != BH_GOING);
out:
	if (run)
		give_run_back(self, run);
	free(own);
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

int bh_py_entry(PyObject *module)
{
	return bh_py_add(module, &entry_spec) ? 0 : -1;
}
