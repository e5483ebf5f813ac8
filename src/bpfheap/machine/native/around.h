/* Calls that ask the kernel around programs: the current task, and addresses that may lead nowhere. */
#ifndef BPFHEAP_AROUND_H
#define BPFHEAP_AROUND_H

#include "place.h"

uint64_t bpf_get_current_pid_tgid(struct bh_run *run, const uint64_t *r);
uint64_t bpf_get_current_uid_gid(struct bh_run *run, const uint64_t *r);
uint64_t bpf_get_current_comm(struct bh_run *run, const uint64_t *r);
uint64_t bpf_get_current_task(struct bh_run *run, const uint64_t *r);
uint64_t bpf_probe_read(struct bh_run *run, const uint64_t *r);
uint64_t bpf_probe_read_str(struct bh_run *run, const uint64_t *r);
uint64_t bpf_probe_read_kernel(struct bh_run *run, const uint64_t *r);
uint64_t bpf_probe_read_kernel_str(struct bh_run *run, const uint64_t *r);
uint64_t bpf_probe_read_user(struct bh_run *run, const uint64_t *r);
uint64_t bpf_probe_read_user_str(struct bh_run *run, const uint64_t *r);
uint64_t bpf_copy_from_user(struct bh_run *run, const uint64_t *r);

#endif
