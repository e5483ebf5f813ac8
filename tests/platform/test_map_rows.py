"""The rows of map types have every fact, and those who need one ask the row."""

from __future__ import annotations

import ast
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from bpfheap.btf import Btf
from bpfheap.errors import MachineUnsupported
from bpfheap.isa import Insn
from bpfheap.machine import played
from bpfheap.machine.model import ModelMachine, calls
from bpfheap.machine.model.maps import ELEMENTS
from bpfheap.machine.native import _core
from bpfheap.machine.native.code import helper_numbers
from bpfheap.machine.native.machine import NativeMachine
from bpfheap.machine.native.records import SHAPES
from bpfheap.machine.offers import check_program
from bpfheap.platform.calls import CALL_BY_NAME, HELPER_BY_NUMBER, HELPERS, KFUNCS
from bpfheap.platform.maps import BY_NUMBER, MAP_TYPES, Fields, Holds, MapFlag, MapType, Shape
from bpfheap.platform.programs import Offer
from bpfheap.spec import MapSpec, ProgramSpec, Ref, RefKind, SourceLine

SOURCE = Path(__file__).parents[2] / "src" / "bpfheap"
BTF = Btf((), "m")

each_row = pytest.mark.parametrize("row", MAP_TYPES, ids=lambda row: row.name)


def spec_of(row: MapType) -> MapSpec:
    keys = 8 if row.key_size is None else row.key_size
    values = 4 if row.shape is not Shape.NONE else 0
    if row.holds is Holds.STACKS:
        values = 8
    entries = 4096 if row.counted else 0
    return MapSpec("m", row.number, keys, values, entries, BTF, flags=row.needs)


#: A row with no more than what every row has.
NEW: dict[str, Any] = {
    "name": "new", "number": 99, "shape": Shape.HASH, "holds": Holds.VALUES, "ops": frozenset(),
    "key_size": None, "sleepable": True,
}  # fmt: skip


@pytest.mark.parametrize("missing", NEW)
def test_a_row_without_a_fact_is_none(missing: str) -> None:
    MapType(**NEW)
    with pytest.raises(TypeError, match=missing):
        MapType(**{name: fact for name, fact in NEW.items() if name != missing})


def test_what_a_row_need_not_say_is_the_safe_answer() -> None:
    """Without fields beside plain bytes, without flags, and nothing of the kernel is read. That
    values are of a CPU each, its operations tell too, and who may update and delete asks for the
    operation. What sizes and flags a map cannot do without says a kernel when it is made."""
    row = MapType(**NEW)
    assert (row.fields, row.flags, row.per_cpu) == (Fields(0), MapFlag(0), False)
    assert (row.value_sizes, row.needs, row.counted) == ((), MapFlag(0), True)
    assert (row.updaters, row.deleters, row.struct) == (Offer.FEW, Offer.FEW, "")
    assert {f.name for f in fields(MapType)} - NEW.keys() == {
        "fields", "flags", "per_cpu", "updaters", "deleters", "struct", "value_sizes", "needs",
        "counted",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"shape": Shape.NONE, "key_size": 0}, "keys, if it has elements"),
        ({"holds": Holds.RECORDS}, "keys, if it has elements"),
        ({"shape": Shape.NONE, "holds": Holds.NOTHING}, "key_size 0"),
        ({"holds": Holds.MAPS, "fields": Fields.KPTRS}, "values, for fields"),
        ({"holds": Holds.MAPS, "per_cpu": True}, "values, to have some per CPU"),
        ({"per_cpu": True}, "lookup_percpu if it is per CPU"),
        ({"ops": frozenset({"lookup_percpu"})}, "lookup_percpu if it is per CPU"),
    ],
)
def test_facts_that_exclude_each_other(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^new: the row needs {message}"):
        MapType(**NEW | facts)


# -- machines: one implementation for each shape and what it holds


#: What programs may have as far as the verifier is concerned, and no machine makes.
NO_MAPS = {(Shape.NONE, Holds.PAGES)}


def test_machines_have_all_maps() -> None:
    rows = {(row.shape, row.holds) for row in MAP_TYPES if row.holds not in UNOFFERED} - NO_MAPS
    assert set(ELEMENTS) == rows
    assert set(SHAPES) == rows
    assert set(SHAPES.values()) <= set(_core.SHAPES)


#: What no machine's maps hold yet.
UNOFFERED = frozenset({Holds.SENT})
#: Calls that programs may make as far as the verifier is concerned, and no machine has; without
#: "bpf_".
NOWHERE = """
    bind bprm_opts_set btf_find_by_name_kind d_path find_vma get_branch_snapshot ima_file_hash
    ima_inode_hash kallsyms_lookup_name load_hdr_opt lwt_seg6_action lwt_seg6_adjust_srh
    lwt_seg6_store_bytes msg_pop_data msg_pull_data msg_push_data
    perf_event_read perf_event_read_value perf_prog_read_value rc_keydown rc_pointer_rel
    rc_repeat read_branch_records reserve_hdr_opt seq_printf_btf skb_get_xfrm_state skb_output
    snprintf_btf sock_from_file store_hdr_opt sys_bpf sys_close
    sysctl_get_current_value sysctl_get_name sysctl_get_new_value sysctl_set_new_value
    task_pt_regs tcp_send_ack user_ringbuf_drain xdp_output res_spin_lock res_spin_unlock
    res_spin_lock_irqsave res_spin_unlock_irqrestore timer_init timer_set_callback timer_start
    timer_cancel wq_init wq_set_callback_impl wq_start
"""


def test_machines_have_all_calls() -> None:
    rows = {row.name for row in (*HELPERS, *KFUNCS)} - {f"bpf_{name}" for name in NOWHERE.split()}
    assert rows == {name for name in calls.CALLS if name in CALL_BY_NAME}
    assert rows == {name for name in (*_core.CALLS, *played.CALLS) if name in CALL_BY_NAME}


@each_row
@pytest.mark.parametrize("machine", [ModelMachine, NativeMachine])
def test_every_map_can_be_made(row: MapType, machine: type[ModelMachine | NativeMachine]) -> None:
    if row.holds in UNOFFERED:
        with pytest.raises(MachineUnsupported, match="does not offer"):
            machine().map_create(1, spec_of(row), None, {})
        return
    made = machine()
    if (row.shape, row.holds) in NO_MAPS:
        with pytest.raises(MachineUnsupported, match=f"of type {row.name}, which the"):
            made.map_create(1, spec_of(row), None, {})
        return
    allocator = None
    if row.holds is Holds.NOTHING:
        allocator = 7
        made.allocator_create(allocator, "m", 0)
    made.map_create(1, spec_of(row), allocator, {})
    keys = made.map_keys(1)
    # Somebody listens to the perf events of each CPU.
    there = 2 if row.holds is Holds.EVENTS else 0
    assert len(keys) == (4096 if row.fixed else there)
    assert made.map_drain(1) == []


@pytest.mark.parametrize("machine", [ModelMachine, NativeMachine])
def test_a_map_that_a_machine_does_not_offer(
    machine: type[ModelMachine | NativeMachine], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = MapType(
        "heap_of_programs", 99, Shape.HASH, Holds.PROGRAMS, frozenset(), key_size=4, sleepable=False
    )
    monkeypatch.setitem(BY_NUMBER, 99, row)
    message = f"map m is of type heap_of_programs, which the {machine.name} machine does not offer"
    with pytest.raises(MachineUnsupported, match=message):
        machine().map_create(1, spec_of(row), None, {})


def test_a_call_that_a_machine_does_not_offer() -> None:
    insns = (Insn(0x85, imm=5), Insn(0x85, src=2, imm=-1), Insn(0x95))
    refs = {1: Ref(RefKind.KFUNC, "unit_free")}
    lines = {0: SourceLine("p.c", 3), 1: SourceLine("p.c", 4)}
    spec = ProgramSpec("p", "tc", insns, refs, (), lines, BTF)
    check_program("small", spec, {"bpf_ktime_get_ns", "unit_free"}, None)
    for offered, line, name in (
        ({"unit_free"}, 3, "bpf_ktime_get_ns"),
        ({"bpf_ktime_get_ns"}, 4, "unit_free"),
    ):
        message = f"^p.c:{line}: program p calls {name}, which the small machine does not offer"
        with pytest.raises(MachineUnsupported, match=message):
            check_program("small", spec, offered, None)
    unknown = replace(spec, insns=(Insn(0x85, imm=999), Insn(0x95)), refs={})
    check_program("small", unknown, set(), None)


def test_a_helper_that_the_core_does_not_have_takes_nothing_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = helper_numbers()
    new = replace(CALL_BY_NAME["bpf_ktime_get_ns"], name="bpf_new", number=300)
    monkeypatch.setitem(HELPER_BY_NUMBER, 300, new)
    assert helper_numbers().startswith(before)


# -- nowhere else


def test_facts_of_map_types_are_nowhere_else() -> None:
    """Nobody compares with the name of a type; shapes are for those who implement them."""
    names = {row.name for row in MAP_TYPES}
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and any(
                isinstance(n, ast.Constant) and n.value in names for n in ast.walk(node)
            ):
                found.add(path.relative_to(SOURCE).as_posix())
    # The core's shapes, where code is written in place of what it does.
    assert found == {"machine/native/jit/calls/maps.py"}
