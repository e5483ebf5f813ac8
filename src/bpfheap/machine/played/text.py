"""Texts: comparing, reading numbers, formats.

Sources: bpf_strtol, bpf_strncmp, bpf_snprintf and bpf_bprintf_prepare in kernel/bpf/helpers.c,
bpf_seq_printf in kernel/trace/bpf_trace.c, _parse_integer in lib/kstrtox.c of Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from errno import E2BIG, EFAULT, EINVAL, ENOENT, ENOSPC, EOVERFLOW, ERANGE

from bpfheap.machine.printk import MAX_WORDS, FormatRefused, format_bytes
from bpfheap.runtime.world import Caller, Space, Stub, Word

_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1
_S64_MAX = (1 << 63) - 1
_BASES = frozenset({0, 8, 10, 16})
_SPACES = b" \t\n\v\f\r\xa0"
_DIGITS = b"0123456789abcdef"
#: What bpf_strtol looks at (BPF_STRTOX_BASE_MASK).
_BASE_MASK = 0x1F
_LONGEST = 64
#: BPF_STDOUT, BPF_STDERR
_STDOUT, _STDERR = 1, 2
#: The longest text that a format's %s shows.
_TEXT = 512
#: What an iterator's program may write for one object (bpf_seq_read: 8 pages), and a stream may
#: have in it (BPF_STREAM_MAX_CAPACITY).
_SEQ_SIZE, _STREAM_SIZE = 8 * 4096, 100_000


def _strncmp(call: Caller, args: Sequence[Word]) -> Word:
    size = call.number(args[1]) & _U32
    one = call.read(args[0], size)
    other = call.text(args[2], size, Space.EITHER) or b""
    # Both end at their NULs.
    for a, b in zip(one, other.ljust(size, b"\0"), strict=False):
        if a != b:
            return -1 if a < b else 1
        if not a:
            break
    return 0


class _NumberRefused(Exception):
    def __init__(self, errno: int) -> None:
        super().__init__(errno)
        self.errno = errno


def _parse(text: bytes, flags: int) -> tuple[int, bool, int]:
    """A number without its sign, whether that is -, and how many bytes it took. Raises
    _NumberRefused."""
    if not text or flags & _BASE_MASK not in _BASES or flags & ~_BASE_MASK:
        raise _NumberRefused(EINVAL)
    base = flags & _BASE_MASK
    at = 0
    while at < len(text) and text[at] in _SPACES:
        at += 1
    negative = text[at : at + 1] == b"-"
    at += negative
    rest = text[at : at + _LONGEST - 1].partition(b"\0")[0]
    if not len(text) - at:
        raise _NumberRefused(EINVAL)
    start = rest.lower()
    if not base:
        base = 10
        if start[:1] == b"0":
            base = 16 if start[1:2] == b"x" and start[2:3] in _digits(16) else 8
    used = 2 if base == 16 and start[:2] == b"0x" else 0
    value, digits = 0, 0
    while start[used : used + 1] in _digits(base):
        value = value * base + _DIGITS.index(start[used : used + 1])
        used += 1
        digits += 1
    if value > _U64:
        raise _NumberRefused(ERANGE)
    if not digits:
        raise _NumberRefused(EINVAL)
    return value, negative, at + used


def _digits(base: int) -> frozenset[bytes]:
    return frozenset(_DIGITS[i : i + 1] for i in range(base))


def _strto(*, signed: bool) -> Stub:
    def read(call: Caller, args: Sequence[Word]) -> Word:
        text = call.read(args[0], call.number(args[1]) & _U32)
        call.write(args[3], bytes(8))
        try:
            value, negative, used = _parse(text, call.number(args[2]))
            if signed and value > _S64_MAX + negative:
                raise _NumberRefused(ERANGE)
            if negative and not signed:
                raise _NumberRefused(EINVAL)
        except _NumberRefused as refused:
            return -refused.errno
        call.write(args[3], ((-value if negative else value) & _U64).to_bytes(8, "little"))
        return used

    return read


def formatted(call: Caller, form: bytes, data: Word, size: int) -> bytes | int:
    """The text of a format and the words at `data`, or a negative errno."""
    if size % 8 or size > MAX_WORDS * 8 or (size and isinstance(data, int) and not data):
        return -EINVAL
    raw = call.read(data, size) if size else b""
    words = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, size, 8)]
    try:
        return format_bytes(
            form.partition(b"\0")[0],
            words,
            int,
            lambda at: call.text(at, _TEXT, Space.EITHER) or b"",
            lambda at, count: call.look(at, count, Space.EITHER) or bytes(count),
        )
    except FormatRefused:
        return -EINVAL


def _snprintf(call: Caller, args: Sequence[Word]) -> Word:
    """How long the whole text is, with its NUL."""
    form = call.text(args[2], 1024, Space.EITHER) or b""
    text = formatted(call, form, args[3], call.number(args[4]) & _U32)
    if isinstance(text, int):
        return text
    size = call.number(args[1]) & _U32
    if size:
        call.write(args[0], text[: size - 1] + b"\0")
    return len(text) + 1


def _seq_printf(call: Caller, args: Sequence[Word]) -> Word:
    form = call.read(args[1], call.number(args[2]) & _U32)
    text = formatted(call, form, args[3], call.number(args[4]) & _U32)
    if isinstance(text, int):
        return text
    return _written(call, text)


def _written(call: Caller, data: bytes) -> int:
    """What does not fit is left out (seq_write)."""
    world = call.world
    if len(world.output) + len(data) >= _SEQ_SIZE:
        return -EOVERFLOW
    call.world = world._replace(output=world.output + data)
    return 0


def _seq_write(call: Caller, args: Sequence[Word]) -> Word:
    return _written(call, call.read(args[1], call.number(args[2]) & _U32))


def _stream(call: Caller, args: Sequence[Word]) -> Word:
    """What the program says on one of its streams (bpf_stream_vprintk)."""
    number = _signed32(call.number(args[0]))
    form = call.text(args[1], 1024, Space.EITHER) or b""
    text = formatted(call, form, args[2], call.number(args[3]) & _U32)
    if isinstance(text, int):
        return text
    world = call.world
    if number not in (_STDOUT, _STDERR):
        return -ENOENT
    before = world.stdout if number == _STDOUT else world.stderr
    if len(before) + len(text) >= _STREAM_SIZE:
        return -ENOSPC
    if number == _STDOUT:
        call.world = world._replace(stdout=before + text)
    else:
        call.world = world._replace(stderr=before + text)
    return 0


def _signed32(number: int) -> int:
    number &= _U32
    return number - (1 << 32) if number >> 31 else number


# -- kfuncs of texts that may be anywhere (kernel/bpf/helpers.c: __bpf_strcmp and its like)

#: Where a byte is in a text, below 0 for nowhere.
Find = Callable[[bytes, int], int]
#: XATTR_SIZE_MAX
_LONGEST_TEXT = 65536


def _two(call: Caller, args: Sequence[Word]) -> tuple[bytes, bytes] | None:
    one = call.text(args[0], _LONGEST_TEXT, Space.KERNEL)
    other = call.text(args[1], _LONGEST_TEXT, Space.KERNEL)
    return None if one is None or other is None else (one, other)


def _strcmp(call: Caller, args: Sequence[Word]) -> Word:
    both = _two(call, args)
    if both is None:
        return -EFAULT
    return (both[0] > both[1]) - (both[0] < both[1])


def _strcasecmp(call: Caller, args: Sequence[Word]) -> Word:
    both = _two(call, args)
    if both is None:
        return -EFAULT
    one, other = both[0].lower(), both[1].lower()
    return (one > other) - (one < other)


def _strlen(call: Caller, args: Sequence[Word]) -> Word:
    found = call.text(args[0], _LONGEST_TEXT, Space.KERNEL)
    if found is None:
        return -EFAULT
    return -E2BIG if len(found) >= _LONGEST_TEXT else len(found)


def _strnlen(call: Caller, args: Sequence[Word]) -> Word:
    limit = min(call.number(args[1]), _LONGEST_TEXT)
    found = call.text(args[0], limit, Space.KERNEL) if limit else b""
    return -EFAULT if found is None else len(found)


def _strchr(call: Caller, args: Sequence[Word]) -> Word:
    return _where(call, args, lambda text, c: len(text) if not c else text.find(bytes([c])))


def _strchrnul(call: Caller, args: Sequence[Word]) -> Word:
    return _where(call, args, lambda text, c: (text + bytes([c])).find(bytes([c])))


def _strnchr(call: Caller, args: Sequence[Word]) -> Word:
    limit = min(call.number(args[1]), _LONGEST_TEXT)
    text = call.text(args[0], limit, Space.KERNEL) if limit else b""
    if text is None:
        return -EFAULT
    c = call.number(args[2]) & 0xFF
    at = (text + b"\0")[:limit].find(bytes([c]))
    return -ENOENT if at < 0 else at


def _strnstr(call: Caller, args: Sequence[Word]) -> Word:
    both = _two(call, args)
    if both is None:
        return -EFAULT
    at = both[0][: call.number(args[2])].find(both[1])
    return -ENOENT if at < 0 else at


def _strrchr(call: Caller, args: Sequence[Word]) -> Word:
    return _where(call, args, lambda text, c: len(text) if not c else text.rfind(bytes([c])))


def _where(call: Caller, args: Sequence[Word], find: Find) -> Word:
    text = call.text(args[0], _LONGEST_TEXT, Space.KERNEL)
    if text is None:
        return -EFAULT
    at = find(text, call.number(args[1]) & 0xFF)
    return -ENOENT if at < 0 else at


def _strstr(call: Caller, args: Sequence[Word]) -> Word:
    both = _two(call, args)
    if both is None:
        return -EFAULT
    at = both[0].find(both[1])
    return -ENOENT if at < 0 else at


def _strspn(*, inside: bool) -> Stub:
    def span(call: Caller, args: Sequence[Word]) -> Word:
        both = _two(call, args)
        if both is None:
            return -EFAULT
        text, wanted = both
        return next((i for i, c in enumerate(text) if (c in wanted) is not inside), len(text))

    return span


CALLS: Mapping[str, Stub] = {
    "bpf_strncmp": _strncmp,
    "bpf_strtol": _strto(signed=True),
    "bpf_strtoul": _strto(signed=False),
    "bpf_snprintf": _snprintf,
    "bpf_seq_printf": _seq_printf,
    "bpf_seq_write": _seq_write,
    "bpf_strcmp": _strcmp,
    "bpf_strcasecmp": _strcasecmp,
    "bpf_strchrnul": _strchrnul,
    "bpf_strnchr": _strnchr,
    "bpf_strnstr": _strnstr,
    "bpf_stream_vprintk_impl": _stream,
    "bpf_strlen": _strlen,
    "bpf_strnlen": _strnlen,
    "bpf_strchr": _strchr,
    "bpf_strrchr": _strrchr,
    "bpf_strstr": _strstr,
    "bpf_strspn": _strspn(inside=True),
    "bpf_strcspn": _strspn(inside=False),
}
