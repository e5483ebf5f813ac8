from __future__ import annotations

from typing import TYPE_CHECKING

import bpfheap

if TYPE_CHECKING:
    from cli_harness import Cli

pytest_plugins = ["cli_harness"]


def test_json_is_the_table_in_the_code(cli: Cli) -> None:
    result = cli("policies", "--json")
    assert result.code == 0
    listed = result.json["policies"]
    assert [p["name"] for p in listed] == [p.name for p in bpfheap.policies()]
    assert [p["name"] for p in listed if p["default"]] == ["live-count"]
    assert all(p["rule"] and p["thread"] for p in listed)


def test_table(cli: Cli) -> None:
    result = cli("policies")
    assert result.code == 0
    assert "live-count (default)" in result.out
    for policy in bpfheap.policies():
        assert policy.name in result.out
