"""Instructions as text."""

from __future__ import annotations

import pytest
from isa_samples import REAL_CODE

from bpfheap.errors import InsnError
from bpfheap.isa import OPS, AsmRef, Insn, Kind, assemble, decode, disassemble, format_insn
from bpfheap.isa.syntax import _BY_KIND, FORMS


def test_every_kind_and_every_row_has_a_form() -> None:
    assert set(_BY_KIND) == set(Kind)
    assert set(FORMS) == set(OPS)


def test_no_two_rows_look_the_same() -> None:
    # `call name#1` and so on are told apart by their first forms already.
    first = [(op.opcode, forms[0].template) for op, forms in FORMS.items()]
    assert len(set(first)) == len(OPS)


# As print_bpf_insn in kernel/bpf/disasm.c writes them; `ll`, map and func forms are ours.
@pytest.mark.parametrize(
    ("insn", "second", "text"),
    [
        (Insn(0xB7), None, "(b7) r0 = 0"),
        (Insn(0xB4, 1, imm=-1), None, "(b4) w1 = -1"),
        (Insn(0xBF, 1, 10), None, "(bf) r1 = r10"),
        (Insn(0xBF, 0, 1, 8), None, "(bf) r0 = (s8)r1"),
        (Insn(0xBC, 0, 1, 16), None, "(bc) w0 = (s16)w1"),
        (Insn(0x07, 2, imm=-4), None, "(07) r2 += -4"),
        (Insn(0x3C, 0, 1, 1), None, "(3c) w0 s/= w1"),
        (Insn(0x97, 3, 0, 1, 7), None, "(97) r3 s%= 7"),
        (Insn(0xC7, 3, imm=7), None, "(c7) r3 s>>= 7"),
        (Insn(0x84, 3), None, "(84) w3 = -w3"),
        (Insn(0xD4, 1, imm=16), None, "(d4) r1 = le16 r1"),
        (Insn(0xDC, 1, imm=32), None, "(dc) r1 = be32 r1"),
        (Insn(0xD7, 1, imm=64), None, "(d7) r1 = bswap64 r1"),
        (Insn(0x05, off=-3), None, "(05) goto pc-3"),
        (Insn(0x06, imm=70000), None, "(06) gotol pc+70000"),
        (Insn(0x15, 0, 0, 5), None, "(15) if r0 == 0x0 goto pc+5"),
        (Insn(0xC6, 7, 0, 5, -1), None, "(c6) if w7 s< 0xffffffff goto pc+5"),
        (Insn(0x4D, 1, 2, 0), None, "(4d) if r1 & r2 goto pc+0"),
        (Insn(0x85, imm=1), None, "(85) call bpf_map_lookup_elem#1"),
        (Insn(0x85, imm=9999), None, "(85) call unknown#9999"),
        (Insn(0x85, src=1, imm=3), None, "(85) call pc+3"),
        (Insn(0x85, src=2, imm=38211), None, "(85) call kfunc #38211 of btf 0"),
        (Insn(0x8D, 2), None, "(8d) callx r2"),
        (Insn(0x95), None, "(95) exit"),
        (Insn(0x61, 1, 0), None, "(61) r1 = *(u32 *)(r0 +0)"),
        (Insn(0x81, 0, 1, -2), None, "(81) r0 = *(s32 *)(r1 -2)"),
        (Insn(0x7B, 10, 1, -8), None, "(7b) *(u64 *)(r10 -8) = r1"),
        (Insn(0x72, 1, 0, 4, 255), None, "(72) *(u8 *)(r1 +4) = 255"),
        (Insn(0xDB, 1, 2), None, "(db) lock *(u64 *)(r1 +0) += r2"),
        (Insn(0xC3, 1, 2, 4, 0xA0), None, "(c3) lock *(u32 *)(r1 +4) ^= r2"),
        (Insn(0xDB, 2, 1, 0, 1), None, "(db) r1 = atomic64_fetch_add((u64 *)(r2 +0), r1)"),
        (Insn(0xC3, 2, 1, 0, 0xE1), None, "(c3) r1 = atomic_xchg((u32 *)(r2 +0), r1)"),
        (
            Insn(0xDB, 2, 1, 0, 0xF1),
            None,
            "(db) r0 = atomic64_cmpxchg((u64 *)(r2 +0), r0, r1)",
        ),
        (Insn(0xDB, 2, 1, 8, 0x100), None, "(db) r2 = load_acquire((u64 *)(r1 +8))"),
        (Insn(0xD3, 2, 1, -1, 0x100), None, "(d3) r2 = load_acquire((u8 *)(r1 -1))"),
        (Insn(0xC3, 2, 1, 4, 0x110), None, "(c3) store_release((u32 *)(r2 +4), r1)"),
        (Insn(0xCB, 2, 1, 0, 0x110), None, "(cb) store_release((u16 *)(r2 +0), r1)"),
        (Insn(0x30, imm=-4), None, "(30) r0 = *(u8 *)skb[-4]"),
        (Insn(0x40, src=3, imm=4), None, "(40) r0 = *(u32 *)skb[r3 + 4]"),
        (Insn(0x18, 1, imm=-1), Insn(0, imm=0x1122), "(18) r1 = 0x1122ffffffff ll"),
        (Insn(0x18, 1, 1, imm=5), Insn(0), "(18) r1 = map[fd:5] ll"),
        (Insn(0x18, 1, 2, imm=5), Insn(0, imm=8), "(18) r1 = map[fd:5][0]+8 ll"),
        (Insn(0x18, 1, 4, imm=-6), Insn(0), "(18) r1 = func[pc-6] ll"),
        (Insn(0x18, 1, 6, imm=5), Insn(0, imm=-8), "(18) r1 = map[idx:5][0]-8 ll"),
    ],
)
def test_forms(insn: Insn, second: Insn | None, text: str) -> None:
    names = {1: "bpf_map_lookup_elem"}
    assert format_insn(insn, second, helper_name=names.get) == text


@pytest.mark.parametrize(
    ("insn", "ref", "text"),
    [
        (Insn(0x18, 1, 1), AsmRef("map", "hash"), "(18) r1 = map[name:hash] ll"),
        (Insn(0x18, 1, 2), AsmRef("map-value", ".bss", 8), "(18) r1 = map[name:.bss][0]+8 ll"),
        (Insn(0x18, 2, 4), AsmRef("func", "cb"), "(18) r2 = func[name:cb] ll"),
        (Insn(0x18, 2, 3), AsmRef("ksym", "jiffies"), "(18) r2 = ksym[name:jiffies] ll"),
        (Insn(0x85, 0, 2), AsmRef("kfunc", "unit_free"), "(85) call kfunc unit_free"),
        # A reference that means nothing here does not hide the instruction.
        (Insn(0x85, 0, 0, 0, 1), AsmRef("map", "hash"), "(85) call unknown#1"),
    ],
)
def test_references_by_name(insn: Insn, ref: AsmRef, text: str) -> None:
    assert format_insn(insn, Insn(0), ref=ref) == text


def test_lines_number_slots() -> None:
    insns = assemble("r1 = map[name:m] ll\nr0 = 0\nexit").insns
    assert disassemble(insns, {0: AsmRef("map", "m")}) == [
        "0: (18) r1 = map[name:m] ll",
        "2: (b7) r0 = 0",
        "3: (95) exit",
    ]


@pytest.mark.parametrize("code", REAL_CODE)
def test_real_code_comes_back(code: bytes) -> None:
    insns = decode(code)
    assert assemble("\n".join(disassemble(insns))).insns == insns


def test_errors_have_the_slot() -> None:
    with pytest.raises(InsnError, match="slot 1: lddw takes two slots") as caught:
        disassemble((Insn(0x95), Insn(0x18)))
    assert caught.value.insn == 1
