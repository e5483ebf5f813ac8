"""Functions of the kernel's structs, called in the kernel's place, on both machines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import UsageError
from bpfheap.spec import ObjectSpec
from bpfheap.vmlinux import Vmlinux

SYSTEM = Path("/sys/kernel/btf/vmlinux")


@pytest.fixture(scope="module")
def ops_spec() -> ObjectSpec:
    if not SYSTEM.exists():
        pytest.skip(f"no {SYSTEM}, whose types these programs are about")
    return object_spec(Path(__file__).with_name("struct_ops.bpf.c"), target=Vmlinux(SYSTEM))


@pytest.fixture(
    params=[
        {"machine": "model"},
        {"machine": "native", "jit": False},
        {"machine": "native"},
        {"machine": "native", "hardened": True},
    ],
    ids=["model", "interpreted", "compiled", "hardened"],
)
def loaded(
    request: pytest.FixtureRequest, ops_spec: ObjectSpec
) -> Iterator[tuple[bpfheap.Runtime, Any]]:
    with bpfheap.Runtime(kernel_btf=SYSTEM, **request.param) as rt:

        @rt.stub("tcp_cong_avoid_ai")
        def avoid(tp: Any, w: int, acked: int) -> None:
            tp.snd_cwnd_cnt = w * acked

        yield rt, rt.load(ops_spec)


Loaded = tuple[bpfheap.Runtime, Any]


def test_a_congestion_control(loaded: Loaded) -> None:
    rt, obj = loaded
    ops = obj.struct_ops["counts"]
    sk = rt.kernel.tcp_sock(snd_cwnd=10)
    ops.init(sk)
    ops.init()
    assert obj.maps[".bss"][0].begun == 2
    assert ops.ssthresh(sk).retval == 5
    assert ops.ssthresh({"snd_cwnd": 3}).retval == 2
    ops.cong_avoid(sk, 7, 2)
    ops.cong_avoid(sk, 8, 1)
    assert (sk.snd_cwnd, sk.snd_cwnd_stamp) == (13, 8)


def test_a_kfunc_is_a_stub(loaded: Loaded) -> None:
    rt, obj = loaded
    sk = rt.kernel.tcp_sock(snd_cwnd=100)
    obj.struct_ops["counts"].cong_avoid(sk, 1, 2)
    assert sk.snd_cwnd_cnt == 204


def test_what_may_be_null(loaded: Loaded) -> None:
    rt, obj = loaded
    dummy = obj.struct_ops["dummy"]
    assert dummy.test_1(None).retval == 0xFFFFFFFF
    assert dummy.test_1(cb=None).retval == 0xFFFFFFFF
    state = rt.kernel.bpf_dummy_ops_state(val=1)
    assert dummy.test_1(state).retval == 6
    assert state.val == 6
    assert dummy.test_2(state, -1, 2, 3, 4).retval == 14


def test_members(loaded: Loaded) -> None:
    _, obj = loaded
    ops = obj.struct_ops["counts"]
    assert (ops["flags"], ops.name) == (2, b"counts")
    assert ops.undo_cwnd is None
    assert {"init", "name"} < set(ops)
    assert str(ops) == "struct tcp_congestion_ops counts"
    with pytest.raises(UsageError, match="counts has no member made_up"):
        ops["made_up"]
    with pytest.raises(UsageError, match="in their order, or by their names"):
        ops.ssthresh(1, sk=1)
    with pytest.raises(UsageError, match="has 1 arguments, and 2 are given"):
        ops.ssthresh(1, 2)


def test_a_program_that_is_not_loaded(ops_spec: ObjectSpec) -> None:
    with bpfheap.Runtime(kernel_btf=SYSTEM) as rt:
        obj = rt.load(ops_spec, programs=["counts_init"])
        with pytest.raises(UsageError, match=r"counts_ssthresh, which .* is, was not loaded"):
            obj.struct_ops["counts"]["ssthresh"]
