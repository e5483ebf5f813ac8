"""Random programs: the same ones each time, well formed, about half of them valid."""

from __future__ import annotations

import pytest

from bpfheap.errors import UsageError
from bpfheap.fuzz.generate import STATEMENTS, features_of, random_program
from bpfheap.fuzz.hunt import listing
from bpfheap.fuzz.pieces import (
    BranchPiece,
    CodePiece,
    LinkedCode,
    LoopPiece,
    RandomFunction,
    RandomProgram,
    walk_pieces,
    with_replaced,
)
from bpfheap.fuzz.surroundings import ALL, FEATURES, MAPS, linked, surroundings
from bpfheap.isa import Kind, assemble, check_structure, op_of
from bpfheap.spec import RefKind
from bpfheap.verifier import Options, verify


def test_seed_and_index_make_the_program() -> None:
    first = [listing(random_program(3, index, ALL)) for index in range(20)]
    again = [listing(random_program(3, index, ALL)) for index in reversed(range(20))]
    assert first == again[::-1]
    assert len({tuple(lines) for lines in first}) == 20
    assert listing(random_program(4, 0, ALL)) != first[0]


def test_programs_are_programs() -> None:
    for index in range(150):
        spec = linked(random_program(5, index, ALL))
        functions = [s for s, ref in spec.refs.items() if ref.kind is RefKind.FUNC]
        check_structure(spec.insns, [s for s in spec.refs if s not in functions])
        for slot in functions:
            assert spec.refs[slot].target == slot + 1 + spec.insns[slot].imm
        assert [s.start for s in spec.subprogs] == sorted({s.start for s in spec.subprogs})
        assert spec.subprogs[-1].end == len(spec.insns)
        assert all(spec.btf[s.func_id] is not None for s in spec.subprogs)
        maps = surroundings(ALL).maps
        assert all(ref.name in maps for ref in spec.refs.values() if ref.kind is RefKind.MAP)


def test_about_half_are_valid() -> None:
    accepted = sum(
        verify(surroundings(ALL), linked(random_program(1, i, ALL)), Options(20_000)).accepted
        for i in range(200)
    )
    assert 80 < accepted < 160


#: What only programs with a feature have: kinds of instructions, or names that are called.
_MARKS: dict[str, set[object]] = {
    "alu": {Kind.NEG, Kind.END},
    "calls": {Kind.CALL_LOCAL},
    "maps": {"counts", "numbers"},
    "kptrs": {"bpf_obj_new_impl", "values", "table"},
    "ringbuf": {"ring"},
    "iterators": {"bpf_iter_num_next"},
    "locks": {"guarded"},
}


def _marks(features: frozenset[str]) -> set[object]:
    found: set[object] = set()
    for index in range(60):
        made = random_program(2, index, features)
        spec = linked(made)
        slot = 0
        while slot < len(spec.insns):
            op = op_of(spec.insns[slot])
            found.add(op.kind)
            slot += op.slots
        found |= {ref.name for ref in spec.refs.values()}
    return found


@pytest.mark.parametrize("feature", _MARKS)
def test_a_feature_can_be_left_out(feature: str) -> None:
    without = frozenset(f.name for f in FEATURES if f.name != feature and feature not in f.needs)
    assert _MARKS[feature] & _marks(ALL)
    assert not _MARKS[feature] & _marks(without)


def test_every_feature_is_of_use() -> None:
    used = {row.feature for row in STATEMENTS} | {path.feature for path in MAPS} | {"alu"}
    assert {feature.name for feature in FEATURES} == used - {None}
    assert ALL <= ALL


def test_features_by_name() -> None:
    assert features_of("all") == ALL
    assert features_of(" maps, kptrs,") == {"maps", "kptrs"}
    with pytest.raises(UsageError, match=r"no feature magic .*packets"):
        features_of("maps,magic")
    with pytest.raises(UsageError, match=r"kptrs is nothing without maps .*kptrs,maps"):
        features_of("kptrs")


def _code(text: str) -> CodePiece:
    return CodePiece(assemble(text).insns)


_SKIP = assemble("if r1 == 0 goto pc+0\nexit").insns[0]


def _function(*pieces: BranchPiece | CodePiece | LoopPiece) -> RandomProgram:
    return RandomProgram("tc", (RandomFunction("f", pieces),))


def test_distances_come_with_linking() -> None:
    inner = BranchPiece(_SKIP, (_code("r2 = 1"),), (_code("r2 = 2"), _code("r3 = 3")))
    made = _function(_code("r0 = 0"), LoopPiece((), _SKIP, (inner,), _SKIP))
    expected = assemble(
        """
        r0 = 0
        top: if r1 == 0 goto out
        if r1 == 0 goto other
        r2 = 1
        goto join
        other: r2 = 2
        r3 = 3
        join: if r1 == 0 goto top
        out: exit
        """
    )
    assert LinkedCode(made).insns == expected.insns


def test_pieces_are_replaced_where_they_are() -> None:
    one, two = _code("r2 = 1"), _code("r2 = 2")
    made = _function(one, BranchPiece(_SKIP, (one, two), (one,)))
    found = [(path, piece) for path, piece in walk_pieces(made) if piece == one]
    assert [path for path, _ in found] == [(0, 0), (0, 1, 0, 0), (0, 1, 1, 0)]
    without = with_replaced(made, (0, 1, 0, 0), ())
    assert without == _function(one, BranchPiece(_SKIP, (two,), (one,)))
    assert with_replaced(made, (0, 1, 1, 0), (two, two)) == _function(
        one, BranchPiece(_SKIP, (one, two), (two, two))
    )
