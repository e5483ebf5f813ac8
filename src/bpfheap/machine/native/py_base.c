/* What all parts of the module rest on: its errors, and how its types are made. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "py_base.h"

PyObject *bh_py_usage_error, *bh_py_closed_error, *bh_py_poisoned_error, *bh_py_memory_error;

int bh_py_import_errors(void)
{
	PyObject *errors = PyImport_ImportModule("bpfheap.errors");

	if (!errors)
		return -1;
	bh_py_usage_error = PyObject_GetAttrString(errors, "UsageError");
	bh_py_closed_error = PyObject_GetAttrString(errors, "RuntimeClosed");
	bh_py_poisoned_error = PyObject_GetAttrString(errors, "RuntimePoisoned");
	bh_py_memory_error = PyObject_GetAttrString(errors, "OutOfMemory");
	Py_DECREF(errors);
	return PyErr_Occurred() ? -1 : 0;
}

int bh_py_names(PyObject *module, const char *name, const char *const *names)
{
	PyObject *list = PyList_New(0), *tuple;
	int error;

	for (; list && *names; names++) {
		PyObject *one = PyUnicode_FromString(*names);

		if (!one || PyList_Append(list, one))
			Py_CLEAR(list);
		Py_XDECREF(one);
	}
	tuple = list ? PyList_AsTuple(list) : NULL;
	Py_XDECREF(list);
	error = tuple ? PyModule_AddObjectRef(module, name, tuple) : -1;
	Py_XDECREF(tuple);
	return error;
}

PyTypeObject *bh_py_add(PyObject *module, PyType_Spec *spec)
{
	PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);

	if (type && PyModule_AddType(module, (PyTypeObject *)type))
		Py_CLEAR(type);
	return (PyTypeObject *)type;
}

/* What goes away may be part of the core: a heap's type frees its memory last. */
void bh_py_free(PyObject *self, PyObject *held)
{
	PyTypeObject *type = Py_TYPE(self);
	freefunc free_ = PyType_GetSlot(type, Py_tp_free);

	free_(self);
	Py_XDECREF(held);
	Py_DECREF(type);
}

PyObject *bh_py_new(PyTypeObject *type)
{
	allocfunc alloc = PyType_GetSlot(type, Py_tp_alloc);

	return alloc(type, 0);
}
