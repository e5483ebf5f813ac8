/*
 * Virtual CPUs, the contexts that nest on them, and grace periods.
 *
 * A thread has a CPU for the time of a run. A signal that interrupts the run uses the same CPU one
 * level further up, so what belongs to one CPU and one level is only ever touched by one context
 * at a time, at any instruction: that is what makes caches and lists safe without locks and
 * without guards.
 */
#ifndef BPFHEAP_CPU_H
#define BPFHEAP_CPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region.h"

#define BH_LIKELY(x) __builtin_expect(!!(x), 1)
#define BH_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define BH_LINE 64
#define BH_ALIGNED(n) __attribute__((aligned(n)))

enum {
	BH_CPUS_MAX = 256,
	BH_LEVELS = 4, /* task, and three signals that interrupt one another */
};

struct bh_core;
struct bh_cache;
struct bh_unit;

struct bh_here;
/*
 * Asked several times a second by whoever waits, and after each signal: false ends the wait. NULL
 * stands for the patience that never ends. `here` is that of the context which waits, if it is in a
 * run.
 */
typedef bool (*bh_patience)(struct bh_here *here);
/* That of signals: they interrupt what they would wait for. */
bool bh_at_once(struct bh_here *here);

/* Where a context runs. `slot` numbers the pair of CPU and level; what is outside is the run that
 * this one interrupts, or began within. `recent` is the cache that an object was last given back to:
 * see bh_free_at. */
struct bh_here {
	struct bh_core *core;
	uint32_t cpu;
	uint32_t level;
	uint32_t slot;
	bh_patience patience;
	bool tired; /* of waiting for what a program may have made up: the run is to end */
	struct bh_unit *recent_unit;
	struct bh_cache *recent;
	uint32_t outside_cpu;
	uint32_t outside_depth;
	struct bh_core *outside_core;
};

/* NULL, with errno set, if memory or the worker's thread cannot be had. */
struct bh_core *bh_core_create(unsigned cpus);
/* No context may be running or held. Reclaims all that is deferred. */
void bh_core_destroy(struct bh_core *core);
unsigned bh_core_cpus(const struct bh_core *core);
/* Before anything else: let programs of the core reach its region alone. False with errno set. */
bool bh_core_harden(struct bh_core *core);

/* Where its programs reach; the first member of struct bh_core. */
static inline const struct bh_region *bh_region_of(const struct bh_core *core)
{
	return (const struct bh_region *)core;
}

static inline bool bh_is_hardened(const struct bh_core *core)
{
	return BH_UNLIKELY(bh_region_of(core)->base != NULL);
}

/* From what programs reach to what the core keeps of it. */
static inline uint64_t bh_shadow(const struct bh_core *core)
{
	return bh_region_of(core)->shadow;
}

/* Why no run begins on a core any more. */
enum bh_over {
	BH_USABLE,
	BH_STOPPED,
	BH_BROKEN, /* a run was broken off while it had a lock */
	BH_FORKED, /* this process has a copy of the core's memory, but not of its threads: locks and CPUs
		    * may be taken for ever, so nothing of the core may be waited for */
};
enum bh_over bh_core_over(const struct bh_core *core);
void bh_core_break(struct bh_core *core);
/* Let no run begin, wait for those that go on, do what is deferred, held or not, and end the worker. Not
 * within a run. False without patience. */
bool bh_core_stop(struct bh_core *core, bh_patience patience);

/*
 * Begin a run, as a reader that grace periods wait for; `cpu` is a CPU's number, or -1 for any.
 * In a thread that is in a run already (a signal, or a run that begins another), the CPU is that of
 * the run, whatever `cpu` says, one level up; false if all levels are taken. Else waits for the
 * CPU; false if the patience for that comes to an end, or if the core is over. The same patience is
 * for locks in the run.
 */
bool bh_enter(struct bh_core *core, int cpu, bh_patience patience, struct bh_here *here);
void bh_leave(struct bh_here *here);

/*
 * Something for the worker to do: at once, or when all runs that are now going on have ended. Any
 * context may ask for it. One that is queued is not queued again: it is done once for all who asked
 * before it began. So what is to wait for a grace period must be set apart before it is deferred:
 * what comes later needs the next one.
 */
struct bh_work {
	struct bh_work *next;
	void (*run)(struct bh_work *work);
	_Atomic bool queued;
};
void bh_queue(struct bh_core *core, struct bh_work *work);
void bh_call_rcu(struct bh_core *core, struct bh_work *work);

/* Is this thread in a run, which it cannot wait for? */
bool bh_within_run(const struct bh_core *core);
/* Wait until all runs that are now going on have ended. Not within a run. False without patience. */
bool bh_synchronize_rcu(struct bh_core *core, bh_patience patience);
/* Wait until the worker has done all that it was asked for before, and could. Not within a run. False
 * without patience. On a core that is stopped one thread at a time does it itself. */
bool bh_barrier(struct bh_core *core, bh_patience patience);
/* A run that is left in the middle, to be gone on with later, is held meanwhile: what it may still see
 * is not reclaimed. Before it first enters, and after it left for the last time; with what bh_hold gave. */
uint32_t bh_hold(struct bh_core *core);
void bh_unhold(struct bh_core *core, uint32_t hold);

/* Pages for the core and its heaps, aligned to `align`; NULL with errno set. They read as zeros. */
void *bh_pages_map(struct bh_core *core, size_t size, size_t align);
/* At most so many bytes, 0 for any number; and how many more there may be. */
void bh_pages_limit(struct bh_core *core, uint64_t bytes);
uint64_t bh_pages_room(const struct bh_core *core);
void bh_pages_unmap(struct bh_core *core, void *pages, size_t size);
/* Count bytes as mapped; false with errno set if there may not be so many more. */
bool bh_pages_take(struct bh_core *core, size_t size);
void bh_pages_give(struct bh_core *core, size_t size);
uint64_t bh_pages_mapped(const struct bh_core *core);
/* A load of 1, 2, 4 or 8 bytes from an address that a program may have made up: 0 where the core has no pages. */
uint64_t bh_pages_load(struct bh_core *core, uint64_t address, uint32_t size);
/* The same of any number of bytes: how many of them were there, and were copied; whether all were. */
uint64_t bh_pages_copy(struct bh_core *core, void *to, uint64_t address, uint64_t size);
bool bh_pages_write(struct bh_core *core, uint64_t address, const void *from, uint64_t size);
/* For tests: let the n-th mapping from now on fail, and all after it; 0: let none fail. */
void bh_pages_fail(struct bh_core *core, uint64_t n);

#endif
