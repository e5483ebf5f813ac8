"""What the arguments of a call say: of its result, and of what it does."""

from __future__ import annotations

from collections.abc import Callable

from bpfheap.btf import SpecialField
from bpfheap.platform.calls import Arg, Call
from bpfheap.verifier import hints
from bpfheap.verifier.domain.word import unsigned
from bpfheap.verifier.flows import Field
from bpfheap.verifier.memory.ownership import Kptr
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.layouts import Layout
from bpfheap.verifier.state.state import (
    KERNEL,
    MAX_VAR,
    FuncState,
    Iterating,
    MapRef,
    Reg,
    State,
    is_null,
    is_walked,
    type_name,
)

_NUM = Iterating("num")


class Meta:
    """What the arguments checked so far say (struct bpf_call_arg_meta).

    `call`, `args`, `slot`: the row of what is called, its arguments in this program, and where.
    `map`: the map that the call is about, None for none.
    `count`: the register that tells how often it is called back at most, 0 for none.
    `callback`: the slot of the function to call back, -1 for none.
    `key`: the key in the map, None if it is not known.
    `kptr`: the field that is exchanged, None for none.
    `given`, `given_register`: the object that is given away, and its register.
    `layout`: that of what is allocated, linked or counted, None for none.
    `size`: that of what is reserved, or the greatest that memory may have, in bytes.
    `text`: the constant string that it is given, without its NUL.
    `referenced`, `referenced_id`: the argument that points into what the program has to give away,
    and the id of that; 0 for none.
    `root`, `field`: a list head or tree root, and its name in flows; None for none.
    `iterator`: its frame, and the first stack slot in it; None for none. `slots`: how many it has.
    `iterates`: what is known of one that begins.
    `element`: what the next one gives, None for nothing but the end.
    `dynptr`: the one that it is given, None for none. `written`: the one through which it writes,
    where that is another one than the last.
    `result`: what the kernel's BTF says of the result, None if the row says it.
    """

    __slots__ = (
        "args", "call", "callback", "count", "dynptr", "element", "field", "given",
        "given_register", "iterates", "iterator", "key", "kptr", "layout", "map", "referenced",
        "referenced_id", "result", "root", "size", "slot", "slots", "text", "written",
    )  # fmt: skip

    def __init__(self, call: Call, args: tuple[Arg, ...], slot: int) -> None:
        self.call = call
        self.args = args
        self.slot = slot
        self.map: MapRef | None = None
        self.count = 0
        self.callback = -1
        self.key: int | None = None
        self.kptr: Kptr | None = None
        self.given: Reg | None = None
        self.given_register = 0
        self.layout: Layout | None = None
        self.size = 0
        self.text = b""
        self.referenced = 0
        self.referenced_id = 0
        self.root: SpecialField | None = None
        self.field: Field | None = None
        self.iterator: tuple[FuncState, int] | None = None
        self.slots = 1
        self.iterates = _NUM
        self.element: Reg | None = None
        self.dynptr: Reg | None = None
        self.written: Reg | None = None
        self.result: Result | None = None

    def map_of(self) -> MapRef:
        assert self.map is not None, f"{self.call.name} has no map among its first arguments"
        return self.map


Checker = Callable[[Env, State, int, Reg, Meta], None]
#: Makes r0.
Result = Callable[[Env, State, Meta], Reg]


def expected(n: int, reg: Reg, what: str, hint: str | None = None) -> Reject:
    if hint is None and reg.or_null:
        hint = hints.CHECK_NULL
    return Reject(f"R{n} type={type_name(reg)} expected={what}", register=n, hint=hint)


def check_there(n: int, reg: Reg, meta: Meta) -> None:
    """Memory of which at least one byte may be used, or an object. To Linux it may be NULL, which
    not every function looks for; an object that was found by walking may be, too. Raises Reject."""
    if n in meta.call.checks_null:
        return
    walked = reg.kind == KERNEL and is_walked(reg)
    if reg.or_null or walked or is_null(reg):
        hint = hints.CHECK_NULL if reg.or_null else hints.VALID if walked else hints.IS_NULL
        raise Reject(
            f"{meta.call.name}() does not check R{n} type={type_name(reg)} for NULL",
            register=n,
            hint=hint,
        )


def length(n: int, reg: Reg, *, zero_allowed: bool) -> int:
    """The greatest value of a size, which is a number with limits (check_mem_size_reg). Raises
    Reject."""
    scalar = reg.scalar
    if scalar.smin < 0:
        raise Reject(
            f"R{n} min value is negative, either use unsigned or 'var &= const'",
            register=n,
            hint=hints.CHECK_SIZE,
        )
    if scalar.umin == 0 and not zero_allowed:
        raise Reject(
            f"R{n} invalid zero-sized read: u64=[{unsigned(scalar.umin)},{scalar.top}]",
            register=n,
            hint=f"{hints.CHECK_SIZE}, and that it is not 0"
            if scalar.top >= MAX_VAR
            else "check that the size is not 0",
        )
    if scalar.top >= MAX_VAR:
        raise Reject(
            f"R{n} unbounded memory access, use 'var &= const' or 'if (var < const)'",
            register=n,
            hint=hints.CHECK_SIZE,
        )
    return int(scalar.top)


def const_offset(n: int, reg: Reg, what: str) -> int:
    """Where in its memory a pointer points. Raises Reject if that is not known."""
    if not reg.scalar.is_const:
        raise Reject(
            f"R{n} doesn't have constant offset. {what} has to be at the constant offset",
            register=n,
            hint=hints.CONST_OFFSET,
        )
    return int(reg.off + reg.scalar.smin)
