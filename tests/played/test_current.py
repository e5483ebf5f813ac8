"""The task that runs programs, and the time."""

from __future__ import annotations

import pytest

import bpfheap
from bpfheap.errors import UsageError
from bpfheap.spec import ObjectSpec

Runtime = bpfheap.Runtime


def test_facts(rt: Runtime, spec: ObjectSpec) -> None:
    program = rt.load(spec, programs=["ids"]).programs["ids"]
    result = program.run()
    assert result.printk == ["1000 1000", "1 0"]
    assert result.signals == (9,)
    rt.current = {"uid": 0, "gid": 5, "cgroups": (1, 20, 300)}
    assert program.run().printk == ["0 5", "300 20"]
    assert (rt.current.uid, rt.current.cgroups) == (0, (1, 20, 300))


def test_its_struct(rt: Runtime, spec: ObjectSpec) -> None:
    rt.current.pid = 7
    task = rt.current.task
    assert task is not None
    assert (task.pid, task.comm, task.cred.uid.val) == (7, b"test", 1000)
    rt.current.comm = "other"
    rt.current.uid = 3
    assert (task.comm, task.cred.uid.val) == (b"other", 3)
    task.pid = 8
    assert rt.current.pid == 8


def test_a_program_that_looks_at_it(rt: Runtime, spec: ObjectSpec) -> None:
    obj = rt.load(spec, programs=["exec"])
    obj.programs["exec"].run({"filename": "x"})
    (record,) = obj.maps["events"].drain()
    # The parent of the only task that there is.
    assert record[:4] == record[4:8] == (1000).to_bytes(4, "little")
    assert record[8:12] == b"test"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"pid": -1}, "the pid of a task cannot be -1"),
        ({"cgroups": ()}, "in one control group at least"),
        ({"ppid": 1}, "the current task has no ppid"),
    ],
)
def test_what_is_none(rt: Runtime, facts: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rt.current = facts
    with pytest.raises(UsageError, match="is an object or a mapping"):
        rt.current = 5  # type: ignore[assignment]


def test_time(rt: Runtime) -> None:
    before = rt.clock.now
    assert rt.clock.advance(ms=5, us=1) == before + 5_001_000
