#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct event {
	__u32 pid;
	__u32 ppid;
	char comm[16];
	char file[32];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct kept {
	struct task_struct __kptr *task;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kept);
} keep SEC(".maps");

struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym __weak;
struct task_struct *bpf_task_from_pid(s32 pid) __ksym __weak;
void bpf_task_release(struct task_struct *p) __ksym __weak;
struct cgroup *bpf_cgroup_from_id(u64 cgid) __ksym __weak;
void bpf_cgroup_release(struct cgroup *cgrp) __ksym __weak;

SEC("tp/sched/sched_process_exec")
int exec(struct trace_event_raw_sched_process_exec *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	unsigned int off = ctx->__data_loc_filename & 0xffff;
	struct task_struct *task;

	if (!e)
		return 0;
	task = (void *)bpf_get_current_task();
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->ppid = BPF_CORE_READ(task, real_parent, tgid);
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	bpf_probe_read_str(e->file, sizeof(e->file), (void *)ctx + off);
	bpf_ringbuf_submit(e, 0);
	return ctx->pid;
}

SEC("tp/syscalls/sys_enter_openat")
int openat(struct trace_event_raw_sys_enter *ctx)
{
	char name[16];
	long n = bpf_probe_read_user_str(name, sizeof(name), (void *)ctx->args[1]);

	bpf_printk("%d %s %ld", (int)ctx->args[0], name, n);
	return bpf_probe_read_kernel_str(name, sizeof(name), (void *)ctx->args[1]);
}

SEC("fentry/do_unlinkat")
int BPF_PROG(unlink_enter, int dfd, struct filename *name)
{
	bpf_printk("%d %s", dfd, name->name);
	return 0;
}

SEC("fexit/do_unlinkat")
int BPF_PROG(unlink_exit, int dfd, struct filename *name, long ret)
{
	__u64 first = 0, result = 0;

	bpf_get_func_arg(ctx, 0, &first);
	bpf_get_func_ret(ctx, &result);
	bpf_printk("%d %ld %d %ld", (int)bpf_get_func_arg_cnt(ctx), ret, (int)first, result);
	return 0;
}

SEC("kprobe/do_unlinkat")
int BPF_KPROBE(unlink_probe, int dfd, struct filename *name)
{
	const char *p = BPF_CORE_READ(name, name);
	char text[16];

	bpf_probe_read_kernel_str(text, sizeof(text), p);
	bpf_printk("%d %s", dfd, text);
	return bpf_get_attach_cookie(ctx);
}

SEC("kprobe/do_unlinkat")
int BPF_KPROBE(unlink_seen, int dfd, struct filename *name)
{
	return dfd + (name != NULL);
}

SEC("kretprobe/do_unlinkat")
int BPF_KRETPROBE(unlink_return, long ret)
{
	return ret;
}

SEC("ksyscall/unlink")
int BPF_KSYSCALL(unlink_call, const char *path)
{
	char text[16];

	bpf_probe_read_user_str(text, sizeof(text), path);
	bpf_printk("%s", text);
	return 0;
}

SEC("socket")
int filter(struct __sk_buff *skb)
{
	__u16 type = 0;

	bpf_skb_load_bytes(skb, 12, &type, sizeof(type));
	bpf_printk("%x %d %x", type, skb->len, skb->protocol);
	return 0;
}

SEC("usdt")
int BPF_USDT(static_probe, long a, const char *b, int c)
{
	char text[8] = "";

	bpf_probe_read_user_str(text, sizeof(text), b);
	bpf_printk("%ld %s %d %d", a, text, c, bpf_usdt_arg_cnt(ctx));
	return bpf_usdt_cookie(ctx);
}

SEC("tp/syscalls/sys_enter_execve")
int execve(struct trace_event_raw_sys_enter *ctx)
{
	const char **args = (const char **)ctx->args[1], *arg;
	char text[8];

	for (int i = 0; i < 4; i++) {
		if (bpf_probe_read_user(&arg, sizeof(arg), &args[i]))
			return -1;
		if (!arg)
			return i;
		if (bpf_probe_read_user_str(text, sizeof(text), arg) < 0)
			return -2;
		bpf_printk("%s", text);
	}
	return 9;
}

SEC("raw_tp/sched_switch")
int raw_switch(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *next = (void *)ctx->args[2];

	return BPF_CORE_READ(next, pid);
}

SEC("raw_tp/sched_switch")
int BPF_PROG(raw_next, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	int pid;

	return bpf_core_read(&pid, sizeof(pid), &next->pid) ? 1000 : pid;
}

SEC("tp/some/where")
int somewhere(void *ctx)
{
	return *(int *)(ctx + 8);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(typed_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	return preempt * 1000000 + prev->pid * 1000 + next->real_parent->pid;
}

SEC("lsm/file_open")
int BPF_PROG(open_hook, struct file *file)
{
	return file->f_inode->i_ino == 7 ? -1 : 0;
}

SEC("iter/task")
int each_task(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;

	if (task)
		BPF_SEQ_PRINTF(seq, "%d %s\n", task->pid, task->comm);
	return 0;
}

SEC("iter/task")
int headline(struct bpf_iter__task *ctx)
{
	BPF_SEQ_PRINTF(ctx->meta->seq, "%s %s\n", "PID", "NAME");
	BPF_SEQ_PRINTF(ctx->meta->seq, "--\n");
	bpf_printk("%s %s %s %s", "of", "many", "texts", "one");
	return 0;
}

SEC("tp_btf/task_newtask")
int BPF_PROG(store_task, struct task_struct *task, u64 flags)
{
	struct kept *v = bpf_map_lookup_elem(&keep, &(__u32){0});
	struct task_struct *old;

	if (!v)
		return 0;
	task = bpf_task_acquire(task);
	if (!task)
		return 0;
	old = bpf_kptr_xchg(&v->task, task);
	if (old) {
		int pid = old->pid;

		bpf_task_release(old);
		return pid;
	}
	return 0;
}

SEC("tp_btf/task_rename")
int BPF_PROG(find_task, struct task_struct *task, const char *comm)
{
	struct task_struct *found = bpf_task_from_pid(42);
	int pid;

	if (!found)
		return 0;
	pid = found->pid;
	bpf_task_release(found);
	return pid;
}

SEC("kprobe/wild")
int BPF_KPROBE(wild, void *at)
{
	char text[8] = "xxxxxxx";

	return bpf_probe_read_kernel(text, sizeof(text), at) || text[0];
}

extern const int bpf_prog_active __ksym __weak;
extern struct rq runqueues __ksym __weak;

SEC("raw_tp/sys_enter")
int variables(void *ctx)
{
	struct rq *rq = bpf_per_cpu_ptr(&runqueues, 1);

	return rq ? rq->nr_running : -1;
}

SEC("tp/sched/sched_process_exit")
int ids(struct trace_event_raw_sched_process_template *ctx)
{
	bpf_printk("%d %d", (int)bpf_get_current_uid_gid(), (int)(bpf_get_current_uid_gid() >> 32));
	bpf_printk("%llu %llu", bpf_get_current_cgroup_id(), bpf_get_current_ancestor_cgroup_id(1));
	bpf_send_signal(9);
	return 0;
}

SEC("fentry/do_sys_open")
int BPF_PROG(streams, int dfd, const char *path)
{
	static const char form[] = "dfd %d\n";
	__u64 words[] = {dfd};

	bpf_stream_vprintk_impl(1, form, words, sizeof(words), NULL);
	bpf_stream_vprintk_impl(2, form, words, sizeof(words), NULL);
	return 0;
}

SEC("iter/task")
int says_much(struct bpf_iter__task *ctx)
{
	static const char form[] = "%0990d";
	__u64 word = 0;

	for (int n = 0; n < 200; n++) {
		bpf_stream_vprintk_impl(1, form, &word, sizeof(word), NULL);
		BPF_SEQ_PRINTF(ctx->meta->seq, "%0990d", n);
	}
	return 0;
}

SEC("uprobe/libc.so.6:malloc")
int BPF_UPROBE(malloc_probe, unsigned long size)
{
	return size;
}

SEC("tc")
int marks(struct __sk_buff *skb)
{
	skb->mark |= 0x100;
	skb->cb[2] = 7;
	return 0;
}

SEC("cgroup/connect4")
int elsewhere(struct bpf_sock_addr *ctx)
{
	ctx->user_ip4 = 0x0100007f;
	return 1;
}
