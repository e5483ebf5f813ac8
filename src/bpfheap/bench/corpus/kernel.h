/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few members of the kernel's structs that tools of the corpus read, for those that do without
 * vmlinux.h. Where they are is known when a program is loaded; on a system that does not tell, they
 * are where these declarations have them.
 */
#ifndef __CORPUS_KERNEL_H__
#define __CORPUS_KERNEL_H__

#include "corpus.h"

/* A member of a struct of the kernel, whose address nobody vouches for. */
#define kernel_read(p, member)                                               \
	({                                                                   \
		typeof((p)->member) ___read;                                 \
		bpf_probe_read_kernel(&___read, sizeof(___read), &(p)->member); \
		___read;                                                     \
	})

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct ns_common {
	unsigned int inum;
};

struct pid_namespace {
	unsigned int level;
	struct ns_common ns;
};

struct nsproxy {
	struct pid_namespace *pid_ns_for_children;
};

struct task_struct {
	unsigned int __state;
	unsigned int flags;
	int prio;
	unsigned int policy;
	int exit_code;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	__u64 start_time;
	char comm[16];
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
};

#pragma clang attribute pop

/* Contexts of tracepoints; the first eight bytes are not for programs. */
struct sys_enter_ctx {
	__u64 common;
	int nr;
	__u32 pad;
	__u64 args[6];
};

struct sys_exit_ctx {
	__u64 common;
	int nr;
	__u32 pad;
	long ret;
};

#endif /* __CORPUS_KERNEL_H__ */
