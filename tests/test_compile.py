"""C in, object out: which compiler, what it says, what it makes."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

import bpfheap
import bpfheap.compile
from bpfheap.compile import Compiler, compile_c, find_compilers, object_spec, type_of
from bpfheap.errors import CompileError, UsageError

EXAMPLES = Path(__file__).parents[1] / "examples"
COMPILERS = find_compilers()
each_compiler = pytest.mark.parametrize("compiler", COMPILERS, ids=lambda c: c.name)

GOOD = '#include <bpfheap.h>\nSEC("tc") int p(void *ctx) { return 3; }\n'
WARNS = GOOD.replace("return 3", "int n = 1 ? 3 : 4; return n == n ? 3 : 'ab'")


@pytest.fixture(autouse=True)
def no_memory() -> None:
    """What was found on PATH is kept for the process; here PATH changes."""
    bpfheap.compile._preferred.cache_clear()
    bpfheap.compile._has_bpf_target.cache_clear()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "p.bpf.c"
    path.write_text(GOOD)
    return path


def program(folder: Path, name: str, script: str) -> Path:
    """An executable on PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{script}\n")
    path.chmod(0o755)
    return path


def targets(*names: str) -> str:
    lines = "\n".join(["  Registered Targets:", *(f"    {n}  - a target" for n in names)])
    return f"print('''{lines}''')"


def test_the_wheel_comes_last() -> None:
    assert [c.name for c in COMPILERS].index("ziglang") == len(COMPILERS) - 1


def test_without_clang_there_is_the_wheel(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert [c.name for c in find_compilers()] == ["ziglang"]
    assert set(object_spec(source).programs) == {"p"}


def test_clang_on_path_is_preferred_if_it_has_the_target(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "bin"
    program(folder, "clang", targets("x86-64", "bpfsomething"))
    program(folder, "clang-18", targets("aarch64", "bpf", "bpfel"))
    program(folder, "clang-14", targets("bpf"))
    program(folder, "clang-13", targets("bpf"))
    program(folder, "clang-22", "raise SystemExit('broken')")
    monkeypatch.setenv("PATH", str(folder))
    assert [c.name for c in find_compilers()] == ["clang-18", "clang-14", "ziglang"]


def test_no_compiler_at_all(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    monkeypatch.setattr(bpfheap.compile, "find_compilers", list)
    with pytest.raises(CompileError, match=r"no clang with a BPF target .*pip install ziglang"):
        compile_c(source)


@each_compiler
def test_errors_are_those_of_clang(compiler: Compiler, tmp_path: Path) -> None:
    path = tmp_path / "bad.bpf.c"
    path.write_text("#include <bpfheap.h>\nint f(void) { return missing; }\n")
    with pytest.raises(CompileError) as caught:
        compile_c(path, compiler=compiler)
    error = caught.value
    assert (error.file, error.line) == (str(path), 2)
    assert "use of undeclared identifier 'missing'" in error.message
    first, code, *_ = error.diagnostics.splitlines()
    assert first == f"{path}:2:22: error: use of undeclared identifier 'missing'"
    assert code.endswith("int f(void) { return missing; }")


@each_compiler
def test_warnings_reach_the_user_each_time(
    compiler: Compiler, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "warns.bpf.c"
    path.write_text(WARNS)
    seen = []
    for _ in range(2):
        compile_c(path, compiler=compiler)
        seen.append(capfd.readouterr())
    assert seen[0].out == ""
    assert f"{path}:2:" in seen[0].err
    assert "warning: multi-character character constant" in seen[0].err
    assert seen[0] == seen[1]


@each_compiler
def test_objects_are_reproducible(
    compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(EXAMPLES / "first.bpf.c", folder)
        monkeypatch.chdir(folder)
        made.append(compile_c("first.bpf.c", compiler=compiler))
    assert made[0] == made[1]


def test_include_directories_and_flags(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "value.h").write_text("#define VALUE 7\n")
    path = tmp_path / "p.bpf.c"
    path.write_text(f"#include <value.h>\n{GOOD.replace('3', 'VALUE + MORE')}")
    spec = object_spec(path, include=[tmp_path / "mine"], cflags=["-DMORE=35"])
    assert spec.programs["p"].insns[0].imm == 42


def test_flags_of_the_user_win(tmp_path: Path) -> None:
    path = tmp_path / "p.bpf.c"
    path.write_text(
        GOOD.replace("(void *ctx) { return 3; }", "(int *ctx) { return ctx[0] / ctx[1]; }")
    )
    with pytest.raises(CompileError, match="signed division"):
        compile_c(path)
    assert compile_c(path, cflags=["-mcpu=v4"])


def test_source_and_object_say_the_same(tmp_path: Path) -> None:
    path = EXAMPLES / "first.bpf.c"
    built = tmp_path / "first.o"
    built.write_bytes(compile_c(path))
    from_c, from_object = object_spec(path), object_spec(built)
    assert from_c.file == str(path)
    assert from_object.file == str(built)
    assert from_c.programs["first"].insns == from_object.programs["first"].insns
    assert from_c.maps.keys() == from_object.maps.keys()
    assert from_c.btf == from_object.btf


def test_paths_of_the_source_are_as_they_were_given(
    monkeypatch: pytest.MonkeyPatch, source: Path
) -> None:
    monkeypatch.chdir(source.parent)
    for given in (source, Path("p.bpf.c"), Path("..") / source.parent.name / "p.bpf.c"):
        line = object_spec(given).programs["p"].line_of(0)
        assert line is not None
        assert line.file == str(given)


def test_a_name_that_looks_like_an_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "-O3.c").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert set(object_spec("-O3.c").programs) == {"p"}


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing.bpf.c", "no such file"), (".", "not a file"), ("x" * 300, "cannot be read")],
)
def test_no_such_source(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compile_c(tmp_path / name)


def test_a_compiler_that_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path
) -> None:
    monkeypatch.setattr(bpfheap.compile, "_TIMEOUT", 0.2)
    slow = program(tmp_path / "bin", "clang", "import time; time.sleep(60)")
    with pytest.raises(CompileError, match=r"clang did not finish in 0\.2 seconds"):
        compile_c(source, compiler=Compiler("clang", (str(slow),)))


def test_a_compiler_that_dies(tmp_path: Path, source: Path) -> None:
    dying = program(tmp_path / "bin", "clang", "import os; os.abort()")
    with pytest.raises(CompileError, match="clang: no object was made"):
        compile_c(source, compiler=Compiler("clang", (str(dying),)))
    with pytest.raises(CompileError, match="clang cannot be run: Not a directory"):
        compile_c(source, compiler=Compiler("clang", (os.devnull + "/clang",)))


HEADER = """
struct event { int pid; char comm[4]; };
typedef struct { int a; } named_t;
struct elsewhere;
"""
LOCAL = """#include <bpfheap.h>
#include "local.h"
#ifndef GIVEN
#error GIVEN is not defined
#endif
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } rb SEC(".maps");
SEC("tc") int sends(struct __sk_buff *skb)
{
	struct event *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);

	if (!e)
		return 0;
	e->pid = 7;
	__builtin_memcpy(e->comm, "abc", 4);
	bpf_ringbuf_submit(e, 0);
	return 0;
}
char _license[] SEC("license") = "GPL";
"""


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A file whose record's type only a local variable has."""
    (tmp_path / "local.h").write_text(HEADER)
    source = tmp_path / "local.bpf.c"
    source.write_text(LOCAL)
    return source


@pytest.mark.parametrize("name", ["struct event", "named_t", "int"])
def test_a_type_of_a_source(local: Path, name: str) -> None:
    found = type_of(local, name, define="GIVEN")
    assert found is not None
    btf, type_id = found
    assert btf.size_of(type_id) == {"struct event": 8, "named_t": 4, "int": 4}[name]


@pytest.mark.parametrize(
    "name", ["struct nothing", "struct elsewhere", "nothing_t", "int x; int", "", "struct", "void"]
)
def test_a_type_that_no_source_has(
    local: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert type_of(local, name, define="GIVEN") is None
    assert capfd.readouterr().err == ""


def test_types_of_other_files(local: Path) -> None:
    assert type_of(local.with_name("no.c"), "struct event") is None
    assert type_of(local.with_name("local.h"), "struct event") is None


def test_records_of_a_type_that_only_the_source_has(local: Path) -> None:
    with bpfheap.Runtime() as rt:
        obj = rt.load(local, define="GIVEN")
        obj.programs["sends"].run()
        (event,) = obj.maps["rb"].records("struct event")
        assert (event.pid, event.comm) == (7, b"abc")
        with pytest.raises(UsageError, match="no type struct nothing in the file of map rb"):
            obj.maps["rb"].records("struct nothing")
