"""The verifier measured beside a kernel that is none."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

import pytest
from bench_samples import FakeKernel

from bpfheap.bench import measure
from bpfheap.bench.cases import CaseName
from bpfheap.bench.programs import BenchProgram, CorpusSource, Group, programs, sources
from bpfheap.bench.verifier import NO_TYPES, bench, is_compiled, sources_of
from bpfheap.errors import CompileError, UsageError

SMALL = next(source for source in sources() if source.name == "count_packets")
NEEDS_KERNEL = next(source for source in sources() if source.name == "file_policy")


@pytest.fixture(scope="module")
def program() -> BenchProgram:
    (found,) = programs(SMALL)
    assert isinstance(found, BenchProgram)
    return found


def test_both_sides_take_turns(program: BenchProgram) -> None:
    kernel = FakeKernel()
    found = measure.measured(program, kernel, 3)
    assert kernel.loads == [("count_packets", True), *[("count_packets", False)] * 2]
    assert found.kernel is not None
    assert found.kernel.ns == [1000, 1000, 1000]
    assert len(found.ours.ns) == 3
    assert (found.ours.accepted, found.kernel.accepted) == (True, True)
    assert found.kernel.processed == found.slots
    assert found.ours.processed is not None
    assert not found.wrong


def test_a_difference_is_wrong(program: BenchProgram) -> None:
    found = measure.measured(program, FakeKernel(refused=frozenset({"count_packets"})), 2)
    assert found.wrong
    assert found.kernel is not None
    assert found.kernel.error == "R0 !read_ok"


def test_a_silent_kernel_is_asked_once(program: BenchProgram) -> None:
    kernel = FakeKernel(unsupported=frozenset({"count_packets"}))
    found = measure.measured(program, kernel, 3)
    assert len(kernel.loads) == 1
    assert len(found.ours.ns) == 3
    assert found.kernel is not None
    assert found.kernel.error == "the kernel has no such map"
    assert found.time_ratio is None
    assert found.to_json()["kernel"]["verdict"] is None


def test_a_crash_is_told(program: BenchProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*args: object) -> None:
        raise KeyError("r11")

    monkeypatch.setattr(measure, "verify", crash)
    found = measure.measured(program, FakeKernel(), 2)
    assert found.ours.error == "KeyError: 'r11'"
    assert found.ours.ns == []
    assert found.wrong
    assert found.to_json()["ours"]["ns"] is None


def test_long_programs_get_fewer_rounds(
    program: BenchProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "_MAX_SECONDS", -1.0)
    assert len(measure.measured(program, None, 5).ours.ns) == 1


def test_one_bad_source_is_no_obstacle(tmp_path: Path) -> None:
    bad = CorpusSource(tmp_path / "bad.bpf.c", Group.CORPUS)
    bad.path.write_text("int broken(;")
    heard: list[tuple[str, str, int]] = []
    found = bench(
        FakeKernel(),
        [CaseName.CORPUS_WALL_MEDIAN],
        wanted=[bad, SMALL],
        rounds=1,
        progress=lambda *news: heard.append(news),
    )
    assert [(p.program, p.wrong) for p in found.programs] == [("bad", True), (SMALL.name, False)]
    assert "bad.bpf.c:1: " in found.programs[0].ours.error
    assert found.cases[0].wrong == 1
    assert heard == [
        (doing, name, number)
        for doing in ("compiling", "measuring")
        for number, name in enumerate(("bad", SMALL.name))
    ]


def test_nothing_to_compile_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(path: Path) -> None:
        raise CompileError("no compiler", diagnostics="", hint="install clang")

    monkeypatch.setattr("bpfheap.bench.programs.object_spec", compiled)
    with pytest.raises(CompileError, match="install clang"):
        bench(None, wanted=[SMALL])


def test_without_a_kernel() -> None:
    found = bench(None, wanted=[SMALL], rounds=2, no_kernel="it is not Linux")
    said = found.to_json()
    assert said["kernel_missing"] == "it is not Linux"
    assert list(said["noise"]) == ["ours"]
    assert said["noise"]["ours"] >= 1
    assert [case["passed"] for case in said["cases"]] == [None, None]
    assert [case["peers"] for case in said["cases"]] == [{}, {}]
    assert said["programs"][0]["kernel"] is None


def test_what_needs_a_kernel_is_left_out_where_there_is_none() -> None:
    found = bench(FakeKernel(), wanted=[SMALL, NEEDS_KERNEL], rounds=1)
    assert found.left_out == (NEEDS_KERNEL,)
    assert [program.source for program in found.programs] == [SMALL]
    assert [case.wrong for case in found.cases] == [0, 0]
    assert found.to_json()["left_out"] == [{"file": "file_policy.bpf.c", "reason": NO_TYPES}]


def test_what_needs_a_kernel_is_measured_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bpfheap.vmlinux.Vmlinux.has_types", lambda kernel: True)
    found = bench(FakeKernel(), wanted=[SMALL, NEEDS_KERNEL], rounds=1)
    assert found.left_out == ()
    assert [program.source for program in found.programs] == [SMALL, NEEDS_KERNEL]


@pytest.mark.parametrize(
    ("cases", "groups"),
    [
        (list(CaseName), set(Group)),
        ([CaseName.MILLION_LIMIT], {Group.MILLION}),
        ([CaseName.INSNS_PROCESSED_P90, CaseName.CORPUS_WALL_MEDIAN], {Group.CORPUS}),
        ([], set()),
    ],
)
def test_cases_want_their_sources(cases: list[CaseName], groups: set[Group]) -> None:
    wanted = sources_of(cases)
    assert {source.group for source in wanted} == groups
    assert len(wanted) == len(set(wanted))


@pytest.mark.parametrize(
    ("file", "compiled"),
    [
        ("walk.py", False),
        (f"walk{EXTENSION_SUFFIXES[0]}", True),
        (None, False),
    ],
)
def test_compiled_modules_are_known(file: str | None, compiled: bool) -> None:
    module = ModuleType("walk")
    module.__file__ = file
    assert is_compiled(module) == compiled


def test_no_old_garbage_is_left_behind() -> None:
    with pytest.raises(UsageError), measure.without_old_garbage():
        raise UsageError("in the middle")
    import gc

    assert gc.get_freeze_count() == 0
