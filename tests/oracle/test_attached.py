"""What the arguments of tracepoints and iterators are: our verdict is Linux's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import SYSTEM, Types, program

from bpfheap.btf import Func, FuncProto, LazyBtf, Ptr, Typedef
from bpfheap.kernel import Kernel
from bpfheap.platform.programs.targets import ITERATORS, TRACEPOINTS
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import Options, verify
from linux_versions import skip_not_allowed

BTF = Types({}).build()
OBJ = ObjectSpec("attached", BTF, {}, {}, kernel=SYSTEM)
_ACCESSES = (
    "r2 = *(u64 *)(r1 +{at})",
    "r2 = *(u32 *)(r1 +{at})",
    "r2 = *(u64 *)(r1 +{at})\nr3 = *(u8 *)(r2 +0)",
)
#: As many of the tracepoints that nothing more is known of.
_TRIED = 120


@dataclass(frozen=True)
class Target:
    """`params` counts the context's words, as most arguments are one."""

    section: str
    params: int


def _types() -> LazyBtf:
    types = SYSTEM.types()
    if types is None:
        pytest.skip("there are no types of a kernel here")
    return types


def _tracepoints(types: LazyBtf) -> Iterator[Target]:
    for kind in (types[i] for i in range(1, len(types))):
        if isinstance(kind, Typedef) and kind.name.startswith("btf_trace_"):
            pointer = types[kind.type]
            assert isinstance(pointer, Ptr)
            proto = types[pointer.type]
            assert isinstance(proto, FuncProto)
            name = kind.name.removeprefix("btf_trace_")
            yield Target(f"tp_btf/{name}", len(proto.params) - 1)


def _differences(target: Target, oracle: Kernel) -> list[str]:
    differ = []
    for word in range(min(target.params + 2, 13)):
        for access in _ACCESSES:
            code = f"{access.format(at=8 * word)}\nr0 = 0\nexit"
            spec = program(code, BTF, target.section)
            ours = verify(OBJ, spec, Options(explain=False))
            linux = oracle.verify(OBJ, spec, stats=True)
            skip_not_allowed(target.section, linux)
            if ours.accepted != linux.accepted:
                why = ours.error or linux.message or linux.errno
                differ.append(f"{target.section}: {access.format(at=8 * word)}: {why}")
    return differ


#: With an argument that Linux takes for an object, and is none.
_HOLES = {"tp_btf/signal_generate"}


def test_tracepoints(oracle: Kernel) -> None:
    targets = (target for target in _tracepoints(_types()) if target.section not in _HOLES)
    found = {target.section: target for target in targets}
    known = [f"tp_btf/{name}" for name in TRACEPOINTS if f"tp_btf/{name}" in found]
    others = Random("tracepoints").sample(sorted(found), min(_TRIED, len(found)))
    assert known
    differ = [d for name in (*known, *others) for d in _differences(found[name], oracle)]
    assert not differ, "\n".join(differ)


@pytest.mark.parametrize("name", ITERATORS)
def test_iterators(name: str, oracle: Kernel) -> None:
    types = _types()
    func = types.find(f"bpf_iter_{name}", Func)
    if func is None:
        pytest.skip(f"this kernel has no iterator {name}")
    kind = types[func]
    assert isinstance(kind, Func)
    proto = types[kind.type]
    assert isinstance(proto, FuncProto)
    differ = _differences(Target(f"iter/{name}", len(proto.params)), oracle)
    assert not differ, "\n".join(differ)
