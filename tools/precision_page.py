"""Write docs/verifier-precision.md: what is proved of the verifier's numbers, and how precise they
are beside those of the kernel that this runs on.

    python tools/precision_page.py [-n N] [OUT]

Needs bpf(2). Of each operation, N programs with random operands go through both verifiers, and the
registers in the two logs are compared.
"""

from __future__ import annotations

import argparse
import platform
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bpfheap.btf import Btf, Func, FuncProto, Int, Param, Ptr, Void
from bpfheap.isa import assemble
from bpfheap.kernel import Kernel
from bpfheap.spec import ObjectSpec, ProgramSpec, SubprogSpec
from bpfheap.verifier import Options, verify

ROOT = Path(__file__).parents[1]

HEAD = """# How precise the verifier's numbers are

<!-- Written by tools/precision_page.py (`make docs/verifier-precision.md`); changes made here get
     lost. -->

## What is proved

A number that the verifier does not know is a set: known bits, and ranges, signed and unsigned, of
all 64 bits and of the lower half. What an instruction makes of such sets may be too large, which
costs precision, but must never leave out a value, which would cost safety. `make proofs` shows
that it does not, of the functions that run, from their own source (`tests/proofs`):

| functions | 6 bits, every input | 64 bits, by z3 |
|---|---|---|
| words: wrapping, unsigned comparison, shifts, sign extension | | compiled or not |
| bits (tnum) of `+ - & \\| ^` | proved, and the best possible | proved |
| bits of `*` | proved; the best possible for 81 of 100 inputs | each step: the rest is induction |
| bits of shifts, union, least and greatest value | | for each amount |
| ranges of `+ - & \\| ^`, 64 and 32 bits | | proved |
| ranges of `*`, 64 and 32 bits | | of whole numbers: 64 x 64 bits are too many |
| shifts by a known amount, negation, casts, byte swaps, loads | | each amount and width |
| what bits and ranges say of each other | proved, with how often it is exact | cut into steps |
| what a condition says of its operands | proved, with constants | 64 and 32 bits |
| which conditions are always or never true | proved, with constants | 64 and 32 bits |
| whether one number's values are among another's (pruning) | | proved |

Nothing had to be left to 8 bits. The 6 bits are tried at the bottom and at the top of a word, and
around the seam of its halves. Shifts by an unknown amount, `/` and `%` give an unknown number, as
in Linux. Some proofs are of wrong functions, and have to fail.

## Beside Linux

bpfheap's verifier is not to know more than Linux: what it accepts has to be accepted when it is
loaded. Nor less. So numbers are meant to be the same, even where more could be known: ends that
Linux lets go of are let go of here (`__reg_deduce_mixed_bounds` takes the ends of the low half even
where they say less, `scalar_min_max_and` forgets signs), and what Linux finds out late is found out
(`tnum_step`, where bits leave one value in a range).

"""

TAIL = """
"Ours more precise" are ways that no value can take, which bpfheap sees and Linux walks: after
comparisons of numbers of which the bits, or the low halves, have nothing in common.
"""

#: Instructions that limit an unknown number before the operation.
LIMITS = (
    "{r} &= {mask}",
    "{r} |= {bits}",
    "{r} <<= {shift}",
    "{r} >>= {shift}",
    "{r} s>>= {shift}",
    "{w} &= {mask}",
    "{w} += {small}",
    "{r} += {small}",
    "{r} = {constant}",
    "if {r} > {high} goto out",
    "if {r} < {low} goto out",
    "if {r} s> {high} goto out",
    "if {r} s< {low} goto out",
    "if {w} > {high} goto out",
    "if {w} s< {low} goto out",
    "if {w} s> {high} goto out",
)

ALU = ("+=", "-=", "*=", "&=", "|=", "^=")
SHIFTS = ("<<=", ">>=", "s>>=")
ALWAYS_UNKNOWN = ("/=", "%=")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "s<", "s<=", "s>", "s>=", "&")


class Range(NamedTuple):
    """A scalar as a log prints it: tnum (value `v`, mask `m`) and ranges."""

    v: int
    m: int
    smin: int
    smax: int
    umin: int
    umax: int
    smin32: int
    smax32: int
    umin32: int
    umax32: int

    def within(self, other: Range) -> bool:
        return (
            self.m & ~other.m == 0
            and other.v == self.v & ~other.m
            and all(a >= b for a, b in zip(self[2::2], other[2::2], strict=True))
            and all(a <= b for a, b in zip(self[3::2], other[3::2], strict=True))
        )


U64, U32 = (1 << 64) - 1, (1 << 32) - 1
ANY = Range(0, U64, -(1 << 63), (1 << 63) - 1, 0, U64, -(1 << 31), (1 << 31) - 1, 0, U32)


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def read_range(text: str) -> Range:
    """Parse "scalar(smin=umin=1,umax=9,var_off=(0x1; 0x8))" or "7"."""
    if not text.startswith("scalar("):
        x = int(text, 0)
        u, low = x & U64, x & U32
        s, s32 = _signed(u, 64), _signed(low, 32)
        return Range(u, 0, s, s, u, u, s32, s32, low, low)
    known = ANY._asdict()
    bits = re.search(r"var_off=\((\w+); (\w+)\)", text)
    if bits:
        known["v"], known["m"] = (int(x, 0) for x in bits.groups())
    for names, value in re.findall(r"((?:[su](?:min|max)(?:32)?=)+)(-?\w+)", text):
        for name in names.rstrip("=").split("="):
            x = int(value, 0)
            if name[0] == "s":
                x = _signed(x, 32 if name.endswith("32") else 64)
            elif name.endswith("32"):
                x &= U32
            known[name] = x
    return Range(**known)


#: Two moves, whose lines in a log show the ranges of r6 and r7.
_SHOW = "r8 = r6\nr9 = r7\n"


def marked(log: str, slot: int) -> tuple[Range, Range] | None:
    """The ranges of r6 and r7 at the two moves that begin at `slot`; None if no path gets there."""
    found = []
    for n, at in ((6, slot), (7, slot + 1)):
        line = re.search(rf"^{at}: \([0-9a-f]+\) .*?\bR{n}=(scalar\([^ ]*(?: [^ ]*?\))?\)|-?\w+)",
                         log, re.MULTILINE)  # fmt: skip
        if line is None:
            return None
        found.append(read_range(line[1]))
    return found[0], found[1]


def _program(code: str) -> tuple[ProgramSpec, ObjectSpec]:
    types = (
        Void(),
        Int("int", 4, 1, 0, 32),
        Ptr(0),
        FuncProto(1, (Param("ctx", 2),)),
        Func("main", 3, 1),
    )
    btf = Btf(types, "precision")
    insns = assemble(code).insns
    sub = SubprogSpec("main", 0, len(insns), 4, True)
    spec = ProgramSpec("main", "syscall", insns, {}, (sub,), {}, btf, "GPL", "precision")
    return spec, ObjectSpec("precision", btf, {}, {})


def _number(rng: random.Random) -> int:
    size = rng.choice((2, 4, 8, 15, 30))
    return rng.randrange(1 << size) * rng.choice((1, 1, 1, -1))


def _operand(rng: random.Random, r: str) -> Iterator[str]:
    for _ in range(rng.randrange(4)):
        low, high = sorted((_number(rng), _number(rng)))
        yield rng.choice(LIMITS).format(
            r=r, w=r.replace("r", "w"), mask=_number(rng), bits=_number(rng), low=low, high=high,
            shift=rng.randrange(1, 32), small=_number(rng), constant=_number(rng),
        )  # fmt: skip


def _operations() -> Iterator[tuple[str, str]]:
    """(name for the page, code that operates on r6 and r7)."""
    for width, a, b in ((64, "r6", "r7"), (32, "w6", "w7")):
        for op in (*ALU, *SHIFTS, *ALWAYS_UNKNOWN):
            yield f"{width} bits `{op}`", f"{a} {op} {b}"
        for op in SHIFTS:
            yield f"{width} bits `{op}`, constant", f"{a} {op} {{shift}}"
        yield f"{width} bits negation", f"{a} = -{a}"
        yield f"{width} bits move", f"{a} = {b}"
        for bits in (8, 16, 32)[: 3 if width == 64 else 2]:
            yield f"{width} bits sign extension from {bits}", f"{a} = (s{bits}){b}"
    for bits in (16, 32, 64):
        yield f"byte swap of {bits}", f"r6 = bswap{bits} r6"
    for width, a, b in ((64, "r6", "r7"), (32, "w6", "w7")):
        for op in COMPARISONS:
            yield f"{width} bits `if {op}`", f"if {a} {op} {b} goto yes"
            yield f"{width} bits `if {op}`, constant", f"if {a} {op} {{constant}} goto yes"


def compare(kernel: Kernel, code: str) -> Iterator[tuple[Range | None, Range | None]]:
    """(our range, Linux's), for each register and each path after the operation."""
    spec, obj = _program(code)
    linux = kernel.verify(obj, spec, log=True)
    ours = verify(obj, spec, Options(log=True))
    if not linux.accepted or not ours.accepted:
        raise SystemExit(f"refused: {linux.message} / {ours.error}\n{code}")
    for slot, insn in enumerate(spec.insns):
        if insn.opcode == 0xBF and (insn.dst, insn.src) == (8, 6):
            mine, theirs = marked(ours.log, slot), marked(linux.log, slot)
            for i in range(2):
                yield mine and mine[i], theirs and theirs[i]


def judge(ours: Range | None, theirs: Range | None) -> str:
    """Which range is more precise: "same", "ours", "linux" or "neither"."""
    if ours == theirs:
        return "same"
    if ours is None or (theirs is not None and ours.within(theirs)):
        return "ours"
    if theirs is None or theirs.within(ours):
        return "linux"
    return "neither"


def page(kernel: Kernel, count: int, verbose: bool) -> str:
    rng = random.Random(6180)
    rows = []
    for name, operation in _operations():
        seen: Counter[str] = Counter()
        for _ in range(count):
            lines = ["r6 = *(u64 *)(r1 +0)", "r7 = *(u64 *)(r1 +8)"]
            lines += [*_operand(rng, "r6"), *_operand(rng, "r7")]
            lines.append(operation.format(shift=rng.randrange(32), constant=_number(rng)))
            code = "\n".join(lines) + f"\n{_SHOW}out: r0 = 0\nexit\n"
            if "yes" in operation:
                code += f"yes: {_SHOW}r0 = 0\nexit\n"
            for pair in compare(kernel, code):
                verdict = judge(*pair)
                seen[verdict] += 1
                if verbose and verdict != "same":
                    print(f"{verdict}\n{code}  ours {pair[0]}\n linux {pair[1]}\n")
        rows.append((name, seen))
    total = sum((seen for _, seen in rows), Counter[str]())
    text = (
        f"Measured on Linux {platform.release().partition('-')[0]}: {total.total():,} numbers, of "
        f"{count} programs for each of {len(rows)} operations with random operands; "
        f"{total['same']:,} are the same in both. The operations with a difference:\n\n"
        "| operation | same | ours more precise | Linux's more precise | each in a part |\n"
        "|---|---|---|---|---|\n"
    )
    for name, seen in (*rows, ("all", total)):
        if seen["same"] < seen.total():
            counts = (seen[key] for key in ("same", "ours", "linux", "neither"))
            text += f"| {name.replace('|', chr(92) + '|')} | {' | '.join(map(str, counts))} |\n"
    return HEAD + text + TAIL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-n", type=int, default=200, help="programs for each operation")
    parser.add_argument("-v", action="store_true", help="print what differs")
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "docs/verifier-precision.md")
    args = parser.parse_args()
    with Kernel() as kernel:
        text = page(kernel, args.n, args.v)
    args.out.write_text(text)
    print(f"wrote {args.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
