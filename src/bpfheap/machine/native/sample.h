/* Programs that signals run: what an nmi is to the kernel, a signal is to a process. */
#ifndef BPFHEAP_SAMPLE_H
#define BPFHEAP_SAMPLE_H

#include "run.h"

struct bh_probe;

/*
 * Run a program of type perf_event, on the registers that the signal found, whenever the signal comes;
 * `hz` times a second of the process' time for SIGPROF, else of the clock's (0: when somebody sends
 * it). NULL with errno set: EBUSY if the signal runs a program already, ENOTSUP where registers are
 * not known. A run that does more than `budget` steps is broken off, and so is one that finds a lock held by
 * whom it interrupted; after that, or after a fault, the signal runs the program no more: nobody else gets
 * on while handlers take all the time.
 */
struct bh_probe *bh_probe_attach(struct bh_core *core, const struct bh_prog *prog, uint64_t *random,
				 int signal, uint32_t hz, int64_t budget);
/* Put back what the signal did before, once no handler runs the program. Not within a run. False without
 * patience for that: it does not run any more, and is yet to be detached. */
bool bh_probe_detach(struct bh_probe *probe, bh_patience patience);

struct bh_probe_stats {
	uint64_t runs;
	uint64_t missed; /* no CPU was free, or all levels of it were taken */
	uint64_t last;	 /* what the last run returned */
	enum bh_stop stop; /* BH_DONE, or why the signal runs it no more; and in which program that was */
	uint32_t program, slot;
	uint64_t fault, pc;
};
struct bh_probe_stats bh_probe_stats(const struct bh_probe *probe);

#endif
