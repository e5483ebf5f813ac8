/* bpfheap.machine.native._core: the C core for Python. Each part adds what it has. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "module.h"

static int exec(PyObject *module)
{
	return bh_py_heap(module) || bh_py_machine(module) || bh_py_run(module) ||
			       bh_py_compiled(module) || bh_py_loops(module) ?
		       -1 : 0;
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
