/* bpfheap.machine.native._core: the C core for Python. Each part adds what it has. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "py_base.h"
#include "py_parts.h"

static int exec(PyObject *module)
{
	/* Later ones use types of earlier ones. */
	static int (*const parts[])(PyObject *) = {
		bh_py_heap,  bh_py_types, bh_py_maps,	  bh_py_program, bh_py_execution,
		bh_py_entry, bh_py_probe, bh_py_compiled, bh_py_loops,
	};

	if (bh_py_import_errors())
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
