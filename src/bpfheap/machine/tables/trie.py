"""Tries of prefixes (kernel/bpf/lpm_trie.c): a key is a number of bits (u32), and the bytes that
they are the first bits of."""

from __future__ import annotations

from collections.abc import Iterable

from bpfheap.machine.tables.common import (
    Keeper,
    Table,
    Values,
    check_flags,
    map_error,
)


class TrieElements:
    """A lookup finds the longest prefix of its key. Keys are kept with the bits behind the prefix
    that the last update gave them."""

    def regions(self, keeper: Keeper, table: Table, key: bytes) -> tuple[int, ...] | None:
        if not _fits(key):
            return None
        bits = _bits(key)
        found = [k for k in table.entries if bits.startswith(_bits(k))]
        return table.entries[max(found, key=_length)] if found else None

    def has(self, table: Table, key: bytes) -> bool:
        return _fits(key) and any(_bits(key).startswith(_bits(k)) for k in table.entries)

    def keys(self, table: Table) -> tuple[bytes, ...]:
        return walked(table.entries)

    def update(self, keeper: Keeper, table: Table, key: bytes, values: Values, flags: int) -> None:
        if not _fits(key):
            raise map_error(table, "update", "EINVAL", "the prefix is longer than the key")
        same = _same(table, key)
        check_flags(table, flags, present=same is not None)
        if same is None and len(table.entries) >= table.spec.max_entries:
            raise map_error(table, "update", "ENOSPC")
        table = keeper.writable(table)
        old = None if same is None else table.entries.pop(same)
        table.entries[key] = keeper.create(table, key, values)
        if old is not None:
            keeper.retire(table, key, old)

    def delete(self, keeper: Keeper, table: Table, key: bytes) -> None:
        if not _fits(key):
            raise map_error(table, "delete", "EINVAL", "the prefix is longer than the key")
        same = _same(table, key)
        if same is None:
            raise map_error(table, "delete", "ENOENT")
        old = keeper.writable(table).entries.pop(same)
        keeper.retire(table, key, old)


def walked(keys: Iterable[bytes]) -> tuple[bytes, ...]:
    """Longer prefixes before those that they begin with, else 0 before 1 (trie_get_next_key)."""
    return tuple(sorted(keys, key=lambda k: _bits(k) + "2"))


def _length(key: bytes) -> int:
    return int.from_bytes(key[:4], "little")


def _fits(key: bytes) -> bool:
    return _length(key) <= 8 * (len(key) - 4)


def _bits(key: bytes) -> str:
    """Those of the prefix."""
    whole = f"{int.from_bytes(key[4:], 'big'):0{8 * (len(key) - 4)}b}"
    return whole[: _length(key)]


def _same(table: Table, key: bytes) -> bytes | None:
    """The key that is there for the same prefix."""
    if key in table.entries:
        return key
    bits, length = _bits(key), _length(key)
    return next((k for k in table.entries if _length(k) == length and _bits(k) == bits), None)
