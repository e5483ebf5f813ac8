"""The walk as a whole: real C, random programs, pruning against walking everything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_verifier_cases import flow_text
from verifier_cases import Types, cases, program

from bpfheap.btf import Btf, Struct
from bpfheap.compile import object_spec
from bpfheap.errors import InsnError
from bpfheap.isa import OPS, Insn, Kind, check_structure
from bpfheap.platform.calls import Arg, Ret
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec, Ref, RefKind
from bpfheap.verifier import Options, VerdictKind, verify
from bpfheap.verifier.calls.calls import ARGUMENTS, RESULTS
from bpfheap.verifier.instructions.transfer import TRANSFER
from bpfheap.verifier.memory.kinds import OBLIGATIONS
from bpfheap.verifier.state.state import IRQ_FLAG, ITERATOR, KIND_NAMES, UNINIT

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize(
    ("file", "flows"),
    [
        ("first.bpf.c", ["alloc ma 37", "store ma -> slots.ptr 44", "take slots.ptr 44",
                         "free slots.ptr 46"]),
        ("three_programs/p1.bpf.c", ["take m1.ptr 42", "move m1.ptr -> m2.ptr 46",
                                     "take m2.ptr 46", "free m2.ptr 48"]),
        ("three_programs/p2.bpf.c", ["alloc ma 35", "store ma -> m1.ptr 40", "take m1.ptr 40",
                                     "free m1.ptr 42"]),
        ("three_programs/p3.bpf.c", ["take m2.ptr 23", "free m2.ptr 25"]),
    ],
)  # fmt: skip
def test_flows_of_examples(file: str, flows: list[str]) -> None:
    spec = object_spec(EXAMPLES / file)
    (one,) = spec.programs.values()
    verdict = verify(spec, one)
    assert verdict.error is None, verdict.error.log
    found = [f"{flow_text(flow)} {flow.line.line if flow.line else '?'}" for flow in verdict.flows]
    assert found == flows


LEAKY = """
#include <bpfheap.h>
struct foo { int var; };
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct foo);
} ma SEC(".maps");
SEC("tc")
int leak(struct __sk_buff *skb)
{
	struct foo *p = bpf_mem_alloc(&ma, type_id_local(struct foo));

	if (!p)
		return 0;
	p->var = skb->len;
	return 1;
}
"""


def test_an_error_points_at_the_source(tmp_path: Path) -> None:
    path = tmp_path / "leak.bpf.c"
    path.write_text(LEAKY)
    spec = object_spec(path)
    verdict = verify(spec, spec.programs["leak"])
    error = verdict.error
    assert error is not None
    assert not verdict.accepted
    assert verdict.flows == ()
    assert error.message == "BPF_EXIT instruction in main prog would lead to reference leak"
    assert error.detail.startswith("Unreleased reference id=1 alloc_insn=")
    assert "leak.bpf.c:11" in error.detail
    assert error.hint is not None
    assert error.program == "leak"
    assert (error.file or "").endswith("leak.bpf.c")
    assert error.line in (15, 16, 17)  # all returns are one exit
    assert error.source
    lines = error.log.splitlines()
    assert any(line.startswith("; ") and "bpf_mem_alloc" in line for line in lines)
    assert lines[-1] == (
        f"processed {verdict.insns_processed} insns (limit 1000000) total_states 1"
    )
    assert lines[-2] == error.message
    assert lines[-3] == error.detail.partition(":")[0]


def test_the_log_shows_instructions_and_what_they_change() -> None:
    code = "r0 = 5\nr1 = r10\n*(u64 *)(r10 -8) = r0\nif r0 == 0x5 goto pc+0\nexit"
    types = Types({})
    spec = program(code, types.build())
    verdict = verify(ObjectSpec("x", Btf.EMPTY, {}, {}), spec, Options(log=True))
    assert verdict.log.splitlines() == [
        "0: R1=ctx() R10=fp0",
        "0: (b7) r0 = 5                        ; R0=5",
        "1: (bf) r1 = r10                      ; R1=fp0 R10=fp0",
        "2: (7b) *(u64 *)(r10 -8) = r0         ; R0=5 R10=fp0 fp-8=5",
        "3: (15) if r0 == 0x5 goto pc+0        ; R0=5",
        "4: (95) exit",
        "processed 5 insns (limit 1000000) total_states 0",
    ]
    assert verify(ObjectSpec("x", Btf.EMPTY, {}, {}), spec).log == ""


def test_every_row_is_known() -> None:
    """A new kind of instruction, pointer, argument or result has its one place."""
    assert set(TRANSFER) == set(Kind) >= {op.kind for op in OPS}
    assert set(OBLIGATIONS) == set(range(len(KIND_NAMES))) - {UNINIT, ITERATOR, IRQ_FLAG}
    assert set(ARGUMENTS) == set(Arg)
    assert set(RESULTS) == set(Ret)


def test_type_identity_is_strict_only_if_asked() -> None:
    """Two equal structs of one BTF, with different ids."""
    types = Types({"foo": {"var": "int"}, "foo2": {"var": "int"}})
    btf = types.build()
    a, b = types.id_of("struct foo"), types.id_of("struct foo2")
    twin = Btf(tuple(replace(t, name="foo") if isinstance(t, Struct) else t for t in btf.types))
    ma = MapSpec("ma", 1000, 0, 4, 1, twin, value=a)
    code = f"r1 = map[name:ma] ll\nr2 = {b}\ncall kfunc bpf_mem_alloc\nif r0 == 0x0 goto out\n"
    spec = program(f"{code}r1 = r0\ncall kfunc unit_free\nout: r0 = 0\nexit", twin)
    obj = ObjectSpec("x", twin, {"ma": ma}, {})
    assert verify(obj, spec).accepted
    error = verify(obj, spec, Options(strict_identity=True)).error
    assert error is not None
    assert "identity is strict" in error.message


# -- random programs

_CASES = cases()
KPTRS = next(c for c in _CASES if c.name.startswith("kptrs:"))


@st.composite
def slots(draw: st.DrawFn) -> Insn:
    op = draw(st.sampled_from(OPS))
    fields = {
        "dst": draw(st.integers(0, 10)),
        "src": draw(st.integers(0, 10)),
        "off": draw(st.sampled_from([-16, -8, -4, -3, -2, -1, 0, 1, 2, 3, 4, 8, 76])),
        "imm": draw(st.sampled_from([-8, -1, 0, 1, 2, 3, 4, 5, 7, 8, 16, 32, 64, 194, 1 << 30])),
    }
    values = {f: v for f, v in fields.items() if f in op.uses}
    for use, value in op.select:
        values[str(use)] = value
    return Insn(op.opcode, **values)


def _broken(spec: ProgramSpec) -> InsnError | None:
    try:
        check_structure(spec.insns, frozenset(spec.refs))
    except InsnError as error:
        return error
    return None


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.lists(slots(), min_size=1, max_size=24), names=st.data())
def test_no_sequence_of_instructions_raises(body: list[Insn], names: st.DataObject) -> None:
    insns: list[Insn] = []
    refs: dict[int, Ref] = {}
    lddw = {op.opcode for op in OPS if op.kind is Kind.LDDW}
    for insn in body:
        if insn.opcode in lddw:
            kind = names.draw(st.sampled_from([RefKind.MAP, RefKind.MAP_VALUE, RefKind.KSYM]))
            refs[len(insns)] = Ref(kind, names.draw(st.sampled_from(["hash", ".bss", "ma"])), 0)
            insns += [insn, Insn(0)]
        else:
            if insn.opcode == 0x85 and insn.src == 2:
                kfunc = names.draw(st.sampled_from(["unit_free", "bpf_mem_alloc", "other"]))
                refs[len(insns)] = Ref(RefKind.KFUNC, kfunc)
            insns.append(insn)
    insns += [Insn(0xB7), Insn(0x95)]
    spec = replace(KPTRS.program, insns=tuple(insns), refs=refs, subprogs=())
    verdict = verify(KPTRS.obj, spec, Options(complexity_limit=2000))
    broken = _broken(spec)
    if broken is not None:
        assert verdict.error is not None
        assert verdict.error.insn == broken.insn
    if verdict.error is not None:
        assert verdict.error.message
        assert verdict.error.log or verdict.kind is VerdictKind.UNSUPPORTED


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_cases_do_not_raise(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(_CASES))
    insns = list(case.program.insns)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(insns) - 1))
        field = data.draw(st.sampled_from(["dst", "src", "off", "imm", "opcode"]))
        value = data.draw(st.integers(0, 11) if field != "opcode" else st.integers(0, 255))
        insns[at] = insns[at]._replace(**{field: value})
    verdict = verify(
        case.obj, replace(case.program, insns=tuple(insns)), Options(complexity_limit=2000)
    )
    assert verdict.accepted or verdict.error


# Statements over r6 (a map value), r7 to r9 and three stack slots; {t} is a label further on.
PLAIN = (
    "r{a} = {n}", "r{a} = r{b}", "r{a} += {n}", "r{a} += r{b}", "r{a} &= {n}", "w{a} = w{b}",
    "call bpf_get_prandom_u32\n r{a} = r0", "call bpf_get_prandom_u32\n r{a} = r0",
    "*(u64 *)(r10 -{s}) = r{a}", "r{a} = *(u64 *)(r10 -{s})", "*(u32 *)(r10 -{s}) = r{a}",
    "r{a} = *(u32 *)(r10 -{s})", "*(u64 *)(r10 -{s}) = {n}",
    "if r{a} == {n} goto {t}", "if r{a} > {n} goto {t}", "if w{a} s< {n} goto {t}",
    "if r{a} == r{b} goto {t}", "if r{a} < {n} goto {t}",
    "r1 = r10\n r1 += -{s}\n r2 = r{a}\n call sub\n r{b} = r0",
    "r1 = r6\n r1 += 48\n *(u64 *)(r1 +0) = r{a}", "r{a} = *(u64 *)(r6 +48)",
    "if r{a} > 7 goto {t}\n r1 = r6\n r1 += r{a}\n *(u8 *)(r1 +48) = 1",
    "r1 = r6\n r1 += r{a}\n *(u8 *)(r1 +48) = 1",
    "if r{a} > 7 goto {t}\n r1 = r6\n r1 += r{a}\n *(u8 *)(r1 +48) = 1",
    "r{a} = r{b}\n if r{a} > {n} goto {t}",
)  # fmt: skip
_DROP = "if r{a} == 0 goto d{i}\n r1 = r{a}\n call kfunc unit_free\n d{i}: r0 = 0\n"
OWNING = (
    _DROP + "r1 = map[name:ma] ll\n r2 = $foo\n call kfunc bpf_mem_alloc\n r{a} = r0",
    _DROP + "r1 = map[name:mb] ll\n r2 = $foo\n call kfunc bpf_mem_alloc\n r{a} = r0",
    "if r{a} == 0 goto {t}",
    "if r{a} == 0 goto {t}\n r1 = r{a}\n call kfunc unit_free\n r{a} = 0",
    "if r{a} == 0 goto {t}\n *(u32 *)(r{a} +0) = 1",
    _DROP + "r1 = r6\n r2 = 0\n call bpf_kptr_xchg\n r{a} = r0",
    "r1 = r6\n r2 = r{a}\n call bpf_kptr_xchg\n r{a} = r0",
    "r1 = r6\n r1 += 16\n r2 = r{a}\n call bpf_kptr_xchg\n r{a} = r0",
    "*(u64 *)(r10 -{s}) = r{a}\n r{a} = 0\n r0 = 1\n r{a} = *(u64 *)(r10 -{s})",
    "r0 = r{a}\n r{a} = r{b}\n r{b} = r0",
    "call bpf_get_prandom_u32\n if r0 > {n} goto {t}",
    "call bpf_get_prandom_u32\n r0 &= 1\n if r0 == 0 goto {t}",
    "r{a} = 0",
)
_START = """
    *(u32 *)(r10 -4) = 0
    r2 = r10
    r2 += -4
    r1 = map[name:hash] ll
    call bpf_map_lookup_elem
    if r0 == 0x0 goto out
    r6 = r0
    r7 = 0
    r8 = 1
    r9 = 0
    *(u64 *)(r10 -16) = 0
    *(u64 *)(r10 -24) = 0
    *(u64 *)(r10 -32) = 0
"""
_RELEASE = "if r{0} == 0x0 goto keep{0}\n r1 = r{0}\n call kfunc unit_free\n keep{0}: r0 = 0\n"
_SUB = """
    sub: r3 = *(u64 *)(r1 +0)
    if r2 > 5 goto sub1
    *(u64 *)(r1 +0) = r2
    sub1: r0 = r3
    if r3 != 3 goto sub2
    r0 = 4
    sub2: exit
"""


@st.composite
def programs(draw: st.DrawFn, statements: tuple[str, ...], release: bool) -> ProgramSpec:
    count = draw(st.integers(3, 14))
    lines = [_START.replace("r8 = 1", "r8 = 0") if release else _START]
    for i in range(count):
        text = draw(st.sampled_from(statements)).format(
            a=draw(st.integers(7, 9)),
            b=draw(st.integers(7, 9)),
            n=draw(st.integers(0, 8)),
            s=draw(st.sampled_from([16, 24, 32])),
            i=i,
            t=f"l{draw(st.integers(i + 1, min(i + 5, count)))}",
        )
        lines.append(f"l{i}: r0 = 0\n{text}")
    lines.append(f"l{count}: r0 = 0")
    if release:
        lines += [_RELEASE.format(n) for n in (7, 8, 9) if draw(st.integers(0, 9))]
    used = any("call sub" in line for line in lines)
    code = "\n".join([*lines, "r0 = r7\n r0 &= 1" if not release else "", "out: r0 = 0", "exit",
                      _SUB if used else ""])  # fmt: skip
    code = code.replace("$foo", str(_FOO))
    return program(code, KPTRS.obj.btf)


_FOO = KPTRS.obj.btf.find("foo") or 0


def _compare(spec: ProgramSpec) -> Any:
    whole = verify(KPTRS.obj, spec, Options(complexity_limit=20_000, pruned=False))
    pruned = verify(KPTRS.obj, spec, Options(complexity_limit=20_000, stored_often=True))
    if whole.error is not None and "too large" in whole.error.message:
        return None
    assert pruned.accepted == whole.accepted, (pruned.error or whole.error).log  # type: ignore[union-attr]
    assert set(pruned.flows) == set(whole.flows)
    assert pruned.insns_processed <= whole.insns_processed
    return whole


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=programs(PLAIN, release=False))
def test_pruning_changes_no_verdict(spec: ProgramSpec) -> None:
    _compare(spec)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=programs(OWNING, release=True))
def test_pruning_loses_no_flow(spec: ProgramSpec) -> None:
    _compare(spec)
