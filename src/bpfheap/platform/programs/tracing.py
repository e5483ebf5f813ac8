"""Programs that trace, those that the kernel's types describe, and syscall programs.

Sources: kprobe_verifier_ops and its like in kernel/trace/bpf_trace.c of Linux 6.18.
"""

from __future__ import annotations

from bpfheap.platform.programs.attach import AttachType as At
from bpfheap.platform.programs.row import (
    ANY_TYPE,
    NUMBER,
    CtxField,
    CtxForm,
    CtxKind,
    Offer,
    PacketKind,
    ProgramType,
    Section,
)
from bpfheap.platform.programs.targets import ITERATORS

#: What the structs are called that are contexts of iterators' programs.
_ITERATED = frozenset(f"bpf_iter__{name}" for name in ITERATORS)

# struct pt_regs of x86-64.
_REGISTERS = (
    "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di",
    "orig_ax", "ip", "cs", "flags", "sp", "ss",
)  # fmt: skip

#: What they were called by programs for several architectures.
_USER_REGISTERS = "bpf_user_pt_regs_t"

# pe_prog_is_valid_access: registers as a whole, the sample in any pieces.
_PERF_FIELDS = (
    *(CtxField(f"regs.{name}", 8 * i, 8, CtxKind.SCALAR) for i, name in enumerate(_REGISTERS)),
    CtxField("sample_period", 168, 8, CtxKind.SCALAR, narrow=True),
    CtxField("addr", 176, 8, CtxKind.SCALAR, narrow=True),
)


def _probe(sections: tuple[Section, ...], returns: tuple[int, int] | None) -> ProgramType:
    return ProgramType("kprobe", 2, sections, "pt_regs", 168, raw_ctx=0, private_stack=True,
                       form=CtxForm.REGISTERS,
                       sleepable=False, interrupts=False, packet=PacketKind.NONE,
                       caller=Offer.KPROBE, returns=returns, test_run=None,
                       ctx_typedef=_USER_REGISTERS,
                       ctx_tagged=frozenset({_USER_REGISTERS}))  # fmt: skip


def _plus(
    *names: str, attach: int = 0, sleepable: bool = False, btf: bool = False
) -> list[Section]:
    """Names that "/..." may follow."""
    return [
        Section(name, attach, extras=True, sleepable=sleepable, attach_btf=btf) for name in names
    ]


def _both(name: str, attach: int = 0, *, btf: bool = True) -> list[Section]:
    """One such name, and the same for programs that may sleep."""
    return [*_plus(name, attach=attach, btf=btf),
            *_plus(f"{name}.s", attach=attach, sleepable=True, btf=btf)]  # fmt: skip


def _attached(
    name: str, number: int, sections: list[Section], *, caller: Offer, ctx_tagged: frozenset[str],
    returns: tuple[int, int] | None = None, private_stack: bool = False,
) -> ProgramType:  # fmt: skip
    """Whose context are the arguments of what it is attached to, twelve at most
    (bpf_tracing_ctx_access)."""
    return ProgramType(name, number, tuple(sections), "void", 96, objects=True,
                       form=CtxForm.ARGUMENTS,
                       private_stack=private_stack, sleepable=False, interrupts=False,
                       packet=PacketKind.NONE, caller=caller, returns=returns,
                       test_run=None, ctx_tagged=ctx_tagged)  # fmt: skip


def _typed(name: str, number: int, sections: list[Section], caller: Offer) -> ProgramType:
    """Whose context only the kernel's types describe, or another program's."""
    return ProgramType(name, number, tuple(sections), "void", 0, kernel_types=True,
                       sleepable=False, interrupts=False, packet=PacketKind.NONE,
                       caller=caller, returns=None, test_run=None)  # fmt: skip


TRACING: tuple[ProgramType, ...] = (
    _probe((
        *_plus("kprobe", "kretprobe", "ksyscall", "kretsyscall", "uprobe", "uretprobe"),
        *_plus("uprobe.s", "uretprobe.s", sleepable=True),
        *_plus("kprobe.multi", "kretprobe.multi", attach=At.TRACE_KPROBE_MULTI),
        # libbpf attaches usdt so where the kernel can do it (libbpf_prepare_prog_load).
        *_plus("uprobe.multi", "uretprobe.multi", "usdt", attach=At.TRACE_UPROBE_MULTI),
        *_plus("uprobe.multi.s", "uretprobe.multi.s", "usdt.s", attach=At.TRACE_UPROBE_MULTI,
               sleepable=True),
    ), None),
    # On the way in, 1 lets the function's return go by.
    _probe((
        *_plus("kprobe.session", attach=At.TRACE_KPROBE_SESSION),
        *_plus("uprobe.session", attach=At.TRACE_UPROBE_SESSION),
        *_plus("uprobe.session.s", attach=At.TRACE_UPROBE_SESSION, sleepable=True),
    ), (0, 1)),
    ProgramType("tracepoint", 5, tuple(_plus("tracepoint", "tp")), "void", 8192, raw_ctx=8,
                form=CtxForm.RECORD, private_stack=True, objects=True, sleepable=False,
                interrupts=False, packet=PacketKind.NONE, caller=Offer.TRACEPOINT,
                returns=None, test_run=None, ctx_tagged=frozenset({ANY_TYPE})),
    ProgramType("perf_event", 7, (Section("perf_event"),), "bpf_perf_event_data", 184,
                _PERF_FIELDS, private_stack=True, objects=True, sleepable=False, interrupts=True,
                packet=PacketKind.NONE, caller=Offer.PERF_EVENT, returns=None, test_run=None,
                ctx_tagged=frozenset({_USER_REGISTERS, "pt_regs"})),
    ProgramType("raw_tracepoint", 17, tuple(_plus("raw_tracepoint", "raw_tp")),
                "bpf_raw_tracepoint_args", 96, raw_ctx=0, form=CtxForm.WORDS, private_stack=True,
                sleepable=False, interrupts=False, packet=PacketKind.NONE, caller=Offer.TRACEPOINT,
                returns=None, test_run=96, ctx_tagged=frozenset({NUMBER})),
    # raw_tp_writable_prog_is_valid_access: later parts of the buffer's address are numbers.
    ProgramType("raw_tracepoint_writable", 24, tuple(_plus("raw_tracepoint.w", "raw_tp.w")),
                "bpf_raw_tracepoint_args", 96, (CtxField("buffer", 0, 8, CtxKind.BUFFER),),
                raw_ctx=1, form=CtxForm.WORDS, sleepable=False, interrupts=False,
                packet=PacketKind.NONE, caller=Offer.TRACEPOINT, returns=None, test_run=None,
                ctx_tagged=frozenset({NUMBER})),
    ProgramType("syscall", 31, (Section("syscall", sleepable=True),), "void", 65535, raw_ctx=0,
                ctx_writable=True, objects=True, sleepable=True, interrupts=False,
                packet=PacketKind.NONE, caller=Offer.SYSCALL, returns=None,
                test_run=65535, ctx_tagged=frozenset({ANY_TYPE})),
    _attached("tracing", 26, [*_plus("tp_btf", attach=At.TRACE_RAW_TP, btf=True)],
              caller=Offer.TP_BTF, private_stack=True,
              ctx_tagged=frozenset({NUMBER, "bpf_raw_tracepoint_args"})),
    _attached("tracing", 26, [*_both("fentry", At.TRACE_FENTRY)], caller=Offer.FENTRY,
              private_stack=True, ctx_tagged=frozenset({NUMBER}), returns=(0, 0)),
    _attached("tracing", 26, [*_both("fexit", At.TRACE_FEXIT)], caller=Offer.FEXIT,
              private_stack=True, ctx_tagged=frozenset({NUMBER}), returns=(0, 0)),
    _attached("tracing", 26, [*_both("fmod_ret", At.MODIFY_RETURN)], caller=Offer.FMOD_RET,
              private_stack=True, ctx_tagged=frozenset({NUMBER})),
    _attached("tracing", 26, [*_both("iter", At.TRACE_ITER)], caller=Offer.ITER,
              ctx_tagged=_ITERATED, returns=(0, 1)),
    _typed("ext", 28, _plus("freplace", btf=True), Offer.EXT),
    # What they may return, the hook says.
    _attached("lsm", 29, [*_both("lsm", At.LSM_MAC)], caller=Offer.LSM,
              ctx_tagged=frozenset({NUMBER})),
    _attached("lsm", 29, [*_plus("lsm_cgroup", attach=At.LSM_CGROUP, btf=True)],
              caller=Offer.LSM_CGROUP, ctx_tagged=frozenset({NUMBER})),
)  # fmt: skip
