/* What a run asks of Python, for the files that run programs. */
#ifndef BPFHEAP_PY_DRIVER_H
#define BPFHEAP_PY_DRIVER_H

#include <Python.h>

#include "record.h"

/* Whom a run asks for what it cannot do itself. */
struct driver {
	PyObject *ask; /* of the caller, or of whoever has the driver */
	long long left; /* of the budget; -1 for no end */
	PyObject *error[3]; /* the first exception that a handler met, as PyErr_Fetch gives it */
};

/* Handlers of a run, which call them without the GIL: for calls outside, for a budget that is used up, and
 * while it waits for a CPU or a lock. */
uint64_t bh_py_ask(struct bh_run *run);
bool bh_py_refill(struct bh_run *run);
bool bh_py_run_patience(struct bh_here *here);
/* With the GIL, after a run: raise what happened meanwhile. False if nothing did. */
bool bh_py_failed(struct driver *driver);

enum { SLICE = 1 << 22 }; /* of the budget, between two looks for signals */

static inline void bh_py_take_slice(struct driver *driver, struct bh_run *run)
{
	run->budget = driver->left < 0 || driver->left > SLICE ? SLICE : driver->left;
	if (driver->left >= 0)
		driver->left -= run->budget;
}

/* What was not used goes back. */
static inline void bh_py_end_slice(struct driver *driver, const struct bh_run *run)
{
	if (driver->left >= 0 && run->budget > 0)
		driver->left += run->budget;
}

/* Let a run, which is about to begin or to go on, ask this driver. */
static inline void bh_py_drive(struct driver *driver, struct bh_run *run)
{
	run->driver = driver;
	run->refill = bh_py_refill;
	run->ask = driver->ask && driver->ask != Py_None ? bh_py_ask : NULL;
	bh_py_take_slice(driver, run);
}

#endif
