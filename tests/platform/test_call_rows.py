"""The rows of helpers and kfuncs have every fact, and those who need one ask the row."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bpfheap.btf import Btf
from bpfheap.explore.plan import MapPlan
from bpfheap.explore.reduce import Symmetry, independence
from bpfheap.explore.scenario import Bounds
from bpfheap.explore.world import Action, Actor
from bpfheap.fuzz.machines import _seen_by, _walks
from bpfheap.isa import Insn
from bpfheap.machine.model.calls import CALLS as MODEL
from bpfheap.machine.native import _core
from bpfheap.machine.native.compiling import is_brief
from bpfheap.machine.native.jit.calls import INLINE
from bpfheap.platform.called import calls_of
from bpfheap.platform.calls import (
    CALL_BY_NAME,
    HELPERS,
    KFUNCS,
    Arg,
    Availability,
    Call,
    Course,
    Effect,
    Ret,
    Sees,
    SideEffect,
)
from bpfheap.platform.kfuncs import kfunc_row
from bpfheap.platform.maps import MAP_TYPES
from bpfheap.platform.programs import Offer
from bpfheap.spec import MapSpec, ProgramSpec, Ref, RefKind
from bpfheap.verifier.calls.callback import ARGUMENTS as CALLBACKS
from bpfheap.verifier.calls.calls import ARGUMENTS, RESULTS, SIDE_EFFECTS

S = SideEffect
ROWS = (*HELPERS, *KFUNCS)
SOURCE = Path(__file__).parents[2] / "src" / "bpfheap"
CALL, EXIT = 0x85, Insn(0x95)

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def calling(row: Call) -> ProgramSpec:
    """A program that calls it and ends."""
    call = Insn(CALL, src=2, imm=-1) if row.number is None else Insn(CALL, imm=row.number)
    refs = {0: Ref(RefKind.KFUNC, row.name)} if row.number is None else {}
    return ProgramSpec("p", "tc", (call, EXIT), refs, (), {}, Btf((), "p"))


def calling_by_number() -> ProgramSpec:
    return ProgramSpec("p", "tc", (Insn(0x8D, dst=1), EXIT), {}, (), {}, Btf((), "p"))


# -- rows


def test_names_and_numbers_are_of_one_row() -> None:
    assert len(CALL_BY_NAME) == len(ROWS)
    assert len({row.number for row in HELPERS}) == len(HELPERS)
    assert all(row.number is None for row in KFUNCS)


#: A row with no more than what every row has.
NEW: dict[str, Any] = {
    "name": "bpf_new", "number": 999, "args": (), "ret": Ret.INTEGER,
    "effect": Effect.SHARED, "sees": Sees.NOTHING, "course": Course.RETURNS,
    "side_effect": SideEffect.NOTHING, "offer": Offer.ALL, "availability": Availability.LINUX,
}  # fmt: skip


@pytest.mark.parametrize("missing", NEW)
def test_a_row_without_a_fact_is_none(missing: str) -> None:
    Call(**NEW)
    with pytest.raises(TypeError, match=missing):
        Call(**{name: fact for name, fact in NEW.items() if name != missing})


def test_what_a_row_need_not_say_is_the_safe_answer() -> None:
    """A helper that does not say it is refused packets, locks, NULL and a kernel's function."""
    row = Call(**NEW)
    assert (row.map_op, row.reads_packet, row.locked, row.stand_in) == (None, False, False, None)
    assert (row.other_args, row.takes, row.gives, row.only_in) == ((), "", "", ())
    assert (row.checks_null, row.generic, row.holds, row.sleeps_with, row.not_in) == (
        (), False, "", 0, ""
    )  # fmt: skip
    assert row.makes is None
    assert {f.name for f in fields(Call)} - NEW.keys() == {
        "map_op", "reads_packet", "locked", "stand_in", "other_args", "takes", "gives", "only_in",
        "checks_null", "generic", "holds", "sleeps_with", "not_in", "makes",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"args": (Arg.SCALAR,) * 6}, "more arguments"),
        ({"args": (Arg.KERNEL,)}, "the struct that it takes"),
        ({"takes": "file"}, "the struct that it takes"),
        ({"ret": Ret.KERNEL_OR_NULL}, "the struct that it gives"),
        ({"args": (Arg.CALLBACK,)}, "a callback argument"),
        ({"course": Course.CALLS_BACK}, "a callback argument"),
        ({"args": (Arg.COUNT,)}, "a callback, to count its calls"),
        ({"args": (Arg.MAP,), "map_op": "tail_call"}, "map_op tail_call"),
        ({"course": Course.JUMPS}, "map_op tail_call"),
        ({"effect": Effect.FINDS, "args": (Arg.MAP,), "map_op": "lookup"}, "a map and a key"),
        ({"ret": Ret.CPU}, "sees CPU"),
        ({"ret": Ret.PERCPU_MEMBER}, "sees CPU or OWN_COPY"),
        ({"args": (Arg.PERCPU,)}, "sees CPU or OWN_COPY"),
        ({"map_op": "lookup"}, "a map that has the operation"),
        ({"args": (Arg.MAP,)}, "a map that has the operation, and the operation"),
        ({"args": (Arg.ALLOCATOR,)}, "a map that has the operation, and the operation"),
        ({"side_effect": SideEffect.MOVES_PACKET}, "the context"),
        ({"other_args": ((Offer.TC, (Arg.CTX,)),)}, "as many arguments"),
        *(
            ({"args": (arg,)}, f"{side_effect}, for what it is given")
            for arg, side_effect in (
                (Arg.OWNED, "frees"), (Arg.OWNED_PERCPU, "frees"), (Arg.OWNED_OR_NULL, "stores"),
                (Arg.LIST_NODE, "links"), (Arg.RB_NODE, "links"), (Arg.RECORD, "releases-record"),
                (Arg.ITER_NEW, "begins"), (Arg.FORMAT, "formats"),
            )
        ),
        *(
            ({"side_effect": side_effect}, f"{side_effect}, for what it is given")
            for side_effect in (S.FREES, S.STORES, S.LINKS, S.RELEASES_RECORD, S.BEGINS, S.FORMATS)
        ),
        ({"side_effect": SideEffect.ENDS}, "an iterator"),
        ({"args": (Arg.OWNED_OR_NULL,), "side_effect": SideEffect.STORES}, "what was in the field"),
        ({"ret": Ret.KPTR_OR_NULL}, "what was in the field"),
        ({"number": None}, "LINUX_GPL"),
        ({"stand_in": "bpf_obj_new_impl"}, "a place to stand in at"),
    ],
)  # fmt: skip
def test_facts_that_exclude_each_other(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^bpf_new: the row needs {message}"):
        Call(**NEW | facts)


@pytest.mark.parametrize("row", [row for row in ROWS if row.stand_in], ids=lambda row: row.name)
def test_what_stands_in_takes_no_other_arguments(row: Call) -> None:
    assert row.stand_in is not None
    stand_in = CALL_BY_NAME[row.stand_in]
    assert not stand_in.ours
    assert (stand_in.ret, stand_in.side_effect) == (row.ret, row.side_effect)
    assert set(stand_in.args) - {Arg.UNUSED} <= set(row.args)


def test_operations_of_maps_are_those_of_a_type() -> None:
    offered = {op for row in MAP_TYPES for op in row.ops}
    assert {row.map_op for row in ROWS if row.map_op is not None} == offered


# -- who asks them


@each_row
def test_calls_are_found_by_their_rows(row: Call) -> None:
    assert list(calls_of(calling(row))) == [(0, row)]


@each_row
def test_cpus_are_alike_unless_a_call_tells_them_apart(row: Call) -> None:
    assert symmetric(calling(row)) is not row.reads_cpu


def test_cpus_are_not_alike_for_calls_that_nobody_knows() -> None:
    unknown = ProgramSpec("p", "tc", (Insn(CALL, imm=9999), EXIT), {}, (), {}, Btf((), "p"))
    kfunc = ProgramSpec("p", "tc", (Insn(CALL, src=2, imm=-1), EXIT),
                        {0: Ref(RefKind.KFUNC, "bpf_unknown")}, (), {}, Btf((), "p"))  # fmt: skip
    assert not any(symmetric(spec) for spec in (unknown, kfunc, calling_by_number()))


@pytest.mark.parametrize("row", MAP_TYPES, ids=lambda row: row.name)
def test_cpus_are_alike_unless_a_map_has_values_of_each(row: Any) -> None:
    btf = Btf((), "m")
    inside = MapSpec("m", row.number, 4, 8, 1, btf)
    around = MapSpec("o", 12, 4, 4, 1, btf, inner=inside)
    program = calling(CALL_BY_NAME["bpf_map_lookup_elem"])
    for spec in (inside, around):
        assert symmetric(program, spec) is not row.per_cpu


def symmetric(program: ProgramSpec, *maps: MapSpec) -> bool:
    plan: Any = SimpleNamespace(
        bounds=Bounds(cpus=2, nmi=False),
        maps={spec.name: MapPlan(spec, 0) for spec in maps},
        programs={"p": SimpleNamespace(spec=program)},
    )
    return Symmetry.holds(plan)


@each_row
def test_a_step_is_put_first_only_if_its_row_allows_it(row: Call) -> None:
    judge = judge_of(row.name)
    if row.effect is Effect.LOCAL:
        assert judge is not None
    else:
        # What FINDS depends on the element: here is none.
        assert judge is None


def test_a_step_without_a_row_is_not_put_first() -> None:
    assert judge_of("bpf_unknown") is None
    assert judge_of(1) is None


def judge_of(called: str | int) -> Any:
    actor = Actor("cpu", "0")
    execution = SimpleNamespace(program=1, slot=0, id=1, registers=[0] * 11)
    look: Any = SimpleNamespace(
        users={actor: [1]},
        memory=SimpleNamespace(
            executions={1: execution}, programs={1: SimpleNamespace(calls={0: called})}
        ),
        constants=SimpleNamespace(options=SimpleNamespace(allocator_limit=None)),
    )
    return independence(look, Action("step", "p", cpu=0), set())


@each_row
def test_only_what_returns_soon_is_brief(row: Call) -> None:
    assert is_brief(calling(row), {0: row.name}) is (row.course is Course.RETURNS)


def test_what_nobody_knows_is_not_brief() -> None:
    assert not is_brief(calling_by_number(), {0: 1})


@each_row
def test_machines_are_compared_by_what_a_call_sees(row: Call) -> None:
    assert _seen_by(calling(row)) == {row.sees}
    assert _walks(calling(row)) is (row.map_op == "iterate")


# -- what machines do is what the rows say


def effects_of(row: Call) -> Iterator[str]:
    """The text of its functions on the machines that have it."""
    if row.name in MODEL:
        yield inspect.getsource(MODEL[row.name])
    core = (SOURCE / "machine" / "native" / "calls.c").read_text()
    yield from re.findall(rf"^CALL\({row.name}\)\n{{\n(.*?)^}}", core, re.DOTALL | re.MULTILINE)


@each_row
def test_what_a_call_sees_is_on_its_row(row: Call) -> None:
    """Of a map, its type's row says whether values are a CPU's."""
    for text in effects_of(row):
        if re.search(r"(execution|here)\.cpu", text):
            assert row.reads_cpu or Arg.MAP in row.args
        if re.search(r"\.clock\b|clock_of", text):
            assert row.sees is Sees.TIME
        if re.search(r"\brandom\b", text):
            assert row.sees is Sees.CHANCE


def test_that_it_finds_them() -> None:
    """The same the other way round, where one function is all."""
    told = {
        row.sees
        for row in ROWS
        for text in effects_of(row)
        if re.search(r"(execution|here)\.cpu|\.clock\b|clock_of|\brandom\b", text)
    }
    assert told >= {Sees.CPU, Sees.OWN_COPY, Sees.TIME, Sees.CHANCE}


# -- tables of implementations, by the names of rows


def test_every_argument_and_result_has_a_checker() -> None:
    assert set(ARGUMENTS) == set(Arg)
    assert set(RESULTS) == set(Ret)
    assert set(SIDE_EFFECTS) == set(SideEffect)


def test_every_callback_has_its_arguments() -> None:
    assert set(CALLBACKS) == {row.name for row in ROWS if row.callback}


@pytest.mark.parametrize("table", [MODEL, INLINE, dict.fromkeys(_core.CALLS)],
                         ids=["model", "inline", "native"])  # fmt: skip
def test_tables_name_rows(table: dict[str, object]) -> None:
    assert [name for name in table if name not in CALL_BY_NAME and kfunc_row(name) is None] == []


#: Where names of calls may stand: tables of implementations and texts, and programs that are
#: written there.
NAMING = {
    "platform/calls.py": "the rows",
    "machine/model": "implementations",
    "machine/played": "implementations in Python, for all machines",
    "machine/native/jit": "what is written in place of calls",
    "machine/native/tables.py": "what the core leaves to Python where that has the elements",
    "machine/native/printk.py": "how bpf_trace_vprintk takes its words",
    "verifier/calls/callback.py": "what a callback is given",
    "fuzz": "random programs",
    "platform/maps.py": "types that are called as a helper is",
    "btf/special.py": "types that are called as a helper is",
    "platform/programs/socket_types.py": "a struct that is called as a helper is",
}  # fmt: skip


def test_facts_of_calls_are_nowhere_else() -> None:
    """A list of names far from the rows is forgotten by the next row."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in CALL_BY_NAME:
                found.add(path.relative_to(SOURCE).as_posix())
    unexplained = [
        f for f in sorted(found)
        if not any(f == place or f.startswith(f"{place}/") for place in NAMING)
    ]  # fmt: skip
    assert unexplained == []
    assert not [
        place for place in NAMING
        if not any(f == place or f.startswith(f"{place}/") for f in found)
    ]  # fmt: skip
