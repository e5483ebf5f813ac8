#define _GNU_SOURCE
#include "sample.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

/* struct bpf_perf_event_data; registers as in struct pt_regs. */
struct sample {
	uint64_t regs[21];
	uint64_t period, addr;
};

struct bh_probe {
	struct bh_core *core;
	const struct bh_prog *prog;
	int signal;
	uint32_t hz;
	bool ticking;
	timer_t timer;
	struct sigaction before;
	int64_t budget;
	_Atomic uint64_t runs, missed, last;
	/* What its first run that did not end came to; `broken` says that all of it is there. */
	_Atomic bool breaking, broken;
	struct bh_probe_stats end;
	struct bh_run *run[]; /* one for each CPU and level */
};

enum { LOOK_EVERY = 4096 }; /* yields of whoever detaches a probe */

/* By signal. A handler counts itself in before it looks, so that nothing goes while it is there. */
static _Atomic(struct bh_probe *) probes[NSIG];
static _Atomic uint32_t inside[NSIG];

static pthread_once_t watch_forks = PTHREAD_ONCE_INIT;

/* A child has the handlers of its parent, but neither its timers nor threads that are in a handler. */
static void forget_threads(void)
{
	for (int signal = 0; signal < NSIG; signal++)
		atomic_store(&inside[signal], 0);
}

static void begin_to_watch_forks(void)
{
	pthread_atfork(NULL, NULL, forget_threads);
}

#ifdef __x86_64__
static const int registers[21] = {
	REG_R15, REG_R14, REG_R13, REG_R12, REG_RBP, REG_RBX, REG_R11, REG_R10, REG_R9, REG_R8,
	REG_RAX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RAX, /* orig_rax: it is no system call */
	REG_RIP, REG_CSGSFS, REG_EFL, REG_RSP, REG_CSGSFS,
};

static void fill(struct sample *sample, const ucontext_t *found)
{
	for (unsigned i = 0; i < 21; i++)
		sample->regs[i] = (uint64_t)found->uc_mcontext.gregs[registers[i]];
	/* One word has both of these. */
	sample->regs[17] &= 0xffff;
	sample->regs[20] >>= 48;
}
#else
static void fill(struct sample *sample, const ucontext_t *found)
{
	(void)sample;
	(void)found;
}
#endif

static void note_end(struct bh_probe *probe, const struct bh_run *run)
{
	probe->end.stop = run->stop;
	probe->end.program = run->prog->id;
	probe->end.slot = run->slot;
	probe->end.fault = run->fault;
	probe->end.pc = run->pc;
	atomic_store(&probe->broken, true);
}

static void sample_now(struct bh_probe *probe, const ucontext_t *found)
{
	struct sample own, *sample;
	struct bh_here here;
	struct bh_run *run;

	if (atomic_load(&probe->breaking))
		return;
	if (!bh_enter(probe->core, -1, bh_at_once, &here)) {
		atomic_fetch_add(&probe->missed, 1);
		return;
	}
	run = probe->run[here.slot];
	run->here = here;
	sample = bh_run_room(run, &own, sizeof(own));
	fill(sample, found);
	sample->period = probe->hz ? 1000000000 / probe->hz : 0;
	sample->addr = 0;
	bh_run_begin(run, probe->prog, sample);
	run->ctx_size = sizeof(*sample);
	run->r[1] = (uintptr_t)sample;
	run->r[2] = sizeof(*sample);
	run->budget = probe->budget;
	if (bh_run_go(run) == BH_DONE)
		atomic_store(&probe->last, run->r[0]);
	else if (!atomic_exchange(&probe->breaking, true))
		note_end(probe, run);
	if (run->stop != BH_DONE && run->locked)
		bh_core_break(probe->core);
	here = run->here;
	bh_leave(&here);
	atomic_fetch_add(&probe->runs, 1);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	int saved = errno;
	struct bh_probe *probe;

	(void)info;
	atomic_fetch_add(&inside[signal], 1);
	probe = atomic_load(&probes[signal]);
	if (probe)
		sample_now(probe, context);
	atomic_fetch_sub(&inside[signal], 1);
	errno = saved;
}

static int start_ticking(struct bh_probe *probe)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = probe->signal };
	clockid_t clock = probe->signal == SIGPROF ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
	struct itimerspec every = { 0 };

	if (!probe->hz)
		return 0;
	every.it_interval.tv_sec = probe->hz == 1;
	every.it_interval.tv_nsec = probe->hz == 1 ? 0 : 1000000000 / probe->hz;
	every.it_value = every.it_interval;
	if (timer_create(clock, &event, &probe->timer))
		return -1;
	probe->ticking = true;
	return timer_settime(probe->timer, 0, &every, NULL);
}

static void free_probe(struct bh_probe *probe)
{
	for (size_t i = 0; i < (size_t)bh_core_cpus(probe->core) * BH_LEVELS && probe->run[i]; i++)
		bh_run_destroy(probe->core, probe->run[i]);
	free(probe);
}

struct bh_probe *bh_probe_attach(struct bh_core *core, const struct bh_prog *prog, uint64_t *random,
				 int signal, uint32_t hz, int64_t budget)
{
	/* Others may interrupt it, it itself may: that is another level of the CPU. */
	struct sigaction action = { .sa_sigaction = on_signal,
				    .sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER };
	size_t slots = (size_t)bh_core_cpus(core) * BH_LEVELS;
	struct bh_probe *probe, *none = NULL;
	int error;

#ifndef __x86_64__
	errno = ENOTSUP;
	return NULL;
#endif
	if (signal <= 0 || signal >= NSIG) {
		errno = EINVAL;
		return NULL;
	}
	pthread_once(&watch_forks, begin_to_watch_forks);
	probe = calloc(1, sizeof(*probe) + slots * sizeof(struct bh_run *));
	if (!probe)
		return NULL;
	probe->core = core;
	probe->prog = prog;
	probe->signal = signal;
	probe->hz = hz;
	probe->budget = budget;
	for (size_t i = 0; i < slots; i++) {
		probe->run[i] = bh_run_create(core, random);
		if (!probe->run[i]) {
			free_probe(probe);
			errno = ENOMEM;
			return NULL;
		}
		probe->run[i]->in_signal = true;
	}
	if (!atomic_compare_exchange_strong(&probes[signal], &none, probe)) {
		free_probe(probe);
		errno = EBUSY;
		return NULL;
	}
	if (sigaction(signal, &action, &probe->before) || start_ticking(probe)) {
		error = errno;
		bh_probe_detach(probe, NULL);
		errno = error;
		return NULL;
	}
	return probe;
}

bool bh_probe_detach(struct bh_probe *probe, bh_patience patience)
{
	struct bh_probe *attached = probe;

	if (probe->ticking && bh_core_over(probe->core) != BH_FORKED)
		timer_delete(probe->timer);
	probe->ticking = false;
	/* One that is on its way must not meet what was there before, which may end the process. */
	atomic_compare_exchange_strong(&probes[probe->signal], &attached, NULL);
	for (unsigned tries = 1; atomic_load(&inside[probe->signal]); tries++) {
		sched_yield();
		if (tries % LOOK_EVERY == 0 && patience && !patience(NULL))
			return false;
	}
	sigaction(probe->signal, &probe->before, NULL);
	free_probe(probe);
	return true;
}

struct bh_probe_stats bh_probe_stats(const struct bh_probe *probe)
{
	struct bh_probe_stats stats = { .stop = BH_DONE };

	if (atomic_load(&probe->broken))
		stats = probe->end;
	stats.runs = atomic_load(&probe->runs);
	stats.missed = atomic_load(&probe->missed);
	stats.last = atomic_load(&probe->last);
	return stats;
}
