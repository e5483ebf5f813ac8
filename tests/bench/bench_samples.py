"""Measurements made by hand, and a kernel that is none."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from bpfheap.bench.measure import Measured, Side
from bpfheap.bench.programs import CorpusSource, Group
from bpfheap.errors import KernelUnsupported
from bpfheap.kernel import KernelVerdict
from bpfheap.spec import ObjectSpec, ProgramSpec


def side(processed: int | None = 100, *ns: int, accepted: bool | None = True) -> Side:
    return Side(accepted, processed, "", list(ns or (1000,)))


def measurement(ours: Side, kernel: Side | None, group: Group = Group.CORPUS) -> Measured:
    return Measured(CorpusSource(Path("sample.bpf.c"), group), "sample", 20, ours, kernel)


class FakeKernel:
    """Takes a microsecond for each load, and accepts what is not in `refused`. Of what is in
    `unsupported` it says nothing."""

    def __init__(
        self,
        *,
        refused: frozenset[str] = frozenset(),
        unsupported: frozenset[str] = frozenset(),
        rewrite: bool = True,
    ) -> None:
        self.refused = refused
        self.unsupported = unsupported
        self.rewrite = rewrite
        self.loads: list[tuple[str, bool]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.loads.append(("", False))

    def verify(
        self, obj: ObjectSpec, program: ProgramSpec, *, log: bool = False, stats: bool = False
    ) -> KernelVerdict:
        assert obj.programs[program.name] is program
        assert not log, "a load with a log takes longer"
        self.loads.append((program.name, stats))
        if program.name in self.unsupported:
            raise KernelUnsupported("the kernel has no such map")
        accepted = program.name not in self.refused
        message = "" if accepted or not stats else "R0 !read_ok"
        processed = len(program.insns) if stats else None
        return KernelVerdict(accepted, 0 if accepted else 13, "", processed, 1000, message)
