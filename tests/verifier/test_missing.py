"""What bpfheap does not know is neither accepted nor rejected, and all of it is named."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import bpfheap
from bpfheap.btf import Btf
from bpfheap.compile import object_spec
from bpfheap.errors import RelocationError, UnofferedInsn, Unsupported, VerifierError
from bpfheap.isa import Insn
from bpfheap.platform.maps import BY_NAME
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec, Ref, RefKind
from bpfheap.verifier import Options, VerdictKind, verify
from bpfheap.verifier.walk import explained

MAPS = """
#define MAP(NAME, TYPE) struct { __uint(type, TYPE); __uint(max_entries, 4); \
    __type(key, __u64); __type(value, __u64); } NAME SEC(".maps")
MAP(trie, BPF_MAP_TYPE_STRUCT_OPS);
MAP(odd, 4242);
MAP(hash, BPF_MAP_TYPE_HASH);
struct trie_like { __uint(type, BPF_MAP_TYPE_STRUCT_OPS); __uint(max_entries, 4);
    __type(key, __u64); __type(value, __u64); };
struct { __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 4);
    __type(key, __u64); __array(values, struct trie_like); } outer SEC(".maps");
extern int CONFIG_HZ __attribute__((section(".kconfig")));
extern const int runqueues __ksym;
extern int nowhere;
void bpf_made_up(void) __ksym;
void bpf_task_work_schedule(__u64) __ksym;
static long (*send_ack)(void) = (void *)116;
static long (*bpf_future)(void) = (void *)4000;
const volatile int debug = 0;
__noinline int tagged(const volatile int *p __attribute__((btf_decl_tag("arg:arena"))))
{ return *p; }
#define __uptr __attribute__((btf_type_tag("uptr")))
struct page { int number; };
struct pages { struct { struct page __uptr *ptr; } of[2]; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4);
    __type(key, __u64); __type(value, struct pages); } shared SEC(".maps");
"""

SEND_ACK = "bpf_tcp_send_ack#116"

#: Name, section, body, and what is missing (a tuple), or the verdict.
PROGRAMS: list[tuple[str, str, str, tuple[str, ...] | str]] = [
    ("helper", "tc", "return send_ack();", (SEND_ACK,)),
    ("kfunc", "tc", "bpf_made_up(); return 0;", ("bpf_made_up",)),
    ("map_type", "tc", "__u64 k = 0; return !bpf_map_lookup_elem(&trie, &k);", ("STRUCT_OPS",)),
    ("inner_type", "tc", "__u64 k; return !bpf_map_lookup_elem(&outer, &k);", ("STRUCT_OPS",)),
    ("section", "struct_ops/x", "return 0;", ('SEC("struct_ops")',)),
    ("no_section", "?cgroup/nonsense", "return 0;", ('SEC("cgroup/nonsense")',)),
    ("variable", "tc", "return (long)&runqueues >> 3;", ("runqueues",)),
    ("config", "tc", "return CONFIG_HZ;", ("CONFIG_HZ",)),
    ("tag", "tc", "int n = ctx->len; return tagged(&n);", ("arg:arena",)),
    ("user_pointer", "tc", "__u64 k = 0; return !bpf_map_lookup_elem(&shared, &k);",
     ("__uptr",)),
    ("user_pointer_and_more", "freplace/x",
     "__u64 k = 0; bpf_made_up(); return !bpf_map_lookup_elem(&shared, &k);",
     ('SEC("freplace")', "bpf_made_up", "__uptr")),
    (
        "several",
        "tc",
        "__u64 k = ctx->len; "
        "if (bpf_map_lookup_elem(&trie, &k)) bpf_made_up(); "
        "send_ack(); bpf_map_delete_elem(&hash, &k); "
        "if (k == 3) bpf_future(); bpf_made_up(); bpf_task_work_schedule(0); return CONFIG_HZ;",
        ("STRUCT_OPS", "bpf_made_up", SEND_ACK, "bpf_task_work_schedule",
         "CONFIG_HZ"),
    ),
    (
        "section_and_more",
        "freplace/x",
        "bpf_made_up(); return CONFIG_HZ;",
        ('SEC("freplace")', "bpf_made_up", "CONFIG_HZ"),
    ),
    ("dead", "tc", "if (debug) { bpf_made_up(); return CONFIG_HZ; } return 0;", "accept"),
    ("dead_helper", "tc", "return debug ? send_ack() : 7;", "accept"),
    (
        "dead_map",
        "tc",
        "__u64 k = 0; if (debug) return !bpf_map_lookup_elem(&trie, &k); return 0;",
        "accept",
    ),
    ("beyond", "tc", "return bpf_future();", "reject"),
    ("no_map_type", "tc", "__u64 k = 0; return !bpf_map_lookup_elem(&odd, &k);", "reject"),
    ("unlinked", "tc", "return nowhere;", "reject"),
    ("unlinked_and_more", "tc", "bpf_made_up(); return nowhere;", "reject"),
    ("rejected_first", "tc", "int i = *(volatile int *)(long)ctx->len; bpf_made_up(); "
     "return i;", "reject"),
]  # fmt: skip


@cache
def compiled() -> ObjectSpec:
    """One file with all of them."""
    code = [
        f'SEC("{section}") int {name}(struct __sk_buff *ctx) {{ {body} }}'
        for name, section, body, _ in PROGRAMS
    ]
    lines = ["#include <bpfheap.h>", MAPS, *code, 'char LICENSE[] SEC("license") = "GPL";']
    with TemporaryDirectory() as folder:
        source = Path(folder) / "missing.bpf.c"
        source.write_text("\n".join(lines))
        return object_spec(source)


@pytest.mark.parametrize(("name", "section", "body", "said"), PROGRAMS, ids=lambda case: str(case))
def test_verdicts(name: str, section: str, body: str, said: tuple[str, ...] | str) -> None:
    obj = compiled()
    for explain in (True, False):
        verdict = verify(obj, obj.programs[name], Options(explain=explain))
        if isinstance(said, str):
            assert verdict.kind == said, str(verdict.error)
            assert verdict.missing == ()
            assert isinstance(verdict.error, VerifierError) is (said == "reject")
            continue
        assert verdict.kind is VerdictKind.UNSUPPORTED, str(verdict.error)
        assert not verdict.accepted
        assert verdict.missing == said
        assert verdict.flows == ()
        error = verdict.error
        assert isinstance(error, Unsupported)
        assert error.missing == said
        assert "bpfheap does not know" in error.message or "bpfheap knows" in error.message
        assert error.file is not None
        assert error.line is not None
        assert error.hint
        assert (error.path, error.history) == ((), ())
        assert error.to_json()["missing"] == list(said)


def test_an_annotation_ends_where_the_verdict_does() -> None:
    obj = compiled()
    verdict, known = explained(obj, obj.programs["several"])
    assert verdict.kind is VerdictKind.UNSUPPORTED
    assert known
    verdict, known = explained(obj, obj.programs["unlinked"])
    assert (verdict.kind, known) == (VerdictKind.REJECT, ())


def test_the_log_is_there_if_asked_for() -> None:
    obj = compiled()
    log = verify(obj, obj.programs["helper"], Options(log=True)).log
    assert "bpfheap does not know helper bpf_tcp_send_ack#116" in log


#: As the compiler encodes what no row of isa/ops.py is.
INSNS = {
    "addr_space_cast": Insn(0xBF, dst=0, src=1, off=1, imm=1),
}


def of_code(*insns: Insn, broken: Exception | None = None, section: str = "tc") -> ProgramSpec:
    return ProgramSpec("p", section, insns, {}, (), {}, Btf.EMPTY, "GPL", "x.o", broken)  # type: ignore[arg-type]


def nothing(program: ProgramSpec) -> ObjectSpec:
    return ObjectSpec("x.o", Btf.EMPTY, {}, {"p": program})


@pytest.mark.parametrize("name", INSNS)
def test_instructions(name: str) -> None:
    """They cannot be walked around: where they are, nobody knows what is code."""
    program = of_code(Insn(0xB7), INSNS[name], Insn(0x85, imm=116), Insn(0x95))
    verdict = verify(nothing(program), program)
    assert verdict.missing == (name, SEND_ACK)
    assert verdict.error is not None
    assert verdict.error.insn == 1
    assert f"bpfheap does not know instruction {name}" in verdict.error.message


def test_what_is_no_instruction_is_rejected() -> None:
    for insn in (
        INSNS["addr_space_cast"]._replace(dst=11),
        INSNS["addr_space_cast"]._replace(off=2),
        INSNS["addr_space_cast"]._replace(imm=0),
        Insn(0xDB, dst=0, src=10, off=-8, imm=0x120),
    ):
        program = of_code(Insn(0xB7), insn, Insn(0x95))
        assert verify(nothing(program), program).kind is VerdictKind.REJECT


@pytest.mark.parametrize(
    ("broken", "missing"),
    [
        (RelocationError("no such thing", line=3), None),
        (
            Unsupported("an arena", missing=("ARENA",), line=3),
            ("ARENA", SEND_ACK),
        ),
        (UnofferedInsn("x", name="cast", line=3), ("cast", SEND_ACK)),
    ],
)
def test_what_could_not_be_linked(broken: Exception, missing: tuple[str, ...] | None) -> None:
    program = of_code(Insn(0x85, imm=116), Insn(0x95), broken=broken)
    verdict = verify(nothing(program), program)
    assert verdict.kind == ("reject" if missing is None else "unsupported")
    assert verdict.missing == (missing or ())
    assert verdict.error is not None
    assert verdict.error.__cause__ is broken
    assert verdict.error.line == 3
    assert verdict.insns_processed == 0


def test_map_types_are_named_however_a_map_is_used() -> None:
    """By its address in a value, too, and as the template of a map that itself is unknown."""
    inner = MapSpec("inner", 26, 8, 8, 4, Btf.EMPTY)
    maps = {
        "m": MapSpec("m", 26, 4, 4, 1, Btf.EMPTY, inner=inner),
        "fine": MapSpec("fine", BY_NAME["array"].number, 4, 4, 1, Btf.EMPTY),
    }
    refs = {0: Ref(RefKind.MAP_VALUE, "m"), 2: Ref(RefKind.MAP, "fine"), 4: Ref(RefKind.MAP, "no")}
    code = tuple(i for src in (2, 1, 1) for i in (Insn(0x18, dst=1, src=src), Insn(0)))
    program = ProgramSpec(
        "p", "tc", (*code, Insn(0xB7), Insn(0x95)), refs, (), {}, Btf.EMPTY, "GPL"
    )
    obj = ObjectSpec("x.o", Btf.EMPTY, maps, {"p": program})
    assert verify(obj, program).missing == ("STRUCT_OPS", "STRUCT_OPS")


# -- what is loaded


def test_checks_have_all_verdicts() -> None:
    kinds = {program.name: verdict.kind for program, verdict in bpfheap.check(compiled())}
    wanted = {
        name: VerdictKind.UNSUPPORTED if isinstance(said, tuple) else said
        for name, _, _, said in PROGRAMS
    }
    assert kinds == wanted


def test_loading_tells_all_that_is_missing() -> None:
    with bpfheap.Runtime() as rt:
        with pytest.raises(Unsupported) as seen:
            rt.load(compiled(), programs=["several"])
        assert len(seen.value.missing) == 5
        with pytest.raises(RelocationError, match="nowhere is used"):
            rt.load(compiled(), programs=["unlinked"])
        assert rt.system.maps == {}


@pytest.mark.parametrize("machine", ["model", "native"])
def test_what_is_not_asked_for_costs_nothing(machine: str) -> None:
    with bpfheap.Runtime(machine=machine) as rt:
        obj = rt.load(without("odd"), programs=["dead_helper"])
        assert obj.programs["dead_helper"].run(data=bytes(64)).retval == 7
        assert set(obj.maps) == {"hash", "shared", ".rodata"}


def test_a_map_that_dead_code_names_is_not_there() -> None:
    with (
        bpfheap.Runtime() as rt,
        pytest.raises(bpfheap.errors.MachineUnsupported, match="map trie is of type STRUCT_OPS"),
    ):
        rt.load(without("odd"), programs=["dead_map"])


def without(name: str) -> ObjectSpec:
    obj = compiled()
    maps = {key: spec for key, spec in obj.maps.items() if key != name}
    return ObjectSpec(obj.file, obj.btf, maps, obj.programs, obj.license)
