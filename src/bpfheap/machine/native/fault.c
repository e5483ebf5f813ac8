/*
 * Compiled programs of a hardened core find out what they may not have by a fault: the handler leaves the
 * run. All that is between is the program's own code, and the core's where it trusts its arguments, so no
 * lock of the core is held.
 */
#define _GNU_SOURCE
#include "fault.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <ucontext.h>

struct escape {
	sigjmp_buf at;
	struct bh_run *run;
};

/* Of the innermost run of this thread that is in machine code; NULL while something else is. */
static _Thread_local struct escape *innermost __attribute__((tls_model("initial-exec")));
static struct sigaction segv, bus; /* as they were before */

static bool is_ours(const struct bh_run *run, uintptr_t address)
{
	uintptr_t base = (uintptr_t)bh_region_of(run->here.core)->base - BH_GUARD;

	return address - base < BH_REGION + 2 * BH_GUARD;
}

/* The instruction that faulted, 0 if it is not known. */
static uint64_t pc_of(const void *context)
{
	const ucontext_t *found = context;

#ifdef __x86_64__
	return (uint64_t)found->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return found->uc_mcontext.pc;
#else
	(void)found;
	return 0;
#endif
}

/* What others installed before: a fault that is not ours is theirs. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	static _Thread_local bool passing __attribute__((tls_model("initial-exec")));
	const struct sigaction *before = signal == SIGSEGV ? &segv : &bus;

	/* One that has us for what was before it would come back for ever. */
	if (passing || (!(before->sa_flags & SA_SIGINFO) &&
			(before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN))) {
		/* The access is made again, with the consequences it had without us. */
		sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
		return;
	}
	passing = true;
	if (before->sa_flags & SA_SIGINFO)
		before->sa_sigaction(signal, info, context);
	else
		before->sa_handler(signal);
	passing = false;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	struct escape *escape = innermost;

	if (escape && is_ours(escape->run, (uintptr_t)info->si_addr)) {
		escape->run->fault = (uintptr_t)info->si_addr;
		escape->run->pc = pc_of(context);
		escape->run->stop = BH_FAULT;
		siglongjmp(escape->at, 1);
	}
	pass_on(signal, info, context);
}

static void install(int signal, struct sigaction *before)
{
	/* What is interrupted goes on elsewhere, so nothing is blocked meanwhile. */
	struct sigaction action = { .sa_sigaction = on_fault,
				    .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
	struct sigaction now;

	sigaction(signal, NULL, &now);
	if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_fault)
		return;
	*before = now;
	sigaction(signal, &action, NULL);
}

/* Others may have installed theirs since the last time, or taken ours away. */
void bh_faults_catch(const struct bh_core *core)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	if (!bh_is_hardened(core))
		return;
	pthread_mutex_lock(&lock);
	install(SIGSEGV, &segv);
	install(SIGBUS, &bus);
	pthread_mutex_unlock(&lock);
}

uint64_t bh_run_guarded(struct bh_run *run, uint64_t r1, uint64_t r2)
{
	struct escape escape; /* zeros for all of it would take longer than a short program */
	struct escape *outside = innermost;
	volatile uint64_t r0 = 0;

	escape.run = run;
	if (!sigsetjmp(escape.at, 0)) {
		atomic_signal_fence(memory_order_seq_cst);
		innermost = &escape;
		r0 = run->prog->code(run, r1, r2);
	}
	innermost = outside;
	atomic_signal_fence(memory_order_seq_cst);
	return r0;
}
