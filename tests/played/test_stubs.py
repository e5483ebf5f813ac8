"""Python functions in place of helpers and kfuncs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import MachineUnsupported, UsageError, Violation
from bpfheap.spec import ObjectSpec
from bpfheap.vmlinux import Vmlinux

SYSTEM = Path("/sys/kernel/btf/vmlinux")
PACKET = bytes(64)


@pytest.fixture(scope="module")
def stubbed() -> ObjectSpec:
    if not SYSTEM.exists():
        pytest.skip(f"no {SYSTEM}, whose types these programs are about")
    return object_spec(Path(__file__).with_name("stubs.bpf.c"), target=Vmlinux(SYSTEM))


def test_a_helper_writes_back(rt: bpfheap.Runtime, stubbed: ObjectSpec) -> None:
    seen: list[Any] = []

    @rt.stub("bpf_fib_lookup")
    def lookup(ctx: Any, params: Any, size: int, flags: int) -> int:
        seen.append((len(params), size, flags, params[0]))
        params[8:12] = (7).to_bytes(4, "little")
        return 0

    program = rt.load(stubbed, programs=["route"]).programs["route"]
    assert program.run(rt.xdp(PACKET, ingress_ifindex=3)).retval == 7
    assert seen == [(64, 64, 0, 2)]


def test_what_it_gives(rt: bpfheap.Runtime, stubbed: ObjectSpec) -> None:
    answer: Any = 4
    rt.stub("bpf_fib_lookup")(lambda ctx, params, size, flags: answer)
    program = rt.load(stubbed, programs=["route"]).programs["route"]
    assert program.run(data=PACKET).retval == 4
    answer = "text"
    with pytest.raises(UsageError, match="the stub of bpf_fib_lookup gives text"):
        program.run(data=PACKET)


def test_a_kfunc(rt: bpfheap.Runtime, stubbed: ObjectSpec) -> None:
    @rt.stub("bpf_path_d_path")
    def d_path(path: Any, buf: Any, size: int) -> int:
        name = path.dentry.d_parent.d_parent
        assert name is not None
        buf.write(b"/tmp/x\0")
        return 7

    program = rt.load(stubbed, programs=["path_of"]).programs["path_of"]
    dentry = rt.kernel.dentry()
    dentry.d_parent = dentry
    assert program.run([{"f_path": {"dentry": dentry}}]).printk == ["/tmp/x"]


def test_what_a_stub_raises_reaches_the_test(rt: bpfheap.Runtime, stubbed: ObjectSpec) -> None:
    @rt.stub("bpf_map_lookup_elem")
    def lookup(counts: bpfheap.Map, key: Any) -> int:
        assert counts.name == "counts"
        assert bytes(key) == b"\2\0\0\0"
        raise KeyError("mine")

    program = rt.load(stubbed, programs=["counting"]).programs["counting"]
    with pytest.raises(KeyError, match="mine"):
        program.run(data=PACKET)


def test_too_much_is_refused(rt: bpfheap.Runtime, stubbed: ObjectSpec) -> None:
    @rt.stub("bpf_fib_lookup")
    def lookup(ctx: Any, params: Any, size: int, flags: int) -> int:
        params.write(bytes(65))
        return 0

    program = rt.load(stubbed, programs=["route"]).programs["route"]
    with pytest.raises(UsageError, match="has 64 bytes, not 65"):
        program.run(data=PACKET)


def test_without_one(rt: bpfheap.Runtime, stubbed: ObjectSpec) -> None:
    with pytest.raises(MachineUnsupported, match="calls bpf_path_d_path") as seen:
        rt.load(stubbed, programs=["path_of"])
    assert seen.value.line is not None
    assert seen.value.hint is not None
    assert "@bpf.stub('bpf_path_d_path')" in seen.value.hint
    with pytest.raises(UsageError, match="no helper and no kfunc bpf_nothing"):
        rt.stub("bpf_nothing")(lambda: 0)


def test_a_pointer_that_is_none(rt: bpfheap.Runtime, stubbed: ObjectSpec) -> None:
    rt.stub("bpf_map_lookup_elem")(lambda counts, key: 12345)
    program = rt.load(stubbed, programs=["counting"]).programs["counting"]
    with pytest.raises(Violation, match="number and no pointer"):
        program.run(data=PACKET)
