"""Every access to every kind of context: our verdict is Linux's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import Types, program

from bpfheap.kernel import Kernel
from bpfheap.platform.programs import PROGRAM_TYPES, CtxKind, ProgramType, program_type
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, verify

#: One of each context that differs from others.
SECTIONS = tuple(
    {(row.name, row.fields): row.sections[0] for row in PROGRAM_TYPES
     if not row.kernel_types and not row.arguments}
    .values()
)  # fmt: skip
#: Contexts longer than that are tried at their ends only.
_LONG = 256
_ACCESSES = {
    "load": "r0 = *(u{bits} *)(r1 {off:+})",
    "signed load": "r0 = *(s{bits} *)(r1 {off:+})",
    "store": "*(u{bits} *)(r1 {off:+}) = r2",
}
_IN_FRONT = frozenset(
    f"r0 = *({sign}{bits} *)(r1 {off:+})"
    for sign in "us"
    for bits in (8, 16, 32, 64)
    for off in range(-8, 0)
)
#: What Linux accepts of some, and we of none; see docs/verifier-differences.md.
_DIFFERENT = dict.fromkeys(("syscall", "tracepoint"), _IN_FRONT)


def _kernel_pointers(row: ProgramType) -> set[str]:
    """The loads of what is not to be had here."""
    return {f"r0 = *(u64 *)(r1 {f.offset:+})" for f in row.fields if f.kind is CtxKind.KERNEL}


def _offsets(row: ProgramType) -> list[int]:
    end = min(row.ctx_size, 32767)
    if row.ctx_size <= _LONG:
        return list(range(-8, end + 9))
    return [*range(-8, 17), *range(end - 16, min(end + 9, 32768))]


@pytest.mark.parametrize("access", _ACCESSES)
@pytest.mark.parametrize("section", SECTIONS, ids=lambda name: name.replace("/", "-"))
def test_every_access(section: str, access: str, oracle: Kernel) -> None:
    row = program_type(section)
    assert row is not None
    btf = Types({}).build()
    obj = ObjectSpec("context", btf, {}, {})

    def made(*insns: str) -> ProgramSpec:
        code = "".join(f"r1 = r6\n{insn}\n" for insn in insns)
        return program(f"r6 = r1\nr2 = 0\n{code}r0 = 1\nexit", btf, section)

    if not oracle.verify(obj, made(), stats=False).accepted:
        pytest.skip(f"this kernel has no {row.name} programs")
    known = _DIFFERENT.get(row.name, frozenset()) | _kernel_pointers(row)
    differ, good = [], []
    for insn in _insns(row, access):
        spec = made(insn)
        if verify(obj, spec, Options(explain=False)).accepted:
            good.append(insn)
        elif insn not in known and oracle.verify(obj, spec, stats=False).accepted:
            differ.append(f"{insn}: Linux accepts")
    # All at once, since to unload a program takes its time.
    if not oracle.verify(obj, made(*good), stats=False).accepted:
        differ += [
            f"{insn}: we accept"
            for insn in good
            if not oracle.verify(obj, made(insn), stats=False).accepted
        ]
    assert not differ, "\n".join(differ)


def _insns(row: ProgramType, access: str) -> Iterator[str]:
    for off in _offsets(row):
        for size in (1, 2, 4, 8):
            if access != "signed load" or size != 8:
                yield _ACCESSES[access].format(bits=8 * size, off=off)
