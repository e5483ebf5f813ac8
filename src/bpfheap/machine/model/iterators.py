"""Open-coded iterators over numbers (bpf_iter_num_new, _next, _destroy in kernel/bpf/bpf_iter.c).

An iterator is 8 bytes of a stack that no program may touch, and a region that shows its element.
Linux keeps the element in those bytes; here, too, it changes under those who still look at it.
"""

from __future__ import annotations

from bpfheap.machine.faults import Fault
from bpfheap.machine.model.progress import ExecutionProgress, Iterator
from bpfheap.machine.model.records import Execution, RegionKind
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import Opaque, Pointer, Value
from bpfheap.machine.words import signed32

#: sizeof(struct bpf_iter_num).
_SIZE = 8
_ELEMENT = 4
_NAME = "the element of an iterator"


def create(state: MachineState, execution: Execution, at: Value, start: int, end: int) -> None:
    """An iterator over `start` to `end` - 1. Raises Fault where there can be none."""
    place = _stack_place(state, at, "bpf_iter_num_new")
    old = _find(execution, place)
    if old is not None and old.live:
        raise Fault("bad-call", "bpf_iter_num_new over an iterator that is not destroyed")
    state.store(place, _SIZE, 0)
    element = (
        state.add_region(RegionKind.ELEMENT, _NAME, _ELEMENT, readonly=True).id
        if old is None
        else old.element
    )
    state.region(place.region).slots[place.offset] = Opaque(element, 0)
    _show(state, element, start - 1)
    _put(execution, Iterator(place.region, place.offset, element, end, True))


def advance(state: MachineState, execution: Execution, at: Value) -> Pointer | None:
    """On to the next element; None if there is none."""
    iterator = _live(state, execution, at, "bpf_iter_num_next")
    following = signed32(_shown(state, iterator.element) + 1)
    if following >= iterator.end:
        _show(state, iterator.element, 0)
        _put(execution, iterator._replace(end=0))
        return None
    _show(state, iterator.element, following)
    return Pointer(iterator.element, 0)


def destroy(state: MachineState, execution: Execution, at: Value) -> None:
    iterator = _live(state, execution, at, "bpf_iter_num_destroy")
    _show(state, iterator.element, 0)
    del state.region(iterator.stack).slots[iterator.offset]
    _put(execution, iterator._replace(end=0, live=False))


def forget(state: MachineState, execution: Execution, stack: int) -> None:
    """A stack goes, and with it its iterators."""
    progress = execution.progress
    if not progress.iterators:
        return
    for iterator in progress.iterators:
        if iterator.stack == stack:
            state.regions.pop(iterator.element, None)
    left = tuple(i for i in progress.iterators if i.stack != stack)
    execution.progress = progress._replace(iterators=left)


def check_frame(execution: Execution, stack: Value, program: str) -> None:
    """Raise Fault if a function that returns leaves an iterator behind on its stack."""
    for iterator in execution.progress.iterators:
        if iterator.live and isinstance(stack, Pointer) and iterator.stack == stack.region:
            raise Fault(
                "leak", f"a function of {program} returns and has not destroyed its iterator"
            )


def restore(state: MachineState, progress: ExecutionProgress) -> None:
    """Mark the places of iterators on stacks that were made again."""
    for iterator in progress.iterators:
        if iterator.live:
            stack = state.regions[iterator.stack]
            stack.slots[iterator.offset] = Opaque(iterator.element, 0)


def _stack_place(state: MachineState, at: Value, what: str) -> Pointer:
    region = state.access(at, _SIZE, "write")
    assert isinstance(at, Pointer)
    if region.kind is not RegionKind.STACK or at.offset % _SIZE:
        raise Fault("bad-call", f"{what}: an iterator is 8 aligned bytes of the stack")
    return at


def _find(execution: Execution, place: Pointer) -> Iterator | None:
    for iterator in execution.progress.iterators:
        if (iterator.stack, iterator.offset) == (place.region, place.offset):
            return iterator
    return None


def _live(state: MachineState, execution: Execution, at: Value, what: str) -> Iterator:
    found = _find(execution, _stack_place(state, at, what))
    if found is None or not found.live:
        raise Fault("bad-call", f"{what} of memory that is no iterator in progress")
    return found


def _put(execution: Execution, iterator: Iterator) -> None:
    place = (iterator.stack, iterator.offset)
    others = [i for i in execution.progress.iterators if (i.stack, i.offset) != place]
    # In order of their places, whatever came first.
    iterators = tuple(sorted([*others, iterator]))
    execution.progress = execution.progress._replace(iterators=iterators)


def _shown(state: MachineState, element: int) -> int:
    return signed32(int.from_bytes(state.regions[element].data, "little"))


def _show(state: MachineState, element: int, number: int) -> None:
    state.region(element).data[:] = (number & 0xFFFF_FFFF).to_bytes(_ELEMENT, "little")
