"""`extern ... __kconfig`: values of a kernel's configuration, in a map `.kconfig` that programs
only read (tools/lib/bpf/libbpf.c, bpf_object__collect_externs and bpf_object__resolve_externs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from bpfheap.btf import (
    Array,
    Btf,
    BtfType,
    Datasec,
    Enum,
    Enum64,
    Int,
    SecVar,
    Var,
)
from bpfheap.elf.maps import data_map
from bpfheap.elf.target import Target
from bpfheap.errors import RelocationError
from bpfheap.spec import MapSpec

#: The section, and the map.
KCONFIG = ".kconfig"

_GLOBAL = 1
_BOOL = 4
_TRISTATE = {"y": 1, "m": 2, "n": 0}
_U64 = 1 << 64


class _Form(StrEnum):
    """enum kcfg_type, as users write it."""

    BOOL = "bool"
    CHAR = "char"
    INT = "an integer"
    TRISTATE = "enum libbpf_tristate"
    TEXT = "an array of char"


@dataclass(frozen=True, slots=True)
class _Value:
    """A variable, and where it is in the map."""

    name: str
    var: int
    form: _Form
    signed: bool
    size: int
    align: int
    offset: int = 0


def place(btf: Btf) -> Btf:
    """The types with a place for each variable of `.kconfig`: compilers leave that to loaders.
    Raises RelocationError for a type that no value of a configuration has."""
    section = _section(btf)
    if section is None:
        return btf
    type_id, datasec = section
    values = _values(btf, datasec)
    types: list[BtfType] = list(btf.types)
    for value in values:
        var = types[value.var]
        assert isinstance(var, Var)
        types[value.var] = replace(var, linkage=_GLOBAL)
    entries = tuple(SecVar(value.var, value.offset, value.size) for value in values)
    end = max((value.offset + value.size for value in values), default=0)
    types[type_id] = replace(datasec, size=end, vars=entries)
    return Btf(tuple(types), btf.file)


def _section(btf: Btf) -> tuple[int, Datasec] | None:
    for type_id, kind in enumerate(btf.types):
        if isinstance(kind, Datasec) and kind.name == KCONFIG:
            return type_id, kind
    return None


def _values(btf: Btf, section: Datasec) -> list[_Value]:
    """In the order of their places: the largest alignment first, then the smallest."""
    found = []
    for entry in section.vars:
        var = btf[entry.type]
        if not isinstance(var, Var):
            raise RelocationError(f"a function in {KCONFIG}, where only values can be")
        form, signed = _form(btf, var)
        size, align = btf.size_of(var.type), btf.align_of(var.type)
        found.append(_Value(var.name, entry.type, form, signed, size, align))
    found.sort(key=lambda value: (-value.align, value.size, value.name))
    placed = []
    end = 0
    for value in found:
        offset = -(-end // value.align) * value.align
        end = offset + value.size
        placed.append(replace(value, offset=offset))
    return placed


def _form(btf: Btf, var: Var) -> tuple[_Form, bool]:
    """find_kcfg_type."""
    kind = btf[btf.resolve(var.type)]
    match kind:
        case Int(size=1, encoding=encoding) if encoding & _BOOL:
            return _Form.BOOL, False
        case Int(size=size, encoding=encoding) if not encoding & _BOOL and size in (1, 2, 4, 8):
            return _Form.CHAR if size == 1 else _Form.INT, kind.signed
        case Enum(name="libbpf_tristate", size=4) | Enum64(name="libbpf_tristate"):
            return _Form.TRISTATE, False
        case Array(count=count) if count:
            element = btf[btf.resolve(kind.type)]
            if isinstance(element, Int) and element.size == 1 and not element.encoding & _BOOL:
                return _Form.TEXT, False
    raise RelocationError(
        f"{var.name} is {btf.c_name(var.type)}, and no value of a configuration is",
        hint="it can be bool, char, an integer, enum libbpf_tristate, or an array of char",
    )


@dataclass(frozen=True, slots=True)
class Config:
    """What is known of the variables: `places` in the map of those that have a value, `faults` of
    those that can have none, without a place. Nothing is known of others."""

    map: MapSpec | None = None
    places: dict[str, int] = field(default_factory=dict)
    faults: dict[str, RelocationError] = field(default_factory=dict)


def read_config(btf: Btf, weak: Mapping[str, bool], target: Target | None) -> Config:
    """The target's values. Without a target, or such variables, there is no map. `weak` says of
    each variable that is used whether it may be missing."""
    section = _section(btf)
    if section is None or target is None:
        return Config()
    type_id, datasec = section
    data = bytearray(datasec.size)
    places: dict[str, int] = {}
    faults: dict[str, RelocationError] = {}
    for value in _values(btf, datasec):
        text = target.config(value.name)
        if text is not None:
            try:
                data[value.offset : value.offset + value.size] = _encoded(value, text)
            except RelocationError as error:
                faults[value.name] = error
                continue
        elif not weak.get(value.name, False):
            if target.has_config():
                faults[value.name] = RelocationError(
                    f"{value.name} is not in the kernel's configuration",
                    hint="declare it `__kconfig __weak`: it is 0 then",
                )
            continue
        places[value.name] = value.offset
    found = data_map(KCONFIG, bytes(data), btf, type_id, readonly=True, file=btf.file or "")
    return Config(found, places, faults)


def _encoded(value: _Value, text: str) -> bytes:
    """bpf_object__process_kconfig_line."""
    first = text[:1]
    if first in _TRISTATE:
        return _encoded_letter(value, first)
    if first == '"':
        return _encoded_text(value, text)
    number = _number(text)
    if number is None:
        raise _unfit(value, text)
    virtual = not value.name.startswith("CONFIG_")
    if value.form is _Form.BOOL and virtual and number <= 1:
        return bytes([number])
    if value.form not in (_Form.INT, _Form.CHAR):
        raise _unfit(value, text)
    bits = 8 * value.size
    fits = (number + (1 << (bits - 1))) % _U64 >> bits == 0 if value.signed else number >> bits == 0
    if bits < 64 and not fits:
        raise _unfit(value, text)
    return (number % (1 << bits)).to_bytes(value.size, "little")


def _encoded_letter(value: _Value, letter: str) -> bytes:
    """set_kcfg_value_tri."""
    match value.form:
        case _Form.BOOL if letter != "m":
            return bytes([letter == "y"])
        case _Form.TRISTATE:
            return _TRISTATE[letter].to_bytes(value.size, "little")
        case _Form.CHAR:
            return letter.encode()
    raise _unfit(value, letter)


def _encoded_text(value: _Value, text: str) -> bytes:
    """set_kcfg_value_str: cut where there is no room."""
    if value.form is not _Form.TEXT or len(text) < 2 or text[-1] != '"':
        raise _unfit(value, text)
    return text[1:-1].encode()[: value.size - 1].ljust(value.size, b"\0")


def _number(text: str) -> int | None:
    """As strtoull with base 0."""
    digits = text.lstrip("+-")
    octal = len(digits) > 1 and digits.startswith("0") and digits[1].isdigit()
    try:
        number = int(text, 8 if octal else 0) if text.isascii() and "_" not in text else None
    except ValueError:
        return None
    return None if number is None or abs(number) >= _U64 else number % _U64


def _unfit(value: _Value, text: str) -> RelocationError:
    return RelocationError(
        f"{value.name} is {text[:80]} in the kernel's configuration, and declared as {value.form} "
        f"of {value.size} bytes"
    )
