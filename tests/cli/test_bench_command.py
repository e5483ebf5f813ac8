"""`bpfheap bench`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jsonschema import validate

from bpfheap.bench.programs import sources

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from bench_samples import FakeKernel

if TYPE_CHECKING:
    from cli_harness import Cli

pytest_plugins = ["cli_harness"]

SMALL = tuple(source for source in sources() if source.name in ("count_packets", "kptr_stash"))

_EXTENT = {
    "type": ["object", "null"],
    "required": ["min", "median"],
    "additionalProperties": {"type": ["number", "null"]},
}
_SIDE = {
    "type": ["object", "null"],
    "required": ["verdict", "insns_processed", "error", "ns", "rounds_ns"],
    "properties": {
        "verdict": {"enum": ["accept", "reject", None]},
        "insns_processed": {"type": ["integer", "null"]},
        "ns": _EXTENT,
        "rounds_ns": {"type": "array", "items": {"type": "integer", "minimum": 0}},
    },
}
#: What design says of every bench, and what this one adds.
SCHEMA = {
    "type": "object",
    "required": [
        *("bench", "machine_info", "rounds", "kernel_missing", "left_out", "noise", "cases"),
        "programs",
    ],
    "properties": {
        "bench": {"const": "verifier"},
        "machine_info": {
            "type": "object",
            "required": ["cpus", "machine", "system", "python", "verifier", "verifier_module"],
            "properties": {"verifier": {"enum": ["compiled", "python"]}},
        },
        "noise": {"type": "object", "additionalProperties": {"type": "number", "minimum": 1}},
        "cases": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "unit", "ours", "peers", "ratio", "threshold", "passed"],
                "properties": {
                    "unit": {"enum": ["ns", "ns/insn", "insns"]},
                    "ours": _EXTENT,
                    "peers": {"type": "object", "additionalProperties": _EXTENT},
                    "ratio": {"type": "object", "additionalProperties": {"type": "number"}},
                    "passed": {"type": ["boolean", "null"]},
                },
            },
        },
        "programs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["file", "group", "name", "insns", "ours", "kernel", "wrong", "ratio"],
                "properties": {"ours": _SIDE, "kernel": _SIDE},
            },
        },
    },
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpfheap.cli.bench.sources_of", lambda cases: SMALL)
    monkeypatch.setattr("bpfheap.cli.bench.available", lambda: None)
    monkeypatch.setattr("bpfheap.cli.bench.Kernel", FakeKernel)


def test_json(cli: Cli) -> None:
    result = cli("bench", "verifier", "--json", "--rounds", 2)
    assert result.code == 0
    found = json.loads(result.out)
    validate(found, SCHEMA)
    assert [program["name"] for program in found["programs"]] == ["count_packets", "kptr_stash"]
    assert [case["name"] for case in found["cases"]] == [
        "corpus_wall_median",
        "insns_processed_p90",
    ]
    for program in found["programs"]:
        assert program["kernel"]["rounds_ns"] == [1000, 1000]
        assert len(program["ours"]["rounds_ns"]) == 2
        assert program["ratio"]["time"] == pytest.approx(
            program["ours"]["ns"]["median"] / 1000, abs=1e-3
        )


def test_tables(cli: Cli) -> None:
    result = cli("bench", "verifier", "--rounds", 1)
    assert result.code == 0
    first, *rest = result.out.splitlines()
    assert first.split() == [
        *("program", "slots", "processed", "kernel", "ratio", "time", "kernel", "ratio")
    ]
    assert rest[0].split()[0] == "count_packets"
    assert any(line.startswith("insns_processed_p90") and "passed" in line for line in rest)
    assert any(line.startswith("The verifier runs ") for line in rest)
    assert any(line.startswith("Noise: ") for line in rest)


def test_one_case(cli: Cli) -> None:
    result = cli("bench", "verifier", "--case", "insns_processed_p90", "--rounds", 1)
    assert "insns_processed_p90" in result.out
    assert "corpus_wall_median" not in result.out


def test_what_is_wrong_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    made = FakeKernel(refused=frozenset({"count_packets"}), unsupported=frozenset({"kptr_stash"}))
    monkeypatch.setattr("bpfheap.cli.bench.Kernel", lambda rewrite: made)
    result = cli("bench", "verifier", "--rounds", 1)
    assert result.code == 0
    assert "accepted by bpfheap alone" in result.out
    assert "    kernel: R0 !read_ok" in result.out
    assert "the kernel was not able to say" in result.out
    assert "    kernel: the kernel has no such map" in result.out
    assert "missed" in result.out
    assert made.loads[-1] == ("", False), "the kernel is let go of"


def test_what_is_left_out_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    more = tuple(source for source in sources() if source.needs_kernel)
    monkeypatch.setattr("bpfheap.cli.bench.sources_of", lambda cases: SMALL + more)
    result = cli("bench", "verifier", "--rounds", 1)
    assert result.code == 0
    (line,) = [line for line in result.out.splitlines() if line.startswith("Left out, as there")]
    assert line.endswith(": " + ", ".join(source.name for source in more))
    assert "failed" not in result.out


def test_without_bpf(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpfheap.cli.bench.available", lambda: "bpf(2) is not allowed")
    result = cli("bench", "verifier", "--rounds", 1)
    assert result.code == 0
    assert "The kernel was not asked: bpf(2) is not allowed" in result.out
    assert "passed" not in result.out
    said = cli("bench", "verifier", "--rounds", 1, "--json").json
    validate(said, SCHEMA)
    assert said["kernel_missing"] == "bpf(2) is not allowed"


@pytest.mark.parametrize(
    "args", [["--case", "no_such_case"], ["--rounds", "0"], ["extra"], ["--rounds", "many"]]
)
def test_wrong_usage(cli: Cli, args: list[str]) -> None:
    result = cli("bench", "verifier", *args)
    assert (result.code, result.out) == (2, "")


def test_heap(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bpfheap.machine.native._core")
    from bpfheap.bench import heap

    monkeypatch.setattr(heap, "available", lambda: "bpf(2) is not allowed")
    monkeypatch.setattr(heap, "library", lambda name: None)
    args = ("bench", "heap", "--case", "alloc_free_32", "--rounds", 1)
    result = cli(*args)
    assert result.code == 0
    assert "glibc" in result.out
    assert "kernel was left out: bpf(2) is not allowed" in result.out
    said = cli(*args, "--json").json
    assert said["bench"] == "heap"
    (case,) = said["cases"]
    assert (case["name"], case["unit"], list(case["peers"])) == ("alloc_free_32", "ns", ["glibc"])
    assert set(case["ours"]) == set(case["peers"]["glibc"]) == {"min", "median"}
    assert set(said["missing"]) == {"jemalloc", "mimalloc", "tcmalloc", "kernel"}


@pytest.mark.parametrize("args", [["--case", "no_such_case"], ["--rounds", "0"], ["extra"]])
def test_wrong_usage_of_heap(cli: Cli, args: list[str]) -> None:
    result = cli("bench", "heap", *args)
    assert (result.code, result.out) == (2, "")
