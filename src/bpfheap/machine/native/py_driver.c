/* What a run asks of Python: calls outside, more budget, and whether to go on waiting. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <errno.h>
#include <string.h>

#include "py_core.h"
#include "py_driver.h"

/* The exception is raised when the run has ended: see bh_py_failed. With the interpreter's lock. */
static void keep_error(struct driver *driver)
{
	PyErr_Fetch(&driver->error[0], &driver->error[1], &driver->error[2]);
}

bool bh_py_refill(struct bh_run *run)
{
	struct driver *driver = run->driver;
	PyGILState_STATE state = PyGILState_Ensure();
	bool stop = driver->error[0] != NULL;

	if (!stop && PyErr_CheckSignals()) {
		keep_error(driver);
		stop = true;
	}
	PyGILState_Release(state);
	if (stop || !driver->left)
		return false;
	bh_py_take_slice(driver, run);
	return true;
}

uint64_t bh_py_ask(struct bh_run *run)
{
	struct driver *driver = run->driver;
	PyGILState_STATE state = PyGILState_Ensure();
	uint64_t r0 = (uint64_t)(int64_t)-EFAULT;
	PyObject *answer = NULL;

	run->asked = (uintptr_t)__builtin_frame_address(0);
	/* The first error is the one that counts. */
	if (!driver->error[0])
		answer = PyObject_CallFunction(driver->ask, "KIIIKKKKK", (unsigned long long)(uintptr_t)run,
					       run->here.cpu, run->prog->id, run->slot, run->r[1], run->r[2],
					       run->r[3], run->r[4], run->r[5]);
	run->asked = 0;
	if (answer)
		r0 = PyLong_AsUnsignedLongLongMask(answer);
	Py_XDECREF(answer);
	if (PyErr_Occurred())
		keep_error(driver);
	/* The run ends here. */
	if (driver->error[0] && run->stop == BH_GOING)
		run->stop = BH_PAUSE;
	PyGILState_Release(state);
	return r0;
}

/*
 * While a run waits for a CPU or a lock. What a signal handler raises is kept, as calls outside must not
 * begin with it, and the budget ends: the run goes no further than to where it is counted next.
 */
bool bh_py_run_patience(struct bh_here *here)
{
	struct bh_run *run = (void *)((char *)here - offsetof(struct bh_run, here));
	struct driver *driver = run->driver;
	PyGILState_STATE state;

	if (driver->error[0])
		return false;
	if (bh_py_patience(here))
		return true;
	state = PyGILState_Ensure();
	keep_error(driver);
	PyGILState_Release(state);
	run->budget = 0;
	return false;
}

bool bh_py_failed(struct driver *driver)
{
	if (!driver->error[0])
		return false;
	PyErr_Restore(driver->error[0], driver->error[1], driver->error[2]);
	memset(driver->error, 0, sizeof(driver->error));
	return true;
}
