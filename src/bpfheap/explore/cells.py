"""States as short strings of bytes.

A state is a row of cells: one for each map, program, execution, map value, policy and so on. What
a cell holds is a value from a growing list of its own, and the state keeps the value's number, in
base 256, one byte each for most cells. Trailing zeros are left out, so that a cell that is met
late is 0 ("nothing there") in all earlier states. So states are compared in full, in some forty
bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cell(NamedTuple):
    """The name of a part of a state, such as ("execution", 1).

    `kind`: what it is about.
    `id`: which of those, None if there is one only.
    """

    kind: str
    id: Hashable = None


class CellTable:
    """All cells and the values met in them.

    `width`: the length of a state with all its zeros.
    `epoch`: grows when a cell gets one more byte, which voids what was learnt of single bytes.
    `names`: the cells by number.
    """

    def __init__(self) -> None:
        self.width = 0
        self.epoch = 0
        self._cells: dict[Cell, int] = {}
        #: By cell: the places of its bytes, low byte first; its values; their numbers.
        self.places: list[tuple[int, ...]] = []
        self.values: list[list[Any]] = []
        self._numbers: list[dict[Any, int]] = []
        self.names: list[Cell] = []
        self._names: dict[Hashable, int] = {}

    def cell(self, name: Cell) -> int:
        """The number of a cell, which is new if it was never asked for."""
        number = self._cells.get(name)
        if number is None:
            number = self._cells[name] = len(self.names)
            self.names.append(name)
            self.places.append((self.width,))
            self.width += 1
            self.values.append([None])
            self._numbers.append({None: 0})
        return number

    def name(self, what: Hashable) -> int:
        """A number for something that is no part of a state."""
        return self._names.setdefault(what, len(self._names))

    def named(self, number: int) -> Any:
        """The inverse."""
        return list(self._names)[number]

    def known(self, name: Cell) -> int | None:
        return self._cells.get(name)

    def is_known(self, cell: int, value: Any) -> bool:
        return value in self._numbers[cell]

    def number(self, cell: int, value: Any) -> int:
        """The number of a value, which is new if it was never seen there."""
        numbers = self._numbers[cell]
        found = numbers.get(value)
        if found is None:
            found = numbers[value] = len(self.values[cell])
            self.values[cell].append(value)
            if found >> 8 * len(self.places[cell]):
                self.places[cell] = (*self.places[cell], self.width)
                self.width += 1
                self.epoch += 1
        return found

    def value(self, state: bytes, cell: int) -> Any:
        return self.values[cell][self.number_in(state, cell)]

    def number_in(self, state: bytes, cell: int) -> int:
        number = 0
        for n, place in enumerate(self.places[cell]):
            if place < len(state):
                number |= state[place] << 8 * n
        return number

    def digits(self, cell: int, number: int) -> Iterator[tuple[int, int]]:
        """The bytes that a value's number is written as: (place, byte)."""
        for n, place in enumerate(self.places[cell]):
            yield place, number >> 8 * n & 0xFF

    def write(self, state: bytes, changes: Iterable[tuple[int, int]]) -> bytes:
        """A state after changes (place, byte)."""
        changed = bytearray(state.ljust(self.width, b"\0"))
        for place, byte in changes:
            changed[place] = byte
        return bytes(changed).rstrip(b"\0")


class CellReader:
    """Reads the cells of one state. `reads` are those that were read so far, in order."""

    __slots__ = ("_seen", "reads", "state", "store")

    def __init__(self, store: CellTable, state: bytes) -> None:
        self.store = store
        self.state = state
        self.reads: list[int] = []
        self._seen: dict[int, Any] = {}

    def read(self, name: Cell) -> Any:
        cell = self.store.cell(name)
        if cell in self._seen:
            return self._seen[cell]
        self.reads.append(cell)
        value = self._seen[cell] = self.store.value(self.state, cell)
        return value


class Lazy(dict[K, V]):
    """A dict whose items are taken from a state when somebody looks at them. `universe` are all
    keys that there can be, None if nobody may iterate; `thaw` turns what a cell holds into the
    item. Afterwards `touched` are the keys that were looked at or set."""

    def __init__(
        self,
        reader: CellReader,
        kind: str,
        universe: tuple[K, ...] | None = None,
        thaw: Callable[[K, Any], V] | None = None,
    ) -> None:
        super().__init__()
        self.reader = reader
        self.kind = kind
        self.universe = universe
        self.thaw = thaw
        self.touched: dict[K, None] = {}

    def touch(self, key: K) -> None:
        if key in self.touched:
            return
        self.touched[key] = None
        value = self.reader.read(Cell(self.kind, key))
        if value is not None:
            super().__setitem__(key, value if self.thaw is None else self.thaw(key, value))

    def _touch_all(self) -> None:
        assert self.universe is not None, f"nobody knows all of {self.kind}"
        for key in self.universe:
            self.touch(key)

    def __getitem__(self, key: K) -> V:
        self.touch(key)
        return super().__getitem__(key)

    def get(self, key: K, default: Any = None) -> Any:
        self.touch(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.touch(key)  # type: ignore[arg-type]
        return super().__contains__(key)

    def __setitem__(self, key: K, value: V) -> None:
        self.touch(key)
        super().__setitem__(key, value)

    def __delitem__(self, key: K) -> None:
        self.touch(key)
        super().__delitem__(key)

    def pop(self, key: K, *default: Any) -> Any:
        self.touch(key)
        return super().pop(key, *default)

    def __iter__(self) -> Iterator[K]:
        self._touch_all()
        return super().__iter__()

    def __len__(self) -> int:
        self._touch_all()
        return super().__len__()

    def __bool__(self) -> bool:
        return len(self) > 0

    def keys(self) -> Any:
        self._touch_all()
        return super().keys()

    def values(self) -> Any:
        self._touch_all()
        return super().values()

    def items(self) -> Any:
        self._touch_all()
        return super().items()

    def now(self, key: K) -> V | None:
        """What is there after all, without looking at the state again."""
        return super().get(key)
