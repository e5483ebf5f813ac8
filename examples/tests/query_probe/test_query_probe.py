"""Static probes of a server, and memory of user space that goes."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf

SERVER = "usdt//usr/lib/postgresql/bin/postgres:postgresql"


def check(bpf: Bpf, file: str) -> None:
    maps = bpf.load(file, rodata={"least_ms": 50}).maps
    bpf.current.tgid = 42
    for text, ms in (("SELECT 1", 1), ("SELECT pg_sleep(2)", 2000), ("COMMIT", 3)):
        bpf.fire(f"{SERVER}:query__start", [text])
        bpf.clock.advance(ms=ms)
        bpf.fire(f"{SERVER}:query__done", ["\0" * 64])

    (event,) = maps["events"].records("struct event")
    assert (event.pid, event.ms, event.text) == (42, 2000, b"SELECT pg_sleep(2)")
    assert len(maps["running"]) == 0


def test_query_probe(bpf: Bpf) -> None:
    check(bpf, "query_probe.bpf.c")


def test_the_text_is_there_at_the_beginning(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="SELECT pg_sleep"):
        check(bpf, "query_probe_broken.bpf.c")
