"""Names of the cases about the native core. Needs no native core, so `--help` can list them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

#: Rounds of each case, unless told otherwise.
ROUNDS: Final = 15


class HeapCase(StrEnum):
    """Cases of `bpfheap bench heap`."""

    ALLOC_FREE_32 = "alloc_free_32"
    TRACKED_OVER_UNTRACKED = "tracked_over_untracked"
    FREE_BY_POINTER_OVER_TOLD = "free_by_pointer_over_told"
    BATCH_10K_RANDOM = "batch_10k_random"
    PRODUCER_CONSUMER = "producer_consumer"
    LIVE_64B_MILLION = "live_64b_million"
    SCALING = "scaling"


class MapCase(StrEnum):
    """Cases of `bpfheap bench maps`."""

    HASH_DYNAMIC_OVER_PREALLOC = "hash_dynamic_over_prealloc"
    HASH_UPDATE_DELETE = "hash_update_delete"
    HASH_LOOKUP_HIT = "hash_lookup_hit"
    FILL_DELETE_1000 = "fill_delete_1000"


class JitCase(StrEnum):
    """Cases of `bpfheap bench jit`."""

    ALU_LOOP = "alu_loop"
    MEM_LOOP = "mem_loop"
    HASH_LOOKUP_LOOP = "hash_lookup_loop"
    ALLOC_XCHG_FREE_LOOP = "alloc_xchg_free_loop"
    CALL_OVERHEAD = "call_overhead"
    BATCH_OVERHEAD = "batch_overhead"
    TRACED = "traced"
    COMPILE_200 = "compile_200"
    COMPILE_20000 = "compile_20000"
    CACHE_HIT = "cache_hit"
