"""Text as instructions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isa_samples import REAL_CODE, instruction

from bpfheap.errors import AsmError
from bpfheap.isa import OPS, AsmRef, Insn, assemble, decode, disassemble

HELPERS = {"bpf_map_lookup_elem": 1, "bpf_kptr_xchg": 194}


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_assemble_inverts_disassemble(data: st.DataObject) -> None:
    """Every row, with random fields, with and without the prefixes."""
    insns = tuple(slot for op in OPS for slot in data.draw(instruction(op)))
    lines = disassemble(insns)
    assert len(lines) == len(OPS)
    assert assemble("\n".join(lines)).insns == insns
    bare = [line.partition(") ")[2] for line in lines]
    assert assemble("\n".join(bare)).insns == insns


def test_a_program() -> None:
    done = assemble(
        """
        ; the verifier log's comments, and others  # too
        # 1 starts a comment here
        again:
            r1 = map[name:hash] ll
            r2 = r10            ; R2_w=fp0
            r2 += -8
            call bpf_map_lookup_elem#1
            if r0 == 0x0 goto out
            r1 = map[name:.data][0]+8 ll
            r2 = func[name:callee] ll
            call callee
            call kfunc bpf_mem_alloc
            goto again
        out: exit
        callee:
            w0 = 0xffffffff
            exit
        """
    )
    assert done.labels == {"again": 0, "out": 13, "callee": 14}
    assert done.refs == {
        0: AsmRef("map", "hash"),
        6: AsmRef("map-value", ".data", 8),
        8: AsmRef("func", "callee"),
        11: AsmRef("kfunc", "bpf_mem_alloc"),
    }
    assert done.insns[5] == Insn(0x15, off=7)
    assert done.insns[6:8] == (Insn(0x18, 1, 2), Insn(0, imm=8))
    # Relative to the next slot, as in a local call.
    assert done.insns[8:10] == (Insn(0x18, 2, 4, imm=5), Insn(0))
    assert done.insns[10] == Insn(0x85, src=1, imm=3)
    assert done.insns[12] == Insn(0x05, off=-13)
    assert done.insns[14] == Insn(0xB4, imm=-1)


def test_symbols_are_the_kinds_of_the_spec() -> None:
    from bpfheap.spec import RefKind

    text = """
    f: r1 = map[name:m] ll
    r1 = map[name:m][0]+0 ll
    r1 = func[name:f] ll
    r1 = ksym[name:k] ll
    call kfunc f
    """
    #: Those that only a kernel gives.
    of_kernels = {RefKind.KFUNC_ADDR, RefKind.KCONFIG, RefKind.MISSING}
    assert {ref.kind for ref in assemble(text).refs.values()} == set(RefKind) - of_kernels


@pytest.mark.parametrize(
    ("text", "insns"),
    [
        ("", ()),
        ("r1=r2", (Insn(0xBF, 1, 2),)),
        ("0: exit", (Insn(0x95),)),
        ("(95) exit", (Insn(0x95),)),
        ("call #5", (Insn(0x85, imm=5),)),
        ("call bpf_kptr_xchg", (Insn(0x85, imm=194),)),
        ("call bpf_map_lookup_elem#1", (Insn(0x85, imm=1),)),
        ("call anything_else#7", (Insn(0x85, imm=7),)),
        ("call kfunc #7", (Insn(0x85, src=2, imm=7),)),
        # A label hides a helper of the same name.
        ("bpf_kptr_xchg: call bpf_kptr_xchg", (Insn(0x85, src=1, imm=-1),)),
        # The kernel's log leaves the ll out.
        ("(18) r1 = 0x1122334455667788", (Insn(0x18, 1, imm=0x55667788), Insn(0, imm=0x11223344))),
        ("r1 = -1 ll", (Insn(0x18, 1, imm=-1), Insn(0, imm=-1))),
        ("if w1 == -1 goto pc+0", (Insn(0x16, 1, imm=-1),)),
        ("r1 = map[name:<name>] ll", (Insn(0x18, 1, 1), Insn(0))),
    ],
)
def test_other_spellings(text: str, insns: tuple[Insn, ...]) -> None:
    assert assemble(text, helper_number=HELPERS.get).insns == insns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("r1 ?= r2", "`r1 ?= r2`: unexpected `?`"),
        ("r1 + r2", "`r1 + r2`: no such instruction (expected e.g. `r1 "),
        ("lock r1", "expected e.g. `lock *(u"),
        ("*(u64 *)(r10 - 8) = r1", "(expected e.g. `*(u64 *)(r1 +8)"),
        ("r1 = w2", "no such instruction"),
        ("r1 = load_acquire((s32 *)(r2 +0))", "expected e.g. `r1 = load_acquire((u"),
        ("store_release((u64 *)(r10 -8), 1)", "expected e.g. `store_release((u"),
        ("r11 = 0", "`r11` is not in range, expected 0 to 10"),
        ("r1 = -r2", "`r2` must be the same register as before"),
        ("r1 = be16 r2", "must be the same register"),
        ("r1 = atomic_cmpxchg((u32 *)(r2 +0), r0, r1)", "`r1` is not in range, expected 0"),
        ("r1 = 0xffffffff", "sign extended to 64 bits; `rN = 0x... ll`"),
        ("w1 = 0x100000000", "expected -2147483648 to 4294967295"),
        ("r1 = *(u8 *)(r2 +32768)", "`+32768` is not in range, expected -32768 to 32767"),
        ("goto pc+40000", "`pc+40000` is not in range"),
        ("r1 = 0x10000000000000000 ll", "is not in range"),
        ("w1 = " + "9" * 5000, "is too long for a number"),
        ("goto nowhere", "no label `nowhere` (define it by a line `name:`, or write pc+N)"),
        ("r1 = func[name:nowhere] ll", "no label `nowhere`"),
        ("a:\na: exit", "label `a` is defined twice"),
        ("call nowhere", "no label and no known helper `nowhere`"),
        ("call bpf_kptr_xchg#1", "helper bpf_kptr_xchg has number 194, not 1"),
        ("(b7) exit", "opcode 0xb7 is not that of this instruction (expected (95))"),
        ("3: exit", "the line says slot 3, but it is slot 0"),
        ("exit exit", "no such instruction"),
        ("if r1 == r2 goto", "expected e.g. `if r1 == r2 goto pc+3`"),
        ("r1 = ٣", "unexpected `٣`"),
    ],
)
def test_errors_show_place_text_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(AsmError) as caught:
        assemble(f"\n{text}", helper_number=HELPERS.get, file="x.s")
    error = caught.value
    assert message in str(error)
    assert str(error).startswith(f"x.s:{error.line}: ")
    assert error.line == 1 + len(text.splitlines())
    assert "\n" not in str(error)


_LISTINGS = ["\n".join(disassemble(decode(code))) for code in REAL_CODE]
_WORDS = st.sampled_from(
    ["r1", "w10", "pc-3", "#1", "call", "kfunc", "goto", "=", "[", "]", "(", "ll", ":", "0x", "-1"]
)


@settings(max_examples=500, deadline=None)
@given(
    listing=st.sampled_from(_LISTINGS),
    edits=st.lists(
        st.tuples(st.integers(0, 3000), st.integers(0, 12), st.text(max_size=3) | _WORDS),
        min_size=1,
        max_size=6,
    ),
)
def test_mutated_text_is_assembled_or_refused(
    listing: str, edits: list[tuple[int, int, str]]
) -> None:
    for at, length, text in edits:
        at %= len(listing) + 1
        listing = listing[:at] + text + listing[at + length :]
    try:
        done = assemble(listing)
    except AsmError:
        return
    assert assemble("\n".join(disassemble(done.insns))).insns == done.insns
