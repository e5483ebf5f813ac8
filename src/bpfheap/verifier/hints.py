"""What to change, in one sentence each: authors read these, not the verifier's source."""

from __future__ import annotations

import re

from bpfheap.btf import PlainPointer
from bpfheap.verifier.state.layouts import Layout
from bpfheap.verifier.state.state import STACK_SIZE, Invalidation, Reg, is_null

CHECK_NULL = "check it for NULL first: if (!p) return 0;"
CHECK_INDEX = "check the index first: if (i >= N) return 0;"
CHECK_SIZE = "check the size first: if (n > sizeof(buf)) return 0;"
UNSIGNED = "use an unsigned index, or check that it is not negative"
XCHG_ONLY = "kptr fields are read and written by bpf_kptr_xchg only"
TAKE_KPTR = "take the object out first: p = bpf_kptr_xchg(&v->ptr, NULL);"
GIVE_AWAY = (
    "on every path to the exit, free it with unit_free or bpf_obj_drop, store it with "
    "bpf_kptr_xchg, or put it into a list or tree"
)
ONCE = "an object can be freed or stored only once: set the variable to NULL after that"
INIT = "give it a value on every path to here"
FIXED_FIELD = "use the field's own address: &v->ptr"
LOOP = (
    "give the loop a bound that is known when it is compiled, and a counter that moves towards it"
)
LICENSE = 'write `char LICENSE[] SEC("license") = "GPL";` or name another that Linux takes for it'
SMALLER = "make loops shorter, or split the program"
STACK = "keep large data in a map value"
WHOLE_POINTER = "pointers take 8 bytes of stack, aligned"
PROBE_READ = "copy it to the stack first, with bpf_probe_read_kernel()"
VALID = "acquire it, or use it where it is valid: in an RCU section, or as an argument"
CONST_OFFSET = "use an offset that is known when the program is compiled"
MAIN_POINTER = "pass the object's own address, not that of a member"
IN_SECTION = "use it before bpf_rcu_read_unlock(), or before bpf_spin_unlock() outside of a section"
IS_NULL = "it is NULL here: the check for NULL goes the other way, or nothing was ever assigned"
NOT_NEGATIVE = "check the lower end too: if (i < 0) return 0; or make it unsigned"
COPY_POINTED = "copy what it points at into a variable"
CHECK_END = "compare the pointer with data_end first: if (p + size > data_end) return 0;"
IN_FRONT = "that is in front of its first byte"
SHORTER = "the variable is shorter than what is accessed: make it larger, or access less"

#: An access that begins in the frame and ends beyond it.
_BEYOND_FRAME = re.compile(r"(?:read from|write to) stack R\d+ off=(-\d+) size=")

#: What to change where the message came without it: a part of the message, and the hint.
_GENERAL = (
    ("expected=fp, pkt", "pass the address of a variable or of a map value"),
    ("expected=ringbuf_mem", "pass what bpf_ringbuf_reserve returned, once"),
    ("expected=map_ptr", "pass the address of a map: &map"),
    ("forbidden", "choose another map, or leave out the flag that forbids it"),
    ("invalid mem access", "only memory that the verifier knows can be read or written"),
    ("pointer arithmetic on", "use this pointer as it is"),
    ("subtract pointer from scalar", "subtract the number from the pointer instead"),
    ("access to map value pointer", "compile the program and its variables together"),
    ("is tagged", "leave out the tag, or make the function static"),
    ("has no map", "pass the map as an argument before that"),
)


def sharper(
    message: str, detail: str, hint: str | None, reg: Reg | None, history: tuple[str, ...]
) -> str | None:
    """The hint to give once the register in question is known, and where it came from: a better
    one where that tells more than the message, a general one where there is none yet."""
    if "mem access 'scalar'" in message and reg is not None and is_null(reg):
        return CHECK_NULL if any("came from" in sentence for sentence in history) else IS_NULL
    told = f"{message}\n{detail}"
    if "element was valid until" in told:
        return "use it before the iterator is destroyed"
    if "slice was valid until" in told:
        return "use the slice before that, or take a new one after it"
    across = _BEYOND_FRAME.search(told)
    if across is not None and int(across[1]) >= -STACK_SIZE:
        return SHORTER
    negative = message.startswith("value -") or "pointer offset -" in message
    if negative or ("min value is negative" in told and hint != IN_FRONT):
        return NOT_NEGATIVE
    if hint is not None:
        return hint
    return next((general for part, general in _GENERAL if part in told), None)


INVALIDATED = {
    Invalidation.GIVEN: ONCE,
    Invalidation.UNLOCKED: "use it before that, or take it out of the list or tree",
    Invalidation.MOVED: "read it from the context again, and check it against data_end again",
    Invalidation.RETURNED: "copy the key within the callback: the next call has another one there",
}


def untagged(pointer: PlainPointer, layout: Layout) -> str:
    """For a pointer member that the program takes for a kptr."""
    target = getattr(layout.btf[pointer.target], "name", "") or "..."
    name = pointer.path.rpartition(".")[2]
    return (
        f"{pointer.path} looks meant as a kptr but carries no tag: "
        f"write `struct {target} __kptr *{name}`"
    )
