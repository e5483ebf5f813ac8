/* Cores, heaps, units and runs for Python. Objects are addresses; nobody checks them here. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdlib.h>

#include "py_heap.h"
#include "py_memory.h"
#include "py_parts.h"
#include "py_types.h"
#include "py_world.h"

struct run {
	PyObject_HEAD
	struct core *owner;
	struct bh_here here;
	int cpu;
	bool running;
};

PyTypeObject *bh_py_core, *bh_py_heap_type, *bh_py_unit;
static PyTypeObject *run_type;

/* -- Core */

static PyObject *core_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "cpus", "seed", "memory", "hardened", NULL };
	unsigned int cpus = 1, slots;
	unsigned long long seed = 0, memory = 0;
	struct core *self;
	int hardened = 0;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|IKKp", names, &cpus, &seed, &memory,
					 &hardened))
		return NULL;
	if (!cpus || cpus > BH_CPUS_MAX)
		return PyErr_Format(PyExc_ValueError, "there can be 1 to %d CPUs, not %u",
				    BH_CPUS_MAX, cpus);
	self = (struct core *)bh_py_new(type);
	if (!self)
		return NULL;
	slots = cpus * BH_LEVELS;
	self->random = calloc(slots, sizeof(*self->random));
	self->core = self->random ? bh_core_create(cpus) : NULL;
	if (!self->core || (hardened && !bh_core_harden(self->core))) {
		PyErr_SetFromErrno(PyExc_OSError);
		Py_DECREF(self);
		return NULL;
	}
	bh_pages_limit(self->core, memory);
	for (unsigned int i = 0; i < slots; i++)
		self->random[i] = seed + i * 0xd1342543de82ef95u;
	return (PyObject *)self;
}

static void core_dealloc(struct core *self)
{
	if (self->core)
		bh_core_destroy(self->core);
	free(self->random);
	bh_py_free((PyObject *)self, NULL);
}

static PyObject *core_enter(struct core *self, PyObject *args)
{
	struct run *run;
	int cpu = -1;

	if (!PyArg_ParseTuple(args, "|i", &cpu))
		return NULL;
	if (cpu >= (int)bh_core_cpus(self->core) || cpu < -1)
		return PyErr_Format(PyExc_ValueError, "there is no CPU %d", cpu);
	run = (struct run *)bh_py_new(run_type);
	if (!run)
		return NULL;
	Py_INCREF((PyObject *)self);
	run->owner = self;
	run->cpu = cpu;
	return (PyObject *)run;
}

/* The core whose grace periods this thread waits for. */
static _Thread_local struct core *awaited;

/*
 * A run that wants a lock of Python, which this thread may have, would not end before it has it. What is left waits
 * for a later grace period.
 */
static bool barrier_patience(struct bh_here *here)
{
	return !atomic_load(&awaited->wanted) && bh_py_patience(here);
}

static bool pass(struct bh_core *core, bh_patience patience)
{
	bool done = bh_barrier(core, patience);

	return done || atomic_load(&awaited->wanted);
}

/* A Python signal handler may come here from within a run. */
static PyObject *wait_with(struct core *self, bool (*wait)(struct bh_core *core, bh_patience patience),
			   bh_patience patience)
{
	struct core *before = awaited; /* if a signal handler waits, too */
	bool done;

	if (bh_within_run(self->core))
		return PyErr_Format(bh_py_usage_error, "a run cannot wait for its own end");
	Py_BEGIN_ALLOW_THREADS
	awaited = self;
	done = wait(self->core, patience);
	awaited = before;
	Py_END_ALLOW_THREADS
	if (!done || PyErr_Occurred())
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *core_barrier(struct core *self, PyObject *unused)
{
	(void)unused;
	if (bh_core_over(self->core) == BH_STOPPED) {
		/* With the GIL, so that nobody else does. */
		bh_barrier(self->core, NULL);
		Py_RETURN_NONE;
	}
	return bh_py_usable(self) ? wait_with(self, pass, barrier_patience) : NULL;
}

static PyObject *core_synchronize(struct core *self, PyObject *unused)
{
	(void)unused;
	return bh_py_usable(self) ? wait_with(self, bh_synchronize_rcu, bh_py_patience) : NULL;
}

static PyObject *core_close(struct core *self, PyObject *unused)
{
	(void)unused;
	return wait_with(self, bh_core_stop, bh_py_patience);
}

static PyObject *core_check(struct core *self, PyObject *unused)
{
	(void)unused;
	if (!bh_py_usable(self))
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *core_fail(struct core *self, PyObject *args)
{
	unsigned long long n;

	if (!PyArg_ParseTuple(args, "K", &n))
		return NULL;
	bh_pages_fail(self->core, n);
	Py_RETURN_NONE;
}

static PyObject *core_cpus(struct core *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(bh_core_cpus(self->core));
}

static PyObject *core_within(struct core *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(bh_within_run(self->core));
}

/* What waits in this thread, which is in a run, is to be known by those who wait for the run. */
static PyObject *core_want(struct core *self, PyObject *args)
{
	int more;

	if (!PyArg_ParseTuple(args, "p", &more))
		return NULL;
	atomic_fetch_add(&self->wanted, more ? 1u : UINT32_MAX);
	Py_RETURN_NONE;
}

static PyObject *core_waits(struct core *self, PyObject *args)
{
	unsigned long thread;

	(void)self;
	return PyArg_ParseTuple(args, "k", &thread) ? PyLong_FromUnsignedLongLong(bh_py_waits(thread)) : NULL;
}

static PyObject *core_take(struct core *self, PyObject *args)
{
	Py_ssize_t size;

	return PyArg_ParseTuple(args, "n", &size) ? PyBool_FromLong(bh_pages_take(self->core, (size_t)size)) : NULL;
}

static PyObject *core_give(struct core *self, PyObject *args)
{
	Py_ssize_t size;

	if (!PyArg_ParseTuple(args, "n", &size))
		return NULL;
	bh_pages_give(self->core, (size_t)size);
	Py_RETURN_NONE;
}

static PyObject *core_mapped(struct core *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(bh_pages_mapped(self->core));
}

static PyMethodDef core_methods[] = {
	{ "enter", (PyCFunction)core_enter, METH_VARARGS,
	  "enter(cpu=-1): a run on that CPU, or on any; a context manager." },
	{ "barrier", (PyCFunction)core_barrier, METH_NOARGS,
	  "Wait until all that waits for a grace period is free." },
	{ "synchronize", (PyCFunction)core_synchronize, METH_NOARGS,
	  "Wait until all runs that are going on have ended." },
	{ "close", (PyCFunction)core_close, METH_NOARGS,
	  "No runs from here on; the core's thread ends." },
	{ "check", (PyCFunction)core_check, METH_NOARGS,
	  "Raise RuntimeClosed or RuntimePoisoned if no run can begin any more." },
	{ "want", (PyCFunction)core_want, METH_VARARGS,
	  "want(more): this thread, which is in a run, waits for a lock of Python (True), or no longer." },
	{ "waits", (PyCFunction)core_waits, METH_VARARGS,
	  "waits(thread): how often it looked whether to go on waiting for runs." },
	{ "take", (PyCFunction)core_take, METH_VARARGS,
	  "take(size): count bytes of a map that Python keeps; False if there may not be so many." },
	{ "give", (PyCFunction)core_give, METH_VARARGS, "give(size): the opposite." },
	{ "read", (PyCFunction)bh_py_core_read, METH_VARARGS,
	  "read(address, size): the bytes there; None where programs of a hardened core cannot look." },
	{ "read_string", (PyCFunction)bh_py_core_read_string, METH_VARARGS,
	  "read_string(address): up to a NUL, or to where programs of a hardened core cannot look." },
	{ "type_at", (PyCFunction)bh_py_core_type_at, METH_VARARGS,
	  "type_at(object): its type's owner and id; None if a hardened core knows of none there." },
	{ "chunk", (PyCFunction)bh_py_core_chunk, METH_VARARGS,
	  "chunk(size): memory for blocks, as programs know it." },
	{ "block", (PyCFunction)bh_py_core_block, METH_VARARGS,
	  "block(start, size, space, live): let there be one in a chunk, or be one no more." },
	{ "block_at", (PyCFunction)bh_py_core_block_at, METH_VARARGS,
	  "block_at(address): where the block begins that leads to or right behind; None for none." },
	{ "store", (PyCFunction)bh_py_core_store, METH_VARARGS,
	  "store(address, data): into a block." },
	{ "current", (PyCFunction)bh_py_core_current, METH_VARARGS,
	  "current(asked, task, pid, tgid, uid, gid, comm, pid_at, tgid_at, comm_at, cred_at, cred, uid_at, "
	  "gid_at): what calls tell of the current task, and where in blocks that is." },
	{ "variable", (PyCFunction)bh_py_core_variable, METH_VARARGS,
	  "variable(table): the addresses of the copies of a variable, one for each CPU." },
	{ "fetch", (PyCFunction)bh_py_core_fetch, METH_VARARGS,
	  "fetch(run, address, size): what a run can read; None for what it cannot." },
	{ "put", (PyCFunction)bh_py_core_put, METH_VARARGS,
	  "put(run, address, data): where a run can write; False where it cannot." },
	{ "probe", (PyCFunction)bh_py_core_probe, METH_VARARGS,
	  "probe(run, address, size, space): what is at an address that may lead nowhere; else None." },
	{ "text", (PyCFunction)bh_py_core_text, METH_VARARGS,
	  "text(run, address, limit, space): the same of a text, up to its NUL." },
	{ "context", (PyCFunction)bh_py_core_context, METH_VARARGS, "context(run): its bytes." },
	{ "frame", (PyCFunction)bh_py_core_frame, METH_VARARGS,
	  "frame(run): what it has of a packet: bytes, where these begin, room before and behind." },
	{ "reframe", (PyCFunction)bh_py_core_reframe, METH_VARARGS,
	  "reframe(run, whole, data, room, tail): let it be another one." },
	{ "poke", (PyCFunction)bh_py_core_poke, METH_VARARGS, "poke(run, at, data): write into it." },
	{ "packet", (PyCFunction)bh_py_core_packet, METH_VARARGS,
	  "packet(run): as its program sees it, without metadata; None if it has none." },
	{ "fail_at", (PyCFunction)core_fail, METH_VARARGS,
	  "fail_at(n): let the n-th mapping from now on fail, and all after it; 0 for none." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef core_fields[] = {
	{ "cpus", (getter)core_cpus, NULL, "How many virtual CPUs there are.", NULL },
	{ "now", (getter)bh_py_core_now, (setter)bh_py_core_set_now,
	  "What the clocks of programs say, in nanoseconds; those of this system until somebody sets it.", NULL },
	{ "within", (getter)core_within, NULL, "Is this thread in a run?", NULL },
	{ "mapped", (getter)core_mapped, NULL, "Bytes that are mapped for heaps.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot core_slots[] = {
	{ Py_tp_doc, "Core(cpus=1, seed=0, memory=0, hardened=False): virtual CPUs, and their grace periods; at most so many "
		     "bytes of maps and objects, 0 for any number; if it is hardened, programs reach its region "
		     "alone." },
	{ Py_tp_new, core_new },
	{ Py_tp_dealloc, core_dealloc },
	{ Py_tp_methods, core_methods },
	{ Py_tp_getset, core_fields },
	{ 0, NULL },
};

static PyType_Spec core_spec = {
	.name = "bpfheap.machine.native._core.Core",
	.basicsize = sizeof(struct core),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = core_slots,
};

/* -- Heap */

static PyObject *heap_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "core", "objects", "bytes", NULL };
	unsigned long long objects = 0, bytes = 0;
	struct bh_limits limits;
	struct core *core;
	struct heap *self;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!|KK", names, bh_py_core, &core, &objects,
					 &bytes))
		return NULL;
	if (!bh_py_usable(core))
		return NULL;
	limits.objects = objects;
	limits.bytes = bytes;
	self = (struct heap *)bh_py_new(type);
	if (!self)
		return NULL;
	self->types = PyList_New(0);
	self->heap = self->types ? bh_heap_create(core->core, limits) : NULL;
	if (!self->heap) {
		Py_DECREF(self);
		return bh_py_no_memory(core);
	}
	Py_INCREF((PyObject *)core);
	self->owner = core;
	return (PyObject *)self;
}

static void heap_dealloc(struct heap *self)
{
	if (self->heap)
		bh_heap_destroy(self->heap);
	Py_XDECREF(self->types);
	bh_py_free((PyObject *)self, (PyObject *)self->owner);
}

static PyObject *heap_unit(struct heap *self, PyObject *args)
{
	struct bh_type *layout = NULL;
	PyObject *type = Py_None;
	struct unit *unit;
	unsigned int size;

	if (!PyArg_ParseTuple(args, "I|O", &size, &type) || !bh_py_usable(self->owner))
		return NULL;
	if (type != Py_None) {
		layout = bh_py_type(type);
		if (!layout || PyList_Append(self->types, type))
			return NULL;
	}
	if (size > BH_OBJECT_MAX)
		return PyErr_Format(PyExc_ValueError, "an object has at most %d bytes, not %u",
				    BH_OBJECT_MAX, size);
	unit = (struct unit *)bh_py_new(bh_py_unit);
	if (!unit)
		return NULL;
	unit->unit = bh_unit_create(self->heap, size, layout);
	if (!unit->unit) {
		Py_DECREF(unit);
		return bh_py_no_memory(self->owner);
	}
	Py_INCREF((PyObject *)self);
	unit->owner = self;
	return (PyObject *)unit;
}

static PyObject *heap_close(struct heap *self, PyObject *unused)
{
	(void)unused;
	bh_heap_close(self->heap);
	Py_RETURN_NONE;
}

static PyObject *stats_of(struct bh_stats stats)
{
	return Py_BuildValue("{sKsKsKsKsKsKsK}", "live", (unsigned long long)stats.live, "peak",
			     (unsigned long long)stats.peak, "cached",
			     (unsigned long long)stats.cached, "waiting",
			     (unsigned long long)stats.waiting, "slabs",
			     (unsigned long long)stats.slabs, "bytes",
			     (unsigned long long)stats.bytes, "failures",
			     (unsigned long long)stats.failures);
}

static PyObject *heap_stats(struct heap *self, PyObject *unused)
{
	(void)unused;
	return bh_py_here(self->owner) ? stats_of(bh_heap_stats(self->heap)) : NULL;
}

static PyMethodDef heap_methods[] = {
	{ "unit", (PyCFunction)heap_unit, METH_VARARGS, "unit(size, type=None): objects of that size, and of a Type." },
	{ "close", (PyCFunction)heap_close, METH_NOARGS,
	  "No allocations any more; what is free goes back by and by, what lives stays." },
	{ "stats", (PyCFunction)heap_stats, METH_NOARGS, "Counts, of all units together." },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot heap_slots[] = {
	{ Py_tp_doc, "Heap(core, objects=0, bytes=0): units of one owner; limits, 0 for none." },
	{ Py_tp_new, heap_new },
	{ Py_tp_dealloc, heap_dealloc },
	{ Py_tp_methods, heap_methods },
	{ 0, NULL },
};

static PyType_Spec heap_spec = {
	.name = "bpfheap.machine.native._core.Heap",
	.basicsize = sizeof(struct heap),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = heap_slots,
};

/* -- Unit */

static void unit_dealloc(struct unit *self)
{
	bh_py_free((PyObject *)self, (PyObject *)self->owner);
}

static PyObject *unit_prefill(struct unit *self, PyObject *args)
{
	unsigned int n;
	bool enough;

	if (!PyArg_ParseTuple(args, "I", &n) || !bh_py_usable(self->owner->owner))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	enough = bh_unit_prefill(self->unit, n);
	Py_END_ALLOW_THREADS
	if (!enough)
		return bh_py_no_memory(self->owner->owner);
	Py_RETURN_NONE;
}

static PyObject *unit_stats(struct unit *self, PyObject *unused)
{
	(void)unused;
	return bh_py_here(self->owner->owner) ? stats_of(bh_unit_stats(self->unit)) : NULL;
}

static PyObject *unit_size(struct unit *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(bh_unit_size(self->unit));
}

static PyMethodDef unit_methods[] = {
	{ "prefill", (PyCFunction)unit_prefill, METH_VARARGS,
	  "prefill(n): the next n allocations of each context of each CPU succeed." },
	{ "stats", (PyCFunction)unit_stats, METH_NOARGS, "Counts." },
	{ NULL, NULL, 0, NULL },
};

static PyObject *unit_pointer(struct unit *self, void *unused)
{
	(void)unused;
	return PyLong_FromVoidPtr(self->unit);
}

static PyGetSetDef unit_fields[] = {
	{ "pointer", (getter)unit_pointer, NULL, "What compiled programs know it by.", NULL },
	{ "size", (getter)unit_size, NULL, "Bytes of an object, as they are laid out.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot unit_slots[] = {
	{ Py_tp_doc, "Objects of one size; made by Heap.unit." },
	{ Py_tp_dealloc, unit_dealloc },
	{ Py_tp_methods, unit_methods },
	{ Py_tp_getset, unit_fields },
	{ 0, NULL },
};

static PyType_Spec unit_spec = {
	.name = "bpfheap.machine.native._core.Unit",
	.basicsize = sizeof(struct unit),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = unit_slots,
};

/* -- Run */

static void run_dealloc(struct run *self)
{
	if (self->running)
		bh_leave(&self->here);
	bh_py_free((PyObject *)self, (PyObject *)self->owner);
}

static PyObject *run_enter(struct run *self, PyObject *unused)
{
	(void)unused;
	if (self->running) {
		PyErr_SetString(PyExc_RuntimeError, "this run has begun already");
		return NULL;
	}
	if (!bh_py_enter(self->owner, self->cpu, &self->here))
		return NULL;
	self->running = true;
	Py_INCREF((PyObject *)self);
	return (PyObject *)self;
}

static PyObject *run_exit(struct run *self, PyObject *args)
{
	(void)args;
	if (self->running)
		bh_leave(&self->here);
	self->running = false;
	Py_RETURN_NONE;
}

static bool is_running(struct run *self)
{
	if (!self->running)
		PyErr_SetString(PyExc_RuntimeError, "this run is not going on");
	return self->running;
}

static PyObject *run_alloc(struct run *self, PyObject *args)
{
	struct unit *unit;
	void *object;

	if (!PyArg_ParseTuple(args, "O!", bh_py_unit, &unit) || !is_running(self))
		return NULL;
	object = bh_alloc(bh_cache_of(unit->unit, self->here.slot));
	if (!object)
		Py_RETURN_NONE;
	return PyLong_FromVoidPtr(object);
}

static PyObject *run_free(struct run *self, PyObject *address)
{
	void *object = PyLong_AsVoidPtr(address);

	if ((!object && PyErr_Occurred()) || !is_running(self))
		return NULL;
	bh_free_at(&self->here, object);
	Py_RETURN_NONE;
}

static PyObject *run_free_rcu(struct run *self, PyObject *address)
{
	void *object = PyLong_AsVoidPtr(address);

	if ((!object && PyErr_Occurred()) || !is_running(self))
		return NULL;
	bh_free_rcu(object);
	Py_RETURN_NONE;
}

static PyObject *run_cpu(struct run *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(self->here.cpu);
}

static PyObject *run_here(struct run *self, void *unused)
{
	(void)unused;
	return PyLong_FromVoidPtr(&self->here);
}

static PyObject *run_level(struct run *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(self->here.level);
}

static PyMethodDef run_methods[] = {
	{ "__enter__", (PyCFunction)run_enter, METH_NOARGS, "Begin." },
	{ "__exit__", (PyCFunction)run_exit, METH_VARARGS, "End." },
	{ "alloc", (PyCFunction)run_alloc, METH_VARARGS,
	  "alloc(unit): the address of a new object, None if there is none." },
	{ "free", (PyCFunction)run_free, METH_O, "free(address)" },
	{ "free_rcu", (PyCFunction)run_free_rcu, METH_O,
	  "free_rcu(address): free after a grace period." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef run_fields[] = {
	{ "cpu", (getter)run_cpu, NULL, "The number of the CPU.", NULL },
	{ "here", (getter)run_here, NULL, "The address of where it is, for Map.update.", NULL },
	{ "level", (getter)run_level, NULL, "How many runs this one interrupts.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot run_slots[] = {
	{ Py_tp_doc, "A run on a CPU; made by Core.enter." },
	{ Py_tp_dealloc, run_dealloc },
	{ Py_tp_methods, run_methods },
	{ Py_tp_getset, run_fields },
	{ 0, NULL },
};

static PyType_Spec run_spec = {
	.name = "bpfheap.machine.native._core.Run",
	.basicsize = sizeof(struct run),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = run_slots,
};

int bh_py_heap(PyObject *module)
{
	bh_py_core = bh_py_add(module, &core_spec);
	bh_py_heap_type = bh_py_core ? bh_py_add(module, &heap_spec) : NULL;
	bh_py_unit = bh_py_heap_type ? bh_py_add(module, &unit_spec) : NULL;
	run_type = bh_py_unit ? bh_py_add(module, &run_spec) : NULL;
	return run_type ? 0 : -1;
}
