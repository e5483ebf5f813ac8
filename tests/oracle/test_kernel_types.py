"""What is made of relocations against the types of a kernel, beside libbpf and the live kernel."""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
import struct
import sys
from functools import cache
from pathlib import Path

import pytest

from bpfheap import kconfig
from bpfheap.compile import object_spec
from bpfheap.isa import encode
from bpfheap.kernel import Kernel
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import verify
from bpfheap.vmlinux import VMLINUX, Vmlinux

sys.path.insert(0, str(Path(__file__).parents[1] / "elf"))
import test_elf_kernel as samples
from elf_objects import build
from kernels import KernelOf, spec_for, types_of

SOURCE = Path(__file__).with_name("kernel_types.bpf.c")

# -- libbpf


class _OpenOptions(ctypes.Structure):
    """struct bpf_object_open_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("object_name", ctypes.c_char_p),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", ctypes.c_char_p),
        ("attach_prog_fd", ctypes.c_uint32),
        ("kconfig", ctypes.c_char_p),
        ("btf_custom_path", ctypes.c_char_p),
    )


@cache
def libbpf() -> ctypes.CDLL:
    name = ctypes.util.find_library("bpf")
    if name is None:
        pytest.skip("there is no libbpf")
    lib = ctypes.CDLL(name)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    lib.libbpf_set_print(None)
    for function, result, arguments in (
        ("bpf_object__open_file", pointer, (text, ctypes.POINTER(_OpenOptions))),
        ("bpf_object__load", ctypes.c_int, (pointer,)),
        ("bpf_object__close", None, (pointer,)),
        ("bpf_object__next_program", pointer, (pointer, pointer)),
        ("bpf_program__name", text, (pointer,)),
        ("bpf_program__insns", pointer, (pointer,)),
        ("bpf_program__insn_cnt", ctypes.c_size_t, (pointer,)),
        ("bpf_object__find_map_by_name", pointer, (pointer, text)),
        ("bpf_map__initial_value", pointer, (pointer, ctypes.POINTER(ctypes.c_size_t))),
    ):
        made = getattr(lib, function)
        made.restype, made.argtypes = result, arguments
    return lib


def relocated(path: Path, types: Path) -> dict[str, bytes]:
    """The code of each program as libbpf gives it to a kernel of these types."""
    lib = libbpf()
    options = _OpenOptions(ctypes.sizeof(_OpenOptions), btf_custom_path=str(types).encode())
    obj = lib.bpf_object__open_file(str(path).encode(), ctypes.byref(options))
    assert obj
    found: dict[str, bytes] = {}
    try:
        # What the kernel says does not matter: by then all is relocated.
        lib.bpf_object__load(obj)
        program = lib.bpf_object__next_program(obj, None)
        while program:
            size = 8 * lib.bpf_program__insn_cnt(program)
            name = lib.bpf_program__name(program).decode()
            found[name] = ctypes.string_at(lib.bpf_program__insns(program), size)
            program = lib.bpf_object__next_program(obj, program)
    finally:
        lib.bpf_object__close(obj)
    return found


LOADS = [
    (declaration, theirs)
    for declaration in ("__u64 x;", "__u32 x;", "long x;", "int x;", "int *x;", "char x;")
    for theirs in ("__u64 x;", "__u32 x;", "__u16 x;", "int x;", "long x;", "long *x;", "char x;")
]


def slots(code: bytes) -> list[str]:
    return [f"{slot:016x}" for (slot,) in struct.iter_unpack("<Q", code)]


def compare(source: str, kernel: str, folder: Path) -> None:
    (folder / "test.o").write_bytes(build(source))
    (folder / "kernel.btf").write_bytes(types_of(kernel))
    theirs = relocated(folder / "test.o", folder / "kernel.btf")
    spec = spec_for(source, KernelOf(kernel))
    ours = {name: slots(encode(program.insns)) for name, program in spec.programs.items()}
    assert ours == {name: slots(code) for name, code in theirs.items()}


def test_libbpf_relocates_the_same(kernel: Kernel, tmp_path: Path) -> None:
    programs = (
        f'SEC("tc") long value{n}(void *c) {{ return {expression}; }}'
        for n, (expression, _) in enumerate(samples.VALUES)
    )
    compare("\n".join((samples.PROGRAM, *programs)), samples.KERNEL, tmp_path)


def test_libbpf_changes_the_same_loads(kernel: Kernel, tmp_path: Path) -> None:
    source, theirs = "", ""
    for n, (declaration, there) in enumerate(LOADS):
        source += f"""
        struct __attribute__((preserve_access_index)) task{n} {{ {declaration} }};
        SEC("tc") long load{n}(struct __sk_buff *skb)
        {{
            struct task{n} *t = (void *)(long)skb->data;
            return (long)t->x;
        }}
        SEC("tc") long store{n}(struct __sk_buff *skb)
        {{
            struct task{n} *t = (void *)(long)skb->data;
            t->x = (void *)0 == (void *)0 ? 0 : t->x;
            return 0;
        }}"""
        theirs += f"struct task{n} {{ short pad; {there} }} a{n};\n"
    compare(source, theirs, tmp_path)


CONFIG = {
    "CONFIG_BOOL": ("_Bool", "y"),
    "CONFIG_TRI": ("enum libbpf_tristate", "m"),
    "CONFIG_CHAR": ("char", "n"),
    "CONFIG_BYTE": ("__u8", "255"),
    "CONFIG_SIGNED": ("signed char", "-3"),
    "CONFIG_SHORT": ("short", "-300"),
    "CONFIG_INT": ("int", "0x7fffffff"),
    "CONFIG_OCTAL": ("unsigned", "0777"),
    "CONFIG_LONG": ("long", "-9"),
    "CONFIG_TEXT": ("char", '"some text"'),
    "CONFIG_CUT": ("char", '"text that is too long"'),
}


def test_libbpf_has_the_same_configuration(kernel: Kernel, tmp_path: Path) -> None:
    lib = libbpf()
    source = ""
    body = ""
    for name, (kind, text) in CONFIG.items():
        length = "[11]" if text.startswith('"') else ""
        source += f'extern {kind} {name}{length} __attribute__((section(".kconfig")));\n'
        body += f"sum += *(volatile char *)&{name};"
    code = f'{source} SEC("tc") int p(void *c) {{ int sum = 0; {body} return sum; }}'
    path = tmp_path / "test.o"
    path.write_bytes(build(code))
    config = "".join(f"{name}={text}\n" for name, (_, text) in CONFIG.items()).encode()
    options = _OpenOptions(ctypes.sizeof(_OpenOptions), kconfig=config)
    obj = lib.bpf_object__open_file(str(path).encode(), ctypes.byref(options))
    assert obj
    try:
        assert lib.bpf_object__load(obj) == 0
        size = ctypes.c_size_t()
        found = lib.bpf_object__find_map_by_name(obj, b".kconfig")
        theirs = ctypes.string_at(lib.bpf_map__initial_value(found, ctypes.byref(size)), size.value)
    finally:
        lib.bpf_object__close(obj)
    values = {name: text for name, (_, text) in CONFIG.items()}
    ours = spec_for(code, KernelOf(None, config=values)).maps[".kconfig"].data
    assert ours == theirs


# -- the live kernel


@cache
def live() -> ObjectSpec:
    files = (kconfig.BOOT / f"config-{platform.release()}", kconfig.PROC)
    config = next((file for file in files if file.exists()), None)
    if config is None:
        pytest.skip("this system does not tell its configuration")
    return object_spec(SOURCE, target=Vmlinux(VMLINUX, config))


def tags() -> list[str]:
    return [
        line.split("(")[1].split(")")[0]
        for line in SOURCE.read_text().splitlines()
        if line.startswith(("ACCEPT(", "REJECT("))
    ]


@pytest.mark.parametrize("name", tags())
def test_the_live_kernel_says_the_same(oracle: Kernel, name: str) -> None:
    obj = live()
    expected = f"ACCEPT({name})" in SOURCE.read_text()
    program = obj.programs[name]
    theirs = oracle.verify(obj, program, log=True)
    ours = verify(obj, program)
    assert (ours.accepted, theirs.accepted) == (expected, expected), theirs.message
