"""What helpers and kfuncs do: one function for each row of platform/calls.py, by its name.

Each gets the core and r1 to r5 and gives r0. One that enters a callback gives CALLBACK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bpfheap.btf import KptrKind
from bpfheap.errors import MapError
from bpfheap.events import ObjectKind
from bpfheap.machine.faults import Fault
from bpfheap.machine.model import (
    graph,
    heap,
    interrupts,
    lives,
    locks,
    percpu,
    playing,
    ringbuf,
)
from bpfheap.machine.model.control import CALLS as CONTROL
from bpfheap.machine.model.convention import AGAIN, CALLBACK, Arguments, Implementation, map_of
from bpfheap.machine.model.convention import error as _error
from bpfheap.machine.model.convention import number as _number
from bpfheap.machine.model.interp import Core, moved
from bpfheap.machine.model.maps import elements, ring
from bpfheap.machine.model.maps.lru import looked_up
from bpfheap.machine.model.records import (
    ForEach,
    Loop,
    MapRecord,
    RegionKind,
    Status,
)
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import NULL, U32, U64, Pointer, Value
from bpfheap.machine.printk import MAX_WORDS, FormatRefused, format_line
from bpfheap.machine.tables.common import Values, copies, map_error
from bpfheap.machine.tables.sockets import element_of
from bpfheap.machine.words import signed32
from bpfheap.platform.maps import F_LOCK, Holds
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID

#: BPF_MAX_LOOPS.
_MAX_LOOPS = 1 << 23
_TICK = 1000
_GOLDEN = 0x9E3779B97F4A7C15


def _key(core: Core, record: MapRecord, at: Value) -> bytes:
    return core.state.read(at, record.spec.key_size)


def _answer(action: Callable[[], None]) -> int:
    """0, or the negative errno of the MapError that `action` raised."""
    try:
        action()
    except MapError as refused:
        return _error(refused.errno_name)
    return 0


# -- maps


def _lookup(core: Core, args: Arguments) -> Value:
    record = map_of(core, args[0], "lookup")
    key = _key(core, record, args[1])
    found = elements(record.type).regions(core.mutator, record, key)
    if found is None:
        return NULL
    looked_up(core.mutator, record, key)
    if record.type.refers:
        # A socket, which has to be given back (sock_map_lookup).
        core.own(found[0])
    return Pointer(found[core.execution.cpu if len(found) > 1 else 0], 0)


def _lookup_percpu(core: Core, args: Arguments) -> Value:
    record = map_of(core, args[0], "lookup")
    key, cpu = _key(core, record, args[1]), _number(core, args[2], 3) & U32
    if not record.type.per_cpu or cpu >= core.mutator.options.cpus:
        return NULL
    found = elements(record.type).regions(core.mutator, record, key)
    looked_up(core.mutator, record, key)
    return NULL if found is None else Pointer(found[cpu], 0)


def _new_value(core: Core, record: MapRecord, at: Value) -> bytes:
    """Of a map of sockets, an element is the socket itself (sock_map_update_elem)."""
    if record.type.borrows:
        if not isinstance(at, Pointer):
            raise Fault("bad-call", f"update of map {record.spec.name} with no socket")
        return element_of(at.region)
    return core.state.read(at, record.spec.value_size)


def _update(core: Core, args: Arguments) -> Value | str:
    record = map_of(core, args[0], "update")
    key = _key(core, record, args[1])
    value = _new_value(core, record, args[2])
    flags = _number(core, args[3], 4)
    cpus = copies(core.mutator, record)
    mine = core.execution.cpu if cpus > 1 else 0
    values: Values = tuple(value if cpu == mine else None for cpu in range(cpus))
    if flags & F_LOCK:
        found = elements(record.type).regions(core.mutator, record, key)
        if found is not None and locks.is_held(core, found[0]):
            return AGAIN

    def update() -> None:
        if record.readonly:
            raise map_error(record, "update", "EPERM")
        elements(record.type).update(core.mutator, record, key, values, flags)

    return _answer(update)


def _delete(core: Core, args: Arguments) -> Value:
    # Arrays offer no deletion; the kernel's verifier lets the call pass and the helper refuses.
    record = core.map_at(args[0])
    if record.type.outer:
        raise Fault("bad-call", f"delete of map {record.spec.name}: only user space may do that")
    key = _key(core, record, args[1])
    return _answer(lambda: elements(record.type).delete(core.mutator, record, key))


def _for_each(core: Core, args: Arguments) -> Value | str:
    record = map_of(core, args[0], "iterate")
    callback = core.function_at(args[1])
    if _number(core, args[3], 4):
        return _error("EINVAL")
    keys = elements(record.type).keys(record)
    core.again(ForEach(callback, args[2], record.id, keys, 0, 0, 0))
    return CALLBACK


def _loop(core: Core, args: Arguments) -> Value | str:
    # All 64 bits count where Linux writes the loop in place (inline_bpf_loop), as it mostly does.
    count = _number(core, args[0], 1)
    callback = core.function_at(args[1])
    if _number(core, args[3], 4):
        return _error("EINVAL")
    if count > _MAX_LOOPS:
        return _error("E2BIG")
    core.again(Loop(callback, args[2], 0, count))
    return CALLBACK


def _ringbuf_output(core: Core, args: Arguments) -> Value:
    record = core.map_at(args[0])
    if record.type.holds is not Holds.RECORDS:
        raise Fault("bad-call", f"map {record.spec.name} is no ring buffer")
    size, flags = _number(core, args[2], 3), _number(core, args[3], 4)
    if size > record.spec.max_entries:
        return _error("EINVAL" if flags & ~ring.FLAGS else "EAGAIN")
    data = core.state.read(args[1], size)
    return _answer(lambda: ring.output(core.state, record, data, flags))


# -- the world around


def _ktime(core: Core, args: Arguments) -> Value:
    core.state.clock += _TICK
    return core.state.clock


def _prandom(core: Core, args: Arguments) -> Value:
    # splitmix64: every seed is a good one.
    core.state.random = (core.state.random + _GOLDEN) & U64
    z = core.state.random
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & U64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & U64
    return (z ^ (z >> 31)) & U32


def _cpu(core: Core, args: Arguments) -> Value:
    return core.execution.cpu


def _trace_printk(core: Core, args: Arguments) -> Value:
    return _printk(core, args, args[2:5])


def _trace_vprintk(core: Core, args: Arguments) -> Value:
    """The values are u64 words in memory; a pointer among them keeps its provenance."""
    size = _number(core, args[3], 4) & U32
    if size % 8 or size > MAX_WORDS * 8:
        return _error("EINVAL")
    data = args[2]
    words: list[Value] = []
    if isinstance(data, Pointer):
        words = [core.state.load(moved(data, at), 8) for at in range(0, size, 8)]
    elif size:
        return _error("EINVAL")
    return _printk(core, args, words)


def _printk(core: Core, args: Arguments, values: Sequence[Value]) -> Value:
    form = core.state.read(args[0], _number(core, args[1], 2) & U32)
    if not form.endswith(b"\0"):
        return _error("EINVAL")
    state = core.state

    def string(at: Value) -> bytes:
        try:
            return state.read_string(at)
        except Fault:
            # Any number may be given; it is read without faulting (bpf_trace_copy_string).
            return b""

    def memory(at: Value, count: int) -> bytes:
        try:
            return state.read(at, count)
        except Fault:
            return bytes(count)

    try:
        line = format_line(form.partition(b"\0")[0], values, state.number, string, memory)
    except FormatRefused:
        return _error("EINVAL")
    core.print_line(line.removesuffix("\n"))
    return len(line.encode())


# -- objects


def _kptr_xchg(core: Core, args: Arguments) -> Value:
    region, field = core.state.kptr_field(args[0])
    name = f"{region.name}.{field.path}"
    new = args[1]
    incoming: Pointer | None = None
    if isinstance(new, Pointer) or _number(core, new, 2):
        kind = RegionKind.PERCPU if field.kind is KptrKind.PERCPU else RegionKind.OBJECT
        if isinstance(new, Pointer) and is_block(core.state, new):
            kind = RegionKind.BLOCK
        fresh = heap.object_at(core.state, new, f"bpf_kptr_xchg into {name}", kind)
        core.owned(fresh, f"bpf_kptr_xchg into {name}")
        incoming = Pointer(fresh.id, 0)
    old = core.state.regions[region.id].slots.get(field.offset)
    slots = core.state.region(region.id).slots
    place = core.place()
    if old is not None:
        del slots[field.offset]
        core.own(old.region)
        taken = core.state.regions[old.region].name
        core.note(old.region, lives.taken(taken, name, place))
    if incoming is not None:
        slots[field.offset] = incoming
        core.give_up(incoming.region)
        stored = core.state.regions[incoming.region].name
        core.note(incoming.region, lives.stored(stored, name, place))
    return NULL if old is None else old


def is_block(state: MachineState, at: Pointer) -> bool:
    """Does a pointer lead to an object of the kernel?"""
    region = state.regions.get(at.region)
    return region is not None and region.kind is RegionKind.BLOCK


def _new(core: Core, allocator: int, type_id: Value, what: str, cpus: int = 0) -> Value:
    number = _number(core, type_id, 2) & U32
    kind = None if core.program.types is None else core.program.types.object(number)
    if kind is None:
        raise Fault("bad-call", f"{what}: type {number} is no struct of the program's BTF")
    if cpus:
        percpu.check(kind, what)
    options = core.mutator.options
    new, sentence = heap.allocate(
        core.state,
        allocator,
        kind,
        core.place(),
        options,
        cpus=cpus,
    )
    if isinstance(new, Pointer) and sentence is not None:
        core.own(new.region)
        core.mutator.say(sentence)
        core.mutator.event(ObjectKind.ALLOC, core.state.regions[new.region], core.program.id)
    return new


def _allocator(core: Core, value: Value, what: str) -> int:
    record = core.map_at(value)
    if record.allocator is None:
        raise Fault("bad-call", f"{what}: map {record.spec.name} is no allocator")
    return record.allocator


def _mem_alloc(core: Core, args: Arguments) -> Value:
    return _new(core, _allocator(core, args[0], "bpf_mem_alloc"), args[1], "bpf_mem_alloc")


def _obj_new(core: Core, args: Arguments) -> Value:
    return _new(core, GLOBAL_ALLOCATOR_ID, args[0], "bpf_obj_new")


def _percpu_obj_new(core: Core, args: Arguments) -> Value:
    cpus = core.mutator.options.cpus
    return _new(core, GLOBAL_ALLOCATOR_ID, args[0], "bpf_percpu_obj_new", cpus)


def _prefill(core: Core, args: Arguments) -> Value:
    allocator = _allocator(core, args[0], "bpf_mem_prefill")
    count = signed32(_number(core, args[1], 2))
    if count < 0:
        return _error("EINVAL")
    limit = core.mutator.options.allocator_limit
    if limit is not None and core.state.allocators[allocator].live + count > limit:
        return _error("ENOMEM")
    heap.prefill(core.state, allocator, count)
    return 0


def _free(what: str, kind: RegionKind = RegionKind.OBJECT) -> Implementation:
    def free(core: Core, args: Arguments) -> Value:
        value = args[0]
        if isinstance(value, Pointer):
            seen = core.state.regions.get(value.region)
            if seen is not None and seen.type is not None and seen.status is Status.FREED:
                raise Fault("double-free", f"{what} of {seen.name}, which was freed before",
                            seen.id)  # fmt: skip
        region = heap.object_at(core.state, value, what, kind)
        core.owned(region, what)
        core.give_up(region.id)
        core.mutator.release(region.id, lives.freed(region.name, core.place()), core.program.id)
        return NULL

    return free


#: Row name -> implementation.
CALLS: Mapping[str, Implementation] = {
    **playing.CALLS,
    **CONTROL,
    **ringbuf.CALLS,
    "bpf_map_lookup_elem": _lookup,
    "bpf_map_update_elem": _update,
    "bpf_map_delete_elem": _delete,
    "bpf_ktime_get_ns": _ktime,
    "bpf_trace_printk": _trace_printk,
    "bpf_trace_vprintk": _trace_vprintk,
    "bpf_get_prandom_u32": _prandom,
    "bpf_get_smp_processor_id": _cpu,
    "bpf_ktime_get_boot_ns": _ktime,
    "bpf_ringbuf_output": _ringbuf_output,
    "bpf_ktime_get_coarse_ns": _ktime,
    "bpf_for_each_map_elem": _for_each,
    "bpf_loop": _loop,
    "bpf_kptr_xchg": _kptr_xchg,
    "bpf_map_lookup_percpu_elem": _lookup_percpu,
    "bpf_ktime_get_tai_ns": _ktime,
    "bpf_mem_alloc": _mem_alloc,
    "unit_free": _free("unit_free"),
    "bpf_mem_prefill": _prefill,
    "bpf_obj_new_impl": _obj_new,
    "bpf_obj_drop_impl": _free("bpf_obj_drop"),
    **interrupts.CALLS,
    **locks.CALLS,
    **graph.CALLS,
    "bpf_percpu_obj_new_impl": _percpu_obj_new,
    "bpf_percpu_obj_drop_impl": _free("bpf_percpu_obj_drop", RegionKind.PERCPU),
    **percpu.CALLS,
}


def perform(core: Core, name: str) -> None:
    """Perform the call that the execution stopped before, and go past it. What has a stub is not
    asked itself."""
    execution = core.execution
    execution.at_call = False
    stub = core.around.stubs.get(name)
    implementation = CALLS.get(name) if stub is None else playing.performed(name, stub)
    if implementation is None:
        raise Fault("bad-call", f"call of {name}, which no machine knows")
    locks.check_call(core, name)
    registers = execution.registers
    call_slot = execution.slot
    result = implementation(core, tuple(registers[1:6]))
    if result == AGAIN:
        execution.at_call = True
        return
    if isinstance(result, str):
        if execution.slot == call_slot:
            # The callback had no round at all.
            execution.slot = call_slot + 1
        return
    registers[0] = result
    registers[1:6] = [None] * 5
    execution.slot = call_slot + 1
