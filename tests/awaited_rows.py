"""Calls that the verifier knows and the model machine does not yet."""

AWAITED = frozenset(
    {
        "bpf_copy_from_user",
        "bpf_iter_num_destroy",
        "bpf_iter_num_new",
        "bpf_iter_num_next",
        "bpf_jiffies64",
        "bpf_rcu_read_lock",
        "bpf_rcu_read_unlock",
        "bpf_ringbuf_discard",
        "bpf_ringbuf_query",
        "bpf_ringbuf_reserve",
        "bpf_ringbuf_submit",
        "bpf_skb_load_bytes",
        "bpf_skb_pull_data",
        "bpf_skb_store_bytes",
        "bpf_tail_call",
        "bpf_xdp_adjust_head",
        "bpf_xdp_adjust_meta",
        "bpf_xdp_adjust_tail",
    }
)
