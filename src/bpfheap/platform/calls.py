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
    KPTR_FIELD = "kptr-field"  # address of a kptr field in a map value or an object
    OWNED_OR_NULL = "owned-or-null"  # an object that the program owns, or NULL; ownership goes
    OWNED = "owned"  # an object that the program owns; ownership goes
    ALLOCATOR = "allocator"  # a map of type allocator
    TYPE_ID = "type-id"  # a constant: id of a struct in the program's own BTF
    CALLBACK = "callback"  # address of a subprogram
    CALLBACK_CTX = "callback-ctx"  # pointer to stack, or NULL
    UNCHECKED = "unchecked"  # need not even be initialised, as what a format may not ask for
    UNUSED = "unused"  # filled in by the kernel's loader; any value


class Ret(StrEnum):
    """What r0 is after the call."""

    INTEGER = "integer"
    VOID = "void"
    MAP_VALUE_OR_NULL = "map-value-or-null"
    KPTR_OR_NULL = "kptr-or-null"  # what was in the field; owned by the program
    NEW_OR_NULL = "new-or-null"  # a fresh object of the type named; owned by the program


@dataclass(frozen=True, slots=True)
class Call:
    """A helper (`number` is its id) or a kfunc (`number` is None).

    `map_ops` are the operation names (MapType.ops) that the map argument's type must offer.
    `callback`: calls a subprogram; `sleepable`: only from programs that may sleep.
    """

    name: str
    number: int | None
    args: tuple[Arg, ...]
    ret: Ret
    map_op: str | None = None
    callback: bool = False
    sleepable: bool = False


A, R = Arg, Ret

HELPERS: tuple[Call, ...] = (
    Call("bpf_map_lookup_elem", 1, (A.MAP, A.MAP_KEY), R.MAP_VALUE_OR_NULL, "lookup"),
    Call("bpf_map_update_elem", 2, (A.MAP, A.MAP_KEY, A.MAP_VALUE, A.ANYTHING), R.INTEGER,
         "update"),
    Call("bpf_map_delete_elem", 3, (A.MAP, A.MAP_KEY), R.INTEGER, "delete"),
    Call("bpf_ktime_get_ns", 5, (), R.INTEGER),
    Call("bpf_trace_printk", 6, (A.MEM, A.CONST_SIZE, A.UNCHECKED, A.UNCHECKED, A.UNCHECKED),
         R.INTEGER),
    Call("bpf_get_prandom_u32", 7, (), R.INTEGER),
    Call("bpf_get_smp_processor_id", 8, (), R.INTEGER),
    Call("bpf_ktime_get_boot_ns", 125, (), R.INTEGER),
    Call("bpf_ringbuf_output", 130, (A.MAP, A.MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING), R.INTEGER,
         "output"),
    Call("bpf_ktime_get_coarse_ns", 160, (), R.INTEGER),
    Call("bpf_for_each_map_elem", 164, (A.MAP, A.CALLBACK, A.CALLBACK_CTX, A.ANYTHING), R.INTEGER,
         "iterate", callback=True),
    Call("bpf_trace_vprintk", 177,
         (A.MEM, A.CONST_SIZE, A.MEM_OR_NULL, A.CONST_SIZE_OR_ZERO), R.INTEGER),
    Call("bpf_loop", 181, (A.SCALAR, A.CALLBACK, A.CALLBACK_CTX, A.ANYTHING), R.INTEGER,
         callback=True),
    Call("bpf_kptr_xchg", 194, (A.KPTR_FIELD, A.OWNED_OR_NULL), R.KPTR_OR_NULL),
    Call("bpf_map_lookup_percpu_elem", 195, (A.MAP, A.MAP_KEY, A.SCALAR), R.MAP_VALUE_OR_NULL,
         "lookup"),
    Call("bpf_ktime_get_tai_ns", 208, (), R.INTEGER),
)  # fmt: skip

KFUNCS: tuple[Call, ...] = (
    Call("bpf_mem_alloc", None, (A.ALLOCATOR, A.TYPE_ID), R.NEW_OR_NULL, "alloc"),
    Call("unit_free", None, (A.OWNED,), R.VOID),
    Call("bpf_mem_prefill", None, (A.ALLOCATOR, A.SCALAR), R.INTEGER, "alloc", sleepable=True),
    # The second argument is filled in by the kernel's verifier; programs pass NULL.
    Call("bpf_obj_new_impl", None, (A.TYPE_ID, A.UNUSED), R.NEW_OR_NULL),
    Call("bpf_obj_drop_impl", None, (A.OWNED, A.UNUSED), R.VOID),
)

HELPER_BY_NUMBER: dict[int, Call] = {c.number: c for c in HELPERS if c.number is not None}
KFUNC_BY_NAME: dict[str, Call] = {c.name: c for c in KFUNCS}
