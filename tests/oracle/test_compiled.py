"""What the oracle's cases accept does the same on the model machine, interpreted and compiled."""

from __future__ import annotations

from dataclasses import replace

import pytest
from oracle_cases import CaseFile, OracleCase, case_files

import bpfheap
from bpfheap.errors import MachineUnsupported, MapError
from bpfheap.fuzz.results import Outcome
from bpfheap.machine.model.calls import CALLS
from bpfheap.machine.model.maps import ELEMENTS
from bpfheap.machine.offers import check_program, implementation
from bpfheap.platform.called import calls_of
from bpfheap.platform.calls import Sees
from bpfheap.platform.maps import BY_NUMBER
from bpfheap.platform.programs import CtxKind, PacketKind, program_type
from bpfheap.runtime.loader import creation_order
from bpfheap.spec import MapSpec
from bpfheap.verifier import Options, Verdict, verify

pytest.importorskip("bpfheap.machine.native._core")
pytest.importorskip("llvmlite")
from bpfheap.fuzz import machines

#: What the verifier lets pass as Linux does, and what only the model machine notices, is left out.
FILES = [file for file in case_files() if file.name != "holes.bpf.c"]
#: How a tree looks inside is up to the machine: these tell by what it compares.
OF_TREES = {"rbtree: callback_counts", "rbtree: callback_writes"}
#: As many of a file are run: they are alike.
MOST = 60


def maps_of(case: OracleCase) -> dict[str, MapSpec]:
    """Those that a program names, and those that these name: some of the others cannot be made."""
    found: dict[str, MapSpec] = {}
    wanted = [ref.name for ref in case.program.refs.values()]
    while wanted:
        spec = case.obj.maps.get(wanted.pop())
        if spec is not None and spec.name not in found:
            found[spec.name] = spec
            wanted += spec.needs
    return found


def plain(case: OracleCase, verdict: Verdict) -> bool:
    """Can its context be any bytes? One with pointers in it has to be made up."""
    row = program_type(case.program.section)
    if row is None or row.arguments or row.packet is PacketKind.OTHER:
        return False
    buffers = any(field.kind is CtxKind.BUFFER for field in row.fields)
    return not buffers and verdict.facts is not None and not verdict.facts.foreign


def outcome(case: OracleCase) -> str | None:
    """What differs, None for nothing, and where no machine runs it."""
    verdict = verify(case.obj, case.program, Options(complexity_limit=case.limit, facts=True))
    if not verdict.accepted:
        return None
    if "bpf_get_current_task_btf" in {row.name for _, row in calls_of(case.program) if row}:
        # Nobody has set the task here.
        return None
    if not plain(case, verdict):
        return None
    obj = replace(case.obj, maps=maps_of(case))
    try:
        check_program("model", case.program, CALLS, verdict.facts)
        for spec in obj.maps.values():
            implementation("model", spec, BY_NUMBER[spec.type], ELEMENTS)
        creation_order(obj)
        result = machines.compared(obj, case.program, verdict, case.name, filled=False)
    except MachineUnsupported:
        return None
    except MapError:
        # Linux has some of these without their types, when its map cannot be made with them.
        return None
    return result.theirs if result.outcome is Outcome.DIFFERENT else None


#: Those that give the same on each machine, as they ask for no chance.
STACK = [
    case
    for file in FILES
    if file.name == "stack_addresses.yaml"
    for case in file.cases
    if case.ours.accept and all(row is None or row.sees is Sees.NOTHING
                                for _, row in calls_of(case.program))
]  # fmt: skip


@pytest.mark.parametrize("case", STACK, ids=lambda case: case.name)
def test_hardened_machines_do_the_same(case: OracleCase) -> None:
    obj = replace(case.obj, programs={case.program.name: case.program})
    said = []
    for machine, jit in (("model", False), ("native", False), ("native", True)):
        with bpfheap.Runtime(machine=machine, jit=jit, hardened=machine == "native") as rt:
            result = rt.load(obj).programs[case.program.name].run()
            said.append((result.retval, result.printk))
    assert said == said[:1] * 3


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_all_machines_do_the_same(file: CaseFile) -> None:
    accepted = [case for case in file.cases if case.ours.accept and case.name not in OF_TREES]
    step = -(-len(accepted) // MOST) or 1
    assert {c.name: told for c in accepted[::step] if (told := outcome(c)) is not None} == {}
