"""Kfuncs that the verifier judges as Linux does: by their prototype in the kernel's BTF, by how
their arguments are called, and by the flags with which Linux 6.18 registers them, which are here.
Those with facts of their own, such as what becomes of the program's objects, have a row in calls.py
instead.

Sources: the BTF_KFUNCS_START sets of Linux 6.18 and those who register them
(register_btf_kfunc_id_set).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto
from functools import cache

from bpfheap.platform.calls import (
    KFUNC_BY_NAME,
    Arg,
    Availability,
    Call,
    Course,
    Effect,
    Ret,
    Sees,
    SideEffect,
    left_out,
)
from bpfheap.platform.dynptrs import DynptrKind
from bpfheap.platform.programs import Offer, ProgramType


class KfuncFlag(Flag):
    """How a kfunc is registered (KF_ACQUIRE and others in include/linux/btf.h), and what the
    verifier does for it by name (special_kfunc_list)."""

    NONE = 0
    ACQUIRE = auto()
    RELEASE = auto()
    RET_NULL = auto()
    TRUSTED_ARGS = auto()
    RCU = auto()
    SLEEPABLE = auto()
    RCU_PROTECTED = auto()
    ITER_NEW = auto()
    ITER_NEXT = auto()
    ITER_DESTROY = auto()

    GIVES_CONTEXT = auto()  # the context as the kernel has it (get_kern_ctx_btf_id)
    GIVES_TYPE = auto()  # an untrusted object of the type whose id is a constant
    UNTRUSTED = auto()  # an untrusted object
    LOCKED = auto()  # may be called with a lock held (kfunc_spin_allowed)
    MOVES_PACKET = auto()  # is_kfunc_pkt_changing
    TASKS_OF_CGROUP = auto()  # check_css_task_iter_allowlist
    UNREACHABLE = auto()  # the compiler put it where a variable has no value
    BOUND = auto()  # for programs that user space binds to a device
    READS_SLICE = auto()  # gives memory of what a dynptr leads to, as long as a constant says
    WRITES_SLICE = auto()  # the same to write to
    CHANGES_MASK = auto()  # the first argument, which is a bpf_cpumask, not any struct cpumask


class Hook(Flag):
    """Types of programs as sets of kfuncs are registered for them (bpf_prog_type_to_kfunc_hook)."""

    NONE = 0
    XDP = auto()
    TC = auto()
    ACT = auto()
    STRUCT_OPS = auto()
    TRACING = auto()
    SYSCALL = auto()
    CGROUP = auto()
    SK_SKB = auto()
    SOCKET = auto()
    LWT = auto()
    NETFILTER = auto()
    KPROBE = auto()
    OTHER = auto()  # those without a set of their own
    ALL = (
        XDP | TC | ACT | STRUCT_OPS | TRACING | SYSCALL | CGROUP | SK_SKB | SOCKET | LWT
        | NETFILTER | KPROBE | OTHER
    )  # fmt: skip


#: By enum bpf_prog_type.
_HOOKS = {
    1: Hook.SOCKET, 2: Hook.KPROBE, 3: Hook.TC, 4: Hook.ACT, 5: Hook.TRACING, 6: Hook.XDP,
    7: Hook.TRACING, 8: Hook.CGROUP, 9: Hook.CGROUP, 10: Hook.LWT, 11: Hook.LWT, 12: Hook.LWT,
    13: Hook.CGROUP, 14: Hook.SK_SKB, 15: Hook.CGROUP, 18: Hook.CGROUP,
    19: Hook.LWT, 23: Hook.CGROUP, 25: Hook.CGROUP, 26: Hook.TRACING, 27: Hook.STRUCT_OPS,
    29: Hook.TRACING, 31: Hook.SYSCALL, 32: Hook.NETFILTER,
}  # fmt: skip


def hook_of(row: ProgramType) -> Hook:
    return _HOOKS.get(row.number, Hook.OTHER)


@dataclass(frozen=True, slots=True)
class Kfunc:
    """`hooks`: the programs that it is registered for, of which those of `only` may call it (the
    filter of struct btf_kfunc_id_set). `checks_null`: as in Call. `cpu`: the argument that is the
    number of a CPU, where the kfunc does not look whether there is such a one; 0 for none.
    `touched`: an argument that is memory with a size, and how many bytes of it are read or written
    whatever that is. `members`: of programs that are functions of the kernel's structs, those that
    may call it; none for all. `makes`: the kind of the dynptr that it sets up; None for none, and
    for a copy of another one. `writes`: the argument that is a dynptr, where what that leads to is
    written and a packet may be moved for it; 0 for none."""

    name: str
    flags: KfuncFlag
    hooks: Hook
    only: Offer = Offer.EVERY
    checks_null: tuple[int, ...] = ()
    cpu: int = 0
    touched: tuple[int, int] = (0, 0)
    members: frozenset[str] = frozenset()
    makes: DynptrKind | None = None
    writes: int = 0

    def has(self, row: ProgramType, member: str = "") -> bool:
        """May programs of that type call it, which are for that member?"""
        there = bool(self.hooks & hook_of(row)) and row.has(self.only)
        return there and (not self.members or member in self.members)


F, H, P = KfuncFlag, Hook, Offer

#: generic_kfunc_set
_GENERIC = H.TC | H.XDP | H.STRUCT_OPS | H.TRACING | H.SYSCALL | H.CGROUP
#: cpumask_kfunc_set
_CPUMASK = H.STRUCT_OPS | H.TRACING | H.SYSCALL
#: nf_conntrack_kfunc_set, nf_nat_bpf_kfunc_set
_CONNTRACK = H.TC | H.XDP
_MADE = F.ACQUIRE | F.RET_NULL
#: bpf_kfunc_set_skb
_SKB = H.TC | H.ACT | H.SK_SKB | H.SOCKET | H.CGROUP | H.LWT | H.NETFILTER | H.TRACING
_LSM = P.LSM | P.LSM_CGROUP


def has_generic(row: ProgramType) -> bool:
    """May programs of that type call what is registered for objects, lists and trees?"""
    return bool(_GENERIC & hook_of(row))


def _each(
    names: str,
    flags: KfuncFlag,
    hooks: Hook,
    only: Offer = P.EVERY,
    checks_null: tuple[int, ...] = (),
) -> tuple[Kfunc, ...]:
    return tuple(Kfunc(f"bpf_{name}", flags, hooks, only, checks_null) for name in names.split())


def _scx(
    names: str, flags: KfuncFlag = F.NONE, hooks: Hook = H.STRUCT_OPS | H.TRACING | H.SYSCALL
) -> tuple[Kfunc, ...]:
    return tuple(Kfunc(f"scx_bpf_{name}", flags, hooks) for name in names.split())


def _qdisc(name: str, *members: str, flags: KfuncFlag = F.TRUSTED_ARGS) -> Kfunc:
    """For those members of Qdisc_ops alone (bpf_qdisc_kfunc_filter)."""
    return Kfunc(name, flags, H.STRUCT_OPS, P.QDISC, members=frozenset(members))


def _iterator(name: str, new: KfuncFlag = F.NONE, other: KfuncFlag = F.NONE) -> tuple[Kfunc, ...]:
    return (
        Kfunc(f"bpf_iter_{name}_new", F.ITER_NEW | new, H.ALL),
        Kfunc(f"bpf_iter_{name}_next", F.ITER_NEXT | F.RET_NULL | other, H.ALL),
        Kfunc(f"bpf_iter_{name}_destroy", F.ITER_DESTROY | other, H.ALL),
    )


KFUNCS: tuple[Kfunc, ...] = (
    # common_btf_ids, for all programs.
    Kfunc("bpf_cast_to_kern_ctx", F.GIVES_CONTEXT, H.ALL),
    Kfunc("bpf_rdonly_cast", F.GIVES_TYPE, H.ALL),
    Kfunc("__bpf_trap", F.UNREACHABLE, H.ALL),
    *_iterator("task", F.TRUSTED_ARGS | F.RCU_PROTECTED),
    *_iterator("task_vma", F.RCU),
    *_iterator("css", F.TRUSTED_ARGS | F.RCU_PROTECTED),
    *_iterator("css_task", F.TRUSTED_ARGS | F.TASKS_OF_CGROUP),
    *_iterator("bits"),
    *_iterator("kmem_cache", F.SLEEPABLE, F.SLEEPABLE),
    *_iterator("dmabuf", F.SLEEPABLE, F.SLEEPABLE),
    *_each("copy_from_user_str copy_from_user_task_str", F.SLEEPABLE, H.ALL),
    Kfunc("bpf_get_kmem_cache", F.UNTRUSTED, H.ALL),
    *_each("strcmp strcasecmp strchr strchrnul strnchr strrchr strlen strnlen strspn strcspn "
           "strstr strnstr", F.NONE, H.ALL),
    Kfunc("bpf_stream_vprintk_impl", F.TRUSTED_ARGS | F.LOCKED, H.ALL),
    Kfunc("bpf_map_sum_elem_count", F.TRUSTED_ARGS, H.ALL),
    Kfunc("bpf_modify_return_test_tp", F.NONE, H.ALL),
    *_each("arena_alloc_pages arena_free_pages arena_reserve_pages",
           F.TRUSTED_ARGS | F.SLEEPABLE, H.ALL),
    # Of dynptrs.
    Kfunc("bpf_dynptr_slice", F.READS_SLICE | F.RET_NULL, H.ALL),
    Kfunc("bpf_dynptr_slice_rdwr", F.WRITES_SLICE | F.RET_NULL, H.ALL),
    *_each("dynptr_adjust dynptr_is_null dynptr_is_rdonly dynptr_size dynptr_clone", F.NONE, H.ALL),
    *(
        Kfunc(f"bpf_{name}", F.NONE, H.ALL, writes=1)
        for name in (
            "dynptr_copy", "dynptr_memset", "probe_read_user_dynptr", "probe_read_kernel_dynptr",
            "probe_read_user_str_dynptr", "probe_read_kernel_str_dynptr",
        )
    ),
    *(
        Kfunc(f"bpf_copy_from_user_{name}dynptr", F.SLEEPABLE | more, H.ALL, writes=1)
        for name, more in (
            ("", F.NONE), ("str_", F.NONE), ("task_", F.TRUSTED_ARGS),
            ("task_str_", F.TRUSTED_ARGS),
        )
    ),
    Kfunc("bpf_dynptr_from_skb", F.TRUSTED_ARGS, _SKB, makes=DynptrKind.SKB),
    Kfunc("bpf_dynptr_from_skb_meta", F.TRUSTED_ARGS, H.TC | H.ACT, makes=DynptrKind.SKB_META),
    Kfunc("bpf_dynptr_from_xdp", F.NONE, H.XDP, makes=DynptrKind.XDP),
    *_each("crypto_encrypt crypto_decrypt", F.RCU, H.TC | H.ACT | H.XDP),
    Kfunc("bpf_cgroup_read_xattr", F.RCU, H.ALL),
    *_each("get_file_xattr get_dentry_xattr set_dentry_xattr", F.SLEEPABLE | F.TRUSTED_ARGS,
           H.TRACING, _LSM),
    Kfunc("bpf_get_fsverity_digest", F.TRUSTED_ARGS, H.TRACING, _LSM),
    # generic_btf_ids
    Kfunc("bpf_verify_pkcs7_signature", F.SLEEPABLE, _GENERIC),
    *_each("task_acquire cgroup_acquire cgroup_ancestor task_get_cgroup1", _MADE | F.RCU, _GENERIC),
    *_each("task_from_pid task_from_vpid cgroup_from_id", _MADE, _GENERIC),
    *_each("task_release cgroup_release", F.RELEASE, _GENERIC),
    Kfunc("bpf_task_under_cgroup", F.RCU, _GENERIC),
    Kfunc("bpf_send_signal_task", F.TRUSTED_ARGS, _GENERIC),
    Kfunc("bpf_lookup_user_key", _MADE | F.SLEEPABLE, _GENERIC),
    Kfunc("bpf_lookup_system_key", _MADE, _GENERIC),
    Kfunc("bpf_key_put", F.RELEASE, _GENERIC),
    # cpumask_kfunc_btf_ids
    Kfunc("bpf_cpumask_create", _MADE, _CPUMASK),
    Kfunc("bpf_cpumask_release", F.RELEASE, _CPUMASK),
    Kfunc("bpf_cpumask_acquire", F.ACQUIRE | F.TRUSTED_ARGS, _CPUMASK),
    *_each("cpumask_first cpumask_first_zero cpumask_first_and cpumask_set_cpu cpumask_clear_cpu "
           "cpumask_test_cpu cpumask_test_and_set_cpu cpumask_test_and_clear_cpu cpumask_setall "
           "cpumask_clear cpumask_and cpumask_or cpumask_xor cpumask_equal cpumask_intersects "
           "cpumask_subset cpumask_empty cpumask_full cpumask_copy cpumask_any_distribute "
           "cpumask_any_and_distribute cpumask_weight", F.RCU, _CPUMASK),
    Kfunc("bpf_cpumask_populate", F.RCU | F.CHANGES_MASK, _CPUMASK),
    # bpf_fs_kfunc_set, with a filter
    Kfunc("bpf_get_task_exe_file", _MADE | F.TRUSTED_ARGS, H.TRACING, _LSM),
    Kfunc("bpf_put_file", F.RELEASE, H.TRACING, _LSM),
    Kfunc("bpf_path_d_path", F.TRUSTED_ARGS, H.TRACING, _LSM),
    Kfunc("bpf_remove_dentry_xattr", F.SLEEPABLE | F.TRUSTED_ARGS, H.TRACING,
          _LSM),
    # crypto_sleepable_kfunc_set
    Kfunc("bpf_crypto_ctx_create", _MADE | F.SLEEPABLE, H.SYSCALL, checks_null=(1,),
          touched=(1, 16)),
    Kfunc("bpf_crypto_ctx_acquire", _MADE | F.RCU, H.SYSCALL),
    Kfunc("bpf_crypto_ctx_release", F.RELEASE, H.SYSCALL),
    # What is wrong is written into the options, which may be too short for it.
    *(
        Kfunc(f"bpf_{name}", _MADE, _CONNTRACK, checks_null=(2, 4), touched=(4, 8))
        for name in ("skb_ct_alloc", "skb_ct_lookup", "xdp_ct_alloc", "xdp_ct_lookup")
    ),
    Kfunc("bpf_ct_insert_entry", _MADE | F.RELEASE, _CONNTRACK),
    Kfunc("bpf_ct_release", F.RELEASE, _CONNTRACK),
    *_each("ct_set_timeout ct_change_timeout ct_set_status ct_change_status ct_set_nat_info",
           F.TRUSTED_ARGS, _CONNTRACK),
    # bpf_xfrm_state_kfunc_set
    Kfunc("bpf_xdp_get_xfrm_state", _MADE, H.XDP),
    Kfunc("bpf_xdp_xfrm_state_release", F.RELEASE, H.XDP),
    *_each("skb_set_xfrm_info skb_get_xfrm_info", F.NONE, H.TC),
    # The sets of net/core/filter.c and net/core/xdp.c
    Kfunc("bpf_xdp_pull_data", F.MOVES_PACKET, H.XDP),
    *_each("xdp_metadata_rx_timestamp xdp_metadata_rx_hash xdp_metadata_rx_vlan_tag",
           F.TRUSTED_ARGS | F.BOUND, H.XDP),
    Kfunc("bpf_sk_assign_tcp_reqsk", F.TRUSTED_ARGS, H.TC),
    *_each("sock_addr_set_sun_path sock_ops_enable_tx_tstamp", F.TRUSTED_ARGS, H.CGROUP),
    Kfunc("bpf_sock_destroy", F.TRUSTED_ARGS, H.TRACING, P.ITER),
    Kfunc("bpf_skb_set_fou_encap", F.NONE, H.TC, checks_null=(2,)),
    Kfunc("bpf_skb_get_fou_encap", F.NONE, H.TC),
    # rstat of cgroups, and what Linux's own tests have
    Kfunc("css_rstat_updated", F.NONE, H.TRACING, cpu=2),
    Kfunc("css_rstat_flush", F.SLEEPABLE, H.TRACING),
    *_each("kfunc_call_test_release kfunc_call_memb_release", F.RELEASE,
           H.TC | H.TRACING | H.SYSCALL),
    *_each("fentry_test1 modify_return_test modify_return_test2", F.NONE, H.NONE),
    # The sets of kernel/sched/ext.c and ext_idle.c. From which functions of a scheduler they do
    # something is asked when they are called (scx_kf_allowed).
    *_scx("select_cpu_dfl select_cpu_and", F.RCU, H.STRUCT_OPS | H.SYSCALL),
    *_scx("dsq_insert dsq_insert_vtime dispatch dispatch_vtime", F.RCU, H.STRUCT_OPS),
    *_scx("dispatch_nr_slots dispatch_cancel dsq_move_to_local consume reenqueue_local", F.NONE,
          H.STRUCT_OPS),
    *_scx("create_dsq", F.SLEEPABLE, H.STRUCT_OPS | H.SYSCALL),
    *_scx("dsq_move_set_slice dsq_move_set_vtime dsq_move dsq_move_vtime "
          "dispatch_from_dsq_set_slice dispatch_from_dsq_set_vtime dispatch_from_dsq "
          "dispatch_vtime_from_dsq", F.RCU, H.STRUCT_OPS | H.SYSCALL),
    *_scx("kick_cpu dsq_nr_queued destroy_dsq cpuperf_cap cpuperf_cur cpuperf_set nr_node_ids "
          "nr_cpu_ids cpu_node test_and_clear_cpu_idle cpu_rq now events"),
    *_scx("exit_bstr error_bstr dump_bstr", F.TRUSTED_ARGS),
    *_scx("get_possible_cpumask get_online_cpumask get_idle_cpumask get_idle_cpumask_node "
          "get_idle_smtmask get_idle_smtmask_node", F.ACQUIRE),
    *_scx("put_cpumask put_idle_cpumask", F.RELEASE),
    *_scx("pick_idle_cpu pick_idle_cpu_node pick_any_cpu pick_any_cpu_node task_running task_cpu",
          F.RCU),
    *_scx("task_cgroup", F.RCU | F.ACQUIRE),
    *_scx("locked_rq", F.RET_NULL),
    # What schedulers ask for since, where it is there.
    *_scx("dsq_insert___v2", F.RCU, H.STRUCT_OPS),
    *_scx("dsq_move_to_local___v2", F.NONE, H.STRUCT_OPS),
    *_scx("dsq_peek", F.RET_NULL | F.RCU_PROTECTED),
    Kfunc("__scx_bpf_dsq_insert_vtime", F.RCU, H.STRUCT_OPS),
    Kfunc("__scx_bpf_select_cpu_and", F.RCU, H.STRUCT_OPS | H.SYSCALL),
    *_scx("cpu_curr", F.RET_NULL | F.RCU_PROTECTED),
    Kfunc("bpf_iter_scx_dsq_new", F.ITER_NEW | F.RCU_PROTECTED, _CPUMASK),
    Kfunc("bpf_iter_scx_dsq_next", F.ITER_NEXT | F.RET_NULL, _CPUMASK),
    Kfunc("bpf_iter_scx_dsq_destroy", F.ITER_DESTROY, _CPUMASK),
    # hid_bpf_kfunc_set and hid_bpf_syscall_kfunc_set
    Kfunc("hid_bpf_get_data", F.RET_NULL, H.STRUCT_OPS),
    Kfunc("hid_bpf_allocate_context", _MADE | F.SLEEPABLE, H.STRUCT_OPS | H.SYSCALL),
    Kfunc("hid_bpf_release_context", F.RELEASE | F.SLEEPABLE, H.STRUCT_OPS | H.SYSCALL),
    *(
        Kfunc(f"hid_bpf_{name}", F.SLEEPABLE, H.STRUCT_OPS | H.SYSCALL)
        for name in ("hw_request", "hw_output_report", "input_report")
    ),
    Kfunc("hid_bpf_try_input_report", F.NONE, H.STRUCT_OPS),
    # qdisc_kfunc_ids; two of them are for Linux alone.
    _qdisc("bpf_skb_get_hash"),
    _qdisc("bpf_kfree_skb", flags=F.RELEASE),
    _qdisc("bpf_qdisc_skb_drop", "enqueue", flags=F.RELEASE),
    _qdisc("bpf_qdisc_watchdog_schedule", "enqueue", "dequeue"),
    _qdisc("bpf_qdisc_bstats_update", "dequeue"),
    Kfunc("bpf_qdisc_init_prologue", F.TRUSTED_ARGS, H.NONE),
    Kfunc("bpf_qdisc_reset_destroy_epilogue", F.TRUSTED_ARGS, H.NONE),
    # What congestion control alone may call (bpf_tcp_ca_kfunc_set).
    *(
        Kfunc(name, F.NONE, H.STRUCT_OPS)
        for name in (
            "tcp_reno_ssthresh", "tcp_reno_cong_avoid", "tcp_reno_undo_cwnd", "tcp_slow_start",
            "tcp_cong_avoid_ai", "cubictcp_init", "cubictcp_recalc_ssthresh",
            "cubictcp_cong_avoid", "cubictcp_state", "cubictcp_cwnd_event", "cubictcp_acked",
            "bbr_init", "bbr_main", "bbr_sndbuf_expand", "bbr_undo_cwnd", "bbr_cwnd_event",
            "bbr_ssthresh", "bbr_min_tso_segs", "bbr_set_state", "dctcp_init",
            "dctcp_update_alpha", "dctcp_cwnd_event", "dctcp_ssthresh", "dctcp_cwnd_undo",
            "dctcp_state",
        )
    ),
)  # fmt: skip

BY_PROTOTYPE: dict[str, Kfunc] = {kfunc.name: kfunc for kfunc in KFUNCS}


#: What a kfunc without a row may be registered with, beyond what its prototype tells: all that asks
#: something of a program, or takes something from it. A program that may call it so may call it
#: however it is registered. (KF_RCU_PROTECTED is about what comes back, and goes with KF_RET_NULL.)
STRICTEST = F.TRUSTED_ARGS | F.SLEEPABLE | F.RET_NULL | F.MOVES_PACKET
#: As little as possible: a program that may not call it so is refused however it is registered.
LAXEST = F.LOCKED

#: Words in names that tell what no prototype does: who owns an object afterwards, or that a section
#: begins or ends there.
_OWNS = frozenset({
    "acquire", "close", "consume", "dealloc", "destroy", "detach", "discard", "drop", "free",
    "insert", "kfree", "new", "next", "put", "release", "submit", "unref",
})  # fmt: skip
_SECTIONS = frozenset({"disable", "enable", "lock", "restore", "save", "unlock"})


def named_for(name: str) -> str | None:
    """What the name of a kfunc says it does beyond its prototype, None for nothing."""
    words = set(name.split("_"))
    if words & _OWNS:
        return "by its name, it may change who owns an object"
    if words & _SECTIONS:
        return "by its name, it may begin or end a section"
    return None


@cache
def by_prototype(name: str, flags: KfuncFlag) -> Kfunc:
    """One without a row, as if it were registered with these flags, for all programs."""
    return Kfunc(name, flags, H.ALL, checks_null=(1, 2, 3, 4, 5) if flags is LAXEST else ())


@cache
def kfunc_row(name: str) -> Call | None:
    """The row of a kfunc, None if there is none: that of calls.py, or what a table of facts says of
    one whose arguments the kernel's BTF tells."""
    kfunc = BY_PROTOTYPE.get(name)
    if kfunc is None or left_out(None, name) is not None:
        return KFUNC_BY_NAME.get(name)
    return call_of(kfunc)


@cache
def call_of(kfunc: Kfunc) -> Call:
    """What such facts mean for a call."""
    flags = kfunc.flags
    side_effect = SideEffect.NOTHING
    for flag, effect in (
        (F.RELEASE, SideEffect.RELEASES),
        (F.ITER_NEW, SideEffect.BEGINS),
        (F.ITER_DESTROY, SideEffect.ENDS),
        (F.MOVES_PACKET, SideEffect.MOVES_PACKET),
    ):
        if flag in flags:
            side_effect = effect
    if kfunc.writes:
        side_effect = SideEffect.WRITES_DYNPTR
    return Call(
        kfunc.name, None, (Arg.PROTOTYPE,) * 5,
        Ret.ELEMENT_OR_NULL if F.ITER_NEXT in flags else Ret.PROTOTYPE,
        Effect.SHARED, Sees.CHANCE,
        Course.SLEEPS if F.SLEEPABLE in flags else Course.RETURNS,
        side_effect, Offer.EVERY, Availability.LINUX_GPL, locked=F.LOCKED in flags,
        checks_null=kfunc.checks_null,
    )  # fmt: skip
