"""Parameters of global functions that are tagged as the kernel's: where their types are looked for,
and that machines run such functions. What else is asked of them, the oracle's cases show."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import bpfheap
from bpfheap.btf import BtfBuilder, Fwd, Int, LazyBtf, Member, Struct
from bpfheap.btf.raw import encode_types
from bpfheap.compile import object_spec
from bpfheap.errors import BtfError, Unsupported
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import verify

SOURCE = """
#include <bpfheap.h>
#define FUNCTION(name, type, tags) \\
	__attribute__((noinline)) int name(type *p tags) { asm volatile("" : : "r"(p)); return 0; } \\
	SEC("tc") int with_##name(void *ctx) { return name(NULL); }
#define TRUSTED __attribute__((btf_decl_tag("arg:trusted"), btf_decl_tag("arg:nullable")))
#define UNTRUSTED __attribute__((btf_decl_tag("arg:untrusted")))
struct once { int x; };
struct once___flavour { int x; };
struct twice { int x; };
struct of_module { int x; };
struct of_modules { int x; };
struct declared;

FUNCTION(once, struct once, TRUSTED)
FUNCTION(flavour, struct once___flavour, TRUSTED)
FUNCTION(twice, struct twice, TRUSTED)
FUNCTION(of_module, struct of_module, TRUSTED)
FUNCTION(of_modules, struct of_modules, TRUSTED)
FUNCTION(declared, struct declared, TRUSTED)
FUNCTION(untrusted_declared, struct declared, UNTRUSTED)
FUNCTION(memory, int, UNTRUSTED)
char _license[] SEC("license") = "GPL";
"""


@cache
def compiled() -> ObjectSpec:
    with TemporaryDirectory() as folder:
        source = Path(folder) / "tagged.bpf.c"
        source.write_text(SOURCE)
        return object_spec(source)


def _types(*structs: str, declared: bool = False) -> LazyBtf:
    b = BtfBuilder()
    number = b.add(Int("int", 4, 1, 0, 32))
    for name in structs:
        b.add(Struct(name, 4, (Member("x", number, 0),)))
    if declared:
        b.add(Fwd("declared", False))
    return LazyBtf.parse(encode_types(b.build().types))


class SomeKernel:
    """Two modules have a struct that the kernel itself has not."""

    def __init__(self) -> None:
        self._types = _types("once", "twice", "twice", declared=True)
        self._modules = (_types("of_module", "of_modules"), _types("of_modules", "once"))

    def types(self) -> LazyBtf | None:
        return self._types

    def release(self) -> tuple[int, int]:
        return 6, 18

    def has_types(self) -> bool:
        return True

    def modules(self) -> tuple[LazyBtf, ...]:
        return self._modules


class Broken(SomeKernel):
    def modules(self) -> tuple[LazyBtf, ...]:
        raise BtfError("a module is broken")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("once", ""),
        ("flavour", ""),
        ("twice", "arg#0 reference type('STRUCT twice') is ambiguous"),
        ("of_module", "('STRUCT of_module') points to kernel module type (unsupported)"),
        ("of_modules", "arg#0 reference type('STRUCT of_modules') is ambiguous"),
        ("declared", ""),
        ("untrusted_declared", "arg#0 has type FWD '(anon)', but only struct or primitive types"),
        ("memory", ""),
    ],
)
def test_where_types_are_looked_for(name: str, message: str) -> None:
    obj = replace(compiled(), kernel=SomeKernel())
    error = verify(obj, obj.programs[f"with_{name}"]).error
    assert message in ("" if error is None else error.detail)
    assert bool(message) == (error is not None)


def test_broken_types_are_an_error_of_the_program() -> None:
    obj = replace(compiled(), kernel=Broken())
    error = verify(obj, obj.programs["with_of_module"]).error
    assert error is not None
    assert "a module is broken" in error.detail


@pytest.mark.parametrize("name", ["once", "untrusted_declared"])
def test_without_a_kernel_there_is_no_verdict(name: str) -> None:
    obj = replace(compiled(), kernel=None)
    error = verify(obj, obj.programs[f"with_{name}"]).error
    assert isinstance(error, Unsupported)
    assert "--kernel-btf" in str(error)


@pytest.mark.parametrize("machine", ["model", "native"])
def test_machines_run_them(machine: str) -> None:
    if machine == "native":
        pytest.importorskip("bpfheap.machine.native._core")
    obj = replace(compiled(), kernel=SomeKernel())
    with bpfheap.Runtime(machine=machine) as rt:
        for name in ("once", "memory"):
            loaded = rt.load(obj, programs=[f"with_{name}"])
            assert loaded.programs[f"with_{name}"].run().retval == 0
