"""What is known of the places that programs are attached to, beyond the types of their arguments.

Sources, all of Linux 6.18: raw_tp_null_args in kernel/bpf/btf.c; the struct bpf_iter_reg of each
iterator; sleepable_lsm_hooks, untrusted_lsm_hooks, bpf_lsm_disabled_hooks and bool_lsm_hooks in
kernel/bpf/bpf_lsm.c.
"""

from __future__ import annotations

from enum import StrEnum


class Given(StrEnum):
    """What an argument of an iterator's program is, where its type does not say it."""

    OR_NULL = "or-null"  # an object, as if it had been found by walking; NULL at the end
    TRUSTED_OR_NULL = "trusted-or-null"
    BUFFER_OR_NULL = "buffer-or-null"  # memory of a map's value
    READONLY_OR_NULL = "readonly-or-null"  # memory of a map's key


#: Iterators over sockets whose options their programs may get and set (bpf_iter_tcp_get_func_proto,
#: bpf_iter_unix_get_func_proto), and hooks (bpf_lsm_locked_sockopt_hooks and the unlocked ones).
SOCKOPT_ITERATORS = frozenset({"tcp", "unix"})
SOCKOPT_HOOKS = frozenset({
    "inet_conn_established", "inet_csk_clone", "sock_graft", "socket_post_create",
    "socket_socketpair",
})  # fmt: skip

#: By iterator and argument.
ITERATORS: dict[str, dict[str, Given]] = {
    "bpf_link": {"link": Given.OR_NULL},
    "bpf_map": {"map": Given.TRUSTED_OR_NULL},
    "bpf_map_elem": {"key": Given.READONLY_OR_NULL, "value": Given.BUFFER_OR_NULL},
    "bpf_prog": {"prog": Given.OR_NULL},
    "bpf_sk_storage_map": {"sk": Given.OR_NULL, "value": Given.BUFFER_OR_NULL},
    "cgroup": {"cgroup": Given.TRUSTED_OR_NULL},
    "dmabuf": {"dmabuf": Given.OR_NULL},
    "ipv6_route": {"rt": Given.OR_NULL},
    "kmem_cache": {"s": Given.TRUSTED_OR_NULL},
    "ksym": {"ksym": Given.OR_NULL},
    "netlink": {"sk": Given.OR_NULL},
    "sockmap": {"key": Given.READONLY_OR_NULL, "sk": Given.OR_NULL},
    "task": {"task": Given.TRUSTED_OR_NULL},
    "task_file": {"task": Given.OR_NULL, "file": Given.OR_NULL},
    "task_vma": {"task": Given.OR_NULL, "vma": Given.OR_NULL},
    "tcp": {"sk_common": Given.TRUSTED_OR_NULL},
    "udp": {"udp_sk": Given.TRUSTED_OR_NULL},
    "unix": {"unix_sk": Given.OR_NULL},
}

#: What iterators' programs are called in, where that must not sleep, as in Call.holds. Whose
#: elements bpf_map_elem goes through, the program does not say: of a hash map it does it in an RCU
#: section (bpf_hash_map_seq_find).
ITERATORS_HOLD: dict[str, str] = {
    "bpf_map_elem": "rcu_read_lock",
    "bpf_sk_storage_map": "rcu_read_lock",
    "ipv6_route": "rcu_read_lock",
    "netlink": "rcu_read_lock",
    "sockmap": "rcu_read_lock",
    "task_vma": "mmap_lock",
}
#: The same of hooks where Linux lets programs sleep: a program is freed in a callback of RCU
#: (__bpf_prog_put_rcu), and what labels are written in is, for netlink, while packets come in.
HOOKS_HOLD: dict[str, str] = {"bpf_prog_free": "softirq", "release_secctx": "softirq"}
#: Arguments of hooks, counted from 1, that may be NULL, where their names do not say it: there is
#: no token, no file behind memory, no process that sends a signal.
NULL_IN_HOOKS: dict[str, tuple[int, ...]] = {
    "bpf_map_create": (3,),
    "bpf_prog_load": (3,),
    "inode_init_security_anon": (3,),
    "mmap_file": (1,),
    "quotactl": (4,),
    "socket_getpeersec_dgram": (2,),
    "task_kill": (2, 4),
}

#: Arguments of tracepoints, counted from 1, that may be NULL; those below 0 may be an error.
_TRACEPOINTS: tuple[tuple[tuple[int, ...], str], ...] = (
    ((1,), """
        afs_protocol_error cachefiles_unlink cachefiles_prep_read cachefiles_mark_active
        cachefiles_mark_failed cachefiles_mark_inactive cachefiles_vfs_error cachefiles_io_error
        cachefiles_ondemand_open cachefiles_ondemand_copen cachefiles_ondemand_close
        cachefiles_ondemand_read cachefiles_ondemand_cread cachefiles_ondemand_fd_write
        cachefiles_ondemand_fd_release mm_collapse_huge_page_isolate mm_page_alloc
        mm_page_pcpu_drain mm_page_alloc_zone_locked netfs_failure rxrpc_recvdata
        xs_stream_read_data tmigr_update_events amdgpu_vm_bo_map amdgpu_vm_bo_unmap netfs_folioq
        xfs_defer_create_intent xfs_defer_cancel_list xfs_defer_pending_finish
        xfs_defer_pending_abort xfs_defer_relog_intent xfs_defer_isolate_paused
        xfs_defer_item_pause xfs_defer_item_unpause xfs_defer_add_item xfs_defer_cancel_item
        xfs_defer_finish_item xfs_inodegc_flush xfs_inodegc_push xfs_inodegc_start
        xfs_inodegc_stop xfs_inodegc_queue xfs_inodegc_throttle xfs_fs_sync_fs xfs_blockgc_start
        xfs_blockgc_stop xfs_blockgc_worker xfs_blockgc_flush_all xchk_nlinks_live_update
        nfsd_dirent nfsd_file_insert_err nfs4_setup_sequence
    """),
    ((2,), """
        sched_pi_setprio afs_make_fs_call afs_make_fs_calli afs_make_fs_call1 afs_make_fs_call2
        afs_flock_ev ext4_mballoc_discard ext4_mballoc_free posix_lock_inode fcntl_setlk
        locks_remove_posix flock_lock_inode break_lease_noblock break_lease_block
        break_lease_unblock generic_delete_lease time_out_leases mm_khugepaged_scan_pmd
        mm_khugepaged_scan_file mm_khugepaged_collapse_file device_pm_callback_start rxrpc_resend
        rxrpc_tq rxrpc_client xprt_reserve_cong xprt_release_cong xprt_get_cong xprt_put_cong
        writeback_dirty_folio folio_wait_writeback xfs_ioc_free_eofblocks xfs_blockgc_free_space
        rdev_set_coalesce wiphy_work_queue wiphy_work_run wiphy_work_cancel wiphy_work_flush
        hugetlbfs_alloc_inode neigh_update coda_dec_pic_run coda_dec_pic_done spufs_context
    """),
    ((3,), """
        sched_stick_numa sched_swap_numa fib_table_lookup tcp_sendmsg_locked tegra_dma_tx_status
        xfs_btree_updkeys xfs_btree_overlapped_query_range xchk_metapath_lookup
        cfg80211_report_wowlan_wakeup cfg80211_inform_bss_frame kvm_page_fault_enter
        dpu_crtc_setup_mixer binder_transaction btree_path_free amdtp_packet
    """),
    ((4,), """
        qdisc_dequeue kfree_skb xfs_iomap_alloc xfs_iomap_found hfi1_sdma_progress
        iptfs_ingress_postq_event
    """),
    ((5,), """
        host1x_cdma_push_gather xfs_map_blocks_found xfs_map_blocks_alloc pnfs_update_layout
        pnfs_mds_fallback_pg_init_read pnfs_mds_fallback_pg_init_write
        pnfs_mds_fallback_pg_get_mirror_count pnfs_mds_fallback_read_done
        pnfs_mds_fallback_write_done pnfs_mds_fallback_read_pagelist
        pnfs_mds_fallback_write_pagelist cfg80211_michael_mic_failure
    """),
    ((1, 2), "tcp_send_reset cfg80211_scan_done"),
    ((1, 4), "nfsd_file_acquire"),
    ((1, -3), "cachefiles_lookup"),
    ((-3,), "nfs4_inode_callback_event nfs4_inode_stateid_callback_event"),
    ((-4,), "mr_integ_alloc"),
    # SEND_SIG_NOINFO and SEND_SIG_PRIV, which are no addresses; Linux does not say so.
    ((-2,), "signal_generate"),
    ((), "bpf_testmod_test_read"),
)  # fmt: skip

#: By tracepoint; of those of modules that are not named, any argument may be NULL.
TRACEPOINTS: dict[str, tuple[int, ...]] = {
    name: which for which, names in _TRACEPOINTS for name in names.split()
}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Hooks of security modules where programs may sleep.
SLEEPABLE_HOOKS = _names("""
    bpf bpf_map bpf_map_create bpf_map_free bpf_prog bpf_prog_load bpf_prog_free bpf_token_create
    bpf_token_free bpf_token_cmd bpf_token_capable bprm_check_security bprm_committed_creds
    bprm_committing_creds bprm_creds_for_exec bprm_creds_from_file capget capset cred_prepare
    file_ioctl file_lock file_open file_post_open file_receive inode_create
    inode_free_security inode_getattr inode_getxattr inode_mknod inode_need_killpriv
    inode_post_setxattr inode_post_removexattr inode_readlink inode_removexattr inode_rename
    inode_rmdir inode_setattr inode_setxattr inode_symlink inode_unlink kernel_module_request
    kernel_read_file kernfs_init_security mmap_file netlink_send path_chmod path_chown path_link
    path_mkdir path_notify path_rename path_rmdir path_symlink path_truncate path_unlink
    release_secctx sb_alloc_security sb_eat_lsm_opts sb_kern_mount sb_mount sb_remount
    sb_set_mnt_opts sb_show_options sb_statfs sb_umount settime socket_accept socket_bind
    socket_connect socket_create socket_getpeername socket_getpeersec_dgram socket_getsockname
    socket_getsockopt socket_listen socket_post_create socket_recvmsg socket_sendmsg
    socket_shutdown socket_socketpair syslog task_alloc task_prctl task_setscheduler
    userns_create
""")

#: Functions in which bpf_d_path may be called (btf_allowlist_d_path in kernel/trace/bpf_trace.c).
D_PATH = _names("""
    security_file_permission security_inode_getattr security_file_open security_path_truncate
    vfs_truncate vfs_fallocate dentry_open vfs_getattr filp_close
""")

#: Hooks whose arguments may be on their way out. Linux trusts a task that is not made yet, and is
#: freed if that fails, whoever has a reference (delayed_free_task).
UNTRUSTED_HOOKS = _names("""
    bpf_map_free bpf_prog_free file_alloc_security file_free_security sk_alloc_security
    sk_free_security task_alloc task_free
""")

#: Hooks that programs cannot be attached to.
DISABLED_HOOKS = _names("""
    vm_enough_memory inode_need_killpriv inode_getsecurity inode_listsecurity inode_copy_up_xattr
    getselfattr getprocattr setprocattr key_getsecurity audit_rule_match ismaclabel
""")

#: Functions that are called like hooks and are none.
NO_HOOKS = _names("find_cgroup_shim get_retval_range is_sleepable_hook is_trusted verify_prog")

#: Hooks that tell yes from no, and no errors.
BOOL_HOOKS = _names("xfrm_state_pol_flow_match audit_rule_known inode_xattr_skipcap")
