/* SPDX-License-Identifier: Apache-2.0 */
/* Slow queries of a PostgreSQL server, by its static probes (USDT). */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

#define SERVER "/usr/lib/postgresql/bin/postgres"

const volatile __u64 least_ms = 100;

struct query {
	__u64 since;
	char text[64];
};

struct event {
	__u32 pid;
	__u32 ms;
	char text[64];
};

/* For the test, so that the type is in BTF. */
const struct event *unused __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct query);
} running SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

SEC("usdt/" SERVER ":postgresql:query__start")
int BPF_USDT(query_begins, const char *text)
{
	struct query query = {.since = bpf_ktime_get_ns()};
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	/* The server needs its memory for the next one once it is done. */
	bpf_probe_read_user_str(query.text, sizeof(query.text), text);
	bpf_map_update_elem(&running, &pid, &query, BPF_ANY);
	return 0;
}

SEC("usdt/" SERVER ":postgresql:query__done")
int BPF_USDT(query_ends, const char *text)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct query *query = bpf_map_lookup_elem(&running, &pid);
	struct event *e;
	__u64 ms;

	if (!query)
		return 0;
	ms = (bpf_ktime_get_ns() - query->since) / 1000000;
	if (ms >= least_ms && (e = bpf_ringbuf_reserve(&events, sizeof(*e), 0))) {
		e->pid = pid;
		e->ms = ms;
		/* The mistake: at the end the server has freed the text. */
		bpf_probe_read_user_str(e->text, sizeof(e->text), text);
		bpf_ringbuf_submit(e, 0);
	}
	bpf_map_delete_elem(&running, &pid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
