"""Helpers and kfuncs: one row each. The verifier checks calls against the row, a machine looks
its implementation up by the row's name, the C header is tested against it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Arg(StrEnum):
    """What an argument must be (enum bpf_arg_type, and the kfunc argument kinds)."""

    ANYTHING = "anything"  # any initialised register
    SCALAR = "scalar"
    CONST_SIZE = "const-size"  # length of the memory in the argument before; not 0
    CONST_SIZE_OR_ZERO = "const-size-or-zero"
    MAP = "map"  # ARG_CONST_MAP_PTR
    MAP_KEY = "map-key"  # readable, key_size bytes
    MAP_VALUE = "map-value"  # readable, value_size bytes
    MEM = "mem"  # readable, as long as the next argument says
    MEM_OR_NULL = "mem-or-null"
    UNINIT_MEM = "uninit-mem"  # writable, need not be initialised
    CTX = "ctx"
    ALLOC_SIZE = "alloc-size"  # ARG_CONST_ALLOC_SIZE_OR_ZERO: a known constant, the result's size
    RECORD = "record"  # a reserved ring buffer record, at its start; goes
    KPTR_FIELD = "kptr-field"  # address of a kptr field in a map value or an object
    OWNED_OR_NULL = "owned-or-null"  # an object that the program owns, or NULL; ownership goes
    OWNED = "owned"  # an object that the program owns; ownership goes
    ALLOCATOR = "allocator"  # a map of type allocator
    OWNED_PERCPU = "owned-percpu"  # as OWNED, for what bpf_percpu_obj_new gave
    PERCPU = "percpu"  # a per-CPU object, owned or under RCU
    COUNTED = "counted"  # an object with a bpf_refcount, owned or in a list or tree
    SPIN_LOCK = "spin-lock"  # address of a bpf_spin_lock in a map value, global or object
    LIST_HEAD = "list-head"  # address of a bpf_list_head, whose lock is held
    LIST_NODE = "list-node"  # address of an owned object's bpf_list_node; ownership goes
    RB_ROOT = "rb-root"
    RB_NODE = "rb-node"  # address of an owned object's bpf_rb_node; ownership goes
    RB_MEMBER = "rb-member"  # address of the bpf_rb_node of an object that is in the tree
    LESS = "less"  # address of a subprogram that compares two nodes
    ITER_NEW = "iter-new"  # stack for a bpf_iter_num, uninitialised
    ITER = "iter"  # a bpf_iter_num in progress
    TYPE_ID = "type-id"  # a constant: id of a struct in the program's own BTF
    CALLBACK = "callback"  # address of a subprogram
    CALLBACK_CTX = "callback-ctx"  # pointer to stack, or NULL
    UNCHECKED = "unchecked"  # need not even be initialised, as what a format may not ask for
    UNUSED = "unused"  # filled in by the kernel's loader; any value


class Ret(StrEnum):
    """What r0 is after the call."""

    INTEGER = "integer"
    CPU = "cpu"  # the number of a CPU
    VOID = "void"
    MAP_VALUE_OR_NULL = "map-value-or-null"
    KPTR_OR_NULL = "kptr-or-null"  # what was in the field; owned by the program
    NEW_OR_NULL = "new-or-null"  # a fresh object of the type named; owned by the program
    PERCPU_NEW_OR_NULL = "percpu-new-or-null"  # one such object for each CPU
    PERCPU_MEMBER = "percpu-member"  # this CPU's copy, which the program does not own
    PERCPU_MEMBER_OR_NULL = "percpu-member-or-null"  # a given CPU's copy; NULL if there is none
    SHARED_OR_NULL = "shared-or-null"  # the counted object, owned once more; NULL never if it was
    RECORD_OR_NULL = "record-or-null"  # ring buffer memory of ALLOC_SIZE bytes; owned
    NODE_OR_NULL = "node-or-null"  # an object taken out of a list or tree; owned
    PEEK_OR_NULL = "peek-or-null"  # an object that stays in its list or tree; not owned
    ELEMENT_OR_NULL = "element-or-null"  # the iterator's int, NULL at the end


@dataclass(frozen=True, slots=True)
class Call:
    """A helper (`number` is its id) or a kfunc (`number` is None).

    `map_ops` are the operation names (MapType.ops) that the map argument's type must offer.
    `callback`: calls a subprogram; `sleepable`: only from programs that may sleep. `types` are
    the program types that may call it, all if empty. `packet`: pointers into the packet are void
    after it (bpf_helper_changes_pkt_data). `reads_packet`: memory arguments of this helper may be
    in the packet (pkt_access). `locked`: may be called with a bpf_spin_lock held.
    `waits`: for another context, however long that takes; a run may be broken off there.
    """

    name: str
    number: int | None
    args: tuple[Arg, ...]
    ret: Ret
    map_op: str | None = None
    callback: bool = False
    sleepable: bool = False
    types: frozenset[str] = frozenset()
    packet: bool = False
    reads_packet: bool = False
    locked: bool = False
    waits: bool = False


A, R = Arg, Ret

_SKB = frozenset({"sched_cls", "cgroup_skb", "socket_filter"})
_TC = frozenset({"sched_cls"})
_XDP = frozenset({"xdp"})
_NET = _SKB | _XDP
_LOCKING = _TC | _XDP | frozenset({"cgroup_skb", "syscall"})

#: The greatest CONFIG_NR_CPUS; Linux itself knows how many there can be where it runs.
MAX_CPUS = 8192

HELPERS: tuple[Call, ...] = (
    Call("bpf_map_lookup_elem", 1, (A.MAP, A.MAP_KEY), R.MAP_VALUE_OR_NULL, "lookup",
         reads_packet=True),
    Call("bpf_map_update_elem", 2, (A.MAP, A.MAP_KEY, A.MAP_VALUE, A.ANYTHING), R.INTEGER,
         "update", reads_packet=True),
    Call("bpf_map_delete_elem", 3, (A.MAP, A.MAP_KEY), R.INTEGER, "delete", reads_packet=True),
    Call("bpf_ktime_get_ns", 5, (), R.INTEGER),
    Call("bpf_trace_printk", 6, (A.MEM, A.CONST_SIZE, A.UNCHECKED, A.UNCHECKED, A.UNCHECKED),
         R.INTEGER),
    Call("bpf_get_prandom_u32", 7, (), R.INTEGER),
    Call("bpf_get_smp_processor_id", 8, (), R.CPU),
    Call("bpf_skb_store_bytes", 9,
         (A.CTX, A.ANYTHING, A.MEM, A.CONST_SIZE, A.ANYTHING), R.INTEGER, types=_TC, packet=True),
    Call("bpf_tail_call", 12, (A.CTX, A.MAP, A.ANYTHING), R.INTEGER, "tail_call"),
    Call("bpf_skb_load_bytes", 26, (A.CTX, A.ANYTHING, A.UNINIT_MEM, A.CONST_SIZE), R.INTEGER,
         types=_SKB),
    Call("bpf_skb_pull_data", 39, (A.CTX, A.ANYTHING), R.INTEGER, types=_TC, packet=True),
    Call("bpf_xdp_adjust_head", 44, (A.CTX, A.ANYTHING), R.INTEGER, types=_XDP, packet=True),
    Call("bpf_xdp_adjust_meta", 54, (A.CTX, A.ANYTHING), R.INTEGER, types=_XDP, packet=True),
    Call("bpf_xdp_adjust_tail", 65, (A.CTX, A.ANYTHING), R.INTEGER, types=_XDP, packet=True),
    Call("bpf_spin_lock", 93, (A.SPIN_LOCK,), R.VOID, types=_LOCKING, waits=True),
    Call("bpf_spin_unlock", 94, (A.SPIN_LOCK,), R.VOID, types=_LOCKING, locked=True),
    Call("bpf_jiffies64", 118, (), R.INTEGER),
    Call("bpf_ktime_get_boot_ns", 125, (), R.INTEGER),
    Call("bpf_ringbuf_output", 130, (A.MAP, A.MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING), R.INTEGER,
         "output"),
    Call("bpf_ringbuf_reserve", 131, (A.MAP, A.ALLOC_SIZE, A.ANYTHING), R.RECORD_OR_NULL,
         "output"),
    Call("bpf_ringbuf_submit", 132, (A.RECORD, A.ANYTHING), R.VOID),
    Call("bpf_ringbuf_discard", 133, (A.RECORD, A.ANYTHING), R.VOID),
    Call("bpf_ringbuf_query", 134, (A.MAP, A.ANYTHING), R.INTEGER, "output"),
    Call("bpf_copy_from_user", 148, (A.UNINIT_MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING), R.INTEGER,
         sleepable=True),
    Call("bpf_per_cpu_ptr", 153, (A.PERCPU, A.ANYTHING), R.PERCPU_MEMBER_OR_NULL),
    Call("bpf_this_cpu_ptr", 154, (A.PERCPU,), R.PERCPU_MEMBER),
    Call("bpf_ktime_get_coarse_ns", 160, (), R.INTEGER),
    Call("bpf_for_each_map_elem", 164, (A.MAP, A.CALLBACK, A.CALLBACK_CTX, A.ANYTHING), R.INTEGER,
         "iterate", callback=True),
    Call("bpf_trace_vprintk", 177,
         (A.MEM, A.CONST_SIZE, A.MEM_OR_NULL, A.CONST_SIZE_OR_ZERO), R.INTEGER),
    Call("bpf_loop", 181, (A.SCALAR, A.CALLBACK, A.CALLBACK_CTX, A.ANYTHING), R.INTEGER,
         callback=True),
    Call("bpf_kptr_xchg", 194, (A.KPTR_FIELD, A.OWNED_OR_NULL), R.KPTR_OR_NULL),
    Call("bpf_map_lookup_percpu_elem", 195, (A.MAP, A.MAP_KEY, A.ANYTHING), R.MAP_VALUE_OR_NULL,
         "lookup", reads_packet=True),
    Call("bpf_ktime_get_tai_ns", 208, (), R.INTEGER),
)  # fmt: skip

KFUNCS: tuple[Call, ...] = (
    Call("bpf_mem_alloc", None, (A.ALLOCATOR, A.TYPE_ID), R.NEW_OR_NULL, "alloc"),
    Call("unit_free", None, (A.OWNED,), R.VOID),
    Call("bpf_mem_prefill", None, (A.ALLOCATOR, A.SCALAR), R.INTEGER, "alloc", sleepable=True),
    # The second argument is filled in by the kernel's verifier; programs pass NULL.
    Call("bpf_obj_new_impl", None, (A.TYPE_ID, A.UNUSED), R.NEW_OR_NULL),
    Call("bpf_obj_drop_impl", None, (A.OWNED, A.UNUSED), R.VOID),
    Call("bpf_percpu_obj_new_impl", None, (A.TYPE_ID, A.UNUSED), R.PERCPU_NEW_OR_NULL),
    Call("bpf_percpu_obj_drop_impl", None, (A.OWNED_PERCPU, A.UNUSED), R.VOID),
    Call("bpf_refcount_acquire_impl", None, (A.COUNTED, A.UNUSED), R.SHARED_OR_NULL, locked=True),
    # The last two arguments of these are filled in too.
    Call(
        "bpf_list_push_front_impl",
        None,
        (A.LIST_HEAD, A.LIST_NODE, A.UNUSED, A.UNUSED),
        R.INTEGER,
        locked=True,
    ),
    Call(
        "bpf_list_push_back_impl",
        None,
        (A.LIST_HEAD, A.LIST_NODE, A.UNUSED, A.UNUSED),
        R.INTEGER,
        locked=True,
    ),
    Call("bpf_list_pop_front", None, (A.LIST_HEAD,), R.NODE_OR_NULL, locked=True),
    Call("bpf_list_pop_back", None, (A.LIST_HEAD,), R.NODE_OR_NULL, locked=True),
    Call("bpf_list_front", None, (A.LIST_HEAD,), R.PEEK_OR_NULL, locked=True),
    Call("bpf_list_back", None, (A.LIST_HEAD,), R.PEEK_OR_NULL, locked=True),
    Call(
        "bpf_rbtree_add_impl",
        None,
        (A.RB_ROOT, A.RB_NODE, A.LESS, A.UNUSED, A.UNUSED),
        R.INTEGER,
        callback=True,
        locked=True,
    ),
    Call("bpf_rbtree_remove", None, (A.RB_ROOT, A.RB_MEMBER), R.NODE_OR_NULL, locked=True),
    Call("bpf_rbtree_first", None, (A.RB_ROOT,), R.PEEK_OR_NULL, locked=True),
    Call("bpf_rbtree_root", None, (A.RB_ROOT,), R.PEEK_OR_NULL, locked=True),
    Call("bpf_rbtree_left", None, (A.RB_ROOT, A.RB_MEMBER), R.PEEK_OR_NULL, locked=True),
    Call("bpf_rbtree_right", None, (A.RB_ROOT, A.RB_MEMBER), R.PEEK_OR_NULL, locked=True),
    Call("bpf_rcu_read_lock", None, (), R.VOID),
    Call("bpf_rcu_read_unlock", None, (), R.VOID),
    Call("bpf_iter_num_new", None, (A.ITER_NEW, A.SCALAR, A.SCALAR), R.INTEGER, locked=True),
    Call("bpf_iter_num_next", None, (A.ITER,), R.ELEMENT_OR_NULL, locked=True),
    Call("bpf_iter_num_destroy", None, (A.ITER,), R.VOID, locked=True),
)


@dataclass(frozen=True, slots=True)
class Family:
    """Calls of the kernel that are left out on purpose, by number or by how their names begin."""

    name: str
    numbers: frozenset[int]
    prefixes: tuple[str, ...]


LEFT_OUT: tuple[Family, ...] = (
    Family("dynptrs", frozenset(range(197, 204)) | {136}, ("bpf_dynptr_", "bpf_ringbuf_dynptr")),
    Family("timers and work queues", frozenset(range(169, 173)),
           ("bpf_timer_", "bpf_wq_", "bpf_task_work_")),
    Family("arenas", frozenset(), ("bpf_arena_",)),
    Family("exceptions", frozenset(), ("bpf_throw",)),
    Family("sections without interrupts", frozenset(), ("bpf_local_irq_",)),
    Family("sections without preemption", frozenset(), ("bpf_preempt_",)),
    Family("resilient locks", frozenset(), ("bpf_res_spin_",)),
    Family("kernel objects", frozenset(),
           ("bpf_task_", "bpf_cgroup_", "bpf_cpumask_", "bpf_get_", "bpf_put_", "bpf_iter_task",
            "bpf_iter_css", "bpf_iter_bits", "bpf_path_", "bpf_sock_", "bpf_xdp_", "bpf_skb_",
            "bpf_ct_", "bpf_crypto_", "bpf_key_", "bpf_lookup_", "scx_bpf_", "hid_bpf_")),
)  # fmt: skip


def left_out(number: int | None, name: str | None) -> Family | None:
    """The family of a helper's number or a kfunc's name, None if it is in none."""
    for family in LEFT_OUT:
        if number in family.numbers:
            return family
        if name is not None and name.startswith(family.prefixes):
            return family
    return None


HELPER_BY_NUMBER: dict[int, Call] = {c.number: c for c in HELPERS if c.number is not None}
KFUNC_BY_NAME: dict[str, Call] = {c.name: c for c in KFUNCS}
