"""What a policy knows, as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bpfheap
from bpfheap.lifetime import POLICIES

EXAMPLES = Path(__file__).parents[2] / "examples" / "three_programs"


@pytest.mark.parametrize("policy", [p.name for p in POLICIES if p.asks is None])
def test_a_policy_can_be_written_as_json(policy: str) -> None:
    rt = bpfheap.Runtime(policy=policy)
    empty = rt.system.policy.to_json()
    assert empty["policy"] == policy
    p2 = rt.load(EXAMPLES / "p2.bpf.c")
    p2.programs["p2"].run()
    known = rt.system.policy.to_json()
    assert json.loads(json.dumps(known)) == known
    if policy == "used-allocators":
        (used,) = known["used"]
        assert used["field"] == {"holder": "map", "owner": used["map"], "path": "ptr"}
    p2.close()
