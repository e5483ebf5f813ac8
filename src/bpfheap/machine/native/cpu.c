#define _GNU_SOURCE
#include "cpu.h"
#include "mapped.h"
#include "world.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A virtual CPU. `taken` is a futex: 0 free, 1 taken, 2 taken and somebody waits, 3 free for one of
 * those that wait: whoever comes back for it at once would be faster than they are. */
enum { FREE, TAKEN, WANTED, OFFERED };

enum {
	PASSES = 12,		/* of the worker, for a barrier */
	LOOK_NS = 50000000,	/* between two looks whether somebody still waits; a signal may have come */
	LOOK_EVERY = 1000,	/* the same, in pauses of a grace period */
};

struct cpu {
	_Atomic uint32_t taken;
	_Atomic uint64_t epoch[BH_LEVELS]; /* when the run of a level began, 0 if there is none */
} BH_ALIGNED(BH_LINE);

struct bh_core {
	struct bh_region region; /* first: see bh_region_of */
	struct bh_world world;	 /* second: see bh_world_of */
	unsigned cpus;
	_Atomic uint64_t epoch;
	_Atomic(struct bh_work *) queued;   /* newest first */
	_Atomic(struct bh_work *) deferred; /* the same, for after a grace period */
	_Atomic uint32_t unfinished; /* work in both, put off, or being done */
	struct bh_mapped pages;
	_Atomic uint64_t mapped;
	uint64_t limit; /* of what is mapped, 0 for none */
	uint32_t forks; /* when it was made */
	_Atomic uint32_t over; /* enum bh_over */
	_Atomic uint64_t fail_at; /* mappings until one fails, 0 for never, 1 from now on */
	_Atomic uint32_t phase;	  /* of holds: each set of work that is deferred begins a new one */
	_Atomic uint32_t held[2]; /* runs that were held in this phase, and in those before */
	_Atomic uint32_t asked;	  /* barriers so far */
	_Atomic uint32_t finished; /* those that are over; a futex */
	_Atomic bool stop;
	sem_t wake;
	pthread_t worker;
	struct cpu cpu[];
};

_Static_assert(offsetof(struct bh_core, world) == sizeof(struct bh_region), "see bh_world_of");

/*
 * The run that this thread is in. Signals change it and put it back, so between two instructions
 * it stays the same; initial-exec, since handlers must not make the linker allocate it.
 */
static _Thread_local struct {
	struct bh_core *core;
	uint32_t cpu;
	uint32_t depth;
} running __attribute__((tls_model("initial-exec")));

/* How often this process became a child. */
static uint32_t forks;
static pthread_once_t watch_forks = PTHREAD_ONCE_INIT;

static void count_fork(void)
{
	forks++;
}

static void begin_to_watch_forks(void)
{
	pthread_atfork(NULL, NULL, count_fork);
}

/* Put a work item into a list, unless it is in one: its node has one place only. */
static void enlist(struct bh_core *core, _Atomic(struct bh_work *) *list, struct bh_work *work)
{
	struct bh_work *head;

	/* Counted first: whoever finds it queued may call a barrier, which must not find nothing to do. */
	atomic_fetch_add(&core->unfinished, 1);
	/* What made somebody ask for it is seen by the run to come, which takes this back first. */
	if (atomic_exchange(&work->queued, true)) {
		atomic_fetch_sub(&core->unfinished, 1);
		return;
	}
	head = atomic_load_explicit(list, memory_order_relaxed);
	do
		work->next = head;
	while (!atomic_compare_exchange_weak_explicit(list, &head, work, memory_order_release,
						      memory_order_relaxed));
	sem_post(&core->wake);
}

/* Take all, oldest first. */
static struct bh_work *take(_Atomic(struct bh_work *) *list)
{
	struct bh_work *newest = atomic_exchange_explicit(list, NULL, memory_order_acquire);
	struct bh_work *oldest = NULL;

	while (newest) {
		struct bh_work *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	return oldest;
}

static void run_all(struct bh_core *core, struct bh_work *work)
{
	while (work) {
		struct bh_work *next = work->next;
		bool queued = atomic_exchange(&work->queued, false);

		assert(queued);
		(void)queued;
		/* It may be queued again from here on, and may free itself. */
		work->run(work);
		atomic_fetch_sub(&core->unfinished, 1);
		work = next;
	}
}

static bool is_held(struct bh_core *core)
{
	return atomic_load(&core->held[0]) || atomic_load(&core->held[1]);
}

/*
 * Run what waits for a grace period, unless one is held that was held before it was set apart; what is
 * left. Those that are held later are counted apart, so that new ones for ever do not keep it.
 */
static struct bh_work *run_deferred(struct bh_core *core, struct bh_work *waiting)
{
	if (!waiting) {
		waiting = take(&core->deferred);
		if (!waiting)
			return NULL;
		atomic_fetch_add(&core->phase, 1);
	}
	/* Once the core is stopped, nobody goes on with those that are held. */
	if (atomic_load(&core->held[(atomic_load(&core->phase) + 1) % 2]) && !atomic_load(&core->stop))
		return waiting;
	bh_synchronize_rcu(core, NULL);
	run_all(core, waiting);
	/* Who deferred these was not heard while others waited. */
	if (atomic_load(&core->deferred))
		sem_post(&core->wake);
	return NULL;
}

static void *work_on(void *arg)
{
	struct bh_core *core = arg;
	struct bh_work *waiting = NULL;

	for (;;) {
		uint32_t asked;

		while (sem_wait(&core->wake))
			;
		asked = atomic_load(&core->asked);
		run_all(core, take(&core->queued));
		waiting = run_deferred(core, waiting);
		atomic_store(&core->finished, asked);
		syscall(SYS_futex, &core->finished, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
		if (!atomic_load(&core->stop) || atomic_load(&core->queued))
			continue;
		if (!waiting && !atomic_load(&core->deferred))
			return NULL;
		sem_post(&core->wake);
	}
}

struct bh_core *bh_core_create(unsigned cpus)
{
	struct bh_core *core;
	sigset_t all, before;
	int error;

	if (cpus == 0 || cpus > BH_CPUS_MAX) {
		errno = EINVAL;
		return NULL;
	}
	core = aligned_alloc(BH_LINE, sizeof(*core) + cpus * sizeof(struct cpu));
	if (!core)
		return NULL;
	__builtin_memset(core, 0, sizeof(*core) + cpus * sizeof(struct cpu));
	core->cpus = cpus;
	atomic_init(&core->epoch, 1);
	pthread_once(&watch_forks, begin_to_watch_forks);
	core->forks = forks;
	sem_init(&core->wake, 0, 0);
	/* Signals that run programs are for the threads of the application. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&core->worker, NULL, work_on, core);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		sem_destroy(&core->wake);
		free(core);
		errno = error;
		return NULL;
	}
	return core;
}

void bh_core_destroy(struct bh_core *core)
{
	/* The copy in a child stays: threads that are not there may have left anything half done. */
	if (bh_core_over(core) == BH_FORKED)
		return;
	assert(!is_held(core));
	bh_core_stop(core, NULL);
	bh_barrier(core, NULL);
	sem_destroy(&core->wake);
	bh_world_destroy(core);
	bh_mapped_destroy(&core->pages);
	bh_region_destroy(&core->region);
	free(core);
}

enum bh_over bh_core_over(const struct bh_core *core)
{
	return BH_UNLIKELY(core->forks != forks) ? BH_FORKED : (enum bh_over)atomic_load(&core->over);
}

void bh_core_break(struct bh_core *core)
{
	uint32_t usable = BH_USABLE;

	atomic_compare_exchange_strong(&core->over, &usable, BH_BROKEN);
}

bool bh_core_stop(struct bh_core *core, bh_patience patience)
{
	uint32_t usable = BH_USABLE;

	if (bh_core_over(core) == BH_FORKED)
		return true;
	atomic_compare_exchange_strong(&core->over, &usable, BH_STOPPED);
	if (!bh_synchronize_rcu(core, patience))
		return false;
	if (atomic_exchange(&core->stop, true))
		return true;
	sem_post(&core->wake);
	pthread_join(core->worker, NULL);
	return true;
}

bool bh_core_harden(struct bh_core *core)
{
	return bh_region_create(&core->region);
}

unsigned bh_core_cpus(const struct bh_core *core)
{
	return core->cpus;
}

/* False if it is time to ask the patience of whoever waits: a signal came, or some time went by. */
static bool futex_wait(_Atomic uint32_t *word, uint32_t value, bh_patience patience)
{
	struct timespec look = { .tv_nsec = LOOK_NS };

	return !syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, patience ? &look : NULL, NULL, 0) ||
	       errno == EAGAIN || !patience;
}

bool bh_at_once(struct bh_here *here)
{
	(void)here;
	return false;
}

static bool change(struct cpu *cpu, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong_explicit(&cpu->taken, &from, to, memory_order_acq_rel,
						       memory_order_relaxed);
}

static bool try_cpu(struct cpu *cpu)
{
	return change(cpu, FREE, TAKEN);
}

/* False if the patience of whoever waits came to an end. */
static bool wait_for_cpu(struct cpu *cpu, bh_patience patience, struct bh_here *here)
{
	while (!change(cpu, FREE, WANTED) && !change(cpu, OFFERED, WANTED)) {
		if (!change(cpu, TAKEN, WANTED) && atomic_load(&cpu->taken) != WANTED)
			continue;
		/* Who is not woken up was not offered the CPU either, and may go. */
		if (!futex_wait(&cpu->taken, WANTED, patience) && !patience(here))
			return false;
	}
	return true;
}

static void release_cpu(struct cpu *cpu)
{
	if (change(cpu, TAKEN, FREE))
		return;
	atomic_store_explicit(&cpu->taken, OFFERED, memory_order_release);
	/* If nobody was woken, take the offer back. */
	if (syscall(SYS_futex, &cpu->taken, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0)
		change(cpu, OFFERED, FREE);
}

/* The number of a CPU that is this thread's now, -1 for none. */
static int claim(struct bh_core *core, int cpu, bh_patience patience, struct bh_here *here)
{
	if (cpu < 0) {
		uint32_t last = running.cpu % core->cpus;

		for (uint32_t i = 0; i < core->cpus; i++) {
			uint32_t at = (last + i) % core->cpus;

			if (try_cpu(&core->cpu[at]))
				return (int)at;
		}
		cpu = (int)last;
	} else if (try_cpu(&core->cpu[cpu])) {
		return cpu;
	}
	if (patience == bh_at_once)
		return -1;
	return wait_for_cpu(&core->cpu[cpu], patience, here) ? cpu : -1;
}

bool bh_enter(struct bh_core *core, int cpu, bh_patience patience, struct bh_here *here)
{
	uint32_t level = 0, over;

	here->core = core;
	here->outside_core = running.core;
	here->outside_cpu = running.cpu;
	here->outside_depth = running.depth;
	if (running.depth && running.core == core) {
		level = running.depth;
		if (level == BH_LEVELS)
			return false;
		cpu = (int)running.cpu;
	} else {
		if (BH_UNLIKELY(bh_core_over(core) != BH_USABLE))
			return false;
		cpu = claim(core, cpu, patience, here);
		if (cpu < 0)
			return false;
		/* A signal between these finds no run, or a whole one. */
		running.depth = 0;
		atomic_signal_fence(memory_order_seq_cst);
		running.core = core;
		running.cpu = (uint32_t)cpu;
		atomic_signal_fence(memory_order_seq_cst);
	}
	running.depth = level + 1;
	here->cpu = (uint32_t)cpu;
	here->level = level;
	here->slot = (uint32_t)cpu * BH_LEVELS + level;
	here->patience = patience;
	here->tired = false;
	here->recent_unit = NULL;
	here->recent = NULL;
	atomic_store(&core->cpu[cpu].epoch[level],
		     atomic_load_explicit(&core->epoch, memory_order_relaxed));
	/* Whoever stops the core waits for those that began before. Within a run, the load alone matters: no later
	 * one comes before the epoch is there. */
	over = atomic_load(&core->over);
	if (!level && BH_UNLIKELY(over != BH_USABLE)) {
		bh_leave(here);
		return false;
	}
	return true;
}

void bh_leave(struct bh_here *here)
{
	struct cpu *cpu = &here->core->cpu[here->cpu];

	atomic_store_explicit(&cpu->epoch[here->level], 0, memory_order_release);
	running.depth = here->level;
	if (here->level)
		return;
	atomic_signal_fence(memory_order_seq_cst);
	release_cpu(cpu);
	running.core = here->outside_core;
	/* Without a run outside, this is the CPU to try first next time. */
	running.cpu = here->outside_depth ? here->outside_cpu : here->cpu;
	atomic_signal_fence(memory_order_seq_cst);
	running.depth = here->outside_depth;
}

void bh_queue(struct bh_core *core, struct bh_work *work)
{
	enlist(core, &core->queued, work);
}

void bh_call_rcu(struct bh_core *core, struct bh_work *work)
{
	enlist(core, &core->deferred, work);
}

bool bh_within_run(const struct bh_core *core)
{
	return running.depth && running.core == core;
}

bool bh_synchronize_rcu(struct bh_core *core, bh_patience patience)
{
	uint64_t now = atomic_fetch_add(&core->epoch, 1) + 1;
	struct timespec pause = { .tv_nsec = 20000 };

	for (unsigned i = 0; i < core->cpus; i++) {
		for (unsigned level = 0; level < BH_LEVELS; level++) {
			for (unsigned tries = 0;; tries++) {
				uint64_t began = atomic_load(&core->cpu[i].epoch[level]);

				if (began == 0 || began >= now)
					break;
				if (tries < 100)
					sched_yield();
				else if (nanosleep(&pause, NULL) || tries % LOOK_EVERY == 0)
					if (patience && !patience(NULL))
						return false;
			}
		}
	}
	return true;
}

static bool await_pass(struct bh_core *core, bh_patience patience)
{
	uint32_t mine = atomic_fetch_add(&core->asked, 1) + 1, done;

	sem_post(&core->wake);
	while ((int32_t)((done = atomic_load(&core->finished)) - mine) < 0)
		if (!futex_wait(&core->finished, done, patience) && !patience(NULL))
			return false;
	return true;
}

/* What was asked for when the worker had ended: nobody runs any more, so no grace period is needed. */
static void do_the_rest(struct bh_core *core)
{
	while (atomic_load(&core->queued) || atomic_load(&core->deferred)) {
		run_all(core, take(&core->queued));
		run_all(core, take(&core->deferred));
	}
}

bool bh_barrier(struct bh_core *core, bh_patience patience)
{
	/*
	 * What was done may have asked for more. The longest way: objects that were freed while others
	 * were in a grace period are collected after it, and reclaimed after the next; their slabs are
	 * unmapped after one more, and then their heap may go: six passes, twice as many if each of them
	 * first ends a set of work that was put off. More would never end where programs run and free on
	 * and on. To wake the worker for nothing costs more than most runs of programs.
	 */
	if (bh_core_over(core) == BH_FORKED)
		return true;
	if (atomic_load(&core->stop)) {
		do_the_rest(core);
		return true;
	}
	for (unsigned pass = 0; pass < PASSES && atomic_load(&core->unfinished); pass++) {
		if (!await_pass(core, patience))
			return false;
		/* What is left may wait for those that are held, for as long as they are. */
		if (is_held(core) && !atomic_load(&core->queued))
			break;
	}
	return true;
}

uint32_t bh_hold(struct bh_core *core)
{
	for (;;) {
		uint32_t phase = atomic_load(&core->phase);

		atomic_fetch_add(&core->held[phase % 2], 1);
		/* Else whoever began the next one may not have seen this. */
		if (atomic_load(&core->phase) == phase)
			return phase % 2;
		bh_unhold(core, phase % 2);
	}
}

void bh_unhold(struct bh_core *core, uint32_t hold)
{
	if (atomic_fetch_sub(&core->held[hold], 1) == 1)
		sem_post(&core->wake);
}

static bool may_map(struct bh_core *core)
{
	uint64_t left = atomic_load_explicit(&core->fail_at, memory_order_relaxed);

	while (left > 1)
		if (atomic_compare_exchange_weak(&core->fail_at, &left, left - 1))
			return true;
	return left == 0;
}

static bool count_mapped(struct bh_core *core, size_t size)
{
	uint64_t mapped = atomic_load_explicit(&core->mapped, memory_order_relaxed);

	do
		if (core->limit && (size > core->limit || mapped > core->limit - size))
			return false;
	while (!atomic_compare_exchange_weak(&core->mapped, &mapped, mapped + size));
	return true;
}

void bh_pages_limit(struct bh_core *core, uint64_t bytes)
{
	core->limit = bytes;
}

uint64_t bh_pages_room(const struct bh_core *core)
{
	uint64_t mapped = bh_pages_mapped(core);

	if (!core->limit)
		return UINT64_MAX;
	return mapped < core->limit ? core->limit - mapped : 0;
}

bool bh_pages_take(struct bh_core *core, size_t size)
{
	if (may_map(core) && count_mapped(core, size))
		return true;
	errno = ENOMEM;
	return false;
}

void bh_pages_give(struct bh_core *core, size_t size)
{
	atomic_fetch_sub_explicit(&core->mapped, size, memory_order_relaxed);
}

void *bh_pages_map(struct bh_core *core, size_t size, size_t align)
{
	uintptr_t start, first;
	char *pages;

	size = (size + 4095) & ~(size_t)4095;
	if (!bh_pages_take(core, size))
		return NULL;
	pages = mmap(NULL, size + align, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pages == MAP_FAILED) {
		bh_pages_give(core, size);
		return NULL;
	}
	start = (uintptr_t)pages;
	first = (start + align - 1) & ~(uintptr_t)(align - 1);
	if (first > start)
		munmap(pages, first - start);
	munmap((void *)(first + size), start + align - first);
	if (!bh_mapped_add(&core->pages, (void *)first, size)) {
		munmap((void *)first, size);
		bh_pages_give(core, size);
		return NULL;
	}
	return (void *)first;
}

void bh_pages_unmap(struct bh_core *core, void *pages, size_t size)
{
	size = (size + 4095) & ~(size_t)4095;
	bh_mapped_remove(&core->pages, pages, size);
	munmap(pages, size);
	bh_pages_give(core, size);
}

uint64_t bh_pages_load(struct bh_core *core, uint64_t address, uint32_t size)
{
	return bh_mapped_load(&core->pages, address, size);
}

uint64_t bh_pages_copy(struct bh_core *core, void *to, uint64_t address, uint64_t size)
{
	return bh_mapped_copy(&core->pages, to, address, size);
}

bool bh_pages_write(struct bh_core *core, uint64_t address, const void *from, uint64_t size)
{
	return bh_mapped_write(&core->pages, address, from, size);
}

uint64_t bh_pages_mapped(const struct bh_core *core)
{
	return atomic_load_explicit(&core->mapped, memory_order_relaxed);
}

void bh_pages_fail(struct bh_core *core, uint64_t n)
{
	atomic_store(&core->fail_at, n);
}
