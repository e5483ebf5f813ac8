"""CO-RE relocations and externs, against the types of a kernel."""

from __future__ import annotations

import contextlib
import functools
import random
import re

import pytest
from elf_objects import build, fault_of
from kernels import KernelOf, spec_for, types_of

from bpfheap.btf import (
    BtfBuilder,
    CoreKind,
    CoreRelocation,
    CoreResult,
    CoreTarget,
    FuncProto,
    Int,
    LazyBtf,
    Member,
    Param,
    Ptr,
    Struct,
    Typedef,
    Union,
)
from bpfheap.elf import load_spec
from bpfheap.elf.patch import BAD_KFUNC, BAD_RELO, apply
from bpfheap.errors import BpfheapError, BtfError, RelocationError
from bpfheap.isa import Insn
from bpfheap.kernel import Kernel
from bpfheap.spec import ObjectSpec, Ref, RefKind
from bpfheap.verifier import verify
from split_btf import split

KERNEL = """
struct list { struct list *next; };
enum state { RUNNING, STOPPED = 5, GONE___x = 9 };
enum wide { WIDE = 0x123456789aLL };
typedef int number;
struct flexible { int count; char tail[]; };
struct task {
	__u64 pad;
	int pid;
	__u32 flags : 3;
	__s32 prio : 5;
	union { struct { int a; char name[16]; }; __u64 wide; };
	struct list *head;
	__u32 small;
	enum state state;
	struct { short x, y; } points[4];
	struct flexible flexible;
};
union task_or { int one; };
struct task___2 { char renamed; };
struct twice { int pad, a; };
struct twice___2 { int a; };
typedef int (*handler)(struct task *, long);

struct task a; union task_or b; struct task___2 c; struct twice d; struct twice___2 e;
handler f; number g; enum wide h;
"""

PROGRAM = """
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct list { struct list *other; };
struct point { short y; };
enum state { STOPPED = 1, RUNNING___here, NEVER };
enum wide { WIDE };
enum nowhere { NOWHERE };
struct flexible { char tail[4]; };
struct task {
	char name[8];
	int pid;
	unsigned prio : 1;
	unsigned flags : 9;
	long a;
	struct list *head;
	struct { short y; } points[9];
	struct flexible flexible;
	int gone;
	struct list small;
};
struct task___2 { char renamed; };
union task_or { int one; };
struct absent { int x; };
#pragma clang attribute pop
typedef unsigned number;
typedef int (*handler)(struct task *, int);
typedef int (*handler2)(struct task *);

#define FIELD(kind, type, access) __builtin_preserve_field_info(((struct type *)0)->access, kind)
#define TYPE(kind, type) __builtin_preserve_type_info(*(typeof(type) *)0, kind)
#define VALUE(kind, type, value) __builtin_preserve_enum_value(*(typeof(type) *)value, kind)
"""


def immediate(insns: tuple[Insn, ...]) -> int:
    """What the first instruction puts into its register."""
    if insns[0].opcode == 0x18:
        return (insns[0].imm & 0xFFFFFFFF) | (insns[1].imm << 32)
    return insns[0].imm


MISSING = "missing"


VALUES: tuple[tuple[str, int | str], ...] = (
    ("FIELD(0, task, pid)", 8),
    ("FIELD(1, task, pid)", 4),
    ("FIELD(2, task, pid)", 1),
    ("FIELD(3, task, pid)", 1),
    # Of bitfields: where, and how, is up to the kernel.
    ("FIELD(0, task, prio)", 12),
    ("FIELD(1, task, prio)", 4),
    ("FIELD(3, task, prio)", 1),
    ("FIELD(3, task, flags)", 0),
    ("FIELD(4, task, prio)", 64 - 8),
    ("FIELD(5, task, prio)", 64 - 5),
    ("FIELD(4, task, flags)", 64 - 3),
    ("FIELD(5, task, flags)", 64 - 3),
    # In anonymous structs and unions.
    ("FIELD(0, task, a)", 16),
    ("FIELD(1, task, a)", 4),
    ("FIELD(0, task, name)", 20),
    ("FIELD(1, task, name)", 16),
    ("FIELD(0, task, name[7])", 27),
    ("FIELD(0, task, points[3].y)", 56 + 3 * 4 + 2),
    # Elements that the kernel does not have, but for flexible arrays.
    ("FIELD(2, task, points[4].y)", 0),
    ("FIELD(0, task, flexible.tail[3])", 72 + 4 + 3),
    # Another type of field, or none.
    ("FIELD(2, task, small)", 0),
    ("FIELD(2, task, gone)", 0),
    ("FIELD(0, task, gone)", MISSING),
    ("FIELD(5, task, gone)", MISSING),
    # Flavours, in the program and in the kernel.
    ("FIELD(2, task___2, renamed)", 1),
    ("FIELD(0, task___2, renamed)", 0),
    ("FIELD(2, absent, x)", 0),
    ("FIELD(1, absent, x)", MISSING),
    ("TYPE(0, struct absent)", 0),
    ("TYPE(1, struct absent)", 0),
    ("TYPE(2, struct absent)", 0),
    ("TYPE(0, union task_or)", 1),
    ("TYPE(1, union task_or)", 4),
    ("TYPE(2, union task_or)", 1),
    ("TYPE(2, struct list)", 0),
    ("TYPE(0, number)", 1),
    ("TYPE(2, number)", 0),
    ("TYPE(0, handler)", 1),
    ("TYPE(2, handler)", 0),
    ("TYPE(0, handler2)", 0),
    ("TYPE(0, enum state)", 1),
    ("TYPE(2, enum state)", 0),
    ("VALUE(0, enum state, STOPPED)", 1),
    ("VALUE(1, enum state, STOPPED)", 5),
    ("VALUE(1, enum state, RUNNING___here)", 0),
    ("VALUE(0, enum state, NEVER)", 0),
    ("VALUE(1, enum state, NEVER)", MISSING),
    ("VALUE(1, enum wide, WIDE)", 0x123456789A),
    ("VALUE(0, enum nowhere, NOWHERE)", 0),
)


@functools.cache
def values() -> ObjectSpec:
    programs = (
        f'SEC("tc") long value{n}(void *c) {{ return {expression}; }}'
        for n, (expression, _) in enumerate(VALUES)
    )
    return spec_for("\n".join((PROGRAM, *programs)), KernelOf(KERNEL))


@pytest.mark.parametrize("number", range(len(VALUES)), ids=lambda n: VALUES[n][0])
def test_values(number: int) -> None:
    _, expected = VALUES[number]
    program = values().programs[f"value{number}"]
    if expected != MISSING:
        assert immediate(program.insns) == expected
        assert program.refs == {}
        return
    wide = program.insns[1] == program.insns[0]
    assert program.insns[: 1 + wide] == (Insn(0x85, imm=BAD_RELO),) * (1 + wide)
    assert program.refs[0].kind is RefKind.MISSING


def test_the_id_of_a_type_is_the_kernels() -> None:
    source = f"""{PROGRAM}
    SEC("tc") long theirs(void *c) {{ return __builtin_btf_type_id(*(struct task___2 *)0, 1); }}
    SEC("tc") long mine(void *c) {{ return __builtin_btf_type_id(*(union task_or *)0, 0); }}
    SEC("tc") long none(void *c) {{ return __builtin_btf_type_id(*(struct absent *)0, 1); }}
    """
    kernel = KernelOf(
        "struct first { int x; } a; union task_or { int one; } b; struct task { int x; } c;"
    )
    spec = spec_for(source, kernel)
    types = kernel.types()
    assert types is not None
    found = {name: immediate(p.insns) for name, p in spec.programs.items()}
    assert found == {
        "theirs": next(types.named("task")), "mine": spec.btf.find("task_or"), "none": 0,
    }  # fmt: skip


def one(access: str, declaration: str) -> str:
    return f"""
    struct __attribute__((preserve_access_index)) task {{ {declaration} }};
    SEC("tc") long p(struct __sk_buff *skb)
    {{
        struct task *t = (void *)(long)skb->data;
        {access}
    }}
    """


@pytest.mark.parametrize(
    ("declaration", "theirs", "opcode"),
    [
        ("__u64 x;", "__u64 x;", 0x79),
        ("__u64 x;", "int pad; __u32 x;", 0x61),
        ("__u32 x;", "int pad; __u64 x;", 0x79),
        ("__u64 x;", "__u16 x;", 0x69),
        ("__u64 x;", "__u8 x;", 0x71),
        ("__u32 x;", "int x;", 0x61),
        ("int *x;", "struct task *x;", 0x79),
        # Signed numbers would come out wrong.
        ("long x;", "int x;", None),
        ("__u64 x;", "int x;", None),
    ],
)
def test_loads_have_the_size_that_the_kernel_has(
    declaration: str, theirs: str, opcode: int | None
) -> None:
    kernel = KernelOf(f"struct task {{ {theirs} }} a;")
    program = spec_for(one("return (long)t->x;", declaration), kernel).programs["p"]
    # The first load is that of skb->data.
    changed = program.insns[1]
    if opcode is None:
        assert changed == Insn(0x85, imm=BAD_RELO)
    else:
        types = kernel.types()
        assert types is not None
        last = types[next(types.named("task"))]
        assert isinstance(last, Struct)
        assert (changed.opcode, changed.off) == (opcode, last.members[-1].bit_offset // 8)


@pytest.mark.parametrize(
    ("insn", "result", "message"),
    [
        (
            Insn(0x61, 1, 2),
            CoreResult(0, sizes=(8, 4)),
            "accesses 4 bytes of a field that has 8",
        ),
        (Insn(0x79, 1, 2), CoreResult(0, sizes=(8, 3)), "and 3 in the kernel's"),
    ],
)
def test_sizes_that_no_load_has(insn: Insn, result: CoreResult, message: str) -> None:
    with pytest.raises(RelocationError, match=message):
        apply([insn], 0, result)


def test_a_wide_instruction_is_poisoned_as_a_whole() -> None:
    insns = [Insn(0x18, 1, imm=5), Insn(0), Insn(0x95)]
    assert not apply(insns, 0, CoreResult(0, exists=False))
    assert insns == [Insn(0x85, imm=BAD_RELO), Insn(0x85, imm=BAD_RELO), Insn(0x95)]


@pytest.mark.parametrize(
    ("kernel", "expression", "message"),
    [
        (KERNEL, "FIELD(0, twice, a)", "ambiguous: struct twice.a is at several places"),
        (
            "struct twice { int a; } a; struct twice___2 { short a; } b;",
            "FIELD(1, twice, a)",
            "ambiguous",
        ),
        ("struct twice { char x[40000]; int a; } a;", "LOAD", "40000 does not fit the offset"),
    ],
)
def test_what_cannot_be_decided(kernel: str, expression: str, message: str) -> None:
    source = f"""{PROGRAM}
    struct __attribute__((preserve_access_index)) twice {{ int a; }};
    SEC("tc") long p(struct __sk_buff *c)
    {{
        return {expression.replace("LOAD", "((struct twice *)(long)c->data)->a")};
    }}"""
    fault = fault_of(spec_for(source, KernelOf(kernel)))
    assert isinstance(fault, RelocationError)
    assert re.search(message, str(fault))
    assert fault.line


def test_candidates_that_agree_are_one() -> None:
    kernel = KernelOf("struct twice { int a; } a; struct twice___2 { unsigned a; short b; } b;")
    source = f"""{PROGRAM}
    struct __attribute__((preserve_access_index)) twice {{ int a, b; }};
    SEC("tc") long both(void *c) {{ return FIELD(0, twice, a); }}
    SEC("tc") long one(void *c) {{ return FIELD(0, twice, b); }}"""
    spec = spec_for(source, kernel)
    assert {n: immediate(p.insns) for n, p in spec.programs.items()} == {"both": 0, "one": 4}


OWN = """
struct foo { int a; };
struct __attribute__((preserve_access_index)) bar { int a; };
SEC("tc") long local(void *c) { return type_id_local(struct foo); }
"""
ASKING = """
SEC("tc") long asking(void *c) { return __builtin_preserve_type_info(*(struct bar *)0, 0); }
"""


def test_who_needs_no_kernel_does_not_ask_for_one() -> None:
    kernel = KernelOf(KERNEL)
    assert spec_for(OWN, kernel).notes == ()
    assert kernel.asked == 0
    spec_for(OWN + ASKING + ASKING.replace("asking", "again"), kernel)
    assert kernel.asked == 1


def test_without_a_kernel_ones_own_types_stand_for_it() -> None:
    spec = spec_for(OWN + ASKING, KernelOf(None))
    assert immediate(spec.programs["asking"].insns) == 1
    assert spec.notes == ("there is no kernel",)
    assert load_spec(build(OWN + ASKING)).notes == ()


# -- externs


def extern(declaration: str, body: str, *, weak: bool = False) -> str:
    ending = ' __attribute__((section(".ksyms")))' + (" __attribute__((weak))" if weak else "")
    return f"""struct list {{ int x; }};
    extern {declaration}{ending};
    SEC("tc") long p(void *c) {{ {body} }}"""


GUARDED = "if (bpf_absent) return bpf_absent(1); return 2;"
LISTED = KernelOf("struct list { int x; }; int bpf_there(struct list *l, int n) { return n; }")


def test_a_weak_function_that_is_missing_is_null_and_its_call_poisoned() -> None:
    spec = spec_for(extern("int bpf_absent(int)", GUARDED, weak=True), KernelOf("int variable;"))
    program = spec.programs["p"]
    address = next(i for i in program.insns if i.opcode == 0x18)
    assert (address.src, address.imm) == (0, 0)
    ((slot, ref),) = program.refs.items()
    assert ref == Ref(RefKind.MISSING, "kfunc bpf_absent")
    assert program.insns[slot] == Insn(0x85, imm=BAD_KFUNC)


@pytest.mark.parametrize(
    ("name", "kernel"),
    [("bpf_rcu_read_lock", KernelOf("int x;")), ("bpf_rcu_read_lock", KernelOf(None))],
)
def test_what_bpfheap_offers_is_there_on_any_kernel(name: str, kernel: KernelOf) -> None:
    body = f"if ({name}) {name}(); return 2;"
    program = spec_for(extern(f"void {name}(void)", body, weak=True), kernel).programs["p"]
    kinds = [ref.kind for _, ref in sorted(program.refs.items())]
    assert kinds == [RefKind.KFUNC_ADDR, RefKind.KFUNC]
    assert kernel.asked == 0


def test_a_function_that_only_the_kernel_has_is_there() -> None:
    body = "if (bpf_there) return bpf_there(0, 1); return 2;"
    source = extern("int bpf_there(struct list *, int)", body, weak=True)
    program = spec_for(source, LISTED).programs["p"]
    assert {ref.kind for ref in program.refs.values()} == {RefKind.KFUNC_ADDR, RefKind.KFUNC}


def test_flavours_of_a_function_are_told_apart_by_their_types() -> None:
    for parameters, kind in (("struct list *, int", RefKind.KFUNC), ("int", RefKind.MISSING)):
        name = "bpf_there___flavour"
        arguments = "0, 1" if "," in parameters else "0"
        body = f"if ({name}) return {name}({arguments}); return 2;"
        source = extern(f"int {name}({parameters})", body, weak=True)
        program = spec_for(source, LISTED).programs["p"]
        ref = program.refs[max(program.refs)]
        assert ref.kind is kind
        assert ref.name == ("bpf_there" if kind is RefKind.KFUNC else f"kfunc {name}")


@pytest.mark.parametrize(
    ("declaration", "body", "kernel", "message"),
    [
        ("int bpf_absent(int)", "return bpf_absent(1);", LISTED, "no function bpf_absent"),
        ("int bpf_there(int)", "return bpf_there(1);", LISTED, "bpf_there has other parameters"),
        ("int absent", "return (long)&absent;", LISTED, "no variable absent"),
        (
            "const void absent",
            "return (long)&absent;",
            KernelOf("int variable;", ["there"]),
            "no symbol absent",
        ),
        (
            "struct list *variable",
            "return (long)&variable;",
            KernelOf("int variable;"),
            r"variable is int in the kernel, and declared as struct list \*",
        ),
    ],
)
def test_a_strong_extern_that_is_missing(
    declaration: str, body: str, kernel: KernelOf, message: str
) -> None:
    fault = fault_of(spec_for(extern(declaration, body), kernel))
    assert isinstance(fault, RelocationError)
    assert re.search(message, str(fault))
    assert fault.line


@pytest.mark.parametrize(
    ("declaration", "kernel", "kind"),
    [
        ("int variable", KernelOf("int variable;"), RefKind.KSYM),
        ("int absent", KernelOf("int variable;"), None),
        ("int absent", KernelOf(None), None),
        # Without a type, other lists than BTF tell.
        ("const void symbol", KernelOf(None, ["symbol"]), RefKind.KSYM),
        ("const void symbol", KernelOf(None, ["other"]), None),
        ("const void symbol", KernelOf(None), RefKind.KSYM),
    ],
)
def test_weak_variables(declaration: str, kernel: KernelOf, kind: RefKind | None) -> None:
    name = declaration.split()[-1]
    source = extern(declaration, f"return (long)&{name};", weak=True)
    program = spec_for(source, kernel).programs["p"]
    assert [ref.kind for ref in program.refs.values()] == ([] if kind is None else [kind])
    if kind is None:
        assert immediate(program.insns) == 0


@pytest.mark.parametrize(
    "kernel",
    [
        KernelOf("int variable;", ["symbol"]),
        # Nobody knows its symbols.
        KernelOf("int variable;"),
        # There is none.
        KernelOf(None, []),
        KernelOf(None),
    ],
)
def test_a_strong_symbol_without_a_type(kernel: KernelOf) -> None:
    spec = spec_for(extern("const void symbol", "return (long)&symbol;"), kernel)
    assert [ref.kind for ref in spec.programs["p"].refs.values()] == [RefKind.KSYM]
    assert verify(spec, spec.programs["p"]).accepted


def test_a_symbol_of_the_live_kernel(live: Kernel) -> None:
    body = "return &_stext ? 7 : *(int *)0;"
    spec = spec_for(extern("const void _stext", body), KernelOf("int variable;"))
    assert live.verify(spec, spec.programs["p"]).accepted


def test_what_one_program_lacks_costs_no_other() -> None:
    source = extern("int bpf_absent(int)", "return bpf_absent(1);")
    source += 'SEC("tc") int fine(void *ctx) { return 7; }'
    spec = spec_for(source, KernelOf("int variable;"))
    kinds = {program.name: verify(spec, program).kind for program in spec.programs.values()}
    assert kinds == {"p": "reject", "fine": "accept"}


@pytest.mark.parametrize(
    "source", [OWN + ASKING, extern("int bpf_absent(int)", "return bpf_absent(1);")]
)
def test_types_that_cannot_be_read_are_no_fault_of_a_program(source: str) -> None:
    class Broken(KernelOf):
        def types(self) -> None:
            raise BtfError("these types are broken")

    with pytest.raises(BtfError, match="these types are broken"):
        spec_for(source, Broken(None))


@functools.cache
def _parts() -> tuple[bytes, bytes]:
    expressions = [expression for expression, _ in VALUES[::3]]
    programs = (
        f'SEC("tc") long value{n}(void *c) {{ return {expression}; }}'
        for n, expression in enumerate(expressions)
    )
    return build("\n".join((PROGRAM, *programs))), types_of(KERNEL)


@pytest.mark.parametrize("seed", range(60))
def test_broken_kernels_end_in_an_error_or_a_program(seed: int) -> None:
    obj, types = _parts()
    chance = random.Random(seed)
    broken = bytearray(types)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(24, len(broken))
        broken[at] = chance.choice((0, 1, 4, 12, 255, chance.randrange(256)))
    with contextlib.suppress(BpfheapError):
        kernel = KernelOf(None)
        kernel.be(LazyBtf.parse(bytes(broken), "vmlinux"))
        load_spec(obj, file="test.bpf.o", target=kernel)


def nested(builder: BtfBuilder, integer: int) -> None:
    """Anonymous unions in unions, each twice in the next: 2**60 ways to a member."""
    inner = builder.add(Union("", 4, (Member("other", integer, 0),)))
    for _ in range(60):
        inner = builder.add(Union("", 4, (Member("", inner, 0), Member("", inner, 0))))
    builder.add(Struct("deep", 4, (Member("", inner, 0),)))


def test_searches_that_would_take_for_ever() -> None:
    builder = BtfBuilder()
    nested(builder, builder.add(Int("int", 4, 1, 0, 32)))
    kernel = LazyBtf.parse(builder.build().encode())
    mine = BtfBuilder()
    mine.add(Int("int", 4, 1, 0, 32))
    deep = mine.add(Struct("deep", 4, (Member("wanted", 1, 0),)))
    with pytest.raises(RelocationError, match="take too long"):
        CoreTarget(mine.build(), kernel).resolve(CoreRelocation(deep, "0:0", CoreKind.FIELD_EXISTS))


def test_functions_that_take_each_other() -> None:
    builder = BtfBuilder()
    builder.add(Int("int", 4, 1, 0, 32))
    builder.add(Ptr(3))
    proto = builder.add(FuncProto(1, (Param("a", 2), Param("b", 2))))
    name = builder.add(Typedef("again", proto))
    btf = builder.build()
    for kind in (CoreKind.TYPE_EXISTS, CoreKind.TYPE_MATCHES):
        with pytest.raises(RelocationError, match="too deeply"):
            CoreTarget(btf, LazyBtf.parse(btf.encode())).resolve(CoreRelocation(name, "0", kind))


@pytest.mark.parametrize(
    ("source", "message", "detail", "hint"),
    [
        (
            extern("int bpf_absent(int)", "return bpf_absent(1);", weak=True),
            f"invalid func unknown#{BAD_KFUNC}",
            "the kernel has no kfunc bpf_absent",
            "test `if (bpf_ksym_exists(function))`",
        ),
        (
            f'{PROGRAM}SEC("tc") long p(void *c) {{ return FIELD(0, task, gone); }}',
            f"invalid func unknown#{BAD_RELO}",
            "the kernel has no struct task.gone",
            "test bpf_core_field_exists() first",
        ),
        (
            f'{PROGRAM}SEC("tc") long p(void *c) {{ return VALUE(1, enum state, NEVER); }}',
            f"invalid func unknown#{BAD_RELO}",
            "the kernel has no NEVER of enum state",
            "test bpf_core_field_exists() first",
        ),
        (
            extern("void bpf_rcu_read_lock(void)",
                   "return *(char *)(void *)bpf_rcu_read_lock;", weak=True),
            "R1 min value is outside of the allowed memory range",
            "invalid access to memory, mem_size=0 off=0 size=1",
            "",
        ),
    ],
)  # fmt: skip
def test_what_is_reached_is_rejected(source: str, message: str, detail: str, hint: str) -> None:
    spec = spec_for(source, KernelOf("struct task { int pid; } a; enum state { B } b;"))
    error = verify(spec, spec.programs["p"]).error
    assert error is not None
    assert (error.message, error.detail) == (message, detail)
    assert hint in (error.hint or "")


MODULE = """
#define FIELD(kind, type, access) __builtin_preserve_field_info(((struct type *)0)->access, kind)
struct __attribute__((preserve_access_index)) extra { int own; };
struct __attribute__((preserve_access_index)) task { int own; };
SEC("tc") long theirs(void *c) { return FIELD(0, extra, own); }
SEC("tc") long kernels(void *c) { return FIELD(2, task, own); }
"""


def test_what_only_a_module_has() -> None:
    """Types that the kernel has itself are not looked for in modules."""
    base = LazyBtf.parse(types_of("int first; struct task { int pid; } a;"))
    kernel = KernelOf(None)
    task = base.find("task", Struct)
    assert task is not None
    modules = [LazyBtf.parse(split(base, n, task), n, base) for n in ("other", "extra", "task")]
    kernel.be(base, *modules)
    found = spec_for(MODULE, kernel).programs
    assert {n: immediate(p.insns) for n, p in found.items()} == {"theirs": 4, "kernels": 0}
    kernel.be(base, modules[0])
    assert spec_for(MODULE, kernel).programs["theirs"].refs
