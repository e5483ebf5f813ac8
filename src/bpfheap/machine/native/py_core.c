/* Cores, for all parts: whether one is over, and waits that a signal handler of Python ends. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <sched.h>

#include "py_base.h"
#include "py_core.h"

bool bh_py_raise_over(enum bh_over over)
{
	switch (over) {
	case BH_STOPPED:
		PyErr_SetString(bh_py_closed_error, "the runtime is closed");
		break;
	case BH_BROKEN:
		PyErr_SetString(bh_py_poisoned_error,
				"a run was broken off while it held a lock, which nobody can have any more");
		break;
	case BH_FORKED:
		PyErr_SetString(bh_py_poisoned_error,
				"this process was forked from the one that made the runtime, without its threads");
		break;
	default:
		return false;
	}
	return true;
}

bool bh_py_usable(const struct core *core)
{
	return !bh_py_raise_over(bh_core_over(core->core));
}

bool bh_py_here(const struct core *core)
{
	return bh_core_over(core->core) != BH_FORKED || !bh_py_raise_over(BH_FORKED);
}

PyObject *bh_py_refuse(const struct core *core)
{
	if (bh_py_usable(core))
		PyErr_Format(bh_py_usage_error, "runs nest no deeper than %d levels", BH_LEVELS);
	return NULL;
}

PyObject *bh_py_no_memory(const struct core *core)
{
	return PyErr_Format(bh_py_memory_error, "there is no memory for that, or less than it needs: %llu "
			    "bytes are mapped already", (unsigned long long)bh_pages_mapped(core->core));
}

enum { WAITERS = 1021 };

static _Atomic uint64_t waits[WAITERS];

static _Atomic uint64_t *waits_of(unsigned long thread)
{
	return &waits[(thread >> 8) % WAITERS];
}

uint64_t bh_py_waits(unsigned long thread)
{
	return atomic_load_explicit(waits_of(thread), memory_order_relaxed);
}

bool bh_py_patience(struct bh_here *here)
{
	PyGILState_STATE state = PyGILState_Ensure();
	bool lasts;

	atomic_fetch_add_explicit(waits_of(PyThread_get_thread_ident()), 1, memory_order_relaxed);
	Py_BEGIN_ALLOW_THREADS
	sched_yield();
	Py_END_ALLOW_THREADS
	/* What one wait ended with ends those that come after it, and no handler may begin with it. */
	lasts = !PyErr_Occurred() && PyErr_CheckSignals() == 0;
	/* Whoever has the lock that is waited for will never give it back. */
	if (lasts && here && bh_core_over(here->core) == BH_BROKEN) {
		bh_py_raise_over(BH_BROKEN);
		lasts = false;
	}
	PyGILState_Release(state);
	return lasts;
}

bool bh_py_enter(struct core *core, int cpu, struct bh_here *here)
{
	bool entered;

	Py_BEGIN_ALLOW_THREADS
	entered = bh_enter(core->core, cpu, bh_py_patience, here);
	Py_END_ALLOW_THREADS
	if (!entered && !PyErr_Occurred())
		bh_py_refuse(core);
	return entered;
}
