"""What a verdict tells compilers: it holds on every path."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfheap.compile import object_spec
from bpfheap.isa import Kind, op_of
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, verify
from bpfheap.verifier.facts import (
    ANYWHERE,
    DST_POINTER,
    NO_POINTER,
    SRC_POINTER,
    CallFacts,
    Facts,
)


@pytest.fixture(scope="module")
def obj() -> ObjectSpec:
    return object_spec(Path(__file__).with_name("facts.bpf.c"))


def facts_of(obj: ObjectSpec, name: str) -> tuple[ProgramSpec, Facts]:
    spec = obj.programs[name]
    verdict = verify(obj, spec, Options(facts=True))
    assert verdict.error is None
    assert verdict.facts is not None
    return spec, verdict.facts


def calls(spec: ProgramSpec, facts: Facts) -> list[CallFacts]:
    return [facts.call(slot) for slot in sorted(facts.calls)]


def test_only_who_asks_is_told(obj: ObjectSpec) -> None:
    assert verify(obj, obj.programs["dead"]).facts is None


def test_what_no_path_reaches(obj: ObjectSpec) -> None:
    spec, facts = facts_of(obj, "dead")
    unseen = [spec.insns[slot].imm for slot, seen in enumerate(facts.seen) if not seen]
    assert unseen == [4]


def test_a_map_that_depends_on_the_path_is_none(obj: ObjectSpec) -> None:
    _, facts = facts_of(obj, "either")
    assert [call.map for call in facts.calls.values()] == [None]


def test_calls(obj: ObjectSpec) -> None:
    spec, facts = facts_of(obj, "objects")
    found = calls(spec, facts)
    assert [call.map for call in found if call.map] == ["one"]
    sizes = {obj.btf.c_name(call.type_id) for call in found if call.type_id}
    assert sizes == {"struct item", "struct node"}
    # A node holds its place in a list, an item nothing.
    assert sorted((call.plain, call.size) for call in found if call.size) == [
        (False, 32),
        (True, 8),
    ]


def test_who_is_called_back(obj: ObjectSpec) -> None:
    spec, facts = facts_of(obj, "rounds")
    (again,) = [sub.start for sub in spec.subprogs if sub.name == "again"]
    assert [call.callback for call in facts.calls.values()] == [again]


def test_loads_that_may_find_nothing(obj: ObjectSpec) -> None:
    spec, facts = facts_of(obj, "objects")
    guarded = [spec.insns[slot] for slot, is_ in enumerate(facts.guarded) if is_]
    # That of seen->word.
    assert [op_of(insn).kind for insn in guarded] == [Kind.LOAD]


def test_a_load_of_what_may_be_gone_may_find_anything() -> None:
    mixed = object_spec(Path(__file__).parents[1] / "oracle" / "cases" / "rarer_objects.bpf.c")
    _, facts = facts_of(mixed, "reads_seen_or_untrusted")
    assert [guard for guard in facts.guarded if guard] == [ANYWHERE]


def test_operands_that_are_pointers(obj: ObjectSpec) -> None:
    spec, facts = facts_of(obj, "moves")
    adds = [
        facts.pointers[slot]
        for slot, insn in enumerate(spec.insns)
        if insn.opcode and op_of(insn).name == "add"
    ]
    assert adds == [NO_POINTER, DST_POINTER, SRC_POINTER]


def test_how_much_of_the_context(obj: ObjectSpec) -> None:
    assert facts_of(obj, "moves")[1].ctx == 12
    assert facts_of(obj, "dead")[1].ctx == 0
