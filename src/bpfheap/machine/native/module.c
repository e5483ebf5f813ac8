/* bpfheap.machine.native._core: the C core for Python. Each part adds what it has. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "module.h"

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

PyObject *bh_py_usage_error, *bh_py_closed_error, *bh_py_poisoned_error, *bh_py_memory_error;

static int import_errors(void)
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

static int exec(PyObject *module)
{
	/* Later ones use types of earlier ones. */
	static int (*const parts[])(PyObject *) = {
		bh_py_heap,  bh_py_types, bh_py_maps,	  bh_py_program, bh_py_execution,
		bh_py_entry, bh_py_probe, bh_py_compiled, bh_py_loops,
	};

	if (import_errors())
		return -1;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i](module))
			return -1;
	return 0;
}

static PyModuleDef_Slot slots[] = {
	{Py_mod_exec, exec},
	{0, NULL},
};

static PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "bpfheap.machine.native._core",
	.m_doc = "The C core: heaps, maps, grace periods and programs.",
	.m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void)
{
	return PyModuleDef_Init(&definition);
}
