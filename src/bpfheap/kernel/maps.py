"""MapSpec -> a map of the kernel (libbpf: bpf_object__create_map)."""

from __future__ import annotations

import errno
import mmap
from dataclasses import replace

from bpfheap.errors import KernelUndecided, KernelUnsupported
from bpfheap.kernel.bpf import (
    F_RDONLY_PROG,
    REWRITE,
    Attr,
    Command,
    Descriptor,
    Transport,
    object_name,
    refused,
)
from bpfheap.platform.maps import ALLOCATOR_NUMBER, ARENA_NUMBER, BY_NUMBER
from bpfheap.spec import MapSpec

PROG_ARRAY, PERF_EVENT_ARRAY, RINGBUF, USER_RINGBUF = 3, 4, 27, 31
#: An address of user space that nothing else has.
_ARENA_START = 1 << 44
_RINGS = frozenset({RINGBUF, USER_RINGBUF})
#: Types of which a map belongs to the first program that uses it, as its elements may have programs
#: (map_type_contains_progs): prog_array, devmap, cpumap.
WITH_PROGRAMS = frozenset({3, 14, 16})
#: Types that are created without BTF: prog_array, perf_event_array, stack_trace, cgroup_array, maps
#: of maps, devmap, sockmap, cpumap, xskmap, sockhash, queue, stack, devmap_hash.
_NO_BTF = frozenset({3, 4, 7, 8, 12, 13, 14, 15, 16, 17, 18, 22, 23, 25})


def create_map(
    kernel: Transport,
    spec: MapSpec,
    *,
    btf: Descriptor | None,
    inner: Descriptor | None = None,
) -> Descriptor:
    """`btf` is what `spec.key` and `spec.value` are ids of, `inner` a map like the template.

    Data sections get their contents, and read-only ones are frozen, so that the verifier knows
    them. Where the kernel does not take a map with its types it gets one without, as libbpf
    does it. Raises KernelUnsupported for an allocator, KernelUndecided for a map that lacks
    nothing but a number of entries, KernelError if there is no such map.
    """
    if spec.type == ALLOCATOR_NUMBER:
        raise KernelUnsupported(
            f"map {spec.name} is an allocator, which the kernel does not have",
            file=spec.file or None,
            hint=REWRITE,
        )
    named = spec.names_kptr_allocator or spec.elem_allocator
    if named is not None:
        raise KernelUnsupported(
            f"map {spec.name} names allocator {named}, and the kernel does not have allocators",
            file=spec.file or None,
            hint=REWRITE,
        )
    typed = btf is not None and spec.is_typed and spec.type not in _NO_BTF
    number = _create(kernel, spec, btf if typed else None, inner)
    if number < 0 and typed:
        number = _create(kernel, spec, None, inner)
    if number < 0:
        row = BY_NUMBER.get(spec.type)
        kind = f"{row.name} " if row is not None else f"type {spec.type} "
        error = refused(
            f"the kernel does not create the {kind}map {spec.name} (key {spec.key_size}, value "
            f"{spec.value_size} bytes, {spec.max_entries} entries)",
            -number,
        )
        if _lacks_entries(kernel, spec, number, inner):
            raise KernelUndecided(
                error.message,
                errno_name=error.errno_name,
                hint=f"if the loader sets the number of entries: --map {spec.name}=ENTRIES",
            )
        raise error
    made = Descriptor(kernel, number)
    if spec.data is not None:
        if any(spec.data):
            # The kernel reads as much as a value has.
            update(made, bytes(spec.key_size), spec.data.ljust(spec.value_size, b"\0"))
        if spec.readonly:
            result = kernel.call(Attr(Command.MAP_FREEZE, map_fd=made.number))
            if result < 0:
                raise refused(f"map {spec.name} cannot be frozen", -result)
    return made


def _lacks_entries(kernel: Transport, spec: MapSpec, number: int, inner: Descriptor | None) -> bool:
    """Is it refused for having no entries alone? Some maps have to have none, so that the kernel is
    asked."""
    if spec.max_entries or number != -errno.EINVAL:
        return False
    made = _create(kernel, replace(spec, max_entries=1), None, inner)
    Descriptor(kernel, made).close()
    return made >= 0


def _create(
    kernel: Transport, spec: MapSpec, btf: Descriptor | None, inner: Descriptor | None
) -> int:
    return kernel.call(
        Attr(
            Command.MAP_CREATE,
            map_type=spec.type,
            key_size=_size(spec, spec.key_size),
            value_size=_size(spec, spec.value_size),
            max_entries=_entries(spec, kernel),
            map_flags=spec.flags | (F_RDONLY_PROG if spec.readonly else 0),
            inner_map_fd=inner.number if inner is not None else 0,
            numa_node=spec.numa_node,
            map_name=object_name(spec.name),
            btf_fd=btf.number if btf is not None else 0,
            btf_key_type_id=spec.key if btf is not None else 0,
            btf_value_type_id=spec.value if btf is not None else 0,
            map_extra=_extra(spec),
        )
    )


def _size(spec: MapSpec, size: int) -> int:
    """What cilium/ebpf makes of it where the kernel takes one size alone: libbpf leaves it."""
    if spec.type in _RINGS:
        return 0
    return size or 4 if spec.type == PERF_EVENT_ARRAY else size


def _extra(spec: MapSpec) -> int:
    """libbpf maps an arena before it loads programs, at any address that is free; the kernel's
    verifier wants to know one."""
    return spec.map_extra or _ARENA_START if spec.type == ARENA_NUMBER else spec.map_extra


def _entries(spec: MapSpec, kernel: Transport) -> int:
    """What libbpf makes of it: an array of perf events without a number has one for each CPU."""
    if spec.type in _RINGS:
        return _pages(spec.max_entries)
    if spec.type == PERF_EVENT_ARRAY:
        return spec.max_entries or kernel.cpus
    return spec.max_entries


def _pages(size: int) -> int:
    """A ring's size has to be a power of two of pages (libbpf: adjust_ringbuf_sz)."""
    pages = -(-size // mmap.PAGESIZE)
    rounded = mmap.PAGESIZE << max(pages - 1, 0).bit_length()
    return rounded if size and rounded < 1 << 32 else size


def update(target: Descriptor, key: bytes, value: bytes) -> None:
    """Put one element into a map. Raises KernelError."""
    result = target.transport.call(
        Attr(Command.MAP_UPDATE_ELEM, map_fd=target.number, key=key, value=value)
    )
    if result < 0:
        raise refused("the kernel does not take a map's initial value", -result)
