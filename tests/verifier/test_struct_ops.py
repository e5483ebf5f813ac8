"""Functions of the kernel's structs that the kernel of this system may lack: by the types of a
kernel that is made up."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from bpfheap.btf.raw import encode_types
from bpfheap.compile import object_spec
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import Options, verify
from bpfheap.vmlinux import Vmlinux

FOLDER = Path(__file__).with_name("struct_ops")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    kernel = object_spec(FOLDER / "kernel.bpf.c")
    path = tmp_path_factory.mktemp("kernel") / "vmlinux"
    path.write_bytes(encode_types(kernel.btf.types))
    return object_spec(FOLDER / "programs.bpf.c", target=Vmlinux(path))


@cache
def _names() -> list[str]:
    return list(object_spec(FOLDER / "programs.bpf.c").programs)


@pytest.mark.parametrize("name", _names())
def test_the_verdict(programs: ObjectSpec, name: str) -> None:
    spec = programs.programs[name]
    verdict = verify(programs, spec)
    kind, _, message = programs.btf.decl_tags(spec.subprogs[0].func_id)[0].partition(":")
    assert verdict.kind == kind, verdict.error
    assert message in str(verdict.error)
    assert verify(programs, spec, Options(pruned=False)).kind == kind


def test_an_argument_that_is_kept_is_told_of(programs: ObjectSpec) -> None:
    error = verify(programs, programs.programs["leaks"]).error
    assert error is not None
    assert "is an argument that the program has to give away" in "".join(error.history)


def test_other_licences(programs: ObjectSpec) -> None:
    verdict = verify(programs, replace(programs.programs["runs"], license="MIT"))
    assert verdict.error is not None
    assert verdict.error.message == "struct ops programs must have a GPL compatible license"


def test_variables(programs: ObjectSpec) -> None:
    ops = programs.struct_ops["twice"]
    assert (ops.struct, ops.link, ops.programs) == (
        "sched_ext_ops", False, {"dispatch": "reruns"},
    )  # fmt: skip
    assert programs.struct_ops["drops_ops"].link
    assert not any(ops.data)
