"""What is said of loads of classic BPF: in errors, behind each line, and by machines."""

from __future__ import annotations

import pytest
from verifier_cases import Types, program

from bpfheap import Runtime
from bpfheap.errors import MachineUnsupported
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, verify
from bpfheap.verifier.walk import explained

BTF = Types({}).build()
_LOAD = "r6 = r1\nr0 = *(u16 *)skb[12]\n"


def spec_of(code: str, section: str = "socket") -> ProgramSpec:
    return program(code, BTF, section)


def object_of(spec: ProgramSpec) -> ObjectSpec:
    return ObjectSpec("classic", BTF, {}, {spec.name: spec})


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("r1 = r10\nr1 += r0\nr0 = *(u8 *)(r1 -8)\nexit", "a u16 loaded from the packet at"),
        ("r0 = r5\nexit", "ldabs overwrites r0 to r5"),
    ],
)
def test_where_values_came_from(code: str, told: str) -> None:
    spec = spec_of(_LOAD + code)
    error = verify(object_of(spec), spec).error
    assert error is not None
    assert any(told in sentence for sentence in error.history), error.history


def test_the_log_has_what_they_give() -> None:
    spec = spec_of(f"{_LOAD}exit")
    log = verify(object_of(spec), spec, Options(log=True)).log
    assert log is not None
    assert "R0=scalar()" in log


@pytest.mark.parametrize(
    ("insn", "used"), [("r0 = *(u8 *)skb[0]", {"r6"}), ("r0 = *(u8 *)skb[r7 + 0]", {"r6", "r7"})]
)
def test_a_refused_one_shows_what_it_uses(insn: str, used: set[str]) -> None:
    spec = spec_of(f"r6 = r1\nr6 += 8\nr7 = 1\n{insn}\nexit")
    _, known = explained(object_of(spec), spec)
    (refused,) = (one for one in known if one.insn == 3)
    assert set(refused.values) == used


def test_a_machine_refuses_them_by_name() -> None:
    spec = spec_of(f"{_LOAD}exit")
    with pytest.raises(
        MachineUnsupported, match="has ldabs, packet access of classic BPF, which the native"
    ):
        Runtime(machine="native").load(object_of(spec))


def test_machines_refuse_contexts_that_they_do_not_make() -> None:
    spec = spec_of("r0 = 1\nexit", "sk_msg")
    with pytest.raises(MachineUnsupported, match="of type sk_msg, whose context the"):
        Runtime(machine="native").load(object_of(spec))
    Runtime().load(object_of(spec))


@pytest.mark.parametrize("machine", ["model", "native"])
def test_machines_run_new_types(machine: str) -> None:
    spec = spec_of("r0 = *(u32 *)(r1 +0)\nr0 &= 1\nexit", "cgroup/sysctl")
    loaded = Runtime(machine=machine).load(object_of(spec))
    assert loaded.programs[spec.name].run(ctx=bytes([3, 0, 0, 0])).retval == 1
