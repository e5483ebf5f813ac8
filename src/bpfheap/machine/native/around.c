/* In C, what machine/played/ has in Python, too: tracing programs call these most. */
#define _GNU_SOURCE
#include "around.h"

#include <errno.h>
#include <string.h>

#define CALL(name) uint64_t name(struct bh_run *run, const uint64_t *r)

static const struct bh_current *current_of(const struct bh_run *run)
{
	return &bh_world_of(run->here.core)->current;
}

static uint32_t number(const uint32_t *at, uint32_t otherwise)
{
	return at ? *at : otherwise;
}

CALL(bpf_get_current_pid_tgid)
{
	const struct bh_current *current = current_of(run);

	(void)r;
	if (BH_UNLIKELY(current->asked))
		return bh_run_ask(run);
	return (uint64_t)number(current->tgid_at, current->tgid) << 32 | number(current->pid_at, current->pid);
}

CALL(bpf_get_current_uid_gid)
{
	const struct bh_current *current = current_of(run);

	(void)r;
	/* A program or its user has led the task to other credentials since: Python knows their type. */
	if (BH_UNLIKELY(current->asked || (current->cred_at && *current->cred_at != current->cred)))
		return bh_run_ask(run);
	return (uint64_t)number(current->gid_at, current->gid) << 32 | number(current->uid_at, current->uid);
}

/* At most size - 1 bytes; what is behind them is 0 (strscpy_pad). */
CALL(bpf_get_current_comm)
{
	const struct bh_current *current = current_of(run);
	uint32_t size = (uint32_t)r[2], most = size < BH_COMM ? size : BH_COMM;
	char name[BH_COMM] = { 0 };

	if (BH_UNLIKELY(current->asked))
		return bh_run_ask(run);
	if (!size)
		return 0;
	memcpy(name, current->comm_at ? current->comm_at : current->comm, BH_COMM);
	most = (uint32_t)strnlen(name, most - 1);
	memcpy((void *)r[1], name, most);
	memset((char *)r[1] + most, 0, size - most);
	return 0;
}

CALL(bpf_get_current_task)
{
	uint64_t task = current_of(run)->task;

	(void)r;
	/* Python makes one when somebody asks for it first. */
	return BH_LIKELY(task) || run->in_signal ? task : bh_run_ask(run);
}

/* An address of user space is none of the kernel's, before anybody looks there
 * (copy_from_kernel_nofault_allowed). */
static uint64_t refusal(struct bh_run *run, uint64_t address, enum bh_space space)
{
	return (uint64_t)(int64_t)(space == BH_KERNEL && bh_place_is_users(run, address) ? -ERANGE : -EFAULT);
}

static uint64_t copy(struct bh_run *run, const uint64_t *r, enum bh_space space)
{
	uint32_t size = (uint32_t)r[2];

	if (!size && space == BH_KERNEL)
		return bh_place_is_users(run, r[3]) ? (uint64_t)(int64_t)-ERANGE : 0;
	if (bh_place_probe(run, (void *)r[1], r[3], size, space))
		return 0;
	memset((void *)r[1], 0, size);
	return refusal(run, r[3], space);
}

/* The length with its NUL, which is there even if the text is cut. */
static uint64_t text(struct bh_run *run, const uint64_t *r, enum bh_space space)
{
	uint32_t size = (uint32_t)r[2];
	int64_t length = bh_place_text(run, (char *)r[1], r[3], size, space);

	if (!size)
		return 0;
	if (length < 0) {
		memset((void *)r[1], 0, size);
		return refusal(run, r[3], space);
	}
	if (length == (int64_t)size)
		length--;
	((char *)r[1])[length] = 0;
	return (uint64_t)length + 1;
}

/* The old ones look wherever the address leads (bpf_probe_read_compat). */
CALL(bpf_probe_read)
{
	return copy(run, r, BH_EITHER);
}

CALL(bpf_probe_read_str)
{
	return text(run, r, BH_EITHER);
}

CALL(bpf_probe_read_kernel)
{
	return copy(run, r, BH_KERNEL);
}

CALL(bpf_probe_read_kernel_str)
{
	return text(run, r, BH_KERNEL);
}

CALL(bpf_probe_read_user)
{
	return copy(run, r, BH_USER);
}

CALL(bpf_probe_read_user_str)
{
	return text(run, r, BH_USER);
}

CALL(bpf_copy_from_user)
{
	return copy(run, r, BH_USER);
}
