"""What is handed to the kernel, without a kernel: types, instructions, attributes, logs."""

from __future__ import annotations

import struct
from dataclasses import replace
from itertools import pairwise

import pytest

from bpfheap.btf import (
    Btf,
    Const,
    Datasec,
    Func,
    FuncProto,
    Int,
    LazyBtf,
    Param,
    Ptr,
    SecVar,
    Struct,
    Typedef,
    TypeTag,
    Var,
)
from bpfheap.btf.raw import encode_types
from bpfheap.errors import InsnError, KernelError, KernelUnsupported, UsageError
from bpfheap.isa import assemble, decode
from bpfheap.kernel.bpf import (
    LAYOUTS,
    Attr,
    Command,
    Descriptor,
    Transport,
    bytes_of,
    errno_name,
    object_name,
)
from bpfheap.kernel.log import insns_processed, telling_line
from bpfheap.kernel.program import attached_to, func_info, line_info, linked, section_of
from bpfheap.kernel.types import kernel_btf
from bpfheap.spec import ProgramSpec, Ref, RefKind, SourceLine, SubprogSpec
from built_btf import built

INT = Int("int", 4, 1, 0, 32)


def as_loaded(btf: Btf, static: set[int] | None = None) -> Btf:
    return Btf.parse(kernel_btf(btf, static or set()).data)


def program(code: str, *, section: str = "tc", lines: tuple[int, ...] = ()) -> ProgramSpec:
    """With functions at labels that start with "sub"; FUNC ids are 7 and 8."""
    done = assemble(code)
    refs = {
        slot: Ref(RefKind(s.kind), s.name, s.offset, done.labels.get(s.name, -1))
        for slot, s in done.refs.items()
    }
    subs = sorted(slot for name, slot in done.labels.items() if name.startswith("sub"))
    starts = [0, *subs, len(done.insns)]
    subprogs = tuple(
        SubprogSpec("f", start, end, 8 if i else 7, not i)
        for i, (start, end) in enumerate(pairwise(starts))
    )
    at = {slot: SourceLine("a.c", 10 + slot, 3, f"line {slot}") for slot in lines}
    return ProgramSpec("p", section, done.insns, refs, subprogs, at, Btf.EMPTY, "GPL", "a.c")


# -- types


def test_types_keep_their_ids() -> None:
    btf = built(INT, Ptr(1), Struct("s", 4, ()), TypeTag("kptr", 3), Const(4))
    assert as_loaded(btf).types[: len(btf)] == btf.types


def test_an_int_without_bits_has_all_of_them() -> None:
    assert as_loaded(built(Int("u64", 8)))[1] == Int("u64", 8, 0, 0, 64)


def test_linkage_is_static_or_global() -> None:
    proto = FuncProto(0, (Param("", 1), Param("b", 1), Param("", 0)))
    btf = built(INT, proto, Func("a", 2, 2), Func("b", 2, 1), Func("c", 2, 1), Var("v", 1, 2))
    types = as_loaded(btf, static={5}).types
    assert [t.linkage for t in types[3:7] if isinstance(t, Func | Var)] == [1, 1, 0, 1]
    assert types[2] == FuncProto(0, (Param("arg0", 1), Param("b", 1), Param("", 0)))


def test_what_ksyms_declares_counts_as_ints() -> None:
    btf = built(
        INT,
        FuncProto(0, ()),
        Func("f", 2, 2),
        Var("v", 0, 2),
        Datasec(".ksyms", 0, (SecVar(3, 0, 0), SecVar(4, 0, 0))),
    )
    loaded = as_loaded(btf)
    section = loaded[5]
    assert isinstance(section, Datasec)
    assert section.size == 8
    assert [(v.offset, v.size) for v in section.vars] == [(0, 4), (4, 4)]
    for var in section.vars:
        kind = loaded[var.type]
        assert isinstance(kind, Var)
        assert loaded[kind.type] == INT


def test_sections_are_in_order_and_not_empty() -> None:
    btf = built(
        INT,
        Var("a", 1, 1),
        Var("b", 1, 1),
        Datasec(".data", 8, (SecVar(2, 4, 4), SecVar(3, 0, 4))),
        Datasec(".bss", 0, ()),
    )
    loaded = as_loaded(btf)
    assert loaded[4] == Datasec(".data", 8, (SecVar(3, 0, 4), SecVar(2, 4, 4)))
    assert loaded[5] == Const(0)


def test_strings_are_where_it_says() -> None:
    form = kernel_btf(built(INT), strings=["int x = 1;", "", "a.c", "int x = 1;", "ünö"])
    header, _, _, start, _ = struct.unpack_from("<IIIII", form.data, 4)
    text = form.data[header + start :]
    for string, at in form.strings.items():
        assert text[at : text.index(b"\0", at)].decode() == string
    assert set(form.strings) == {"", "a.c", "int x = 1;", "ünö"}
    assert Btf.parse(form.data)[1] == INT


# -- programs


def test_references_become_numbers() -> None:
    spec = program(
        "r1 = map[name:hash] ll\n r2 = map[name:.data][0]+12 ll\n r3 = func[name:sub] ll\n"
        "r0 = 0\n exit\n sub: r0 = 0\n exit"
    )
    numbers = {"hash": 40, ".data": 41}
    insns = decode(linked(spec, Nowhere(), lambda name: _descriptor(numbers[name])))
    assert [(i.src, i.imm) for i in insns[:6]] == [
        (1, 40),
        (0, 0),
        (2, 41),
        (0, 12),
        (4, 3),
        (0, 0),
    ]
    assert func_info(spec) == struct.pack("<4I", 0, 7, 8, 8)


def test_references_have_to_lie_in_the_program() -> None:
    spec = replace(program("r0 = 0\n exit"), refs={2: Ref(RefKind.MAP, "hash")})
    with pytest.raises(InsnError, match="slot 2 refers to hash"):
        linked(spec, Nowhere(), lambda name: _descriptor(0))


class Nowhere(Transport):
    """To a kernel that has few types, and whose descriptors need not be closed."""

    release = "6.18.0"
    cpus = 1

    def call(self, attr: Attr) -> int:
        raise AssertionError("nothing is called")

    def close_descriptor(self, number: int) -> None:
        pass

    def close(self) -> None:
        pass

    def types(self) -> LazyBtf:
        btf = built(
            INT,
            FuncProto(0, ()),
            *(Func(name, 2, 1) for name in ("there", "bpf_lsm_there", "bpf_iter_there")),
            Typedef("btf_trace_there", 1),
            Typedef("typedef", 1),
        )
        return LazyBtf.parse(encode_types(btf.types))


def _descriptor(number: int) -> Descriptor:
    return Descriptor(Nowhere(), number)


def test_functions_without_types_have_no_information() -> None:
    spec = program("call sub\n exit\n other: r0 = 0\n exit\n sub: r0 = 0\n exit")
    assert func_info(spec) == struct.pack("<4I", 0, 7, 4, 8)
    untyped = program("call other\n exit\n other: r0 = 0\n exit")
    assert func_info(untyped) == b""


def test_lines_are_told_if_each_function_has_one() -> None:
    code = "r1 = 5 ll\n call sub\n exit\n sub: r0 = 0\n exit"
    strings = {"": 0, "a.c": 1} | {f"line {n}": 10 + n for n in range(9)}
    told = line_info(program(code, lines=(0, 1, 2, 4, 5)), strings)
    records = list(struct.iter_unpack("<4I", told))
    assert [r[0] for r in records] == [0, 2, 4, 5]
    assert records[1] == (2, 1, 12, 12 << 10 | 3)
    assert line_info(program(code, lines=(0, 2)), strings) == b""
    assert line_info(program(code, lines=(0, 4)), {}) == b""


@pytest.mark.parametrize("name", ["bpf_mem_alloc", "unit_free", "bpf_mem_prefill", "no_such_thing"])
def test_functions_that_the_kernel_lacks_are_named(name: str) -> None:
    with pytest.raises(KernelUnsupported, match=f"no function {name}"):
        linked(program(f"call kfunc {name}\n exit"), Nowhere(), lambda name: _descriptor(0))


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("tc", (3, 0, 0)),
        ("?tcx/ingress", (3, 46, 0)),
        ("xdp", (6, 37, 0)),
        ("cgroup_skb/egress", (8, 1, 0)),
        ("cgroup/skb", (8, 0, 0)),
        ("syscall", (31, 0, 16)),
        ("uprobe.s/x", (2, 0, 16)),
        ("xdp.frags/devmap", (6, 33, 32)),
        ("cgroup/bind6", (18, 9, 0)),
    ],
)
def test_sections_select(section: str, expected: tuple[int, int, int]) -> None:
    found = section_of(program("exit", section=section))
    assert (found.type, found.attach_type, found.flags) == expected


def test_a_section_that_selects_nothing() -> None:
    with pytest.raises(UsageError, match='"nothing" selects no program type'):
        section_of(program("exit", section="nothing"))


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("fentry/there", 3),
        ("?fexit.s/there", 3),
        ("fmod_ret/there", 3),
        ("lsm/there", 4),
        ("lsm_cgroup/there", 4),
        ("iter.s/there", 5),
        ("tp_btf/there", 6),
        # For these, libbpf asks for more than the section, or for nothing.
        ("fentry", 0),
        ("freplace/there", 0),
        ("kprobe/there", 0),
        ("struct_ops/there", 0),
    ],
)
def test_programs_are_attached_to_types(section: str, expected: int) -> None:
    spec = program("exit", section=section)
    assert attached_to(spec, Nowhere()) == expected


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("fentry/typedef", "the kernel has no typedef to attach p to"),
        ("lsm/nothing", "no bpf_lsm_nothing"),
        ("iter/nothing", "no bpf_iter_nothing"),
        ("tp_btf/nothing", "no btf_trace_nothing"),
    ],
)
def test_what_the_kernel_lacks_is_named(section: str, message: str) -> None:
    spec = program("exit", section=section)
    with pytest.raises(KernelUnsupported, match=message):
        attached_to(spec, Nowhere())


# -- the system call


@pytest.mark.parametrize(
    ("command", "field", "offset"),
    [
        (Command.MAP_CREATE, "btf_fd", 48),
        (Command.MAP_CREATE, "map_extra", 64),
        (Command.MAP_UPDATE_ELEM, "flags", 24),
        (Command.PROG_LOAD, "prog_flags", 44),
        (Command.PROG_LOAD, "expected_attach_type", 68),
        (Command.PROG_LOAD, "line_info_cnt", 104),
        (Command.PROG_TEST_RUN, "ctx_out", 56),
        (Command.BTF_LOAD, "btf_log_level", 24),
    ],
)
def test_fields_are_where_linux_has_them(command: Command, field: str, offset: int) -> None:
    """Offsets of union bpf_attr, as pahole prints them."""
    size = {"Q": 8, "I": 4}[dict(LAYOUTS[command])[field]]
    raw = Attr(command, **{field: 0x11}).raw
    assert raw.index(b"\x11") == offset
    assert len(raw) >= offset + size
    assert Attr(command, **{field: 0x11})[field] == 0x11


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(KernelError, match="max_entries=4294967296") as caught:
        Attr(Command.MAP_CREATE, map_type=1, max_entries=1 << 32)
    assert caught.value.errno_name == "EINVAL"


def test_memory_is_where_its_field_says() -> None:
    out = bytes_of(b"before")
    attr = Attr(Command.BTF_LOAD, btf=b"types", btf_log_buf=out, btf_size=5)
    assert {name: memory.raw for name, memory in attr.memory.items()} == {
        "btf": b"types",
        "btf_log_buf": b"before",
    }
    assert attr.memory["btf_log_buf"] is out
    assert attr["btf"] == 0
    attr.raw = attr.at({"btf": 0x1000, "btf_log_buf": 0x2000})
    assert [attr[name] for name in ("btf", "btf_log_buf", "btf_size")] == [0x1000, 0x2000, 5]
    assert Attr(Command.BTF_LOAD, btf=b"").memory == {}


def test_names() -> None:
    assert object_name(".rodata.str1.1") == b".rodata.str1.1"
    assert object_name("a-name with ümlauts") == b"a_name_with__ml"
    assert [errno_name(n) for n in (13, 524, 9999)] == ["EACCES", "ENOTSUPP", "errno 9999"]


# -- logs


LOG = """\
func#0 @0
0: R1=ctx() R10=fp0
; p->var = 1; @ a.c:3
0: (b7) r1 = 0                        ; R1_w=0
from 3 to 5: R0=0
R1 invalid mem access 'scalar'
mark_precise: frame0: regs=r1 stack= before 0: (b7) r1 = 0
verification time 23 usec
stack depth 0
processed 17 insns (limit 1000000) max_states_per_insn 0 total_states 0
"""


def test_the_telling_line() -> None:
    assert telling_line(LOG) == "R1 invalid mem access 'scalar'"
    assert telling_line("0: (95) exit\n") == ""
    too_much = (
        "R2 is no\n3: (bd) if r7 <= r6 goto pc+4 BPF program is too large. Processed 9 insn\n"
    )
    assert telling_line(too_much) == "BPF program is too large. Processed 9 insn"
    endless = "infinite loop detected at insn 3\ncur state: R6=1\nold state: R6=1\n"
    assert telling_line(endless) == "infinite loop detected at insn 3"
    assert telling_line(f"2: (15) if r0 == 0x0 goto pc-2 {endless}") == (
        "infinite loop detected at insn 3"
    )
    broken = "0: (85) call pc+2\nno calls here,\ni.e., in a section, or in\na program\n"
    assert telling_line(broken) == "no calls here, i.e., in a section, or in a program"
    assert telling_line("; f(a,\nR1 !read_ok\n") == "R1 !read_ok"
    glued = "expected prog array map for tail callverification time 44 usec\nstack depth 0\n"
    assert telling_line(glued) == "expected prog array map for tail call"
    assert telling_line("") == ""
    assert insns_processed(LOG) == 17
    assert insns_processed("") is None
