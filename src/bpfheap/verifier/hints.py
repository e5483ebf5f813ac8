"""What to change, in one sentence each: authors read these, not the verifier's source."""

from __future__ import annotations

from bpfheap.btf import PlainPointer
from bpfheap.verifier.layouts import Layout
from bpfheap.verifier.state import Lapse

CHECK_NULL = "check it for NULL first: if (!p) return 0;"
CHECK_INDEX = "check the index first: if (i >= N) return 0;"
CHECK_SIZE = "check the size first: if (n > sizeof(buf)) return 0;"
UNSIGNED = "use an unsigned index, or check that it is not negative"
XCHG_ONLY = "kptr fields are read and written by bpf_kptr_xchg only"
TAKE_KPTR = "take the object out first: p = bpf_kptr_xchg(&v->ptr, NULL);"
GIVE_AWAY = "free it with unit_free, or store it with bpf_kptr_xchg, on every path to the exit"
ONCE = "an object can be freed or stored only once: set the variable to NULL after that"
INIT = "give it a value on every path to here"
FIXED_FIELD = "use the field's own address: &v->ptr"
LOOP = (
    "give the loop a bound that is known when it is compiled, and a counter that moves towards it"
)
SMALLER = "make loops shorter, or split the program"
STACK = "keep large data in a map value"
WHOLE_POINTER = "pointers take 8 bytes of stack, aligned"
CONST_OFFSET = "use an offset that is known when the program is compiled"
MAIN_POINTER = "pass the object's own address, not that of a member"

LAPSED = {
    Lapse.GIVEN: ONCE,
    Lapse.UNLOCKED: "use it before that, or take it out of the list or tree",
    Lapse.MOVED: "read it from the context again, and check it against data_end again",
}


def untagged(pointer: PlainPointer, layout: Layout) -> str:
    """For a pointer member that the program takes for a kptr."""
    target = getattr(layout.btf[pointer.target], "name", "") or "..."
    name = pointer.path.rpartition(".")[2]
    return (
        f"{pointer.path} looks meant as a kptr but carries no tag: "
        f"write `struct {target} __kptr *{name}`"
    )
