"""Every access to every kind of context: our verdict is Linux's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import Types, program

from bpfheap.kernel import Kernel
from bpfheap.platform.programs import PROGRAM_TYPES, ProgramType
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import verify

#: Contexts longer than that are tried at their ends only.
_LONG = 256
_ACCESSES = {
    "load": "r0 = *(u{bits} *)(r1 {off:+})",
    "signed load": "r0 = *(s{bits} *)(r1 {off:+})",
    "store": "*(u{bits} *)(r1 {off:+}) = r2",
}
#: What only Linux accepts; see docs/verifier-differences.md.
_DIFFERENT = {
    "__sk_buff": {"r0 = *(u64 *)(r1 +168)"},
    "void": {
        f"r0 = *({sign}{bits} *)(r1 {off:+})"
        for sign in "us"
        for bits in (8, 16, 32, 64)
        for off in range(-8, 0)
    },
}


def _offsets(row: ProgramType) -> list[int]:
    end = min(row.ctx_size, 32767)
    if row.ctx_size <= _LONG:
        return list(range(-8, end + 9))
    return [*range(-8, 17), *range(end - 16, min(end + 9, 32768))]


@pytest.mark.parametrize("access", _ACCESSES)
@pytest.mark.parametrize("row", PROGRAM_TYPES, ids=lambda row: row.sections[0].replace("/", "-"))
def test_every_access(row: ProgramType, access: str, oracle: Kernel) -> None:
    btf = Types({}).build()
    obj = ObjectSpec("context", btf, {}, {})
    differ = []
    for off in _offsets(row):
        for size in (1, 2, 4, 8):
            if access == "signed load" and size == 8:
                continue
            insn = _ACCESSES[access].format(bits=8 * size, off=off)
            spec = program(f"r2 = 0\n{insn}\nr0 = 0\nexit", btf, row.sections[0])
            ours = verify(obj, spec)
            linux = oracle.verify(obj, spec, stats=False)
            if ours.accepted != linux.accepted and (
                ours.accepted or insn not in _DIFFERENT.get(row.ctx_struct, ())
            ):
                differ.append(f"{insn}: {'we' if ours.accepted else 'Linux'} accept")
    assert not differ, "\n".join(differ)
