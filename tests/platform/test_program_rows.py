"""The rows of program types have every fact, and those who need one ask the row."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bpfheap.btf import Btf
from bpfheap.errors import UsageError
from bpfheap.fuzz.generate import _SECTIONS
from bpfheap.fuzz.soundness import packet
from bpfheap.isa import Insn
from bpfheap.kernel.program import section_of
from bpfheap.machine import frames
from bpfheap.machine.offers import check_program
from bpfheap.platform.calls import HELPERS
from bpfheap.platform.programs import (
    PROGRAM_TYPES,
    CtxField,
    CtxForm,
    CtxKind,
    Offer,
    PacketKind,
    ProgramType,
    Section,
    attach_type,
    may_sleep,
    other_sections,
    program_type,
    section_def,
    types_with,
)
from bpfheap.platform.programs.struct_ops import OPS_ROWS
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import verify

SOURCE = Path(__file__).parents[2] / "src" / "bpfheap"
FRAME = bytes(range(64))

each_row = pytest.mark.parametrize(
    "row", PROGRAM_TYPES, ids=lambda row: row.sections[0].replace("/", "-")
)


def program(section: str) -> ProgramSpec:
    return ProgramSpec("p", section, (Insn(0x95),), {}, (), {}, Btf((), "p"))


#: A row with no more than what every row has.
NEW: dict[str, Any] = {
    "name": "new", "number": 99, "names": (Section("new"),), "ctx_struct": "void", "ctx_size": 8,
    "sleepable": False, "interrupts": False, "packet": PacketKind.NONE, "caller": Offer.XDP,
    "returns": None, "test_run": None,
}  # fmt: skip


@pytest.mark.parametrize("missing", NEW)
def test_a_row_without_a_fact_is_none(missing: str) -> None:
    ProgramType(**NEW)
    with pytest.raises(TypeError, match=missing):
        ProgramType(**{name: fact for name, fact in NEW.items() if name != missing})


def test_what_a_row_need_not_say_is_the_safe_answer() -> None:
    """Nothing of the context may be read or written, nor the packet written; frames lie on the
    kernel's stack, and there is nothing of what some kernels have."""
    row = ProgramType(**NEW)
    said = {f.name: getattr(row, f.name) for f in fields(ProgramType) if f.name not in NEW}
    assert said == {
        "fields": (), "raw_ctx": None, "ctx_writable": False, "writes_packet": False,
        "loads_packet": False, "packet_args": None, "private_stack": False, "objects": False,
        "form": CtxForm.FIELDS, "kernel_types": False,
        "ctx_typedef": "", "ctx_tagged": frozenset(),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"fields": (CtxField("data", 0, 4, CtxKind.PACKET),)}, "there is none"),
        ({"writes_packet": True}, "there is none"),
        ({"loads_packet": True}, "there is none"),
        ({"raw_ctx": 0, "fields": (CtxField("a", 0, 4, CtxKind.SCALAR),)}, "or it has fields"),
        ({"ctx_writable": True}, "each field tells"),
        ({"caller": Offer.LWT}, "of one kind to helpers"),
        ({"caller": Offer(0)}, "of one kind to helpers"),
        ({"sleepable": True, "interrupts": True}, "nobody sleeps in an interrupt"),
    ],
)
def test_facts_that_exclude_each_other(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^new: .*{message}"):
        ProgramType(**NEW | facts)


@each_row
def test_sections_select_the_row(row: ProgramType) -> None:
    for section in row.names:
        for name in (section.name, f"?{section.name}", f"{section.name}/x"):
            assert program_type(name) is row
            assert section_def(name) == section
            found = section_of(program(name))
            assert (found.type, found.attach_type) == (row.number, section.attach)
            assert attach_type(name) == section.attach
            assert may_sleep(name) is (found.flags & 16 != 0) is section.sleepable
            assert (found.flags & 32 != 0) is section.frags


#: What libbpf 1.6 says of names: type, attach type, flags.
@pytest.mark.parametrize(
    ("name", "number", "attach", "sleepable"),
    [
        ("socket", 1, 0, False),
        ("kprobe/do_x", 2, 0, False),
        ("kprobe.multi/do_*", 2, 42, False),
        ("kprobe.session/do_*", 2, 56, False),
        ("uprobe.s//bin/sh:main", 2, 0, True),
        ("uprobe.multi.s", 2, 48, True),
        ("usdt/libc:x:y", 2, 48, False),
        ("ksyscall/nanosleep", 2, 0, False),
        ("action", 4, 0, False),
        ("netkit/peer", 3, 55, False),
        ("tp/sched/sched_switch", 5, 0, False),
        ("raw_tp.w/x", 24, 0, False),
        ("tp_btf/x", 26, 23, False),
        ("fmod_ret.s/x", 26, 26, True),
        ("iter.s/task", 26, 28, True),
        ("lsm_cgroup/socket_bind", 29, 43, False),
        ("freplace/x", 28, 0, False),
        ("struct_ops.s/x", 27, 0, True),
        ("syscall", 31, 0, True),
        ("xdp.frags/cpumap", 6, 35, False),
        ("xdp/devmap", 6, 33, False),
        ("cgroup/sock_release", 9, 34, False),
        ("cgroup/connect_unix", 18, 49, False),
        ("cgroup/getsockname_unix", 18, 53, False),
        ("cgroup/setsockopt", 25, 22, False),
        ("sk_reuseport/migrate", 21, 40, False),
        ("netfilter", 32, 45, False),
    ],
)
def test_names_of_libbpf(name: str, number: int, attach: int, sleepable: bool) -> None:
    row = program_type(name)
    assert row is not None
    assert (row.number, attach_type(name), may_sleep(name)) == (number, attach, sleepable)


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("socket1", "socket"), ("xdp_drop", "xdp"), ("xdp/x", "xdp"), ("tc/x", "tc"),
        ("tc/ingress_x", "tc/ingress"), ("action0", "action"), ("sk_skb/x", "sk_skb"),
        ("classifier/x", "classifier"),
        ("xdp/devmap_x", "xdp/devmap"), ("cgroup/sock_created", "cgroup/sock_create"),
        ("cgroup/sockets", "cgroup/sock"),
    ],
)  # fmt: skip
def test_names_of_another_loader(name: str, like: str) -> None:
    """cilium/ebpf takes what begins with a name that nothing may follow."""
    assert section_def(name) == section_def(like) is not None


@pytest.mark.parametrize(
    "name",
    ["", "?", "nothing", "kprobes/x", "kprobe.s/x", "tps/x", "tp.s/x", "fentrys", "cgroup_skb",
     "ingress", "raw_tp.x", "lsm_x", "iterate", "cgroup", "?x", "??tc"],
)  # fmt: skip
def test_names_of_nobody(name: str) -> None:
    assert section_def(name) is None
    assert program_type(name) is None
    assert not may_sleep(name)


def test_what_may_have_been_meant() -> None:
    assert other_sections("?cgroup_skb/igress").startswith("did you mean cgroup_skb/ingress or ")
    assert other_sections("nonsense") == (
        "known are socket, tc, xdp, kprobe, tracepoint, raw_tp, perf_event, cgroup_skb/egress, "
        "syscall and all others of libbpf"
    )


def test_each_name_is_in_one_row() -> None:
    names = [name for row in PROGRAM_TYPES for name in row.sections]
    assert len(names) == len(set(names))


def test_pointers_are_at_the_same_place_in_all_rows_of_a_type() -> None:
    seen: dict[str, set[tuple[int, CtxKind]]] = {}
    for row in PROGRAM_TYPES:
        found: set[tuple[int, CtxKind]] = {
            (f.offset, f.kind) for f in row.fields if f.kind is not CtxKind.SCALAR
        }
        assert seen.setdefault(row.name, found) == found


@pytest.mark.parametrize(
    "row", [r for r in PROGRAM_TYPES if r.kernel_types and not r.arguments], ids=lambda r: r.name
)
def test_types_of_the_kernel_are_not_known(row: ProgramType) -> None:
    spec = program(f"{row.sections[0]}/x")
    verdict = verify(ObjectSpec("o", spec.btf, {}, {}), spec)
    assert verdict.missing == (f'SEC("{row.sections[0]}")',)
    assert verdict.error is not None
    assert f"does not know {row.name} programs" in verdict.error.message


@each_row
def test_packets_go_where_the_row_says(row: ProgramType) -> None:
    check_program("m", program(row.sections[0]), (), None)
    if not row.has_packet:
        with pytest.raises(UsageError, match="gets none"):
            frames.check(row, b"", FRAME)
        return
    frames.check(row, b"", FRAME)
    if row.packet is PacketKind.OTHER:
        assert frames.frame_for(row, bytearray(row.ctx_size), FRAME).data == FRAME
        return
    assert packet(program(row.sections[0]), Random(1))
    ctx = bytearray(row.ctx_size)
    seen = frames.frame_for(row, ctx, FRAME)
    payload = row.packet is PacketKind.SKB_PAYLOAD
    assert seen.data == (FRAME[frames.ETH_HLEN :] if payload else FRAME)
    assert bool(seen.room and seen.tail) is (row.packet is PacketKind.XDP)
    assert any(ctx)
    assert seen.readonly is not row.writes_packet


def test_every_helper_is_for_some_type() -> None:
    assert {row.caller for row in (*PROGRAM_TYPES, *OPS_ROWS.values())} == set(Offer)
    assert all(row.offer for row in HELPERS)
    assert types_with(Offer.TC | Offer.LWT_XMIT) == "lwt_xmit, sched_act, sched_cls"


def test_random_programs_have_a_type() -> None:
    assert None not in {program_type(section) for section, _ in _SECTIONS}


def test_facts_of_program_types_are_nowhere_else() -> None:
    """Nobody compares with the name of a type, of its section or of its context's struct."""
    names = {name for t in PROGRAM_TYPES for name in (t.name, t.ctx_struct, *t.sections)}
    names -= {"void"}  # C's type of any memory
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and any(
                isinstance(n, ast.Constant) and n.value in names for n in ast.walk(node)
            ):
                found.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize("kind", [kind for kind in CtxKind if kind is not CtxKind.SCALAR])
def test_a_pointer_is_read_as_a_whole(kind: CtxKind) -> None:
    CtxField("data", 0, 4, kind)
    with pytest.raises(ValueError, match="data is a pointer: it is read as a whole only"):
        CtxField("data", 0, 4, kind, narrow=True)
    with pytest.raises(ValueError, match="data is a pointer: it is read as a whole only"):
        CtxField("data", 0, 4, kind, joined=True)


def test_a_field_says_what_it_is() -> None:
    with pytest.raises(TypeError, match="kind"):
        CtxField("len", 0, 4)  # type: ignore[call-arg]
