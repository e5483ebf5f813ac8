"""What Linux 6.18 has, by name, and since when: enums of include/uapi/linux/bpf.h, and kfuncs, as
BTF of that kernel has them.

The tables of the other files here say what bpfheap knows of it. What has a name here and no row
there is not known, and no fault of a program; what has no name here, Linux refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

#: By the release that brought them: enum bpf_func_id, in order and without "bpf_"; no more are
#: added to it.
_HELPERS = {
    "3.19": "map_lookup_elem map_update_elem map_delete_elem",
    "4.1": """
        probe_read ktime_get_ns trace_printk get_prandom_u32 get_smp_processor_id skb_store_bytes
        l3_csum_replace l4_csum_replace
    """,
    "4.2": """
        tail_call clone_redirect get_current_pid_tgid get_current_uid_gid get_current_comm
    """,
    "4.3": """
        get_cgroup_classid skb_vlan_push skb_vlan_pop skb_get_tunnel_key skb_set_tunnel_key
        perf_event_read
    """,
    "4.4": "redirect get_route_realm perf_event_output",
    "4.5": "skb_load_bytes",
    "4.6": "get_stackid csum_diff skb_get_tunnel_opt skb_set_tunnel_opt",
    "4.8": """
        skb_change_proto skb_change_type skb_under_cgroup get_hash_recalc get_current_task
        probe_write_user
    """,
    "4.9": """
        current_task_under_cgroup skb_change_tail skb_pull_data csum_update set_hash_invalid
    """,
    "4.10": "get_numa_node_id skb_change_head xdp_adjust_head",
    "4.11": "probe_read_str",
    "4.12": "get_socket_cookie get_socket_uid",
    "4.13": "set_hash setsockopt skb_adjust_room",
    "4.14": "redirect_map sk_redirect_map sock_map_update",
    "4.15": "xdp_adjust_meta perf_event_read_value perf_prog_read_value getsockopt",
    "4.16": "override_return sock_ops_cb_flags_set",
    "4.17": "msg_redirect_map msg_apply_bytes msg_cork_bytes msg_pull_data bind",
    "4.18": """
        xdp_adjust_tail skb_get_xfrm_state get_stack skb_load_bytes_relative fib_lookup
        sock_hash_update msg_redirect_hash sk_redirect_hash lwt_push_encap lwt_seg6_store_bytes
        lwt_seg6_adjust_srh lwt_seg6_action rc_repeat rc_keydown skb_cgroup_id
        get_current_cgroup_id
    """,
    "4.19": "get_local_storage sk_select_reuseport skb_ancestor_cgroup_id",
    "4.20": """
        sk_lookup_tcp sk_lookup_udp sk_release map_push_elem map_pop_elem map_peek_elem
        msg_push_data
    """,
    "5.0": "msg_pop_data rc_pointer_rel",
    "5.1": "spin_lock spin_unlock sk_fullsock tcp_sock skb_ecn_set_ce get_listener_sock",
    "5.2": """
        skc_lookup_tcp tcp_check_syncookie sysctl_get_name sysctl_get_current_value
        sysctl_get_new_value sysctl_set_new_value strtol strtoul sk_storage_get sk_storage_delete
    """,
    "5.3": "send_signal",
    "5.4": "tcp_gen_syncookie",
    "5.5": """
        skb_output probe_read_user probe_read_kernel probe_read_user_str probe_read_kernel_str
    """,
    "5.6": "tcp_send_ack send_signal_thread jiffies64",
    "5.7": """
        read_branch_records get_ns_current_pid_tgid xdp_output get_netns_cookie
        get_current_ancestor_cgroup_id sk_assign
    """,
    "5.8": """
        ktime_get_boot_ns seq_printf seq_write sk_cgroup_id sk_ancestor_cgroup_id ringbuf_output
        ringbuf_reserve ringbuf_submit ringbuf_discard ringbuf_query csum_level
    """,
    "5.9": """
        skc_to_tcp6_sock skc_to_tcp_sock skc_to_tcp_timewait_sock skc_to_tcp_request_sock
        skc_to_udp6_sock get_task_stack
    """,
    "5.10": """
        load_hdr_opt store_hdr_opt reserve_hdr_opt inode_storage_get inode_storage_delete d_path
        copy_from_user snprintf_btf seq_printf_btf skb_cgroup_classid redirect_neigh per_cpu_ptr
        this_cpu_ptr redirect_peer
    """,
    "5.11": """
        task_storage_get task_storage_delete get_current_task_btf bprm_opts_set
        ktime_get_coarse_ns ima_inode_hash sock_from_file
    """,
    "5.12": "check_mtu",
    "5.13": "for_each_map_elem snprintf",
    "5.14": "sys_bpf btf_find_by_name_kind sys_close",
    "5.15": """
        timer_init timer_set_callback timer_start timer_cancel get_func_ip get_attach_cookie
        task_pt_regs
    """,
    "5.16": "get_branch_snapshot trace_vprintk skc_to_unix_sock kallsyms_lookup_name",
    "5.17": "find_vma loop strncmp get_func_arg get_func_ret get_func_arg_cnt",
    "5.18": """
        get_retval set_retval xdp_get_buff_len xdp_load_bytes xdp_store_bytes copy_from_user_task
        skb_set_tstamp ima_file_hash
    """,
    "5.19": """
        kptr_xchg map_lookup_percpu_elem skc_to_mptcp_sock dynptr_from_mem ringbuf_reserve_dynptr
        ringbuf_submit_dynptr ringbuf_discard_dynptr dynptr_read dynptr_write dynptr_data
    """,
    "6.0": """
        tcp_raw_gen_syncookie_ipv4 tcp_raw_gen_syncookie_ipv6 tcp_raw_check_syncookie_ipv4
        tcp_raw_check_syncookie_ipv6
    """,
    "6.1": "ktime_get_tai_ns user_ringbuf_drain",
    "6.2": "cgrp_storage_get cgrp_storage_delete",
}

#: enum bpf_map_type, in order and without "BPF_MAP_TYPE_".
_MAP_TYPES = {
    "3.19": "HASH ARRAY",
    "4.2": "PROG_ARRAY",
    "4.3": "PERF_EVENT_ARRAY",
    "4.6": "PERCPU_HASH PERCPU_ARRAY STACK_TRACE",
    "4.8": "CGROUP_ARRAY",
    "4.10": "LRU_HASH LRU_PERCPU_HASH",
    "4.11": "LPM_TRIE",
    "4.12": "ARRAY_OF_MAPS HASH_OF_MAPS",
    "4.14": "DEVMAP SOCKMAP",
    "4.15": "CPUMAP",
    "4.18": "XSKMAP SOCKHASH",
    "4.19": "CGROUP_STORAGE REUSEPORT_SOCKARRAY",
    "4.20": "PERCPU_CGROUP_STORAGE QUEUE STACK",
    "5.2": "SK_STORAGE",
    "5.4": "DEVMAP_HASH",
    "5.6": "STRUCT_OPS",
    "5.8": "RINGBUF",
    "5.10": "INODE_STORAGE",
    "5.11": "TASK_STORAGE",
    "5.16": "BLOOM_FILTER",
    "6.1": "USER_RINGBUF",
    "6.2": "CGRP_STORAGE",
    "6.9": "ARENA",
}

#: Kfuncs. A program of an earlier release of Linux sees no such function.
_KFUNCS = {
    "5.13": """
        bbr_cwnd_event bbr_init bbr_main bbr_min_tso_segs bbr_set_state bbr_sndbuf_expand
        bbr_ssthresh bbr_undo_cwnd cubictcp_acked cubictcp_cong_avoid cubictcp_cwnd_event
        cubictcp_init cubictcp_recalc_ssthresh cubictcp_state dctcp_cwnd_event dctcp_cwnd_undo
        dctcp_init dctcp_ssthresh dctcp_state dctcp_update_alpha tcp_cong_avoid_ai
        tcp_reno_cong_avoid tcp_reno_ssthresh tcp_reno_undo_cwnd tcp_slow_start
    """,
    "5.18": "bpf_ct_release bpf_skb_ct_lookup bpf_xdp_ct_lookup",
    "6.0": """
        bpf_ct_change_status bpf_ct_change_timeout bpf_ct_insert_entry bpf_ct_set_status
        bpf_ct_set_timeout bpf_skb_ct_alloc bpf_xdp_ct_alloc
    """,
    "6.1": """
        bpf_ct_set_nat_info bpf_key_put bpf_lookup_system_key bpf_lookup_user_key
        bpf_verify_pkcs7_signature cgroup_rstat_flush cgroup_rstat_updated crash_kexec
    """,
    "6.2": """
        bpf_cast_to_kern_ctx bpf_cgroup_acquire bpf_cgroup_ancestor bpf_cgroup_release
        bpf_list_pop_back bpf_list_pop_front bpf_obj_drop_impl bpf_obj_new_impl bpf_rcu_read_lock
        bpf_rcu_read_unlock bpf_rdonly_cast bpf_skb_get_xfrm_info bpf_skb_set_xfrm_info
        bpf_task_acquire bpf_task_from_pid bpf_task_release
    """,
    "6.3": """
        bpf_cpumask_acquire bpf_cpumask_and bpf_cpumask_clear bpf_cpumask_clear_cpu
        bpf_cpumask_copy bpf_cpumask_create bpf_cpumask_empty bpf_cpumask_equal bpf_cpumask_first
        bpf_cpumask_first_zero bpf_cpumask_full bpf_cpumask_intersects bpf_cpumask_or
        bpf_cpumask_release bpf_cpumask_set_cpu bpf_cpumask_setall bpf_cpumask_subset
        bpf_cpumask_test_and_clear_cpu bpf_cpumask_test_and_set_cpu bpf_cpumask_test_cpu
        bpf_cpumask_xor bpf_rbtree_first bpf_rbtree_remove bpf_xdp_metadata_rx_hash
        bpf_xdp_metadata_rx_timestamp hid_bpf_allocate_context hid_bpf_attach_prog
        hid_bpf_get_data hid_bpf_hw_request hid_bpf_release_context
    """,
    "6.4": """
        bpf_cgroup_from_id bpf_dynptr_from_skb bpf_dynptr_from_xdp bpf_dynptr_slice
        bpf_dynptr_slice_rdwr bpf_iter_num_destroy bpf_iter_num_new bpf_iter_num_next
        bpf_list_push_back_impl bpf_list_push_front_impl bpf_rbtree_add_impl
        bpf_refcount_acquire_impl bpf_skb_get_fou_encap bpf_skb_set_fou_encap
    """,
    "6.5": """
        bpf_cpumask_any_and_distribute bpf_cpumask_any_distribute bpf_cpumask_first_and
        bpf_dynptr_adjust bpf_dynptr_clone bpf_dynptr_is_null bpf_dynptr_is_rdonly bpf_dynptr_size
        bpf_sock_destroy bpf_task_under_cgroup
    """,
    "6.6": "bpf_map_sum_elem_count",
    "6.7": """
        bpf_iter_css_destroy bpf_iter_css_new bpf_iter_css_next bpf_iter_css_task_destroy
        bpf_iter_css_task_new bpf_iter_css_task_next bpf_iter_task_destroy bpf_iter_task_new
        bpf_iter_task_next bpf_iter_task_vma_destroy bpf_iter_task_vma_new bpf_iter_task_vma_next
        bpf_percpu_obj_drop_impl bpf_percpu_obj_new_impl bpf_sock_addr_set_sun_path bpf_throw
    """,
    "6.8": """
        bpf_cpumask_weight bpf_get_file_xattr bpf_get_fsverity_digest bpf_task_get_cgroup1
        bpf_xdp_get_xfrm_state bpf_xdp_metadata_rx_vlan_tag bpf_xdp_xfrm_state_release
    """,
    "6.9": "bpf_arena_alloc_pages bpf_arena_free_pages",
    "6.10": """
        bpf_crypto_ctx_acquire bpf_crypto_ctx_create bpf_crypto_ctx_release bpf_crypto_decrypt
        bpf_crypto_encrypt bpf_preempt_disable bpf_preempt_enable bpf_session_cookie
        bpf_session_is_return bpf_wq_init bpf_wq_set_callback_impl bpf_wq_start
        hid_bpf_hw_output_report hid_bpf_input_report
    """,
    "6.11": """
        bpf_iter_bits_destroy bpf_iter_bits_new bpf_iter_bits_next bpf_sk_assign_tcp_reqsk
        bpf_xdp_flow_lookup hid_bpf_try_input_report
    """,
    "6.12": """
        bpf_copy_from_user_str bpf_get_dentry_xattr bpf_get_task_exe_file bpf_iter_scx_dsq_destroy
        bpf_iter_scx_dsq_new bpf_iter_scx_dsq_next bpf_path_d_path bpf_put_file scx_bpf_consume
        scx_bpf_cpu_rq scx_bpf_cpuperf_cap scx_bpf_cpuperf_cur scx_bpf_cpuperf_set
        scx_bpf_create_dsq scx_bpf_destroy_dsq scx_bpf_dispatch scx_bpf_dispatch_cancel
        scx_bpf_dispatch_from_dsq scx_bpf_dispatch_from_dsq_set_slice
        scx_bpf_dispatch_from_dsq_set_vtime scx_bpf_dispatch_nr_slots scx_bpf_dispatch_vtime
        scx_bpf_dispatch_vtime_from_dsq scx_bpf_dsq_nr_queued scx_bpf_dump_bstr scx_bpf_error_bstr
        scx_bpf_exit_bstr scx_bpf_get_idle_cpumask scx_bpf_get_idle_smtmask
        scx_bpf_get_online_cpumask scx_bpf_get_possible_cpumask scx_bpf_kick_cpu
        scx_bpf_nr_cpu_ids scx_bpf_pick_any_cpu scx_bpf_pick_idle_cpu scx_bpf_put_cpumask
        scx_bpf_put_idle_cpumask scx_bpf_reenqueue_local scx_bpf_select_cpu_dfl
        scx_bpf_task_cgroup scx_bpf_task_cpu scx_bpf_task_running scx_bpf_task_set_dsq_vtime
        scx_bpf_task_set_slice scx_bpf_test_and_clear_cpu_idle
    """,
    "6.13": """
        bpf_get_kmem_cache bpf_iter_kmem_cache_destroy bpf_iter_kmem_cache_new
        bpf_iter_kmem_cache_next bpf_send_signal_task bpf_task_from_vpid scx_bpf_dsq_insert
        scx_bpf_dsq_insert_vtime scx_bpf_dsq_move scx_bpf_dsq_move_set_slice
        scx_bpf_dsq_move_set_vtime scx_bpf_dsq_move_to_local scx_bpf_dsq_move_vtime
    """,
    "6.14": "bpf_local_irq_restore bpf_local_irq_save scx_bpf_now",
    "6.15": """
        bpf_copy_from_user_task_str bpf_cpumask_populate bpf_dynptr_copy bpf_remove_dentry_xattr
        bpf_res_spin_lock bpf_res_spin_lock_irqsave bpf_res_spin_unlock
        bpf_res_spin_unlock_irqrestore bpf_set_dentry_xattr bpf_sock_ops_enable_tx_tstamp
        scx_bpf_cpu_node scx_bpf_events scx_bpf_get_idle_cpumask_node
        scx_bpf_get_idle_smtmask_node scx_bpf_nr_node_ids scx_bpf_pick_any_cpu_node
        scx_bpf_pick_idle_cpu_node
    """,
    "6.16": """
        __bpf_trap bpf_copy_from_user_dynptr bpf_copy_from_user_str_dynptr
        bpf_copy_from_user_task_dynptr bpf_copy_from_user_task_str_dynptr bpf_iter_dmabuf_destroy
        bpf_iter_dmabuf_new bpf_iter_dmabuf_next bpf_kfree_skb bpf_list_back bpf_list_front
        bpf_probe_read_kernel_dynptr bpf_probe_read_kernel_str_dynptr bpf_probe_read_user_dynptr
        bpf_probe_read_user_str_dynptr bpf_qdisc_bstats_update bpf_qdisc_init_prologue
        bpf_qdisc_reset_destroy_epilogue bpf_qdisc_skb_drop bpf_qdisc_watchdog_schedule
        bpf_rbtree_left bpf_rbtree_right bpf_rbtree_root bpf_skb_get_hash css_rstat_flush
        css_rstat_updated scx_bpf_select_cpu_and
    """,
    "6.17": """
        bpf_arena_reserve_pages bpf_cgroup_read_xattr bpf_dynptr_memset bpf_strchr bpf_strchrnul
        bpf_strcmp bpf_strcspn bpf_stream_vprintk_impl bpf_strlen bpf_strnchr bpf_strnlen
        bpf_strnstr bpf_strrchr bpf_strspn bpf_strstr
    """,
    "6.18": """
        bpf_dynptr_from_skb_meta bpf_strcasecmp bpf_task_work_schedule_resume_impl
        bpf_task_work_schedule_signal_impl bpf_xdp_pull_data scx_bpf_cpu_curr scx_bpf_locked_rq
    """,
}

#: The first value of enum bpf_prog_type that each release brought.
_PROGRAM_TYPES = {
    "3.19": 1, "4.1": 2, "4.7": 5, "4.8": 6, "4.9": 7, "4.10": 8, "4.13": 13, "4.14": 14,
    "4.15": 15, "4.17": 16, "4.18": 19, "4.19": 21, "4.20": 22, "5.2": 23, "5.3": 25, "5.5": 26,
    "5.6": 27, "5.7": 29, "5.9": 30, "5.14": 31, "6.4": 32,
}  # fmt: skip
#: The same of enum bpf_attach_type.
_ATTACH_TYPES = {
    "4.10": 0, "4.13": 3, "4.14": 4, "4.15": 6, "4.17": 7, "4.18": 14, "4.20": 17, "5.2": 18,
    "5.3": 21, "5.5": 23, "5.7": 26, "5.8": 28, "5.9": 34, "5.13": 38, "5.14": 39, "5.15": 41,
    "5.18": 42, "6.0": 43, "6.4": 44, "6.6": 46, "6.7": 49, "6.10": 56, "6.13": 57,
}  # fmt: skip

Release = tuple[int, int]
#: The release that all else here is about.
NEWEST: Release = (6, 18)


def release_of(text: str) -> Release:
    """ "6.1" as (6, 1), and "v6.1.57-cloud-amd64", too. Raises ValueError for what is none."""
    found = re.match(r"v?(\d{1,3})\.(\d{1,4})(?![\w])", text)
    if found is None:
        raise ValueError(f"{text} is no release of Linux")
    return int(found[1]), int(found[2])


def shown(release: Release) -> str:
    """ "6.1" of (6, 1)."""
    return f"{release[0]}.{release[1]}"


def _each(grouped: Mapping[str, str]) -> Iterator[tuple[str, Release]]:
    for release, names in grouped.items():
        for name in names.split():
            yield name, release_of(release)


def _first(firsts: Mapping[str, int], number: int) -> Release:
    return max(release_of(release) for release, first in firsts.items() if first <= number)


#: Helpers by number.
HELPER_NAMES: dict[int, str] = {0: "bpf_unspec"} | {
    n: f"bpf_{name}" for n, (name, _) in enumerate(_each(_HELPERS), 1)
}
#: Map types by number, as C writes them behind BPF_MAP_TYPE_.
MAP_TYPE_NAMES: dict[int, str] = {n: name for n, (name, _) in enumerate(_each(_MAP_TYPES), 1)}

_HELPER_SINCE = {n: since for n, (_, since) in enumerate(_each(_HELPERS), 1)}
_MAP_TYPE_SINCE = {n: since for n, (_, since) in enumerate(_each(_MAP_TYPES), 1)}
#: Of each kfunc the release that brought it.
KFUNCS_SINCE: Mapping[str, Release] = dict(_each(_KFUNCS))


def helper_since(number: int) -> Release | None:
    """The release that brought a helper, None if there is none of that number."""
    return _HELPER_SINCE.get(number)


def kfunc_since(name: str) -> Release | None:
    """The release that brought a kfunc; None of one that is not known."""
    return KFUNCS_SINCE.get(name)


def map_type_since(number: int) -> Release | None:
    return _MAP_TYPE_SINCE.get(number)


def program_type_since(number: int) -> Release:
    """By enum bpf_prog_type, from 1."""
    return _first(_PROGRAM_TYPES, number)


def attach_type_since(number: int) -> Release:
    """By enum bpf_attach_type."""
    return _first(_ATTACH_TYPES, number)
