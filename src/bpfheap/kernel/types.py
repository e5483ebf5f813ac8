"""BTF in the form that the kernel takes. What compilers leave to the loader is done here, as
libbpf does it (bpf_object__collect_externs, btf_fixup_datasec)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from bpfheap.btf import (
    Btf,
    BtfType,
    Const,
    Datasec,
    Func,
    FuncProto,
    Int,
    SecVar,
    Struct,
    Typedef,
    Var,
    essential_name,
)
from bpfheap.btf.raw import encode_types
from bpfheap.kernel.bpf import Transport
from bpfheap.platform.calls import KFUNC_BY_NAME
from bpfheap.platform.programs import AttachTarget
from bpfheap.spec import OpsMember

_STATIC, _GLOBAL, _EXTERN = 0, 1, 2
_KSYMS = ".ksyms"
_INT = Int("int", 4, 1, 0, 32)
_INT_SIZE = 4
#: Where the header has the length of the strings, which are the last part of the data.
_STRINGS_LENGTH = struct.Struct("<I")
_STRINGS_LENGTH_AT = 20


@dataclass(frozen=True, slots=True)
class KernelBtf:
    """The bytes to load. Types have the ids that they had, `last` is the highest; `strings` is
    where each of the extra strings is."""

    data: bytes
    last: int
    strings: dict[str, int]


def kernel_btf(btf: Btf, static: Collection[int] = (), strings: Iterable[str] = ()) -> KernelBtf:
    """`static` are the FUNCs that are to be verified with what their callers know, whatever their
    linkage says: hidden ones. `strings` go in for line information."""
    types = list(btf.types)
    integer = len(types)
    dummy = integer + 1
    for type_id, kind in enumerate(btf.types):
        match kind:
            # Bits may be left out where all are meant; the kernel would see a number of 0 bits.
            case Int(bits=0, size=size):
                types[type_id] = replace(kind, bits=8 * size - kind.offset)
            case Func():
                linkage = _STATIC if type_id in static else min(kind.linkage, _GLOBAL)
                types[type_id] = replace(kind, linkage=linkage)
                types[kind.type] = _with_names(types[kind.type])
            case Var(linkage=linkage) if linkage == _EXTERN:
                types[type_id] = Var(kind.name, integer, _GLOBAL)
            case Datasec():
                types[type_id] = _section(kind, btf, dummy)
    types += [_INT, Var("bpfheap_function", integer, _GLOBAL)]
    data = bytearray(encode_types(tuple(types)))
    (length,) = _STRINGS_LENGTH.unpack_from(data, _STRINGS_LENGTH_AT)
    start = len(data) - length
    places = {"": 0}
    for text in strings:
        if text not in places:
            places[text] = len(data) - start
            data += text.encode(errors="replace") + b"\0"
    _STRINGS_LENGTH.pack_into(data, _STRINGS_LENGTH_AT, len(data) - start)
    return KernelBtf(bytes(data), dummy, places)


def _with_names(proto: BtfType) -> BtfType:
    """btf_func_check wants names for the parameters of functions, externs included."""
    assert isinstance(proto, FuncProto)
    named = tuple(
        p._replace(name=f"arg{i}") if p.type and not p.name else p
        for i, p in enumerate(proto.params)
    )
    return replace(proto, params=named)


def _section(section: Datasec, btf: Btf, dummy: int) -> BtfType:
    """In the order of places. What .ksyms declares is somewhere else, each thing counts as an int;
    functions are not taken at all, so a variable stands for them."""
    if section.name == _KSYMS:
        entries = tuple(
            SecVar(dummy if isinstance(btf[v.type], Func) else v.type, i * _INT_SIZE, _INT_SIZE)
            for i, v in enumerate(section.vars)
        )
        section = Datasec(section.name, len(entries) * _INT_SIZE, entries)
    if not section.size:
        # The kernel takes no empty section, and something has to have the id.
        return Const(0)
    return replace(section, vars=tuple(sorted(section.vars, key=lambda v: v.offset)))


def function_id(kernel: Transport, name: str) -> int | None:
    """The id of a kernel function in the kernel's own BTF; a flavour, "name___x", does not count.
    None for those of our interface, although the kernel has functions of such names: what they do
    is another matter. Raises KernelUnsupported if the kernel has no BTF."""
    row = KFUNC_BY_NAME.get(name)
    if row is not None and row.ours:
        return None
    return kernel.types().find(essential_name(name), Func)


def variable_id(kernel: Transport, name: str) -> int | None:
    """As `function_id`, of a variable."""
    return kernel.types().find(essential_name(name), Var)


def attach_id(kernel: Transport, target: AttachTarget) -> int | None:
    """The id of what a program is attached to. Raises as `function_id`."""
    return kernel.types().find(target.name, Typedef if target.typedef else Func)


def ops_member(kernel: Transport, member: OpsMember) -> tuple[int, int] | None:
    """The id of a struct of functions, and which of its members one is. Raises as
    `function_id`."""
    types = kernel.types()
    found = types.find(member.struct, Struct)
    kind = None if found is None else types[found]
    if found is None or not isinstance(kind, Struct):
        return None
    for index, each in enumerate(kind.members):
        if each.name == member.name:
            return found, index
    return None
