"""Tries of prefixes (kernel/bpf/lpm_trie.c): a key is a number of bits (u32), and the bytes that
they are the first bits of."""

from __future__ import annotations

from bpfheap.machine.model.maps.common import (
    Values,
    check_flags,
    key_name,
    map_error,
    new_element,
    writable,
)
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord


class TrieElements:
    """A lookup finds the longest prefix of its key. Keys are kept with the bits behind the prefix
    that the last update gave them."""

    def regions(self, mutator: Mutator, record: MapRecord, key: bytes) -> tuple[int, ...] | None:
        if not _fits(key):
            return None
        bits = _bits(key)
        found = [k for k in record.entries if bits.startswith(_bits(k))]
        return record.entries[max(found, key=_length)] if found else None

    def has(self, record: MapRecord, key: bytes) -> bool:
        return _fits(key) and any(_bits(key).startswith(_bits(k)) for k in record.entries)

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        """Longer prefixes before those that they begin with, else 0 before 1
        (trie_get_next_key)."""
        return tuple(sorted(record.entries, key=lambda k: _bits(k) + "2"))

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        if not _fits(key):
            raise map_error(record, "update", "EINVAL", "the prefix is longer than the key")
        same = _same(record, key)
        check_flags(record, flags, present=same is not None)
        if same is None and len(record.entries) >= record.spec.max_entries:
            raise map_error(record, "update", "ENOSPC")
        record = writable(mutator.state, record)
        old = None if same is None else record.entries.pop(same)
        record.entries[key] = new_element(mutator, record, key, values, cpus=1)
        if old is not None:
            mutator.retire(old, f"{record.spec.name}[{key_name(key)}]")

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        if not _fits(key):
            raise map_error(record, "delete", "EINVAL", "the prefix is longer than the key")
        same = _same(record, key)
        if same is None:
            raise map_error(record, "delete", "ENOENT")
        old = writable(mutator.state, record).entries.pop(same)
        mutator.retire(old, f"{record.spec.name}[{key_name(key)}]")


def _length(key: bytes) -> int:
    return int.from_bytes(key[:4], "little")


def _fits(key: bytes) -> bool:
    return _length(key) <= 8 * (len(key) - 4)


def _bits(key: bytes) -> str:
    """Those of the prefix."""
    whole = f"{int.from_bytes(key[4:], 'big'):0{8 * (len(key) - 4)}b}"
    return whole[: _length(key)]


def _same(record: MapRecord, key: bytes) -> bytes | None:
    """The key that is there for the same prefix."""
    if key in record.entries:
        return key
    bits, length = _bits(key), _length(key)
    return next((k for k in record.entries if _length(k) == length and _bits(k) == bits), None)
