"""A hook of a security module, and objects of the kernel that lead to one another."""

from __future__ import annotations

from typing import Any

import pytest

from bpfheap.testing.plugin import Bpf

DENIED = -1 & 0xFFFFFFFF


def file_at(bpf: Bpf, path: str) -> Any:
    """A struct file, with the dentries of all folders that it is in."""
    dentry = bpf.kernel.dentry(d_name={"name": "/", "len": 1})
    dentry.d_parent = dentry
    for name in path.strip("/").split("/"):
        named = {"name": name, "len": len(name)}
        dentry = bpf.kernel.dentry(d_name=named, d_parent=dentry)
    return bpf.kernel.file(f_path={"dentry": dentry})


def check(bpf: Bpf, file: str) -> None:
    program = bpf.load(file).programs["file_open"]
    expected = {
        "/etc/passwd": 0,
        "/etc/secrets": 0,  # a file, and no folder
        "/etc/secrets-old/key": 0,
        "/etc/secrets/key": DENIED,
        "/etc/secrets/hosts/a/key": DENIED,
    }
    bpf.current.uid = 1000
    assert {path: program.run([file_at(bpf, path), 0]).retval for path in expected} == expected


def test_file_policy(bpf: Bpf) -> None:
    check(bpf, "file_policy.bpf.c")


def test_root_may_do_that(bpf: Bpf) -> None:
    program = bpf.load("file_policy.bpf.c").programs["file_open"]
    bpf.current.uid = 0
    assert program.run([file_at(bpf, "/etc/secrets/key"), 0]).retval == 0
    assert program.run([file_at(bpf, "/etc/secrets/key"), -13]).retval == -13 & 0xFFFFFFFF


def test_folders_have_folders(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="hosts"):
        check(bpf, "file_policy_broken.bpf.c")
