"""Records for user space in the buffers of perf events (bpf_perf_event_output and its like in
kernel/trace/bpf_trace.c and net/core/filter.c).

Somebody listens on each CPU from the start, as loaders see to it: element N is the event of CPU N.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from errno import E2BIG, EFAULT, EINVAL, ENOENT, EOPNOTSUPP

from bpfheap.machine.played.refusals import answer
from bpfheap.machine.tables.caller import Played, TableCaller
from bpfheap.machine.tables.common import Output
from bpfheap.machine.tables.events import index_limit
from bpfheap.platform.programs import PacketKind, program_type
from bpfheap.runtime.world import Word

#: BPF_F_INDEX_MASK, and as an index: the CPU that the program runs on.
_INDEX = (1 << 32) - 1
#: BPF_F_CTXLEN_MASK: how many bytes of the packet come behind the record.
_LENGTH_SHIFT, _LENGTH_MASK = 32, 0xFFFFF


def _output(call: TableCaller, args: Sequence[Word]) -> Word:
    table = call.table(args[1], "event")
    flags, size = call.number(args[2]), call.number(args[4])
    data = call.read(args[3], size)
    packet, row = call.packet, program_type(call.section)
    if packet is not None and row is not None and row.packet is not PacketKind.OTHER:
        length = flags >> _LENGTH_SHIFT & _LENGTH_MASK
        flags &= ~(_LENGTH_MASK << _LENGTH_SHIFT)
        if not flags & ~_INDEX:
            if length > len(packet):
                return -EFAULT
            data += packet[:length]
    if flags & ~_INDEX:
        return -EINVAL
    index = call.cpu if flags == _INDEX else flags
    if index >= index_limit(table, call.cpus):
        return -E2BIG
    event = table.inner.get(index.to_bytes(4, "little"))
    if event is None:
        return -ENOENT
    if event != call.cpu:
        return -EOPNOTSUPP
    output = Output(call.cpu, data)
    return answer(lambda: call.keeper.writable(table).add(output))


CALLS: Mapping[str, Played] = {"bpf_perf_event_output": _output}
