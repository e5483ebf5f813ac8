"""CO-RE relocations, against the object's own types, in every kind and place."""

from __future__ import annotations

import re

import pytest
from elf_objects import Image, build, compiler, fault_of

from bpfheap.btf import CoreKind
from bpfheap.compile import Compiler
from bpfheap.elf.ext import parse_ext
from bpfheap.elf.patch import patch
from bpfheap.errors import BpfheapError, BtfError, RelocationError
from bpfheap.isa import Insn, decode, encode

__all__ = ["compiler"]

# Each function returns what the compiler takes to be the value; all but the first are CO-RE
# relocations. The numbers of field and type queries are those of enum bpf_core_relo_kind.
SOURCE = """
struct pair { int a, b; };
struct bits { __u32 low : 3; __s32 high : 7; };
struct deep { __u64 pad; struct pair pairs[4]; const char *name; struct bits bits; };
enum colour { RED = 3, GREEN = -7, BLUE = 0x7fffffff };
enum wide { WIDE = 0x123456789abcLL };

#define FIELD(kind, access) \\
    __builtin_preserve_field_info(((struct deep *)0)->access, kind)
#define TYPE(kind, type) __builtin_preserve_type_info(*(typeof(type) *)0, kind)
#define VALUE(kind, type, value) \\
    __builtin_preserve_enum_value(*(typeof(type) *)value, kind)

SEC("tc") long offset(void *ctx) { return FIELD(0, pairs[2].b); }
SEC("tc") long size(void *ctx) { return FIELD(1, pairs[2]); }
SEC("tc") long exists(void *ctx) { return FIELD(2, name); }
SEC("tc") long is_signed(void *ctx) { return FIELD(3, bits.high); }
SEC("tc") long shift_left(void *ctx) { return FIELD(4, bits.high); }
SEC("tc") long shift_right(void *ctx) { return FIELD(5, bits.high); }
SEC("tc") long bit_offset(void *ctx) { return FIELD(0, bits.high); }
SEC("tc") long id(void *ctx) { return type_id_local(struct deep); }
SEC("tc") long type_exists(void *ctx) { return TYPE(0, struct deep); }
SEC("tc") long type_size(void *ctx) { return TYPE(1, struct deep); }
SEC("tc") long type_matches(void *ctx) { return TYPE(2, struct deep); }
SEC("tc") long value_exists(void *ctx) { return VALUE(0, enum colour, GREEN); }
SEC("tc") long value(void *ctx) { return VALUE(1, enum colour, GREEN); }
SEC("tc") long wide_value(void *ctx) { return VALUE(1, enum wide, WIDE); }

/* Accesses to memory: loads and stores in several sizes, and the address of a member. */
SEC("tc") long load(struct __sk_buff *skb)
{
    struct deep *d = (void *)(long)skb->data;
    return __builtin_preserve_access_index(d->pairs[1].a);
}
SEC("tc") long store(struct __sk_buff *skb)
{
    struct deep *d = (void *)(long)skb->data;
    __builtin_preserve_access_index(({ d->pairs[3].b = skb->len; }));
    return 0;
}
SEC("tc") long address(struct __sk_buff *skb)
{
    struct deep *d = (void *)(long)skb->data;
    return (long)__builtin_preserve_access_index(&d->pairs[skb->len & 1].b);
}
"""

VALUES = {
    "offset": 8 + 2 * 8 + 4,
    "size": 8,
    "exists": 1,
    "is_signed": 1,
    "shift_left": 64 - 10,
    "shift_right": 64 - 7,
    "bit_offset": 48,
    "type_exists": 1,
    "type_size": 56,
    "type_matches": 1,
    "value_exists": 1,
    "value": -7,
    "wide_value": 0x123456789ABC,
}


def immediate(insns: tuple[Insn, ...]) -> int:
    """What the first instruction puts into its register."""
    if insns[0].opcode == 0x18:
        return (insns[0].imm & 0xFFFFFFFF) | (insns[1].imm << 32)
    return insns[0].imm


def sabotaged(data: bytes) -> tuple[Image, set[int]]:
    """The object with another number wherever a CO-RE relocation stands, so that the right one
    can only come from BTF; and the kinds of relocations in it."""
    image = Image(data)
    strings = image.content(".BTF")
    header, at = (int.from_bytes(strings[i : i + 4], "little") for i in (4, 16))
    sizes = {name: h["size"] for name, _, h in image.sections() if name in ("tc", ".text")}
    info = parse_ext(
        image.content(".BTF.ext"),
        lambda offset: strings[header + at + offset :].partition(b"\0")[0].decode(),
        sizes,
        "test",
    )["tc"]
    insns = list(decode(image.content("tc")))
    for relo in info.relos:
        insn = insns[relo.slot]
        if insn.opcode & 7 in (1, 2, 3):  # load or store
            insns[relo.slot] = insn._replace(off=0x77)
        else:
            insns[relo.slot] = insn._replace(imm=0x77)
    return image.patch("tc", 0, encode(insns)), {relo.kind for relo in info.relos}


def test_every_kind(compiler: Compiler) -> None:
    data = build(SOURCE, compiler)
    image, kinds = sabotaged(data)
    spec = image.load()

    # The compiler has no name for the id of a type in another BTF here: see the next test.
    assert kinds == {int(k) for k in CoreKind} - {CoreKind.TYPE_ID_TARGET}
    found = {n: immediate(spec.programs[n].insns) for n in VALUES}
    assert found == VALUES
    assert spec.btf.find("deep") == immediate(spec.programs["id"].insns)
    original = Image(data).load()
    for name, program in original.programs.items():
        assert spec.programs[name].insns == program.insns, name


def test_the_id_of_a_target_type_is_the_local_one(compiler: Compiler) -> None:
    source = """
    struct deep { int a; };
    SEC("tc") long id(void *ctx) { return __builtin_btf_type_id(*(struct deep *)0, 1); }
    """
    image, kinds = sabotaged(build(source, compiler))
    spec = image.load()

    assert kinds == {CoreKind.TYPE_ID_TARGET}
    assert immediate(spec.programs["id"].insns) == spec.btf.find("deep")


LDDW = (Insn(0x18, 1, imm=5), Insn(0))


@pytest.mark.parametrize(
    ("insns", "value", "expected"),
    [
        ((Insn(0xB7, 1, imm=5),), -1, (Insn(0xB7, 1, imm=-1),)),  # r1 = 5
        ((Insn(0xB4, 1, imm=5),), 0xFFFFFFFF, (Insn(0xB4, 1, imm=-1),)),  # w1 = 5
        ((Insn(0x07, 1, imm=5),), 16, (Insn(0x07, 1, imm=16),)),  # r1 += 5
        ((Insn(0x61, 1, 2, off=4),), 32767, (Insn(0x61, 1, 2, off=32767),)),  # load
        ((Insn(0x62, 1, off=4, imm=3),), -8, (Insn(0x62, 1, off=-8, imm=3),)),  # store
        ((Insn(0x7B, 1, 2, off=4),), 0, (Insn(0x7B, 1, 2),)),
        ((Insn(0xDB, 1, 2, off=4),), 24, (Insn(0xDB, 1, 2, off=24),)),  # atomic add
        (LDDW, 1 << 32 | 7, (Insn(0x18, 1, imm=7), Insn(0, imm=1))),
        (LDDW, -2, (Insn(0x18, 1, imm=-2), Insn(0, imm=-1))),
    ],
)
def test_where_a_value_goes(
    insns: tuple[Insn, ...], value: int, expected: tuple[Insn, ...]
) -> None:
    changed = list(insns)
    patch(changed, 0, value)
    assert tuple(changed) == expected


@pytest.mark.parametrize(
    ("insns", "value", "message"),
    [
        ((Insn(0xB7, 1),), 1 << 31, "2147483648 does not fit the immediate"),
        ((Insn(0xB4, 1),), 1 << 32, "4294967296 does not fit the immediate"),
        ((Insn(0x61, 1, 2),), 1 << 15, "32768 does not fit the offset"),
        ((Insn(0xBF, 1, 2),), 1, "a CO-RE relocation on mov, which has no number"),
        ((Insn(0x85, imm=1),), 1, "a CO-RE relocation on call"),
        ((Insn(0x18, 1, src=1), Insn(0)), 1, "a CO-RE relocation on map"),
        ((Insn(0x18, 1),), 1, "a CO-RE relocation on lddw"),
        ((Insn(0xFF),), 1, "unknown opcode 0xff"),
    ],
)
def test_where_a_value_cannot_go(insns: tuple[Insn, ...], value: int, message: str) -> None:
    with pytest.raises(BpfheapError, match=message):
        patch(list(insns), 0, value)


ONE = """
struct pair { int a, b; };
SEC("tc") long p(void *ctx)
{
    return __builtin_preserve_field_info(((struct pair *)0)->b, 0);
}
"""


def core_record(image: Image) -> int:
    """Where in .BTF.ext the only CO-RE record is."""
    data = image.content(".BTF.ext")
    header, start = (int.from_bytes(data[i : i + 4], "little") for i in (4, 24))
    return header + start + 4 + 8


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (4, 9999, r"test\.bpf\.c:.*names type 9999"),
        (12, 99, r"test\.bpf\.c:.*unknown CO-RE relocation kind 99"),
        (0, 8, "a CO-RE relocation on exit"),
    ],
)
def test_broken_relocations(field: int, value: int, message: str) -> None:
    image = Image(build(ONE))
    image.patch(".BTF.ext", core_record(image) + field, value.to_bytes(4, "little"))
    fault = fault_of(image.load())
    assert isinstance(fault, RelocationError)
    assert re.search(message, str(fault))


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        (8, 1 << 30, BtfError, "a string at byte 1073741824"),
        (0, 4, BtfError, "byte 4 of section tc starts no instruction"),
        (0, 1 << 20, BtfError, "byte 1048576 of section tc starts no instruction"),
        (-4, 1 << 20, BtfError, "section tc has 1048576 records, which are too many"),
        (-12, 17, BtfError, "records are 17 bytes long, not 16"),
        (-12, 8, BtfError, "records are 8 bytes long, not 16"),
    ],
)
def test_broken_records(field: int, value: int, error: type[Exception], message: str) -> None:
    image = Image(build(ONE))
    image.patch(".BTF.ext", core_record(image) + field, value.to_bytes(4, "little"))
    with pytest.raises(error, match=message):
        image.load()


@pytest.mark.parametrize(
    ("offset", "data", "message"),
    [
        (0, b"\x00\x00", "magic is 0x0000"),
        (2, b"\x07", "version is 7"),
        (4, b"\xff\xff\x00\x00", "its header claims 65535 bytes"),
        (12, b"\xff\xff\xff\x7f", "a table .* reaches past its end"),
        (12, b"\x02\x00\x00\x00", "shorter than its record size"),
        (12, b"\x08\x00\x00\x00", "ends inside the name of a section"),
    ],
)
def test_broken_header(offset: int, data: bytes, message: str) -> None:
    with pytest.raises(BtfError, match=rf"test\.bpf\.o: broken \.BTF\.ext: .*{message}"):
        Image(build(ONE)).patch(".BTF.ext", offset, data).load()


def test_a_cut_header() -> None:
    with pytest.raises(BtfError, match="ends inside its header, after 10 bytes"):
        Image(build(ONE)).set_section(".BTF.ext", size=10).set_section(
            ".rel.BTF.ext", size=0
        ).load()


def test_a_section_without_code() -> None:
    image = Image(build(ONE)).replace(b"\0tc\0", b"\0zz\0")
    names = image.content(".BTF").count(b"\0zz\0")
    assert names == 1
    image.patch(".strtab", image.content(".strtab").index(b"\0zz\0"), b"\0tc\0")
    with pytest.raises(BtfError, match="it tells of section 'zz', which has no code"):
        image.load()
