"""`bpfheap check --kernel`, `--kernels`, `--save` and `--compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cli_harness import Cli

pytest_plugins = ["cli_harness"]

SOURCE = """
#include <bpfheap.h>
SEC("tc") int fine(void *ctx) { return 0; }
SEC("tc") int newer(void *ctx) { return bpf_ktime_get_tai_ns() & 1; }
char LICENSE[] SEC("license") = "GPL";
"""
NONE = ("--kernel-btf", "none")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "one.bpf.c"
    path.write_text(SOURCE)
    return path


def test_one_release(cli: Cli, source: Path) -> None:
    assert cli("check", source, *NONE, "--kernel", "6.1").code == 0
    result = cli("check", source, *NONE, "--kernel", "5.15")
    assert result.code == 1
    assert "invalid func unknown#208" in result.out
    assert "bpf_ktime_get_tai_ns came with Linux 6.1" in result.out


def test_matrix(cli: Cli, source: Path) -> None:
    result = cli("check", source, *NONE, "--kernels", "all")
    assert result.code == 1
    table = [line.split() for line in result.out.splitlines()]
    assert [
        "program",
        "Linux",
        "5.15",
        "Linux",
        "6.1",
        "Linux",
        "6.6",
        "Linux",
        "6.12",
        "Linux",
        "6.18",
    ] in table
    assert ["fine", *["accept"] * 5] in table
    assert ["newer", "reject", *["accept"] * 4] in table
    assert result.out.count("invalid func unknown#208") == 1
    assert "newer on Linux 5.15: " in result.out


def test_matrix_in_json(cli: Cli, source: Path) -> None:
    result = cli("check", source, *NONE, "--kernels", "6.1,5.15,v6.1", "--json")
    assert result.code == 1
    by_name = {program["name"]: program["kernels"] for program in result.json["programs"]}
    assert list(by_name["newer"]) == ["5.15", "6.1"]
    assert by_name["newer"]["5.15"]["verdict"] == "reject"
    assert "unknown#208" in by_name["newer"]["5.15"]["error"]["message"]
    assert by_name["newer"]["6.1"] == by_name["newer"]["6.1"] | {"verdict": "accept", "error": None}
    assert {said["verdict"] for said in by_name["fine"].values()} == {"accept"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kernel", "x"], "x is no release of Linux"),
        (["--kernel", "99.1"], "bpfheap knows Linux up to 6.18, not 99.1"),
        (["--kernels", "6.1,"], " is no release of Linux"),
        (["--forbid", "bpf_ktime_get_tai"], "did you mean bpf_ktime_get_tai_ns"),
        (["--tolerance", "3"], "--tolerance is of --compare"),
        (["--compare", "/no/such"], "cannot be read"),
        (["--save", "/no/such/file"], "cannot be written"),
    ],
)
def test_wrong_usage(cli: Cli, source: Path, options: list[str], message: str) -> None:
    result = cli("check", source, *NONE, *options)
    assert result.code == 2
    assert message in result.err


def test_what_a_kernel_has_not(cli: Cli, source: Path) -> None:
    """Linux has the same words for a helper that its configuration leaves out."""
    assert cli("check", source, *NONE, "--forbid", "bpf_tcp_send_ack").code == 0
    options = ("--forbid", "bpf_ktime_get_tai_ns", "--forbid", "bpf_preempt_disable")
    result = cli("check", source, *NONE, *options, "--kernels", "6.1", "--json")
    assert result.code == 1
    fine, newer = result.json["programs"]
    assert fine["verdict"] == "accept"
    said = "program of this type cannot use helper bpf_ktime_get_tai_ns#208"
    assert newer["error"]["message"] == said
    assert newer["kernels"]["6.1"]["error"]["message"] == said


def saved(path: Path) -> Any:
    return json.loads(path.read_text())


def test_nothing_changed(cli: Cli, source: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    assert cli("check", source, *NONE, "--save", kept).code == 0
    assert set(saved(kept)["programs"]) == {f"{source}: fine", f"{source}: newer"}
    result = cli("check", source, *NONE, "--compare", kept, "--tolerance", "0")
    assert result.code == 0
    assert "nothing changed" in result.out


def test_changes(cli: Cli, source: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    cli("check", source, *NONE, "--save", kept)
    about = saved(kept)
    about["programs"][f"{source}: fine"]["insns_processed"] = 1
    about["programs"][f"{source}: gone"] = dict(about["programs"][f"{source}: newer"])
    about["programs"][f"{source}: newer"]["verdict"] = "reject"
    kept.write_text(json.dumps(about))
    result = cli("check", source, *NONE, "--compare", kept, "--json")
    assert result.code == 6
    changes = {
        (change["program"].split(": ")[1], change["what"]): change
        for change in result.json["changes"]
    }
    assert changes["fine", "insns_processed"]["percent"] == 100
    assert not changes["fine", "insns_processed"]["worse"]
    assert changes["newer", "verdict"]["now"] == "accept"
    assert changes["gone", "program"]["now"] is None
    assert changes["gone", "program"]["worse"]
    told = cli("check", source, *NONE, "--compare", kept)
    assert told.code == 6
    assert "+100.0 %" in told.out


@pytest.mark.parametrize(("tolerance", "code"), [(None, 0), (100, 0), (99.9, 6)])
def test_tolerance(cli: Cli, source: Path, tmp_path: Path, tolerance: float, code: int) -> None:
    kept = tmp_path / "kept.json"
    cli("check", source, *NONE, "--save", kept)
    about = saved(kept)
    about["programs"][f"{source}: fine"]["insns_processed"] = 1
    kept.write_text(json.dumps(about))
    options = [] if tolerance is None else ["--tolerance", tolerance]
    assert cli("check", source, *NONE, "--compare", kept, *options).code == code


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"version": 1}', '{"version": 1, "programs": []}', "\0",
        '{"version": 1, "programs": {"a": {}}}', '{"version": 1, "programs": {"a": 3}}',
        '{"version": 1, "programs": {"a": {"insns_processed": "x", "states": 1, "verdict": "y"}}}',
        '{"version": 1, "programs": {"a": {"insns_processed": 1, "states": 1, "verdict": 2}}}',
        "[" * 5000,
    ],
)  # fmt: skip
def test_no_baseline(cli: Cli, source: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "none.json"
    path.write_text(text)
    result = cli("check", source, *NONE, "--compare", path)
    assert result.code == 2
    assert "is no baseline" in result.err


def test_another_version(cli: Cli, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    path.write_text('{"version": 99, "programs": {}}')
    assert "of another version" in cli("check", source, *NONE, "--compare", path).err
