/* The kernel around programs for Python: its blocks, the current task, and what a program that stands at a call
 * which Python performs can reach. A run is named by its address: nobody else has it meanwhile. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "memory.h"
#include "packet.h"
#include "place.h"
#include "py_base.h"
#include "py_world.h"

PyObject *bh_py_core_chunk(struct core *self, PyObject *args)
{
	unsigned long long size;
	uint64_t start;

	if (!PyArg_ParseTuple(args, "K", &size) || !bh_py_usable(self))
		return NULL;
	start = bh_chunk_map(self->core, size);
	return start ? PyLong_FromUnsignedLongLong(start) : bh_py_no_memory(self);
}

PyObject *bh_py_core_block(struct core *self, PyObject *args)
{
	unsigned long long start, size;
	struct bh_block block = { 0 };
	int live;

	if (!PyArg_ParseTuple(args, "KKIp", &start, &size, &block.space, &live))
		return NULL;
	block.start = start;
	block.size = size;
	block.live = live;
	if (!bh_world_set(self->core, &block))
		return bh_py_no_memory(self);
	Py_RETURN_NONE;
}

PyObject *bh_py_core_block_at(struct core *self, PyObject *args)
{
	unsigned long long address;
	struct bh_block block;

	if (!PyArg_ParseTuple(args, "K", &address))
		return NULL;
	if (bh_world_find(self->core, address, 0, true, &block) == BH_ELSEWHERE || !block.size)
		Py_RETURN_NONE;
	return PyLong_FromUnsignedLongLong(block.start);
}

/* Whoever calls knows that it is a block's memory. */
PyObject *bh_py_core_store(struct core *self, PyObject *args)
{
	unsigned long long address;
	const char *data;
	Py_ssize_t size;

	if (!PyArg_ParseTuple(args, "Ky#", &address, &data, &size) || !bh_py_here(self))
		return NULL;
	memcpy((void *)(uintptr_t)address, data, (size_t)size);
	Py_RETURN_NONE;
}

PyObject *bh_py_core_current(struct core *self, PyObject *args)
{
	struct bh_current *current = &bh_world_of(self->core)->current, new = { 0 };
	unsigned long long task, pid_at, tgid_at, comm_at, cred_at, cred, uid_at, gid_at;
	const char *comm;
	Py_ssize_t size;
	int asked;

	if (!PyArg_ParseTuple(args, "pKIIIIy#KKKKKKK", &asked, &task, &new.pid, &new.tgid, &new.uid, &new.gid,
			      &comm, &size, &pid_at, &tgid_at, &comm_at, &cred_at, &cred, &uid_at, &gid_at))
		return NULL;
	memcpy(new.comm, comm, size < BH_COMM ? (size_t)size : BH_COMM);
	new.asked = asked;
	new.task = task;
	new.pid_at = (const void *)(uintptr_t)pid_at;
	new.tgid_at = (const void *)(uintptr_t)tgid_at;
	new.comm_at = (const void *)(uintptr_t)comm_at;
	new.cred_at = (const void *)(uintptr_t)cred_at;
	new.cred = cred;
	new.uid_at = (const void *)(uintptr_t)uid_at;
	new.gid_at = (const void *)(uintptr_t)gid_at;
	*current = new;
	Py_RETURN_NONE;
}

PyObject *bh_py_core_variable(struct core *self, PyObject *args)
{
	struct bh_world *world = bh_world_of(self->core);
	uint32_t count = atomic_load(&world->variables);
	unsigned long long table;

	if (!PyArg_ParseTuple(args, "K", &table))
		return NULL;
	if (count == BH_VARIABLES)
		return PyErr_Format(bh_py_usage_error, "there are at most %d variables with a copy for each CPU",
				    BH_VARIABLES);
	world->variable[count] = table;
	atomic_store_explicit(&world->variables, count + 1, memory_order_release);
	Py_RETURN_NONE;
}

enum { LONGEST = 1 << 29 }; /* BPF_MAX_VAR_SIZ: no verified program names more at once */

static struct bh_run *run_at(unsigned long long address)
{
	return (struct bh_run *)(uintptr_t)address;
}

PyObject *bh_py_core_fetch(struct core *self, PyObject *args)
{
	unsigned long long run, address, size;
	PyObject *found = NULL;
	char *copy;

	(void)self;
	if (!PyArg_ParseTuple(args, "KKK", &run, &address, &size))
		return NULL;
	if (size > LONGEST)
		Py_RETURN_NONE;
	copy = malloc((size_t)size + 1);
	if (!copy)
		return PyErr_NoMemory();
	if (bh_place_read(run_at(run), copy, address, size))
		found = PyBytes_FromStringAndSize(copy, (Py_ssize_t)size);
	else
		found = Py_NewRef(Py_None);
	free(copy);
	return found;
}

PyObject *bh_py_core_put(struct core *self, PyObject *args)
{
	unsigned long long run, address;
	const char *data;
	Py_ssize_t size;

	(void)self;
	if (!PyArg_ParseTuple(args, "KKy#", &run, &address, &data, &size))
		return NULL;
	return PyBool_FromLong(bh_place_write(run_at(run), address, data, (uint64_t)size));
}

PyObject *bh_py_core_probe(struct core *self, PyObject *args)
{
	unsigned long long run, address, size;
	unsigned int space;
	PyObject *found;
	char *copy;

	(void)self;
	if (!PyArg_ParseTuple(args, "KKKI", &run, &address, &size, &space))
		return NULL;
	copy = malloc((size_t)size + 1);
	if (!copy)
		return PyErr_NoMemory();
	if (bh_place_probe(run_at(run), copy, address, size, (enum bh_space)space))
		found = PyBytes_FromStringAndSize(copy, (Py_ssize_t)size);
	else
		found = Py_NewRef(Py_None);
	free(copy);
	return found;
}

PyObject *bh_py_core_text(struct core *self, PyObject *args)
{
	unsigned long long run, address, limit;
	unsigned int space;
	PyObject *found;
	int64_t length;
	char *copy;

	(void)self;
	if (!PyArg_ParseTuple(args, "KKKI", &run, &address, &limit, &space))
		return NULL;
	copy = malloc((size_t)limit + 1);
	if (!copy)
		return PyErr_NoMemory();
	length = bh_place_text(run_at(run), copy, address, limit, (enum bh_space)space);
	found = length < 0 ? Py_NewRef(Py_None) : PyBytes_FromStringAndSize(copy, (Py_ssize_t)length);
	free(copy);
	return found;
}

PyObject *bh_py_core_context(struct core *self, PyObject *args)
{
	unsigned long long run;

	(void)self;
	if (!PyArg_ParseTuple(args, "K", &run))
		return NULL;
	return PyBytes_FromStringAndSize(run_at(run)->ctx, (Py_ssize_t)run_at(run)->ctx_size);
}

PyObject *bh_py_core_packet(struct core *self, PyObject *args)
{
	const struct bh_packet *packet;
	unsigned long long run;

	(void)self;
	if (!PyArg_ParseTuple(args, "K", &run))
		return NULL;
	packet = &run_at(run)->packet;
	if (!packet->page)
		Py_RETURN_NONE;
	return PyBytes_FromStringAndSize(packet->page + packet->data, (Py_ssize_t)(packet->end - packet->data));
}

/* Its bytes, metadata first; where of these the packet itself begins; room before and behind it. */
PyObject *bh_py_core_frame(struct core *self, PyObject *args)
{
	const struct bh_packet *p;
	unsigned long long run;

	(void)self;
	if (!PyArg_ParseTuple(args, "K", &run))
		return NULL;
	p = &run_at(run)->packet;
	if (!p->page)
		Py_RETURN_NONE;
	return Py_BuildValue("(y#III)", p->page + p->start, (Py_ssize_t)(p->end - p->start), p->data - p->start,
			     p->start - p->lowest, p->highest - p->end);
}

PyObject *bh_py_core_reframe(struct core *self, PyObject *args)
{
	unsigned long long run;
	unsigned int data, room, tail;
	struct bh_packet *p;
	const char *whole;
	Py_ssize_t size;

	(void)self;
	if (!PyArg_ParseTuple(args, "Ky#III", &run, &whole, &size, &data, &room, &tail))
		return NULL;
	p = &run_at(run)->packet;
	if (!p->page || data > size || (uint64_t)room + (uint64_t)size + tail > BH_PACKET)
		return PyErr_Format(PyExc_ValueError, "no room for a packet of %zd bytes", size);
	memcpy(p->page + room, whole, (size_t)size);
	p->lowest = 0;
	p->start = room;
	p->data = room + data;
	p->end = room + (uint32_t)size;
	p->highest = p->end + tail;
	bh_packet_show(run_at(run));
	Py_RETURN_NONE;
}

PyObject *bh_py_core_poke(struct core *self, PyObject *args)
{
	const struct bh_packet *p;
	unsigned long long run;
	unsigned int at;
	const char *data;
	Py_ssize_t size;

	(void)self;
	if (!PyArg_ParseTuple(args, "KIy#", &run, &at, &data, &size))
		return NULL;
	p = &run_at(run)->packet;
	if (!p->page || (uint64_t)at + (uint64_t)size > p->end - p->start)
		return PyErr_Format(PyExc_ValueError, "the packet does not have these bytes");
	memcpy(p->page + p->start + at, data, (size_t)size);
	Py_RETURN_NONE;
}

PyObject *bh_py_core_now(struct core *self, void *unused)
{
	struct bh_world *world = bh_world_of(self->core);
	struct timespec now;

	(void)unused;
	if (atomic_load(&world->clocked))
		return PyLong_FromUnsignedLongLong(atomic_load(&world->now));
	clock_gettime(CLOCK_MONOTONIC, &now);
	return PyLong_FromUnsignedLongLong((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
}

int bh_py_core_set_now(struct core *self, PyObject *value, void *unused)
{
	struct bh_world *world = bh_world_of(self->core);
	unsigned long long now = value ? PyLong_AsUnsignedLongLongMask(value) : 0;

	(void)unused;
	if (PyErr_Occurred())
		return -1;
	atomic_store(&world->now, now);
	atomic_store(&world->clocked, true);
	return 0;
}
