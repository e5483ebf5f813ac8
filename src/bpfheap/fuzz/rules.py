"""Rules that grammars have in common: numbers, conditions, ways to make a value, and uses of one
that are wrong as soon as it is beyond what it is held for.

In all of them r9 is a map's value of ROOM bytes, r6 to r8 hold numbers, `$k` is the program's
bound, `$beyond` one more, and `$e4` the place in the value where 4 bytes are just within it if the
bound is added. `$a`, `$b` and `$c` are r6, r7 and r8 in some order, the same in one alternative.
"""

from __future__ import annotations

from typing import Final

#: Bytes of the value behind r9.
ROOM: Final = 40

_SIZES: Final = (1, 2, 4, 8)
_BITS: Final = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}
_SIGNED: Final = {1: "s8", 2: "s16", 4: "s32"}
#: Two slots of stack, which grammars work on: every place in them that is aligned, by size.
_SLOTS: Final = (-24, -8)
PLACES: Final = tuple(
    (size, at) for size in _SIZES for at in range(_SLOTS[0], _SLOTS[1], size)
)  # fmt: skip

_COMPARES: Final = ("==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&")

COMMON: Final[dict[str, tuple[str, ...]]] = {
    # r9, r6 to r8, then what the grammar is about.
    "start": (
        "*(u32 *)(r10 -4) = <key>\nr2 = r10\nr2 += -4\nr1 = map[name:<map>] ll\n"
        "call bpf_map_lookup_elem\nunless r0 == 0 {\nr9 = r0\n"
        "<fetch 6>\n<fetch 7>\n<fetch 8>\n<body>\n}\nr0 = 0",
    ),
    "map": ("counts", "counts", "numbers"),
    "key": ("0", "1", "2"),
    "fetch": (
        "r$1 = *(u64 *)(r9 +<word>)",
        "r$1 = *(u64 *)(r9 +<word>)",
        "r$1 = *(u64 *)(r9 +<word>)",
        "r$1 = *(u32 *)(r9 +<word>)",
        "r$1 = *(u8 *)(r9 +<word>)",
        "r$1 = *(s8 *)(r9 +<word>)",
        "r$1 = *(s32 *)(r9 +<word>)",
        "call bpf_get_prandom_u32\nr$1 = r0",
    ),
    "word": ("8", "16", "24", "32"),
    # Numbers: of any size, and those that are within the bound.
    "imm": ("0", "1", "-1", "2", "8", "$k", "$beyond", "127", "128", "-128", "255", "256", "4096",
            "2147483647", "-2147483648"),
    "small": ("0", "$k", "$k"),
    "step": ("1", "1", "-1", "2", "4", "-4", "$k", "8", "-8", "2147483647", "-2147483648"),
    "cmp": _COMPARES,
    # Conditions that nobody knows anything of.
    "flip": ("r8 == 0", "r8 > 3", "r8 & 1", "w8 s< 0", "r8 s> 5", "r8 == 7", "w8 > 100"),
    # If it does not hold, the number is within the bound.
    "outside": ("r$1 > $k", "r$1 > $k", "r$1 > $k", "r$1 >= $beyond"),
    # If it holds, the number is within the bound.
    "inside": ("r$1 <= $k", "r$1 < $beyond"),
    # A number is made one that is within the bound.
    "make": (
        "r$1 = <small>",
        "r$1 = 0",
        "w$1 = <small>",
        "<mask $1>",
        "<mask $1>",
        "r$1 = r7\n<mask $1>",
        "w$1 = w7\n<mask $1>",
        "r$1 = *(u8 *)(r9 +<word>)\n<mask $1>",
    ),
    "mask": ("r$1 &= $k", "r$1 &= $k", "w$1 &= $k", "r$1 %= $beyond", "w$1 %= $beyond"),
    # One that may be anything.
    "any": ("r$1 = <imm>", "r$1 = r7", "w$1 = w7", "<fetch $1>", "r$1 = r8", "r$1 += <step>"),
    # Two paths that meet.
    "apart": (
        "unless <flip> {\n<make $1>\n}",
        "unless <flip> {\n<make $1>\n} else {\n<make $1>\n}",
        "unless <flip> {\n<make $1>\n} else {\n<make $1>\n}",
        "unless <flip> {\n<make $1>\nunless <flip> {\n<make $1>\n}\n} else {\n<make $1>\n}",
    ),
    # Two that differ in what nobody reads later, or only in some way.
    "noise": (
        "unless <flip> {\nr0 = 1\n}",
        "unless <flip> {\n<any 7>\n}",
        "unless <flip> {\nr8 = <imm>\n}",
        "r0 = 0",
        "unless r7 <cmp> <imm> {\nr0 = 1\n} else {\nr0 = 2\n}",
    ),
    # A number is used that is held to be within the bound.
    "use": (
        "<index $1>",
        "<index $1>",
        "<index $1>",
        "r0 = r9\nr0 += r$1\n*(u8 *)(r0 +$e1) = 1",
        "r0 = r9\nr0 += $k\nr0 -= r$1\nr0 = *(u8 *)(r0 +0)",
        "r0 = r10\nr0 += r$1\n*(u8 *)(r0 -$beyond) = 1",
        "unless <inside $1> {\n<bad>\n}",
        "unless <outside $1> {\nr0 = 0\n} else {\n<bad>\n}",
        "unless w$1 <= $k {\n<bad>\n}",
        "r$1 <<= 1\nr$1 s>>= 1\n<index $1>",
        "r$1 += 1\nr0 = r9\nr0 += r$1\nr0 = *(u8 *)(r0 +$e2)",
    ),
    "index": tuple(
        f"r0 = r9\nr0 += r$1\nr0 = *({_BITS[size]} *)(r0 +$e{size})" for size in _SIZES
    ),
    # Only where nobody ever comes.
    "bad": (f"r0 = *(u8 *)(r9 +{ROOM})", "r0 = 0\nr0 = *(u8 *)(r0 +0)", "r0 = *(u64 *)(r10 +0)"),
    # Compared first, then used.
    "checked": (
        "unless <outside $1> {\n<use $1>\n}",
        "unless r$1 s> $k {\nunless r$1 s< 0 {\n<use $1>\n}\n}",
        "unless <inside $1> {\nr0 = 0\n} else {\n<use $1>\n}",
        "<mask $1>\n<use $1>",
    ),
    # The two slots of stack.
    "store": tuple(f"*({_BITS[s]} *)(r10 {at}) = r$1" for s, at in PLACES),
    "fill": (
        *(f"r$1 = *({_BITS[s]} *)(r10 {at})" for s, at in PLACES),
        *(f"r$1 = *({_SIGNED[s]} *)(r10 {at})" for s, at in PLACES if s in _SIGNED and at > -17),
    ),
    "put": tuple(f"*({_BITS[s]} *)(r10 {at}) = <tiny>" for s, at in PLACES),
    "tiny": ("0", "0", "0", "1", "$k", "-1"),
    # Both slots hold something that may be read.
    "slots": (
        "*(u64 *)(r10 -16) = 0\n*(u64 *)(r10 -24) = 0",
        "*(u64 *)(r10 -16) = r7\n*(u64 *)(r10 -24) = 0",
        "*(u64 *)(r10 -16) = r8\n*(u64 *)(r10 -24) = r7",
        "*(u64 *)(r10 -16) = <small>\n*(u64 *)(r10 -24) = <small>",
        "r0 = <imm>\n*(u64 *)(r10 -16) = r0\n*(u64 *)(r10 -24) = r0",
    ),
}  # fmt: skip
