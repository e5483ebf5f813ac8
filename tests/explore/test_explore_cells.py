"""States as bytes, and dicts whose items come from them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfheap.explore.cells import Cell, CellReader, CellTable, Lazy

CELLS = [Cell("map", n) for n in range(4)]
writes = st.lists(st.tuples(st.sampled_from(CELLS), st.none() | st.integers(0, 600)), max_size=40)


def written(store: CellTable, state: bytes, cell: Cell, value: object) -> bytes:
    number = store.cell(cell)
    return store.write(state, store.digits(number, store.number(number, value)))


@given(writes)
def test_a_state_is_what_was_written_last(changes: list[tuple[Cell, int | None]]) -> None:
    store, state, expected = CellTable(), b"", dict[Cell, int | None]()
    for cell, value in changes:
        state = written(store, state, cell, value)
        expected[cell] = value
    for cell, value in expected.items():
        assert store.value(state, store.cell(cell)) == value
    assert not state.endswith(b"\0")


@given(st.permutations([(cell, n) for n, cell in enumerate(CELLS)]))
def test_the_order_of_writes_does_not_matter(order: list[tuple[Cell, int]]) -> None:
    store = CellTable()
    for n, cell in enumerate(CELLS):
        written(store, b"", cell, n)
    state = b""
    for cell, value in order:
        state = written(store, state, cell, value)
    same = b""
    for cell, value in reversed(order):
        same = written(store, same, cell, value)
    assert state == same


def test_a_cell_gets_a_byte_more_when_it_needs_one() -> None:
    store = CellTable()
    early = written(store, b"", CELLS[0], "first")
    for n in range(255):
        written(store, b"", CELLS[0], n)
    assert (store.width, store.epoch) == (2, 1)
    late = written(store, b"", CELLS[0], "last")
    assert len(late) == 2
    assert store.value(early, 0) == "first"
    assert store.value(late, 0) == "last"
    assert store.is_known(0, "last")
    assert not store.is_known(0, "never")


def test_what_was_never_met_is_not_there() -> None:
    store = CellTable()
    state = written(store, b"", CELLS[0], 1)
    assert store.known(CELLS[1]) is None
    assert store.value(state, store.cell(CELLS[1])) is None
    assert store.value(state, store.cell(CELLS[0])) == 1


operations = st.lists(
    st.tuples(
        st.sampled_from(["get", "in", "set", "pop", "items", "keys", "len", "del"]),
        st.integers(0, 3),
    ),
    max_size=12,
)


def play(table: dict[int, int], steps: list[tuple[str, int]]) -> list[object]:
    seen: list[object] = []
    for what, key in steps:
        match what:
            case "get":
                seen.append(table.get(key))
            case "in":
                seen.append(key in table)
            case "set":
                table[key] = 100 + key
            case "pop":
                seen.append(table.pop(key, None))
            case "items":
                seen.append(sorted(table.items()))
            case "keys":
                seen.append(sorted(table.keys()))
            case "len":
                seen.append(len(table))
            case "del":
                with suppress(KeyError):
                    del table[key]
    return seen


@given(st.dictionaries(st.integers(0, 3), st.integers(1, 9)), operations)
def test_a_lazy_dict_is_a_dict(there: dict[int, int], steps: list[tuple[str, int]]) -> None:
    store, state = CellTable(), b""
    for key, value in there.items():
        state = written(store, state, Cell("t", key), value)
    reader = CellReader(store, state)
    lazy: Lazy[int, int] = Lazy(reader, "t", (0, 1, 2, 3))
    plain = dict(there)
    assert play(lazy, steps) == play(plain, steps)
    assert {k: lazy.now(k) for k in lazy.touched} == {k: plain.get(k) for k in lazy.touched}
    # Whatever was not looked at is as it was.
    assert all(plain.get(k) == there.get(k) for k in range(4) if k not in lazy.touched)
    assert {store.names[cell].id for cell in reader.reads} == set(lazy.touched)


def test_nobody_may_go_through_a_dict_that_nobody_knows_all_of() -> None:
    lazy: Lazy[int, int] = Lazy(CellReader(CellTable(), b""), "t")
    with pytest.raises(AssertionError):
        list(lazy)
