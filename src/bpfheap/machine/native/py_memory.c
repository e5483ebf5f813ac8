/* What is in memory that programs name, for Python. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <string.h>
#include <unistd.h>

#include "object.h"
#include "py_memory.h"

/* MAX_BPRINTF_BUF */
#define MAX_STRING 1024
#define MIN_PAGE   4096

/* Where something is that a program names, or that is read where programs write. */
static const char *look(struct core *self, unsigned long long address, unsigned long long size)
{
	if (!bh_is_hardened(self->core))
		return (const char *)(uintptr_t)address;
	return bh_region_at(bh_region_of(self->core), address, size, BH_ZEROS);
}

PyObject *bh_py_core_read(struct core *self, PyObject *args)
{
	unsigned long long address;
	const char *found;
	Py_ssize_t size;

	if (!PyArg_ParseTuple(args, "Kn", &address, &size))
		return NULL;
	found = size < 0 ? NULL : look(self, address, (unsigned long long)size);
	if (!found)
		Py_RETURN_NONE;
	return PyBytes_FromStringAndSize(found, size);
}

/* Copy from any address, within a page: through a pipe, as write() does not fault. */
static int copy_nofault(const int *ends, char *to, uintptr_t from, size_t size)
{
	return write(ends[1], (const void *)from, size) != (ssize_t)size ||
	       read(ends[0], to, size) != (ssize_t)size;
}

/* A program may ask for a string at any number; where there is none, it is empty (bpf_trace_copy_string). */
PyObject *bh_py_core_read_string(struct core *self, PyObject *args)
{
	unsigned long long address;
	char text[MAX_STRING];
	const char *end = NULL;
	size_t known = 0;
	int ends[2];

	if (!PyArg_ParseTuple(args, "K", &address))
		return NULL;
	if (pipe(ends))
		return PyErr_SetFromErrno(PyExc_OSError);
	while (!end && known < sizeof(text)) {
		uintptr_t at = (uintptr_t)address + known;
		size_t size = MIN_PAGE - at % MIN_PAGE;
		const char *from;

		if (size > sizeof(text) - known)
			size = sizeof(text) - known;
		from = look(self, at, size);
		if (!from || copy_nofault(ends, text + known, (uintptr_t)from, size)) {
			known = 0;
			break;
		}
		end = memchr(text + known, 0, size);
		known += size;
	}
	close(ends[0]);
	close(ends[1]);
	return PyBytes_FromStringAndSize(text, end ? end - text : (Py_ssize_t)known);
}

PyObject *bh_py_core_type_at(struct core *self, PyObject *args)
{
	unsigned long long address;
	const struct bh_type *type;

	if (!PyArg_ParseTuple(args, "K", &address))
		return NULL;
	if (!bh_is_object(self->core, (void *)(uintptr_t)address))
		Py_RETURN_NONE;
	type = bh_type_of(self->core, (void *)(uintptr_t)address);
	if (!type)
		Py_RETURN_NONE;
	return Py_BuildValue("(II)", type->owner, type->id);
}
