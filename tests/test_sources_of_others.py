"""What sources of other projects need: folders, macros, flags, types and headers."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

import bpfheap.vmlinux
from bpfheap.btf import Btf, kernel_header
from bpfheap.compile import CompileOptions, Compiler, compile_c, find_compilers, headers, vmlinux
from bpfheap.compile import object_spec as compiled
from bpfheap.compile.commands import entry_in
from bpfheap.errors import CompileError, UsageError
from bpfheap.verifier import verify
from bpfheap.vmlinux import Vmlinux, read_types


def btf_section(data: bytes) -> bytes:
    return bpfheap.vmlinux._section(io.BufferedReader(io.BytesIO(data)))


#: Other tests have no kernel (conftest.py).
SYSTEM = Path("/sys/kernel/btf/vmlinux")
COMPILERS = find_compilers()
each_compiler = pytest.mark.parametrize("compiler", COMPILERS, ids=lambda c: c.name)

#: Returns the macro VALUE.
VALUE = '#include <bpfheap.h>\nSEC("tc") int p(void *ctx) { return VALUE; }\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a source."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.bpf.c").write_text(VALUE)
    return tmp_path


def value(path: Path | str = "p.bpf.c", **how: object) -> int:
    """What the program of the source returns."""
    return compiled(path, **how).programs["p"].insns[0].imm  # type: ignore[arg-type]


def commands(where: Path, *words: str, file: str = "p.bpf.c") -> None:
    entry = {"directory": str(where), "file": file, "arguments": ["cc", *words, file]}
    (where / "compile_commands.json").write_text(json.dumps([entry]))


# -- which of them counts


def test_the_last_word_is_the_call_s(folder: Path) -> None:
    commands(folder, "-DVALUE=1", "-O0", "-march=native", "-c", "-o", "p.o")
    assert value() == 1
    (folder / "pyproject.toml").write_text("[tool.bpfheap]\ndefine = ['VALUE=2']\n")
    assert value() == 2
    assert value(options=CompileOptions(define=("VALUE=3",))) == 3
    assert value(options=CompileOptions(define=("VALUE=3",)), define="VALUE=4") == 4
    assert value(define="VALUE=4", cflags="-UVALUE -DVALUE=5") == 5


def test_no_macro_is_defined_twice(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    commands(folder, "-D", "VALUE=1", "-D__TARGET_ARCH_arm64")
    value(define=["VALUE=3", "VALUE=4"], cflags=["-D", "VALUE=5"])
    assert capfd.readouterr().err == ""


def test_the_folder_of_the_last_word_is_searched_first(folder: Path) -> None:
    for number, name in enumerate(("commands", "project", "call")):
        (folder / name).mkdir()
        (folder / name / "value.h").write_text(f"#define VALUE {number}\n")
    commands(folder, "-I", "commands", "-include", "commands/value.h", "-std=gnu11")
    (folder / "p.bpf.c").write_text(f"#include <value.h>\n{VALUE}")
    with pytest.raises(CompileError, match=r"'value\.h' file not found \(pass -I with one of"):
        value(compile_commands=_nothing(folder))
    assert value() == 0
    (folder / "pyproject.toml").write_text("[tool.bpfheap]\ninclude = ['project']\n")
    commands(folder, "-Icommands")
    assert value() == 1
    assert value(include="call") == 2


def _nothing(folder: Path) -> Path:
    """A compile_commands.json without any flag."""
    path = folder / "nothing.json"
    path.write_text(json.dumps([{"directory": ".", "file": "p.bpf.c", "command": "cc p.bpf.c"}]))
    return path


def test_pyproject_of_a_folder_above(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "pyproject.toml").write_text("[tool.bpfheap]\ninclude = ['inc']\ncflags = ['-O1']\n")
    (folder / "inc").mkdir()
    (folder / "inc" / "value.h").write_text("#define VALUE 8\n")
    (folder / "p.bpf.c").write_text(f"#include <value.h>\n{VALUE}")
    (folder / "deep" / "er").mkdir(parents=True)
    # One that says nothing of bpfheap is passed over.
    (folder / "deep" / "pyproject.toml").write_text("[tool.black]\n")
    monkeypatch.chdir(folder / "deep" / "er")
    assert value("../../p.bpf.c") == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.bpfheap]\ninclud = []\n", "has no key includ .*include, define, cflags"),
        ("[tool.bpfheap]\ninclude = 3\n", "include is a list of strings, not 3"),
        ("[tool.bpfheap]\ndefine = ['A B']\n", "'A B' is no macro .write NAME"),
        ("[tool.bpfheap]\ndefine = [7]\n", "define is a list of strings, and 7"),
        ("[tool.bpfheap\n", "this is no TOML"),
        ("[tool]\nbpfheap = 1\n", "tool.bpfheap is no table"),
    ],
)
def test_a_pyproject_that_says_what_cannot_be(folder: Path, text: str, message: str) -> None:
    (folder / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        value(define="VALUE=1")
    assert caught.value.file == str(folder / "pyproject.toml")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"include": "nowhere"}, "no folder nowhere"),
        ({"cflags": "-D'"}, "close all quotes"),
        ({"define": ["1=2"]}, "'1=2' is no macro"),
        ({"define": 5}, "define is a list"),
        ({"compile_commands": "none.json"}, "none.json: cannot be read: No such file"),
    ],
)
def test_arguments_that_cannot_be(folder: Path, how: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        value(**how)  # type: ignore[arg-type]


def test_options_of_the_command_line_are_written_and_read() -> None:
    given = CompileOptions.of(
        include=["a b", "c"], define=["X=1", "Y"], cflags="-O1 '-DZ=a b'", compile_commands="f.json"
    )
    assert CompileOptions.read([*given.words(), "x.c", "-I"]) == (given, ["x.c", "-I"])


# -- compile_commands.json


def test_what_counts_of_an_entry(folder: Path) -> None:
    words = (
        "-g -O2 -target bpf -mcpu=v4 -DA=1 -D B -UA -Iinc -isystem sys -include x.h -std=gnu11 "
        "-fms-extensions -fPIC -fstack-protector -march=native -Wall -Werror -Wno-unused -MD -MF d "
        "-pthread -o p.o -c"
    )
    commands(folder, *words.split())
    entry = entry_in(folder, Path("p.bpf.c"))
    at = str(folder)
    assert entry.define == ("B",)
    assert " ".join(entry.flags).replace(at, ".") == (
        "-mcpu=v4 -I ./inc -isystem ./sys -include ./x.h -std=gnu11 -fms-extensions -Wno-unused"
    )


@pytest.mark.parametrize("text", ["{", "{}", "[3]", '[{"file": "p.bpf.c"}]', "[" * 100_000])
def test_a_broken_file(folder: Path, text: str) -> None:
    (folder / "compile_commands.json").write_text(text)
    # Nobody asked for it.
    assert value(define="VALUE=6") == 6
    with pytest.raises(UsageError, match=r"compile_commands\.json: "):
        value(compile_commands="compile_commands.json")


# -- what the machine is


def test_the_machine_s_registers_unless_told_otherwise(folder: Path) -> None:
    arch = headers.macros((), "")[-1].removeprefix("__TARGET_ARCH_")
    text = f"#if defined(__TARGET_ARCH_{arch}) && !defined(__TARGET_ARCH_mips)\n#define VALUE 1\n"
    (folder / "p.bpf.c").write_text(f"{text}#else\n#define VALUE 2\n#endif\n{VALUE}")
    assert value() == 1
    assert value(define="__TARGET_ARCH_mips") == 2
    assert value(cflags="-D__TARGET_ARCH_mips") == 2
    (folder / "p.bpf.c").write_text(f"#define __TARGET_ARCH_mips\n{text}#endif\n#ifndef VALUE\n"
                                    f"#define VALUE 3\n#endif\n{VALUE}")  # fmt: skip
    assert value() == 3


@each_compiler
def test_headers_of_libc_and_of_the_kernel(folder: Path, compiler: Compiler) -> None:
    """On Debian, asm/types.h is for the machine's own compiler, and gnu/stubs-32.h is not there."""
    names = "linux/bpf.h asm/types.h linux/if_ether.h linux/ip.h linux/ptrace.h stdint.h stddef.h"
    includes = "".join(f"#include <{name}>\n" for name in names.split())
    check = '_Static_assert(sizeof(uintptr_t) == 8 && sizeof(long) == 8, "");\n'
    (folder / "p.bpf.c").write_text(includes + check + VALUE)
    assert value(define="VALUE=1", compiler=compiler) == 1


@each_compiler
def test_what_came_to_the_kernel_s_headers_since(
    folder: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = folder / "old" / "linux", folder / "new" / "linux"
    for place, code, text in ((old, 393664, ""), (new, 459264, "enum { TCX_MADE_UP = 5 };\n")):
        place.mkdir(parents=True)
        (place / "version.h").write_text(f"#define LINUX_VERSION_CODE {code}\n")
        (place / "made_up.h").write_text(text)
    monkeypatch.setattr(headers, "_of_zig", lambda: [new.parent])
    monkeypatch.setattr(headers, "_USR", (old.parent,))
    monkeypatch.setattr(headers, "_multiarch", list)
    monkeypatch.setattr(headers, "_is_libbpf_old", lambda: False)
    monkeypatch.setattr(headers, "folders", lambda: (old.parent, new.parent))
    headers.newer.cache_clear()
    try:
        (folder / "p.bpf.c").write_text(f"#include <linux/made_up.h>\n{VALUE}")
        assert value(define="VALUE=TCX_MADE_UP", compiler=compiler) == 5
        # What was said first counts.
        with pytest.raises(CompileError, match="TCX_NOWHERE"):
            value(define="VALUE=TCX_NOWHERE", compiler=compiler)
        (new / "version.h").write_text("#define LINUX_VERSION_CODE 393664\n")
        headers.newer.cache_clear()
        assert headers.newer() == ()
    finally:
        headers.newer.cache_clear()


# -- vmlinux.h

KERNEL = """
typedef __builtin_va_list va_list_of_a_compiler;
typedef struct { int counter; } atomic_t;
struct atomic_t { long other; };

enum bpf_map_type { BPF_MAP_TYPE_HASH = 1 } a_map;
typedef unsigned char __u8; typedef unsigned short __u16; typedef unsigned int __u32;
typedef unsigned long long __u64; typedef int __s32; typedef long long __s64;
typedef __u16 __be16; typedef __u32 __be32, __wsum;
struct { __u8 a; __be16 b; __be32 c; __wsum d; __u64 e; __s32 f; __s64 g; } numbers;
enum big { BIG = 1ULL << 40, NEGATIVE = -1 };
enum tiny { TINY } __attribute__((packed));
union both { int i; struct { char a, b; }; };
struct forward;
struct flex { int n; atomic_t list[]; };
struct bits { unsigned a : 3, b : 7; unsigned long c : 33; _Bool d : 1; };
struct __attribute__((packed)) tight { char a; long b; short c; };
struct wide { int a; } __attribute__((aligned(64)));
struct all {
	struct forward *f;
	struct all *up;
	struct flex *flex;
	union both u;
	enum big e;
	enum tiny t;
	enum { INNER = 9 } inner;
	int (*call)(struct all *, int (*again)(void), ...);
	const char *const names[4];
	struct bits bits;
	struct tight tight;
	struct wide wide;
	__int128 huge;
	_Bool yes;
	struct { int x; union { int y; char z; }; } nested[2];
};
typedef int (*handler_t)(struct all *, atomic_t);
struct all one; struct atomic_t two; struct flex *three; handler_t four; va_list_of_a_compiler five;
__attribute__((btf_decl_tag("bpf_kfunc"))) int made(struct all *p, handler_t h) { return 2; }
__attribute__((btf_decl_tag("bpf_kfunc"))) void atomic_t_like(void) {}
int no_kfunc(void) { return 1; }
"""


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small kernel's BTF, in a file."""
    folder = tmp_path_factory.mktemp("kernel")
    (folder / "kernel.c").write_text(KERNEL)
    path = folder / "kernel.btf"
    path.write_bytes(btf_section(compile_c(folder / "kernel.c")))
    return path


def assertions(btf: Btf, only: int = 1) -> str:
    """C that asserts sizes and offsets of all structs and unions, or of one of `only`."""
    from bpfheap.btf import Struct, Union
    from bpfheap.btf.cprint import _distinct

    named, again = _distinct(btf)
    lines = []
    for type_id, kind in enumerate(btf):
        if not isinstance(kind, Struct | Union) or not kind.name or type_id in again:
            continue
        if type_id % only:
            continue
        name = f"{type(kind).__name__.lower()} {named.get(type_id, kind.name)}"
        lines.append(f'_Static_assert(sizeof({name}) == {kind.size}, "{name}");')
        lines += [
            f"_Static_assert(__builtin_offsetof({name}, {m.name}) == {m.bit_offset // 8}, "
            f'"{name}, {m.name}");'
            for m in kind.members
            if m.name and not m.bitfield_size
        ]
    return "\n".join(lines)


@each_compiler
@pytest.mark.parametrize("how", ["<vmlinux.h>", '"vmlinux.h"'])
def test_the_kernel_s_types(
    folder: Path, kernel: Path, compiler: Compiler, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    btf = Btf.parse(kernel.read_bytes())
    checks = assertions(btf)
    assert checks.count("sizeof") == 7
    (folder / "p.bpf.c").write_text(
        f"#include {how}\n{checks}\n"
        f"int values[] = {{ INNER, sizeof(enum tiny), BIG == 1ULL << 40 }};\n"
        "int (*same)(struct all *, handler_t) = &made;\n"
        '__attribute__((section("tc"), used))\n'
        "int p(struct all *a) { return a->nested[1].z; }\n"
    )
    data = compile_c(folder / "p.bpf.c", target=Vmlinux(kernel), compiler=compiler, cflags="-Wall")
    assert capfd.readouterr().err == ""
    made = Btf.parse(btf_section(data))
    from bpfheap.btf import Struct, why_different

    for name in ("all", "bits", "tight", "wide"):
        there, here = made.find(name, Struct), btf.find(name, Struct)
        if there is not None and here is not None:
            assert why_different(btf, here, made, there) is None, name
    assert made.find("all", Struct) is not None


@each_compiler
@pytest.mark.parametrize(
    "names",
    [
        ("<bpf/vmlinux/vmlinux.h>",),
        ('"vmlinux/vmlinux.h"', "<vmlinux.h>"),
        ('"../vmlinux.h"', "<bpf/vmlinux.h>"),
        ('"../../a/b/vmlinux.h"',),
    ],
)
def test_the_kernel_s_types_in_folders_of_a_project(
    folder: Path, kernel: Path, compiler: Compiler, names: tuple[str, ...]
) -> None:
    (folder / "src").mkdir()
    source = folder / "src" / "p.bpf.c"
    source.write_text("".join(f"#include {name}\n" for name in names) + f"{VALUE}")
    data = compile_c(source, target=Vmlinux(kernel), compiler=compiler, define="VALUE=INNER")
    assert compile_c(source, target=Vmlinux(kernel), compiler=compiler, define="VALUE=INNER") == (
        data
    )
    assert value(source, target=Vmlinux(kernel), compiler=compiler, define="VALUE=INNER") == 9


def test_a_path_that_leads_nowhere(folder: Path, kernel: Path) -> None:
    for name in ("/nowhere/vmlinux.h", "a/../vmlinux.h", "vmlinux.h/other.h"):
        (folder / "p.bpf.c").write_text(f'#include "{name}"\n{VALUE}')
        with pytest.raises(CompileError, match="file not found"):
            value(target=Vmlinux(kernel), define="VALUE=1")


def test_kfuncs_can_be_left_out(kernel: Path) -> None:
    text = kernel_header(Btf.parse(kernel.read_bytes()))
    head, guard, rest = text.partition("#ifndef BPF_NO_KFUNC_PROTOTYPES\n")
    assert guard
    assert "extern int made(struct all *p, handler_t h) __weak __ksym;\n" in rest
    assert "no_kfunc" not in text
    assert "made" not in head


def test_access_is_by_name(folder: Path, kernel: Path) -> None:
    (folder / "p.bpf.c").write_text(
        '#include "vmlinux.h"\n__attribute__((section("tc"), used))\n'
        "int p(struct all *a) { return a->yes; }\n"
    )
    data = compile_c("p.bpf.c", target=Vmlinux(kernel))
    plain = compile_c("p.bpf.c", target=Vmlinux(kernel), define="BPF_NO_PRESERVE_ACCESS_INDEX")
    # The string that tells the way to the member.
    assert b"0:13\0" in btf_section(data)
    assert b"0:13\0" not in btf_section(plain)


def test_a_vmlinux_h_of_the_user_s_own_is_taken(folder: Path) -> None:
    (folder / "own").mkdir()
    (folder / "own" / "vmlinux.h").write_text("#define VALUE 77\n")
    (folder / "p.bpf.c").write_text(f'#include "vmlinux.h"\n{VALUE}')
    assert value(include="own", target=Vmlinux("none")) == 77


def test_without_btf(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpfheap.vmlinux, "VMLINUX", folder / "none")
    (folder / "p.bpf.c").write_text(f'\n#include "vmlinux.h"\n{VALUE}')
    for kernel in (None, "none"):
        with pytest.raises(CompileError) as caught:
            value(target=Vmlinux(kernel))
        assert (caught.value.line, "\n" in str(caught.value)) == (2, False)
        assert "no BTF of a kernel to write vmlinux.h from; pass --kernel-btf" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "BTF"),
        (b"\x7fELF", "broken ELF"),
        (b"\x9f\xeb" + bytes(30), "BTF|header|version"),
    ],
)
def test_a_file_without_a_kernel_s_types(folder: Path, data: bytes, message: str) -> None:
    (folder / "btf").write_bytes(data)
    (folder / "p.bpf.c").write_text(f'#include "vmlinux.h"\n{VALUE}')
    with pytest.raises(CompileError, match=message) as caught:
        value(target=Vmlinux("btf"))
    assert "pass --kernel-btf FILE" in str(caught.value)


def test_the_kernel_of_the_project(folder: Path, kernel: Path) -> None:
    (folder / "p.bpf.c").write_text(f'#include "vmlinux.h"\n{VALUE}')
    (folder / "pyproject.toml").write_text(
        f"[tool.bpfheap]\nkernel-btf = '{kernel}'\ndefine = ['VALUE=INNER']\n"
    )
    assert value() == 9


def test_an_elf_file_with_the_types(tmp_path: Path) -> None:
    (tmp_path / "k.c").write_text("struct in_elf { int a; } one;\n")
    path = tmp_path / "vmlinux"
    path.write_bytes(compile_c(tmp_path / "k.c"))
    assert "struct in_elf {" in (vmlinux.header_folder(read_types(path)) / "vmlinux.h").read_text()


def test_the_header_is_kept(tmp_path: Path, kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFHEAP_CACHE", str(tmp_path / "cache"))
    vmlinux._folder.cache_clear()
    folder = vmlinux.header_folder(read_types(kernel))
    assert tmp_path / "cache" / "headers" in folder.parents
    header = folder / "vmlinux.h"
    assert header.stat().st_mode & 0o077 == 0
    whole = header.read_bytes()

    def never(_: object) -> str:
        raise AssertionError("it was written anew")

    with monkeypatch.context() as patched:
        patched.setattr(vmlinux, "kernel_header", never)
        vmlinux._folder.cache_clear()
        assert vmlinux.header_folder(read_types(kernel)) == folder
    # One that was changed, or that others could change, is as good as none.
    for spoil in (lambda: header.write_bytes(whole[:-1]), lambda: header.chmod(0o666)):
        spoil()
        vmlinux._folder.cache_clear()
        assert vmlinux.header_folder(read_types(kernel)) == folder
        assert header.read_bytes() == whole
        assert header.stat().st_mode & 0o022 == 0
    (tmp_path / "cache" / "headers").chmod(0o777)
    vmlinux._folder.cache_clear()
    with pytest.warns(UserWarning, match="others can write there"):
        assert vmlinux.header_folder(read_types(kernel)) != folder
    vmlinux._folder.cache_clear()


@pytest.mark.long
@pytest.mark.skipif(not os.access(SYSTEM, os.R_OK), reason="no kernel BTF")
def test_this_system_s_kernel(folder: Path) -> None:
    checks = assertions(Btf.parse(SYSTEM.read_bytes()), only=7)
    assert checks.count("sizeof") > 200
    (folder / "p.bpf.c").write_text(f'#include "vmlinux.h"\n{checks}\n{VALUE}')
    strict = "-Werror -Wno-unused-parameter"
    assert value(define="VALUE=1", cflags=strict, target=Vmlinux(SYSTEM)) == 1


# -- libbpf's headers

TOOL = """
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

char LICENSE[] SEC("license") = "GPL";
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

SEC("fentry/made") int BPF_PROG(begin, struct all *a, int n)
{
	__u32 key = bpf_htons(n);
	__u64 *found = bpf_map_lookup_elem(&seen, &key);

	bpf_printk("%d %d", n, bpf_core_field_exists(a->yes));
	return found ? *found : bpf_core_enum_value_exists(enum tiny, TINY);
}
SEC("raw_tp/made") int BPF_PROG(none)
{
	bpf_printk("%d %d %d %d", 1, 2, 3, 4);
	return bpf_core_type_size(struct all);
}
SEC("tp/made") int path(struct all **ctx)
{
	struct tight t = {};

	BPF_CORE_READ_INTO(&t, *ctx, tight);
	barrier_var(ctx);
	return BPF_CORE_READ(*ctx, up, up, flex, n) + BPF_CORE_READ_BITFIELD_PROBED(*ctx, bits.b);
}
"""
REGISTERS = """
SEC("kprobe/made") int BPF_KPROBE(enter, int a, struct all *b) { return a + !b; }
SEC("kretprobe/made") int BPF_KRETPROBE(leave, long result) { return result; }
SEC("uprobe") int BPF_UPROBE(user, void *p) { return !p; }
"""
SYSCALL = """
SEC("ksyscall/made") int BPF_KSYSCALL(call, int fd, const char *name) { return fd + !name; }
"""


@each_compiler
@pytest.mark.parametrize("ours", [True, False])
def test_a_program_for_libbpf(folder: Path, kernel: Path, compiler: Compiler, ours: bool) -> None:
    system = headers.folders()[: headers.folders().index(headers.STAND_INS)]
    if not ours and not any((f / "bpf" / "bpf_tracing.h").exists() for f in system):
        pytest.skip("libbpf's headers are not installed")
    (folder / "p.bpf.c").write_text(TOOL)
    include = [headers.STAND_INS] if ours else []
    made = compiled("p.bpf.c", include=include, target=Vmlinux(kernel), compiler=compiler)
    assert set(made.programs) == {"begin", "none", "path"}
    assert made.programs["begin"].insns
    assert made.maps["seen"].max_entries == 16


@each_compiler
def test_libbpf_without_its_folder(folder: Path, compiler: Compiler) -> None:
    """As projects write it that have libbpf's sources, and -I for the folder with its headers."""
    (folder / "p.bpf.c").write_text(
        '#include <linux/bpf.h>\n#include "bpf_helpers.h"\n#include "bpf_endian.h"\n'
        'SEC("tc") int p(void *ctx) { return bpf_htons(0x1234); }\n'
    )
    assert compiled("p.bpf.c", compiler=compiler).programs["p"].insns[0].imm == 0x3412


@each_compiler
def test_registers(folder: Path, compiler: Compiler) -> None:
    if headers.macros((), "")[-1] != "__TARGET_ARCH_x86":
        pytest.skip("the registers are those of x86")
    text = TOOL[TOOL.index("#include <bpf") : TOOL.index("struct {")] + REGISTERS
    (folder / "p.bpf.c").write_text(f"#include <linux/ptrace.h>\nstruct all;\n{text}")
    made = compiled("p.bpf.c", include=headers.STAND_INS, compiler=compiler)
    assert set(made.programs) == {"enter", "leave", "user"}
    (folder / "p.bpf.c").write_text(f"#include <linux/ptrace.h>\nstruct all;\n{text}{SYSCALL}")
    assert b"LINUX_HAS_SYSCALL_WRAPPER" in compile_c(
        "p.bpf.c", include=headers.STAND_INS, compiler=compiler
    )
    # di is at byte 112 of pt_regs, ax at 80.
    assert 112 in {insn.off for insn in made.programs["enter"].insns}
    assert 80 in {insn.off for insn in made.programs["leave"].insns}


INNER = """
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#ifndef bpf_target_defined
#error "which machine is it?"
#endif
#define SEEN(src, a, ...) \\
    ({ ___type(src, a, ##__VA_ARGS__) seen = ___arrow(src, a, ##__VA_ARGS__); seen; })
#define LAST(args...) ___bpf_apply(last, ___bpf_narg(args))(args)
#define last2(a, b) b

int numbers[4];
SEC("raw_tp/made") int p(struct all **ctx)
{
    struct all *a = (void *)bpf_get_current_task();
    long from[3] = { 7, 7, 7 };

    ___bpf_fill(from, 1, LAST(3, 5));
    numbers[0] = from[0], numbers[1] = from[1], numbers[2] = from[2];
    return __builtin_types_compatible_p(___type(a, up, flex, n), int) + sizeof(SEEN(a, up, e));
}
"""


@each_compiler
def test_inner_names_that_programs_use(folder: Path, kernel: Path, compiler: Compiler) -> None:
    (folder / "p.bpf.c").write_text(INNER)
    made = compiled("p.bpf.c", include=headers.STAND_INS, target=Vmlinux(kernel), compiler=compiler)
    stored = [insn.imm for insn in made.programs["p"].insns if insn.imm in (1, 5, 7)]
    assert stored.count(1) == stored.count(5) == stored.count(7) == 1
    assert made.programs["p"].insns[-2].imm == 1 + 8


CONSTANT = """
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct last { const int n; char name[24]; };
struct inner { struct last *const last; };
struct outer { const struct inner *const inner; };
#pragma clang attribute pop

SEC("raw_tp/made") int p(struct outer **ctx)
{
    struct outer *outer = (void *)bpf_get_current_task();
    struct last *last = BPF_CORE_READ(outer, inner, last);
    struct last *same = BPF_PROBE_READ(outer, inner, last);
    char name[sizeof(BPF_CORE_READ(last, n)) * 6];

    BPF_CORE_READ_INTO(&name, outer, inner, last, name);
    if (name[0] != *BPF_CORE_READ(outer, inner, last, name))
        return 0;

    return last == same && BPF_CORE_READ_USER(outer, inner, last) &&
           BPF_PROBE_READ_USER(outer, inner);
}
"""


@each_compiler
def test_members_that_are_constant(folder: Path, kernel: Path, compiler: Compiler) -> None:
    (folder / "p.bpf.c").write_text(CONSTANT)
    compiled(
        "p.bpf.c", include=headers.STAND_INS, target=Vmlinux(kernel), compiler=compiler,
        cflags="-Wall -Werror -Wno-unused-parameter",
    )  # fmt: skip


USDT = """
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "GPL";
long sum;
SEC("usdt") int BPF_USDT(none) { return bpf_usdt_arg_cnt(ctx); }
SEC("usdt/./a:b:c") int BPF_USDT(three, int a, void *b, long c) { sum += a + !b + c; return 0; }
SEC("usdt") int BPF_USDT(all, int a, int b, int c, int d, int e, int f, int g, int h, int i, int j,
                         int k, int l)
{
    return a + b + c + d + e + f + g + h + i + j + k + l;
}
SEC("usdt") int plain(struct pt_regs *ctx)
{
    long value;

    if (bpf_usdt_arg(ctx, 2, &value) == -ENOENT || bpf_usdt_arg_size(ctx, 2) != 4)
        return -EINVAL;
    return value + bpf_usdt_cookie(ctx);
}
"""


@each_compiler
@pytest.mark.parametrize("cookies", [True, False])
def test_static_probes(folder: Path, compiler: Compiler, cookies: bool) -> None:
    if headers.macros((), "")[-1] != "__TARGET_ARCH_x86":
        pytest.skip("the registers are those of x86")
    (folder / "p.bpf.c").write_text(USDT)
    release = "6.18.0" if cookies else "5.14.0"
    (folder / "config").write_text(f"# Linux/x86 {release} Kernel Configuration\n")
    made = compiled(
        "p.bpf.c",
        include=headers.STAND_INS,
        cflags="-Wall -Werror",
        compiler=compiler,
        target=Vmlinux("none", folder / "config"),
    )
    specs, ids = made.maps["__bpf_usdt_specs"], made.maps["__bpf_usdt_ip_to_spec_id"]
    # As user space, which is libbpf, fills them: 12 arguments of 24 bytes, a cookie, a number.
    assert (specs.type, specs.key_size, specs.value_size, specs.max_entries) == (2, 4, 304, 256)
    assert (ids.type, ids.key_size, ids.value_size, ids.max_entries) == (1, 8, 4, 1024)
    found = {name: verify(made, program) for name, program in made.programs.items()}
    assert {n: (str(v.kind), v.error) for n, v in found.items()} == dict.fromkeys(
        ("none", "three", "all", "plain"), ("accept", None)
    )


def test_places_of_static_probes_are_libbpf_s(folder: Path) -> None:
    places = {"val_off": 0, "reg_off": 14, "arg_signed": 16, "arg_bitshift": 17}
    asserted = "".join(
        f'_Static_assert(__builtin_offsetof(struct __bpf_usdt_arg_spec, {name}) == {at}, "");\n'
        for name, at in places.items()
    )
    (folder / "p.bpf.c").write_text(
        f"#define BPF_USDT_MAX_SPEC_CNT 3\n{USDT}{asserted}"
        "const volatile struct __bpf_usdt_arg_spec one = {\n"
        "\t.arg_type = BPF_USDT_ARG_SIB, .idx_reg_off = 0xabc, .scale_bitshift = 5\n};\n"
    )
    made = compiled("p.bpf.c", include=headers.STAND_INS)
    assert made.maps["__bpf_usdt_ip_to_spec_id"].max_entries == 12
    assert made.maps[".rodata"].data == bytes.fromhex("0000000000000000 0300bc5a") + bytes(12)


def test_all_helpers_have_the_numbers_of_the_table() -> None:
    import re

    from bpfheap.compile import INCLUDE_DIR
    from bpfheap.platform.calls import HELPERS

    text = (headers.STAND_INS / "bpf" / "bpf_helper_defs.h").read_text()
    rows = re.findall(r"^___bpf_helper\((\d+), [^,]+, (\w+),\s([^;]*)\);", text, re.MULTILINE)
    numbers = {name: int(number) for number, name, _ in rows}
    assert sorted(numbers.values()) == list(range(1, 212))
    assert {
        c.name: c.number for c in HELPERS if c.number and c.number < 212
    }.items() <= numbers.items()
    alone = re.findall(
        r"^___bpfheap_helper\((\d+), [^,]+, (\w+),\s([^;]*)\);",
        (INCLUDE_DIR / "bpfheap.h").read_text(),
        re.MULTILINE,
    )
    said = {name: " ".join(arguments.split()) for _, name, arguments in rows}
    known = [(name, " ".join(arguments.split())) for _, name, arguments in alone if name in said]
    assert len(known) > 50
    assert {
        name for name, arguments in known if said[name].count(",") != arguments.count(",")
    } == set()


# -- what is not there


@pytest.mark.parametrize(
    ("include", "hint"),
    [
        ("lib/mine.h", "pass -I inc"),
        ("bpf/no_such_thing.h", "install libbpf's headers .*-I"),
        ("made_by_the_build.h", "pass -I with a folder that has it, or --compile-commands"),
    ],
)
def test_a_missing_header(folder: Path, include: str, hint: str) -> None:
    (folder / "inc" / "lib").mkdir(parents=True)
    (folder / "inc" / "lib" / "mine.h").write_text("")
    (folder / "p.bpf.c").write_text(f"\n\n#include <{include}>\n{VALUE}")
    with pytest.raises(CompileError, match=rf"'{include}' file not found .*\({hint}") as caught:
        value()
    assert (caught.value.file, caught.value.line) == ("p.bpf.c", 3)


def missing(source: Path, header: str) -> str:
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(f"#include <{header}>\n#include <other.h>\n{VALUE}")
    with pytest.raises(CompileError) as caught:
        value(source)
    return caught.value.hint or ""


def test_no_folder_of_another_project_is_named(folder: Path) -> None:
    (folder / "theirs").mkdir()
    (folder / "theirs" / "mine.h").write_text("")
    source = folder / "ours" / "src" / "bpf" / "p.bpf.c"
    assert missing(source, "mine.h").startswith("pass -I with a folder")
    # It is one project.
    (folder / ".git").mkdir()
    assert missing(source, "mine.h") == "pass -I theirs"
    (folder / "ours" / ".git").mkdir()
    assert missing(source, "mine.h").startswith("pass -I with a folder")


def test_of_two_folders_that_with_the_other_headers_is_named(folder: Path) -> None:
    for name in ("a", "b", "c/linux"):
        (folder / name).mkdir(parents=True)
        (folder / name / "mine.h").write_text("")
    assert missing(folder / "p.bpf.c", "mine.h") == "pass -I with one of a, b"
    (folder / "d").mkdir()
    (folder / "e").mkdir()
    for name in ("d", "e"):
        (folder / name / "mine.h").write_text("")
    assert missing(folder / "p.bpf.c", "mine.h").startswith("pass -I with a folder")
    (folder / "c" / "linux" / "other.h").write_text("")
    assert missing(folder / "p.bpf.c", "mine.h") == "pass -I c/linux"
    (folder / "b" / "other.h").write_text("")
    assert missing(folder / "p.bpf.c", "mine.h") == "pass -I b"


def test_a_word_of_newer_c(folder: Path) -> None:
    (folder / "p.bpf.c").write_text(f"static bool b;\n{VALUE}")
    with pytest.raises(CompileError, match=r"unknown type name 'bool' .*--cflags -std=gnu2x"):
        value(define="VALUE=1")
    assert value(define="VALUE=1", cflags="-std=gnu2x") == 1
    with pytest.raises(CompileError, match=r"unknown type name 'other' .*-D for a macro"):
        value(define=["VALUE=1", "bool=other"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("struct bucket { int tokens; };",
         "redefinition of 'bucket' .*in vmlinux.h: give the source's bucket another name"),
        ("int ip = ETH_P_IP;", "undeclared identifier 'ETH_P_IP' .*no macros: define it"),
        ("int ip = eth_p_ip;", "undeclared identifier 'eth_p_ip' .*-D for a macro"),
        ("struct mine { int a; }; struct mine { int b; };", "redefinition of 'mine'$"),
        ("extern int drop(char *b);",
         "conflicting types for 'drop' .*kfuncs, unless -D BPF_NO_KFUNC_PROTOTYPES is passed"),
        ("int mine(int); int mine(char *);", "conflicting types for 'mine'$"),
        # The second error is no reason for the first one.
        ("int a; char a; struct bucket { int b; };", "redefinition of 'a' with a different type"),
    ],
)  # fmt: skip
def test_beside_the_kernels_types(folder: Path, line: str, message: str) -> None:
    (folder / "vmlinux.h").write_text(
        "struct bucket { int fill; };\nextern int drop(struct bucket *b);\n"
    )
    (folder / "p.bpf.c").write_text(f'#include "vmlinux.h"\n{line}\n{VALUE}')
    with pytest.raises(CompileError, match=message) as caught:
        value(define="VALUE=1")
    assert caught.value.line == 2
    assert ("another name" in str(caught.value)) == ("another name" in message)


def test_an_option_that_clang_does_not_have(folder: Path) -> None:
    with pytest.raises(CompileError, match=r"no-such-option.*see what -I, -D and --cflags say"):
        value(cflags="--no-such-option", define="VALUE=1")
