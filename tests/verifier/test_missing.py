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
from bpfheap.isa import Insn, ops
from bpfheap.platform.linux import HELPER_NAMES, MAP_TYPE_NAMES
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
static long (*later)(void) = (void *)212;
static long (*bpf_future)(void) = (void *)4000;
const volatile int debug = 0;
"""

#: Linux 6.18 has no helper that bpfheap does not know; a later version may have one, and a type of
#: map.
NUMBER, TYPE = 212, 40
LATER_CALL = f"bpf_later#{NUMBER}"


@pytest.fixture(autouse=True)
def _more_of_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HELPER_NAMES, NUMBER, "bpf_later")
    monkeypatch.setitem(MAP_TYPE_NAMES, TYPE, "LATER")


#: Name, section, body, and what is missing (a tuple), or the verdict.
PROGRAMS: list[tuple[str, str, str, tuple[str, ...] | str]] = [
    ("helper", "tc", "return later();", (LATER_CALL,)),
    ("kfunc", "tc", "bpf_made_up(); return 0;", ("bpf_made_up",)),
    ("map_type", "tc", "__u64 k = 0; return !bpf_map_lookup_elem(&trie, &k);", ("STRUCT_OPS",)),
    ("inner_type", "tc", "__u64 k; return !bpf_map_lookup_elem(&outer, &k);", ("STRUCT_OPS",)),
    ("section", "freplace/x", "return 0;", ('SEC("freplace")',)),
    ("no_section", "?cgroup/nonsense", "return 0;", ('SEC("cgroup/nonsense")',)),
    ("variable", "tc", "return (long)&runqueues >> 3;", ("runqueues",)),
    ("config", "tc", "return CONFIG_HZ;", ("CONFIG_HZ",)),
    (
        "several",
        "tc",
        "__u64 k = ctx->len; "
        "if (bpf_map_lookup_elem(&trie, &k)) bpf_made_up(); "
        "later(); bpf_map_delete_elem(&hash, &k); "
        "if (k == 3) bpf_future(); bpf_made_up(); bpf_task_work_schedule(0); return CONFIG_HZ;",
        ("STRUCT_OPS", "bpf_made_up", LATER_CALL, "bpf_task_work_schedule",
         "CONFIG_HZ"),
    ),
    (
        "section_and_more",
        "freplace/x",
        "bpf_made_up(); return CONFIG_HZ;",
        ('SEC("freplace")', "bpf_made_up", "CONFIG_HZ"),
    ),
    ("dead", "tc", "if (debug) { bpf_made_up(); return CONFIG_HZ; } return 0;", "accept"),
    ("dead_helper", "tc", "return debug ? later() : 7;", "accept"),
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
    assert f"bpfheap does not know helper {LATER_CALL}" in log


#: All that Linux 6.18 has is a row of isa/ops.py; one that a later version might add.
LATER = Insn(0xBF, dst=0, src=1, off=2, imm=1)
CAST = Insn(0xBF, dst=0, src=1, off=1, imm=1)


def of_code(*insns: Insn, broken: Exception | None = None, section: str = "tc") -> ProgramSpec:
    return ProgramSpec("p", section, insns, {}, (), {}, Btf.EMPTY, "GPL", "x.o", broken)  # type: ignore[arg-type]


def nothing(program: ProgramSpec) -> ObjectSpec:
    return ObjectSpec("x.o", Btf.EMPTY, {}, {"p": program})


def test_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """They cannot be walked around: where they are, nobody knows what is code."""
    name = "made_up"
    monkeypatch.setitem(ops._UNOFFERED, LATER.opcode, ((name, LATER.off, (LATER.imm,)),))
    program = of_code(Insn(0xB7), LATER, Insn(0x85, imm=NUMBER), Insn(0x95))
    verdict = verify(nothing(program), program)
    assert verdict.missing == (name, LATER_CALL)
    assert verdict.error is not None
    assert verdict.error.insn == 1
    assert f"bpfheap does not know instruction {name}" in verdict.error.message


def test_what_is_no_instruction_is_rejected() -> None:
    for insn in (
        CAST._replace(dst=11),
        CAST._replace(off=2),
        CAST._replace(imm=0),
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
            ("ARENA", LATER_CALL),
        ),
        (UnofferedInsn("x", name="cast", line=3), ("cast", LATER_CALL)),
    ],
)
def test_what_could_not_be_linked(broken: Exception, missing: tuple[str, ...] | None) -> None:
    program = of_code(Insn(0x85, imm=NUMBER), Insn(0x95), broken=broken)
    verdict = verify(nothing(program), program)
    assert verdict.kind == ("reject" if missing is None else "unsupported")
    assert verdict.missing == (missing or ())
    assert verdict.error is not None
    assert verdict.error.__cause__ is broken
    assert verdict.error.line == 3
    assert verdict.insns_processed == 0


def test_map_types_are_named_however_a_map_is_used() -> None:
    """By its address in a value, too, and as the template of a map that itself is unknown."""
    inner = MapSpec("inner", TYPE, 8, 8, 4, Btf.EMPTY)
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
    assert verify(obj, program).missing == ("STRUCT_OPS", "LATER")


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
        assert set(obj.maps) == {"hash", ".rodata"}


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
