"""Programs: sections, subprograms, references, source lines."""

from __future__ import annotations

import re
import struct

import pytest
from elf_objects import Image, build, compiler, fault_of, spec_of

from bpfheap.btf import Func
from bpfheap.compile import Compiler
from bpfheap.errors import ElfError, RelocationError
from bpfheap.isa import Insn, Kind, op_of
from bpfheap.spec import ProgramSpec, Ref, RefKind
from bpfheap.verifier import verify

__all__ = ["compiler"]

SOURCE = """
int counter;
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, __u64);
} table SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ALLOCATOR); } ma SEC(".maps");
struct foo { int var; };

static __noinline int leaf(int a) { return a * counter; }
__noinline int global_sub(int a) { counter++; return leaf(a) + leaf(a + 1); }
__hidden __noinline int hidden_sub(int a) { counter--; return leaf(a); }
static __noinline int unused_by_b(int a) { return leaf(a) ^ 5; }
static long visit(void *map, __u32 *key, __u64 *value, void *ctx) { counter += *value; return 0; }

SEC("tc")
int a(struct __sk_buff *skb)
{
    bpf_for_each_map_elem(&table, visit, NULL, 0);
    return global_sub(skb->len) + unused_by_b(3) + hidden_sub(4);
}

SEC("tc")
int b(struct __sk_buff *skb)
{
    struct foo *p = bpf_mem_alloc(&ma, type_id_local(struct foo));
    if (p)
        unit_free(p);
    return global_sub(1);
}

static __noinline SEC("tc") int in_same_section(int x) { return x + counter; }

SEC("tc")
int c(struct __sk_buff *skb) { return in_same_section(skb->len); }

SEC("?xdp")
int d(struct xdp_md *ctx) { return XDP_PASS; }

extern const int kernel_variable __ksym;
SEC("raw_tp/x")
int e(void *ctx) { return (long)&kernel_variable >> 3; }

char _license[] SEC("license") = "Dual MIT/GPL";
"""


def names(program: ProgramSpec) -> list[str]:
    return [s.name for s in program.subprogs]


def test_sections_and_license(compiler: Compiler) -> None:
    spec = spec_of(SOURCE, compiler)

    sections = {n: p.section for n, p in spec.programs.items()}
    assert sections == {"a": "tc", "b": "tc", "c": "tc", "d": "?xdp", "e": "raw_tp/x"}
    assert list(sections) == ["a", "b", "c", "d", "e"]
    assert spec.license == "Dual MIT/GPL"
    assert {p.license for p in spec.programs.values()} == {spec.license}


def test_a_program_is_its_entry_and_what_it_reaches(compiler: Compiler) -> None:
    programs = spec_of(SOURCE, compiler).programs

    assert set(names(programs["a"])) == {
        "a", "visit", "global_sub", "unused_by_b", "hidden_sub", "leaf",
    }  # fmt: skip
    assert names(programs["b"]) == ["b", "global_sub", "leaf"]
    assert names(programs["c"]) == ["c", "in_same_section"]
    assert names(programs["d"]) == ["d"]
    for program in programs.values():
        assert program.subprogs[0].name == program.name
        ends = [0, *(s.end for s in program.subprogs)]
        assert [s.start for s in program.subprogs] == ends[:-1]
        assert ends[-1] == len(program.insns)


def test_which_subprograms_are_verified_on_their_own(compiler: Compiler) -> None:
    subprogs = {s.name: s for s in spec_of(SOURCE, compiler).programs["a"].subprogs}

    is_global = {n: s.is_global for n, s in subprogs.items()}
    assert is_global == {
        "a": True, "global_sub": True, "visit": False, "unused_by_b": False, "leaf": False,
        "hidden_sub": False,
    }  # fmt: skip


STATIC = """
#include <bpfheap.h>
static __noinline SEC("kprobe/called") int called(int x) { return x * bpf_get_prandom_u32(); }
static __attribute__((used)) SEC("kprobe/alone") int alone(void *ctx) { return called(2); }
static __attribute__((used)) SEC("perf_event/other") int other(void *ctx) { return called(3); }
static __attribute__((used)) int kept(void *ctx) { return 1; }
"""


def test_a_static_function_that_nobody_calls_is_a_program(compiler: Compiler) -> None:
    spec = spec_of(STATIC, compiler)
    assert {n: p.section for n, p in spec.programs.items()} == {
        "alone": "kprobe/alone",
        "other": "perf_event/other",
    }
    assert names(spec.programs["alone"]) == ["alone", "called"]


def test_functions_have_their_btf(compiler: Compiler) -> None:
    spec = spec_of(SOURCE, compiler)
    for program in spec.programs.values():
        for sub in program.subprogs:
            func = spec.btf[sub.func_id]
            assert isinstance(func, Func)
            assert func.name == sub.name


def test_local_calls_lead_to_function_starts(compiler: Compiler) -> None:
    for program in spec_of(SOURCE, compiler).programs.values():
        starts = {s.start: s.name for s in program.subprogs}
        called = set()
        for slot, insn in enumerate(program.insns):
            if insn.opcode and op_of(insn).kind is Kind.CALL_LOCAL:
                called.add(starts[slot + 1 + insn.imm])
        taken = {r.name for r in program.refs.values() if r.kind is RefKind.FUNC}
        assert called | taken == set(names(program)[1:])


def test_references(compiler: Compiler) -> None:
    programs = spec_of(SOURCE, compiler).programs

    def refs(name: str, *kinds: RefKind) -> list[Ref]:
        return [r for r in programs[name].refs.values() if r.kind in kinds]

    visit = next(s for s in programs["a"].subprogs if s.name == "visit")
    assert refs("a", RefKind.MAP) == [Ref(RefKind.MAP, "table")]
    assert refs("a", RefKind.FUNC) == [Ref(RefKind.FUNC, "visit", target=visit.start)]
    assert set(refs("a", RefKind.MAP_VALUE)) == {Ref(RefKind.MAP_VALUE, ".bss", 0)}
    assert refs("b", RefKind.KFUNC) == [
        Ref(RefKind.KFUNC, "bpf_mem_alloc"),
        Ref(RefKind.KFUNC, "unit_free"),
    ]
    assert refs("e", RefKind.KSYM) == [Ref(RefKind.KSYM, "kernel_variable")]


def test_instructions_say_what_their_immediate_is(compiler: Compiler) -> None:
    expected = {
        RefKind.MAP: "map",
        RefKind.MAP_VALUE: "map_value",
        RefKind.FUNC: "func",
        RefKind.KSYM: "var",
        RefKind.KFUNC: "call",
    }
    for program in spec_of(SOURCE, compiler).programs.values():
        for slot, ref in program.refs.items():
            insn = program.insns[slot]
            op = op_of(insn, slot)
            assert op.name == expected[ref.kind]
            if ref.kind is RefKind.KFUNC:
                assert (op.kind, insn.imm) == (Kind.CALL_KFUNC, 0)
            elif ref.kind is RefKind.FUNC:
                assert slot + 1 + insn.imm == ref.target
            else:
                assert insn.imm == 0
                assert program.insns[slot + 1] == Insn(0, imm=ref.offset)


def test_source_lines(compiler: Compiler) -> None:
    # Line 1 is the #include that `build` puts in front.
    wanted = next(i for i, s in enumerate(SOURCE.splitlines(), 2) if "bpf_mem_alloc" in s)
    program = spec_of(SOURCE, compiler).programs["b"]

    slot = next(s for s, r in program.refs.items() if r.name == "bpf_mem_alloc")
    line = program.line_of(slot)
    assert line is not None
    assert (line.line, line.file.rpartition("/")[2]) == (wanted, "test.bpf.c")
    assert line.text.strip() == "struct foo *p = bpf_mem_alloc(&ma, type_id_local(struct foo));"
    assert line.column > 0
    assert list(program.lines) == sorted(program.lines)
    leaf = next(s for s in program.subprogs if s.name == "leaf")
    inside = program.line_of(leaf.end - 1)
    assert inside is not None
    assert "leaf(int a)" in inside.text


def test_what_is_not_btf_is_not_needed() -> None:
    """Without -g there are no lines and no types, but still programs."""
    source = 'SEC("tc") int p(void *ctx) { return 3; }'
    spec = Image(build(source, cflags=("-g0",))).load()

    assert spec.programs["p"].lines == {}
    assert spec.programs["p"].subprogs[0].func_id == 0
    assert len(spec.btf) == 1


REFERENCES_TO_NOTHING = [
    (
        "int missing(int); SEC(\"tc\") int p(void *ctx) { return missing(1); }",
        r"test\.bpf\.c:2: missing is used, but never defined \(define it in this file",
    ),
    (
        "extern int missing; SEC(\"tc\") int p(void *ctx) { return missing; }",
        "missing is used, but never defined",
    ),
    (
        'int v SEC("strange") = 1; SEC("tc") int p(void *ctx) { return v; }',
        "a reference to v, which is neither code nor data",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("source", "message"), REFERENCES_TO_NOTHING)
def test_references_to_nothing(source: str, message: str, compiler: Compiler) -> None:
    fault = fault_of(spec_of(source, compiler))
    assert isinstance(fault, RelocationError)
    assert re.search(message, str(fault))


def test_configuration_values_are_references(compiler: Compiler) -> None:
    spec = spec_of(
        'extern int CONFIG_HZ __attribute__((section(".kconfig"))); '
        'SEC("tc") int p(void *ctx) { return CONFIG_HZ; }',
        compiler,
    )
    assert Ref(RefKind.KCONFIG, "CONFIG_HZ") in spec.programs["p"].refs.values()


MIXED = """
extern int nowhere;
static __noinline int shared(int a) { return a * nowhere; }
static __noinline int apart(int a) { return a * bpf_get_prandom_u32(); }
SEC("tc") int bad(struct __sk_buff *skb) { return shared(skb->len); }
SEC("tc") int good(struct __sk_buff *skb) { return apart(skb->len); }
SEC("tc") int worse(struct __sk_buff *skb) { return shared(skb->mark) + apart(1); }
SEC("xdp") int fine(struct xdp_md *ctx) { return 2; }
"""


def test_one_fault_costs_the_programs_that_have_it(compiler: Compiler) -> None:
    programs = spec_of(MIXED, compiler).programs
    assert list(programs) == ["bad", "good", "worse", "fine"]
    assert {name for name, p in programs.items() if p.broken is not None} == {"bad", "worse"}
    assert "test.bpf.c:4: nowhere is used, but never defined" in str(programs["bad"].broken)
    assert names(programs["worse"]) == ["worse", "shared", "apart"]


def test_a_fault_that_no_program_reaches_costs_nothing() -> None:
    source = 'extern int nowhere; int unused(void) { return nowhere; } SEC("tc") int p(void *c) '
    assert spec_of(source + "{ return 1; }").programs["p"].broken is None


def test_relocations_of_nothing_are_skipped() -> None:
    spec = edited(0, type=0, symbol=9999).load()
    assert isinstance(fault_of(spec), RelocationError)
    # What it stood at is a call that leads to itself now, and not the relocation's fault.
    assert "calls" in str(fault_of(spec))
    image = Image(build(CALLS))
    before = image.load()
    image.append(".reltc", image.content(".reltc") + bytes(16))
    assert image.load().programs == before.programs


ARENA = """
%s
__attribute__((section(".addr_space.1"))) int first = 1, there = 7;
SEC("tc") int p(void *ctx) { return there; }
"""
MAP = """struct { __uint(type, 33); __uint(map_flags, 1024); __uint(max_entries, %d); }
arena SEC(".maps");"""


def test_variables_in_an_arena(compiler: Compiler) -> None:
    spec = spec_of(ARENA % (MAP % 4), compiler)
    program, arena = spec.programs["p"], spec.maps["arena"]
    (ref,) = program.refs.values()
    assert (ref.kind, ref.name, ref.offset) == (RefKind.MAP_VALUE, "arena", 4)
    assert arena.variables == struct.pack("<ii", 1, 7)


def test_variables_without_an_arena(compiler: Compiler) -> None:
    with pytest.raises(ElfError, match="has variables, and there is no arena for them"):
        spec_of(ARENA % "", compiler)
    with pytest.raises(ElfError, match="map arena is too small for the 8 bytes"):
        spec_of(ARENA % (MAP % 0), compiler)


CALLS = """
static __noinline int leaf(int a) { return a * bpf_get_prandom_u32(); }
__noinline int sub(int a) { return leaf(a) + leaf(a + 1); }
SEC("tc") int p(void *ctx) { return sub(1); }
"""


def edited(reloc: int, **changes: int) -> Image:
    """CALLS, with the offset, type or symbol of a relocation of section tc changed."""
    image = Image(build(CALLS))
    at = image.section(".reltc")["offset"] + 16 * reloc
    info = int.from_bytes(image.data[at + 8 : at + 16], "little")
    fields = {
        "offset": int.from_bytes(image.data[at : at + 8], "little"),
        "type": info & 0xFFFFFFFF,
        "symbol": info >> 32,
    } | changes
    new = fields["offset"].to_bytes(8, "little") + fields["type"].to_bytes(4, "little")
    return image.patch(".reltc", 16 * reloc, new + fields["symbol"].to_bytes(4, "little"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": 77}, r"unknown relocation 77 at byte 8 .*R_BPF_64_64 \(1\)"),
        ({"type": 1}, "R_BPF_64_64 at byte 8 .* does not fit the instruction"),
        ({"type": 2}, "R_BPF_64_ABS64 at byte 8 .* does not fit"),
        ({"offset": 12}, "R_BPF_64_32 at byte 12 .* does not fit"),
        ({"symbol": 0}, "a symbol without name is used, but never defined"),
    ],
)
def test_broken_relocations(changes: dict[str, int], message: str) -> None:
    fault = fault_of(edited(0, **changes).load())
    assert isinstance(fault, RelocationError)
    assert re.search(message, str(fault))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offset": 1 << 40}, "a relocation at byte 1099511627776 .* is out of it"),
        ({"symbol": 9999}, "is against symbol 9999, but there are only"),
    ],
)
def test_broken_tables_of_relocations(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ElfError, match=message):
        edited(0, **changes).load()


def test_a_call_into_a_function() -> None:
    image = Image(build(CALLS))
    slot = int.from_bytes(image.content(".reltc")[:8], "little") // 8
    image.patch("tc", 8 * slot + 4, (0).to_bytes(4, "little"))  # was -1: the function's start
    assert "calls sub, where no function starts" in str(fault_of(image.load()))


def test_a_program_without_end() -> None:
    image = Image(build('SEC("tc") int p(void *ctx) { return 3; }'))
    size = image.section("tc")["size"]
    image.patch("tc", size - 8, bytes([0xB7, 0, 0, 0, 0, 0, 0, 0]))  # r0 = 0, where exit was
    spec = image.load()
    error = verify(spec, spec.programs["p"]).error
    assert error is not None
    assert re.search(r"test\.bpf\.c:2: last insn .*\n.*without end.*exit", str(error))
    assert error.insn == size // 8 - 1


def test_overlapping_functions() -> None:
    source = """
    __noinline int one(int a) { return a * bpf_get_prandom_u32(); }
    __attribute__((alias("one"))) int two(int a);
    SEC("tc") int p(void *ctx) { return one(1) + two(2); }
    """
    with pytest.raises(ElfError, match=r"functions .* overlap in section \.text .*aliases"):
        spec_of(source)


def test_two_programs_of_one_name() -> None:
    source = 'SEC("tc") int p1(void *ctx) { return 3; } SEC("xdp") int p2(void *ctx) { return 3; }'
    image = Image(build(source)).replace(b"\0p2\0", b"\0p1\0")
    with pytest.raises(ElfError, match="two programs are called p1"):
        image.load()


def test_objects_have_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many programs that share large subprograms would make much out of a small file."""
    monkeypatch.setattr("bpfheap.elf.link.MAX_SLOTS", 20)
    with pytest.raises(ElfError, match="the programs have more than 20 instructions together"):
        spec_of(CALLS + 'SEC("tc") int q(void *ctx) { return sub(1); }')
