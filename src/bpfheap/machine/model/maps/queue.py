"""Maps without keys, into which values are pushed: queues and stacks (queue_stack_maps.c of
kernel/bpf) and filters (bloom_filter.c)."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.model.maps.apart import ShownElements
from bpfheap.machine.model.maps.common import Values, map_error, writable
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.model.state import MachineState
from bpfheap.platform.maps import ANY, EXIST, Shape


class QueueElements(ShownElements):
    """`records` are the values, oldest first."""

    #: Which of them is next.
    _next = 0

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        """Push. With EXIST, the oldest makes room."""
        if flags not in (ANY, EXIST):
            raise map_error(record, "push", "EINVAL")
        record = writable(mutator.state, record)
        if len(record.records) >= record.spec.max_entries:
            if flags != EXIST:
                raise map_error(record, "push", "E2BIG")
            record.records = record.records[1:]
        record.records = (*record.records, values[0] or b"")

    def shown(self, state: MachineState, record: MapRecord, key: bytes) -> bytes | None:
        if not record.records:
            return None
        value = record.records[self._next]
        assert isinstance(value, bytes)
        return value

    def pop(self, state: MachineState, record: MapRecord) -> bytes | None:
        """Take the next one out; None if there is none."""
        value = self.shown(state, record, b"")
        if value is not None:
            kept = list(record.records)
            kept.pop(self._next)
            writable(state, record).records = tuple(kept)
        return value


class StackElements(QueueElements):
    """The same, with the newest first."""

    _next = -1


class FilterElements(ShownElements):
    """`used` are the values. Linux keeps a few bits of each, so that it may take one that was never
    pushed for one that was; here there are no such mistakes. Neither forgets any."""

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        if flags != ANY:
            raise map_error(record, "push", "EINVAL")
        writable(mutator.state, record).used |= {values[0] or b""}

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        raise map_error(record, "delete", "EOPNOTSUPP")

    def shown(self, state: MachineState, record: MapRecord, key: bytes) -> bytes | None:
        return None


def queue_of(record: MapRecord) -> QueueElements | None:
    """How a map is popped; None if it is no queue and no stack."""
    return _QUEUES.get(record.type.shape)


_QUEUES: Mapping[Shape, QueueElements] = {
    Shape.QUEUE: QueueElements(),
    Shape.STACK: StackElements(),
}
