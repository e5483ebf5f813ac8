"""Programs with global variables: every file has sections of the same names and other contents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from explore_samples import bounded, searched

from bpfheap.explore import Scenario, VerdictKind, explore, read_scenario

SOURCE = """
#include <bpfheap.h>
{variable}
SEC("tc") int {name}(struct __sk_buff *skb)
{{
	{use}++;
	bpf_ktime_get_ns();
	bpf_printk("{text}");
	return 0;
}}
char _license[] SEC("license") = "GPL";
"""


@pytest.fixture
def two_files(tmp_path: Path) -> Scenario:
    small = SOURCE.format(variable="int n;", name="small", use="n", text="x")
    large = SOURCE.format(variable="long big[40];", name="large", use="big[7]", text="longer text")
    (tmp_path / "a.bpf.c").write_text(small)
    (tmp_path / "b.bpf.c").write_text(large)
    return bounded(read_scenario([tmp_path]), cpus=1)


def test_each_program_has_its_own_sections(two_files: Scenario) -> None:
    remembered = searched(two_files, "live-count")
    played = searched(two_files, "live-count", remember=False)
    assert (remembered.states, remembered.transitions) == (played.states, played.transitions)
    assert not remembered.ledger.violations


def test_any_number_of_processes_agrees_on_them(two_files: Scenario) -> None:
    found = [replace(explore(two_files, "live-count", jobs=n), seconds=0) for n in (1, 2)]
    assert found[0] == found[1]
    assert found[0].verdict is VerdictKind.CLEAN
