"""The formats of bpf_trace_printk, bpf_snprintf and their like.

Source: bpf_bprintf_prepare in kernel/bpf/helpers.c.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

#: MAX_BPRINTF_VARARGS: the most values that bpf_trace_vprintk takes.
MAX_WORDS = 12

#: What a machine keeps in a register.
Value = TypeVar("Value")

_CONVERSION = re.compile(
    rb"%(?:%|([-+ #0]*)([0-9]{0,3})(ll|l|hh|h|)(p[iI][46]|p[ku]s|p[KxsSB]?|[diuxXcs]))"
)
#: What may stand behind %p without being a part of it.
_BEHIND_POINTER = re.compile(rb"[^A-Za-z0-9]|$")
_BITS = {b"": 32, b"h": 16, b"hh": 8, b"l": 64, b"ll": 64}


class FormatRefused(Exception):
    """The kernel would answer EINVAL."""


def format_line(
    form: bytes,
    arguments: Sequence[Value],
    number: Callable[[Value], int],
    string: Callable[[Value], bytes],
    memory: Callable[[Value, int], bytes] = lambda at, count: bytes(count),
) -> str:
    """The same as `format_bytes`, for people."""
    return format_bytes(form, arguments, number, string, memory).decode("utf-8", "replace")


def format_bytes(
    form: bytes,
    arguments: Sequence[Value],
    number: Callable[[Value], int],
    string: Callable[[Value], bytes],
    memory: Callable[[Value, int], bytes] = lambda at, count: bytes(count),
) -> bytes:
    """The text of a format without its final NUL. `number` gives a value as a number, `string`
    the bytes at a pointer: none where nothing can be read, at NULL neither; `memory` as many bytes
    as are asked for, 0 where nothing can be read.

    Raises FormatRefused for a conversion that the kernel does not know, and for more of them than
    there are arguments.
    """
    out: list[bytes] = []
    at = used = 0
    for match in _CONVERSION.finditer(form):
        out.append(_text(form[at : match.start()]))
        at = match.end()
        if match[0] == b"%%":
            out.append(b"%")
            continue
        if used >= len(arguments):
            raise FormatRefused
        flags, width, length, kind = match[1].decode(), match[2].decode(), match[3], match[4]
        value = arguments[used]
        used += 1
        if kind in (b"s", b"pks", b"pus"):
            shown, flags = string(value), flags.replace("0", "")
        elif kind == b"c":
            shown, flags = bytes([number(value) & 0xFF]), flags.replace("0", "")
        elif kind[:2] in (b"pi", b"pI"):
            raw = memory(value, 4 if kind[2:] == b"4" else 16)
            shown = _address(raw, plain=kind[1:2] == b"I").encode()
        elif kind[:1] == b"p":
            if kind == b"p" and not _BEHIND_POINTER.match(form, at):
                raise FormatRefused
            shown = b"%016x" % number(value)
        else:
            shown = _integer(number(value), _BITS[length], kind.decode(), flags).encode()
        out.append(_pad(shown, flags, int(width or 0)))
    out.append(_text(form[at:]))
    return b"".join(out)


def _address(raw: bytes, *, plain: bool) -> str:
    """An address of the internet, with leading zeros unless it is `plain` (ip4_addr_string)."""
    if len(raw) == 4:
        return ".".join(str(byte) if plain else f"{byte:03}" for byte in raw)
    words = [raw[i : i + 2].hex() for i in range(0, 16, 2)]
    return ":".join(words) if plain else "".join(words)


def _text(raw: bytes) -> bytes:
    if b"%" in raw:
        raise FormatRefused
    return raw


def _integer(number: int, bits: int, kind: str, flags: str) -> str:
    number &= (1 << bits) - 1
    if kind in "di":
        number -= (number >> bits - 1) << bits
        sign = "+" if "+" in flags else " " if " " in flags else ""
        return f"{sign}{number}" if number >= 0 else str(number)
    if kind == "u":
        return str(number)
    prefix = f"0{kind}" if "#" in flags and number else ""
    return f"{prefix}{number:{kind}}"


def _pad(shown: bytes, flags: str, width: int) -> bytes:
    if "-" in flags:
        return shown.ljust(width)
    if "0" in flags:
        sign = shown[:1] if shown[:1] in (b"+", b"-", b" ") else b""
        return sign + shown[len(sign) :].rjust(width - len(sign), b"0")
    return shown.rjust(width)
