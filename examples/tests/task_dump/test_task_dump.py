"""An iterator: it runs for each task, and once more at the end."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf

EXPECTED = """\
     PID     PPID  THREADS NAME
       1        1        1 init
      42        1        2 server
"""


def check(bpf: Bpf, file: str) -> None:
    program = bpf.load(file).programs["dump_task"]
    init = bpf.kernel.task_struct(pid=1, tgid=1, comm="init", signal={"nr_threads": 1})
    server = {"tgid": 42, "comm": "server", "real_parent": init, "signal": {"nr_threads": 2}}
    tasks = [init, *(bpf.kernel.task_struct(pid=pid, **server) for pid in (42, 43))]
    seq = bpf.kernel.seq_file()
    text = ""
    for number, task in enumerate([*tasks, None]):
        meta = {"seq": seq, "seq_num": number}
        text += program.run(bpf.iterator(task=task, meta=meta)).output
    assert text == EXPECTED


def test_task_dump(bpf: Bpf) -> None:
    check(bpf, "task_dump.bpf.c")


def test_there_is_one_headline(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "task_dump_broken.bpf.c")
