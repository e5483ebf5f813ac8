/* Packets of xdp and tc programs, and the calls that change them. */
#ifndef BPFHEAP_PACKET_H
#define BPFHEAP_PACKET_H

#include "record.h"

/* Let the context lead to the packet. */
void bh_packet_show(struct bh_run *run);
/* What an instruction for packet access of classic BPF loads; -1 where the packet has no such bytes, or where the run
 * is over. */
int64_t bh_packet_load(struct bh_run *run, int32_t at, uint32_t size);
uint64_t bpf_skb_load_bytes(struct bh_run *run, const uint64_t *r);
uint64_t bpf_skb_store_bytes(struct bh_run *run, const uint64_t *r);
uint64_t bpf_skb_pull_data(struct bh_run *run, const uint64_t *r);
uint64_t bpf_xdp_adjust_head(struct bh_run *run, const uint64_t *r);
uint64_t bpf_xdp_adjust_meta(struct bh_run *run, const uint64_t *r);
uint64_t bpf_xdp_adjust_tail(struct bh_run *run, const uint64_t *r);

#endif
