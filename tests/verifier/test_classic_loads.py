"""What is said of loads of classic BPF: in errors, behind each line, and by machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from verifier_cases import Types, program

from bpfheap import Runtime
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


#: A load that finds nothing ends the function that it is in, and no other one.
_IN_A_FUNCTION = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
long load_half(void *skb, unsigned long long at) asm("llvm.bpf.load.half");
static __attribute__((noinline)) int part(struct __sk_buff *skb, unsigned int at)
{
	return load_half(skb, at) + 4;
}
SEC("tc") int whole(struct __sk_buff *skb) { return part(skb, skb->mark) + 1; }
char LICENSE[] SEC("license") = "GPL";
"""


def test_machines_run_them(machine: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "function.bpf.c"
    path.write_text(_IN_A_FUNCTION)
    with Runtime(**machine) as rt:
        program = rt.load(path).programs["whole"]
        for at, found in (
            (2, 0x0203 + 5),
            (62, 0x3E3F + 5),
            (63, 1),
            (-0x1FFFFF, 0x0102 + 5),
            (-1, 1),
        ):
            given = rt.tc(bytes(range(64)), mark=at & 0xFFFFFFFF)
            assert program.run(given).retval == found, at


@pytest.mark.parametrize("machine", ["model", "native"])
def test_machines_run_new_types(machine: str) -> None:
    spec = spec_of("r0 = *(u32 *)(r1 +0)\nr0 &= 1\nexit", "cgroup/sysctl")
    loaded = Runtime(machine=machine).load(object_of(spec))
    assert loaded.programs[spec.name].run(ctx=bytes([3, 0, 0, 0])).retval == 1
