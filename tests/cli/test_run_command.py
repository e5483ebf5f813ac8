from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli_harness import Cli

pytest_plugins = ["cli_harness"]

EXAMPLES = Path(__file__).parents[2] / "examples"
FIELDS = ["live", "peak", "cached", "bytes", "failures", "slabs", "memory"]
STATS = set(FIELDS)

PROGRAMS = """
#include <bpfheap.h>
struct foo { int var; };
struct { __uint(type, BPF_MAP_TYPE_ALLOCATOR); __uint(max_entries, 4);
         __type(value, struct foo); } ma SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
         __type(key, __u32); __type(value, __u32); } runs SEC(".maps");
SEC("syscall") int sum(unsigned char *ctx)
{
    bpf_printk("first byte %d", ctx[0]);
    return ctx[0] + ctx[1];
}
SEC("syscall") int count(void *ctx)
{
    __u32 zero = 0, *n = bpf_map_lookup_elem(&runs, &zero);
    return n ? ++*n : 0;
}
SEC("tc") int free_it(void *ctx)
{
    struct foo *p = bpf_mem_alloc(&ma, type_id_local(struct foo));
    if (p)
        unit_free(p);
    return 0;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "programs.bpf.c"
    path.write_text(PROGRAMS)
    return path


def test_first_in_json(cli: Cli, first: Path) -> None:
    result = cli("run", first, "-p", "first", "--json")
    assert result.code == 0, result.err
    report = result.json
    assert {"machine", "policy", "program", "retval", "printk", "allocators"} <= set(report)
    assert (report["machine"], report["policy"]) == ("model", "live-count")
    assert report["program"] == "first"
    assert isinstance(report["retval"], int)
    assert [set(stats) for stats in report["allocators"].values()] == [STATS]
    assert report["leftovers"] == []
    assert report["error"] is None


def test_objects_in_maps_are_no_errors(cli: Cli, first: Path) -> None:
    result = cli("run", first, "--json")
    assert result.code == 0
    (stats,) = result.json["allocators"].values()
    assert stats["live"] == 1


def test_in_words(cli: Cli, programs: Path) -> None:
    result = cli("run", programs, "-p", "sum", "--ctx", "0203")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[:3] == ["sum returned 5", "printed:", "    first byte 2"]
    assert lines[3].split() == ["allocator", *FIELDS[:5]]
    assert lines[4].split()[:2] == ["ma", "0"]


def test_repeat(cli: Cli, programs: Path) -> None:
    assert cli("run", programs, "-p", "count", "--repeat", "3", "--json").json["retval"] == 3


def test_context_from_a_file(cli: Cli, programs: Path, tmp_path: Path) -> None:
    given = tmp_path / "ctx.bin"
    given.write_bytes(b"\x10\x20")
    assert cli("run", programs, "-p", "sum", "--ctx", given, "--json").json["retval"] == 0x30


def test_a_packet(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "swap.bpf.c"
    source.write_text(
        '#include <bpfheap.h>\nSEC("xdp") int swap(struct xdp_md *ctx)\n{\n'
        "    __u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;\n"
        "    if (data + 14 > end)\n        return 1;\n"
        "    data[0] = data[13];\n    return data[1];\n}\n"
    )
    frame = bytes(range(20, 34))
    result = cli("run", source, "--data", frame.hex(), "--json")
    assert (result.code, result.json["retval"]) == (0, 21)
    assert bytes.fromhex(result.json["data"]) == bytes([33]) + frame[1:]
    assert cli("run", source, "--data", "00").code == 2


def test_a_context_is_no_large_file(cli: Cli, programs: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as out:
        out.truncate(1 << 32)
    result = cli("run", programs, "-p", "sum", "--ctx", large)
    assert result.code == 2
    assert "longer than" in result.err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-p", "nobody"], r"there is no program nobody (there is sum, count, free_it)"),
        ([], "there are 3 programs (choose with -p; there is sum, count, free_it)"),
        (["-p", "sum", "--policy", "hope"], "there is no policy hope (one of live-count"),
        (["-p", "sum", "--machine", "abacus"], "there is no machine abacus (one of model"),
        (["-p", "sum", "--ctx", "0xyz"], "--ctx 0xyz is neither hexadecimal nor a file"),
        (["-p", "sum", "--ctx", "/dev/zero"], "--ctx /dev/zero is neither hexadecimal nor an ord"),
        (["-p", "sum", "--ctx", "/"], "--ctx / is neither hexadecimal nor an ordinary file"),
        (["-p", "sum", "--ctx", "\0"], "is neither hexadecimal nor a file to be read"),
    ],
)
def test_wrong_usage(cli: Cli, programs: Path, args: list[str], message: str) -> None:
    result = cli("run", programs, *args)
    assert result.code == 2
    assert result.out == ""
    assert message in result.err
    assert result.err.count("\n") == 1


def test_same_program_twice(cli: Cli, tmp_path: Path, first: Path) -> None:
    other = tmp_path / "other.o"
    other.write_bytes(first.read_bytes())
    result = cli("run", first, other, "-p", "first")
    assert result.code == 2
    assert "there are several programs first" in result.err


def test_missing_file(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", tmp_path / "missing.bpf.c", "-p", "x").code == 2


def test_a_folder_is_one_runtime(cli: Cli) -> None:
    result = cli("run", EXAMPLES / "three_programs", "-p", "p2", "--json")
    assert result.code == 0, result.err
    assert result.json["allocators"]["ma"]["live"] == 1


MOVES = """
#include <bpfheap.h>
struct foo { int var; };
struct slot { struct foo *ptr __kptr __local; };
struct { __uint(type, BPF_MAP_TYPE_ALLOCATOR); __type(value, struct foo); } ma SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
         __type(key, __u32); __type(value, struct slot); } m1 SEC(".maps"), m2 SEC(".maps");
SEC("tc") int moves(void *ctx)
{
    struct foo *p = bpf_mem_alloc(&ma, type_id_local(struct foo)), *old;
    __u32 zero = 0;
    struct slot *one = bpf_map_lookup_elem(&m1, &zero), *two = bpf_map_lookup_elem(&m2, &zero);
    if (!one || !two) {
        if (p)
            unit_free(p);
        return 0;
    }
    old = bpf_kptr_xchg(&one->ptr, NULL);
    old = bpf_kptr_xchg(&two->ptr, old);
    if (old)
        unit_free(old);
    p = bpf_kptr_xchg(&one->ptr, p);
    if (p)
        unit_free(p);
    return 0;
}
"""


def test_what_goes_wrong_at_the_very_end(cli: Cli, tmp_path: Path) -> None:
    """The second run moves on what the first one stored. The policy meets the move before the
    store and forgets it: m1 takes the allocator along, m2 is freed with the object in it."""
    source = tmp_path / "moves.bpf.c"
    source.write_text(MOVES)
    assert cli("run", source, "--repeat", "2").code == 0
    told = cli("run", source, "--repeat", "2", "--policy", "used-allocators")
    assert told.code == 1
    lines = told.out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("use-after-free: "))
    assert lines[start + 1].startswith("  1. ")
    assert f"{source.name}:10" in lines[start + 1]
    assert any(f"{source.name}:19" in line for line in lines[start + 2 :])
    report = cli("run", source, "--repeat", "2", "--policy", "used-allocators", "--json")
    assert report.code == 1
    assert [left["kind"] for left in report.json["leftovers"]] == ["use-after-free"]
    assert len(report.json["leftovers"][0]["life"]) >= 3


def test_a_rejected_program_does_not_run(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "leak.bpf.c"
    source.write_text(PROGRAMS.replace("unit_free(p);", 'bpf_printk("gone");'))
    result = cli("run", source, "-p", "free_it", "--json")
    assert result.code == 1
    assert result.json["retval"] is None
    assert result.json["error"]["type"] == "VerifierError"
    assert str(source) in result.err


def test_a_program_that_is_not_known_does_not_run(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "trie.bpf.c"
    source.write_text(
        "#include <bpfheap.h>\nstruct { __uint(type, BPF_MAP_TYPE_STRUCT_OPS); "
        '__uint(max_entries, 1); __type(key, __u64); __type(value, __u64); } m SEC(".maps");\n'
        'extern int CONFIG_HZ __attribute__((section(".kconfig")));\n'
        'SEC("tc") int p(void *c) { __u64 k = CONFIG_HZ; return !bpf_map_lookup_elem(&m, &k); }\n'
    )
    result = cli("run", source, "--json", "--kconfig", "none")
    assert result.code == 4
    assert result.json["error"]["type"] == "Unsupported"
    assert result.json["error"]["missing"] == ["CONFIG_HZ", "STRUCT_OPS"]
    assert f"{source}:4: bpfheap does not know CONFIG_HZ" in result.err
    assert "    STRUCT_OPS\n" in result.err


@pytest.fixture
def compiler() -> None:
    pytest.importorskip("bpfheap.machine.native._core")
    pytest.importorskip("llvmlite")


@pytest.mark.usefixtures("compiler")
def test_a_program_is_compiled(cli: Cli, programs: Path) -> None:
    run = ["run", str(programs), "-p", "sum", "--ctx", "0203", "--machine", "native"]
    compiled = cli(*run, "--json").json
    assert compiled["retval"] == 5
    assert compiled["compilation"]["why_not"] is None
    assert compiled["compilation"]["bytes"] > 0
    assert "compiled in" in cli(*run, "--jit").out
    interpreted = cli(*run, "--no-jit", "--json").json
    assert (interpreted["retval"], interpreted["compilation"]) == (5, None)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("form", ["ir", "asm"])
def test_code_is_shown(cli: Cli, programs: Path, form: str) -> None:
    run = ["run", str(programs), "-p", "count", f"--dump-{form}"]
    shown = cli(*run).out
    assert "return n ? ++*n : 0;" in shown
    assert "count returned 1" in shown
    said = cli(*run, "--json").json
    assert list(said["code"]) == [form]
    assert said["code"][form] in shown
    assert said["machine"] == "native"


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("machine", ["model", "native"])
def test_a_bound_on_memory(cli: Cli, tmp_path: Path, machine: str) -> None:
    path = tmp_path / "large.bpf.c"
    path.write_text(PROGRAMS.replace("max_entries, 1)", "max_entries, 1000)"))
    ran = cli("run", str(path), "--machine", machine, "--memory", "1K")
    assert ran.code == 1
    assert "ENOMEM" in ran.out + ran.err
    assert cli("run", str(path), "--machine", machine, "--memory", "much").code == 2


@pytest.mark.usefixtures("compiler")
def test_a_budget(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "long.bpf.c"
    path.write_text(
        '#include <bpfheap.h>\nSEC("syscall") int f(long *ctx)\n'
        "{ long i, sum = 0; bpf_for(i, 0, 100000) sum += ctx[0]; return sum; }\n"
        'char LICENSE[] SEC("license") = "GPL";\n'
    )
    for machine in ("model", "native"):
        ran = cli("run", str(path), "--machine", machine, "--budget", "1000")
        assert ran.code == 1
        assert "without coming to an end" in ran.err
    assert cli("run", str(path), "--machine", "native").code == 0
