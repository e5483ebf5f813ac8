"""Strings that are known when a program is verified, and formats among them.

Sources: check_reg_const_str and check_bpf_snprintf_call in kernel/bpf/verifier.c, and
bpf_bprintf_prepare in kernel/bpf/helpers.c of Linux 6.18.
"""

from __future__ import annotations

import re

from bpfheap.platform.calls import Arg
from bpfheap.platform.maps import BY_NUMBER
from bpfheap.verifier import hints
from bpfheap.verifier.calls.meta import Meta, expected
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import MAP_VALUE, MapRef, Reg, State

_WORD = 8

#: What follows a string's or a plain pointer's conversion: the end, or what is a space or
#: punctuation to lib/ctype.c, which takes bytes for Latin-1.
_APART = rb"(?=[\s!-/:-@\[-`{-~\xa0-\xbf\xd7\xf7]|\Z)"
_CONVERSION = re.compile(
    rb"%(?:%|[0+\- ]*(?:[1-9][0-9]*)?"
    rb"(?P<value>c|p[KxsSB]|p[iI][46]|(?:s|p|p[ku]s)" + _APART + rb"|l{0,2}[idxuX]))"
)
_PRINTABLE = re.compile(rb"[\s -~\x80-\xff]*")


def constant(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """A string that nobody can change any more."""
    if reg.kind != MAP_VALUE or reg.or_null:
        raise expected(n, reg, "map_value", 'pass "..." or another constant')
    ref: MapRef = reg.what
    spec = ref.spec
    if ref.constant is None:
        raise Reject(
            f"R{n} does not point to a readonly map'",
            register=n,
            hint="make the string const",
        )
    if not reg.scalar.is_const:
        raise Reject(f"R{n} is not a constant address'", register=n, hint=hints.CONST_OFFSET)
    at = reg.off + reg.scalar.smin
    if not 0 <= at < spec.value_size:
        raise Reject(
            f"R{n} min value is outside of the allowed memory range",
            before=f"invalid access to map value, value_size={spec.value_size} off={at} size=1",
            register=n,
            hint=hints.IN_FRONT
            if at < 0
            else f"the map value has {spec.value_size} bytes, no more",
        )
    if not BY_NUMBER[spec.type].direct or spec.max_entries != 1:
        raise Reject(
            "direct value access on string failed"
            if BY_NUMBER[spec.type].direct
            else "no direct value access support for this map type",
            detail=f"{ref} is no array of one element",
            register=n,
            hint="pass a constant, which the compiler puts into .rodata",
        )
    content = ref.constant.ljust(spec.value_size, b"\0")
    text, end, _ = content[at:].partition(b"\0")
    if not end:
        raise Reject(
            "string is not zero-terminated", register=n, hint="let the array have room for a NUL"
        )
    meta.text = text


def check_format(env: Env, st: State, meta: Meta) -> None:
    """The values are whole words, at least as many as the format has conversions."""
    length = len(meta.args)
    # Of a length that is not known Linux takes the bits that are.
    size = st.regs[length].scalar.v
    if size % _WORD:
        raise Reject(
            f"R{length} is a length of {size} bytes, and values have {_WORD} each",
            register=length,
            hint="pass an array of __u64, and its size",
        )
    used, given = conversions(meta.text), size // _WORD
    if used is None:
        raise _invalid(
            meta,
            "a conversion is none that the kernel knows",
            "it knows %d, %i, %u, %x and %X, also with l or ll, %c, %s, %p and a few more of %p",
        )
    if used > given:
        raise _invalid(
            meta, f"it shows {used} values, and {given} are given", "pass all of them in one array"
        )


def _invalid(meta: Meta, why: str, hint: str) -> Reject:
    register = meta.args.index(Arg.FORMAT) + 1
    return Reject("Invalid format string", detail=why, register=register, hint=hint)


def conversions(form: bytes) -> int | None:
    """How many values a format shows, None for a format that the kernel does not take."""
    if _PRINTABLE.fullmatch(form) is None:
        return None
    at = used = 0
    while (at := form.find(b"%", at)) >= 0:
        found = _CONVERSION.match(form, at)
        if found is None:
            return None
        used += found["value"] is not None
        at = found.end()
    return used
