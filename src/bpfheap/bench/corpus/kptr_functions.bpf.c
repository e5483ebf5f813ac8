/* SPDX-License-Identifier: Apache-2.0 */
/* Objects made, filled, stored and freed by functions that pass them on. */
#include "corpus.h"

struct job {
	__u64 id;
	__u64 due_ns;
	__u32 attempts;
};

struct slot {
	struct job __kptr *job;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, struct slot);
} jobs SEC(".maps");

static __noinline struct job *job_new(__u64 id)
{
	struct job *job = bpf_obj_new(struct job);

	if (!job)
		return NULL;
	job->id = id;
	job->due_ns = bpf_ktime_get_ns() + 1000000;
	return job;
}

static __noinline void job_store(struct slot *slot, struct job *job)
{
	job = bpf_kptr_xchg(&slot->job, job);
	if (job)
		bpf_obj_drop(job);
}

static __noinline int job_retry(struct slot *slot)
{
	struct job *job = bpf_kptr_xchg(&slot->job, NULL);

	if (!job)
		return 0;
	if (job->attempts >= 3) {
		bpf_obj_drop(job);
		return -1;
	}
	job->attempts++;
	job_store(slot, job);
	return 1;
}

SEC("tc")
int kptr_functions(struct __sk_buff *skb)
{
	__u64 key = skb->hash;
	struct slot *slot = bpf_map_lookup_elem(&jobs, &key);
	struct job *job;

	if (!slot)
		return TC_ACT_OK;
	if (job_retry(slot))
		return TC_ACT_SHOT;
	job = job_new(key);
	if (!job)
		return TC_ACT_SHOT;
	job_store(slot, job);
	return TC_ACT_OK;
}
