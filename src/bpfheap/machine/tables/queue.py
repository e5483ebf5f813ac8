"""Maps without keys, into which values are pushed: queues and stacks (queue_stack_maps.c of
kernel/bpf) and filters (bloom_filter.c)."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.tables.apart import ShownElements
from bpfheap.machine.tables.common import Keeper, Table, Values, map_error
from bpfheap.platform.maps import ANY, EXIST, Shape


class QueueElements(ShownElements):
    """`records` are the values, oldest first."""

    #: Which of them is next.
    _next = 0

    def update(self, keeper: Keeper, table: Table, key: bytes, values: Values, flags: int) -> None:
        """Push. With EXIST, the oldest makes room."""
        if flags not in (ANY, EXIST):
            raise map_error(table, "push", "EINVAL")
        table = keeper.writable(table)
        if len(table.records) >= table.spec.max_entries:
            if flags != EXIST:
                raise map_error(table, "push", "E2BIG")
            table.take(0)
        table.add(values[0] or b"")

    def shown(self, table: Table, key: bytes) -> bytes | None:
        if not table.records:
            return None
        value = table.records[self._next]
        assert isinstance(value, bytes)
        return value

    def pop(self, keeper: Keeper, table: Table) -> bytes | None:
        """Take the next one out; None if there is none."""
        value = self.shown(table, b"")
        if value is not None:
            keeper.writable(table).take(self._next)
        return value


class StackElements(QueueElements):
    """The same, with the newest first."""

    _next = -1


class FilterElements(ShownElements):
    """`used` are the values. Linux keeps a few bits of each, so that it may take one that was never
    pushed for one that was; here there are no such mistakes. Neither forgets any."""

    def update(self, keeper: Keeper, table: Table, key: bytes, values: Values, flags: int) -> None:
        if flags != ANY:
            raise map_error(table, "push", "EINVAL")
        keeper.writable(table).use(values[0] or b"")

    def delete(self, keeper: Keeper, table: Table, key: bytes) -> None:
        raise map_error(table, "delete", "EOPNOTSUPP")

    def shown(self, table: Table, key: bytes) -> bytes | None:
        return None


def queue_of(table: Table) -> QueueElements | None:
    """How a map is popped; None if it is no queue and no stack."""
    return _QUEUES.get(table.type.shape)


_QUEUES: Mapping[Shape, QueueElements] = {
    Shape.QUEUE: QueueElements(),
    Shape.STACK: StackElements(),
}
