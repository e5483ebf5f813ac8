"""Programs that trace, those that the kernel's types describe, and syscall programs.

Sources: kprobe_verifier_ops and its like in kernel/trace/bpf_trace.c of Linux 6.18.
"""

from __future__ import annotations

from bpfheap.platform.programs.attach import AttachType as At
from bpfheap.platform.programs.fields import kernel
from bpfheap.platform.programs.row import (
    ANY_TYPE,
    NUMBER,
    CtxField,
    CtxKind,
    Offer,
    PacketKind,
    ProgramType,
    Section,
)

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


def _typed(name: str, number: int, sections: list[Section]) -> ProgramType:
    """Of the kernel's types."""
    return ProgramType(name, number, tuple(sections), "void", 0, kernel_types=True,
                       sleepable=False, interrupts=False, packet=PacketKind.NONE,
                       caller=Offer.TYPED, returns=None, test_run=None)  # fmt: skip


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
                private_stack=True, objects=True, sleepable=False, interrupts=False,
                packet=PacketKind.NONE, caller=Offer.TRACEPOINT, returns=None, test_run=None,
                ctx_tagged=frozenset({ANY_TYPE})),
    ProgramType("perf_event", 7, (Section("perf_event"),), "bpf_perf_event_data", 184,
                _PERF_FIELDS, private_stack=True, objects=True, sleepable=False, interrupts=True,
                packet=PacketKind.NONE, caller=Offer.PERF_EVENT, returns=None, test_run=None,
                ctx_tagged=frozenset({_USER_REGISTERS, "pt_regs"})),
    ProgramType("raw_tracepoint", 17, tuple(_plus("raw_tracepoint", "raw_tp")),
                "bpf_raw_tracepoint_args", 96, raw_ctx=0, private_stack=True, sleepable=False,
                interrupts=False, packet=PacketKind.NONE, caller=Offer.TRACEPOINT, returns=None,
                test_run=96, ctx_tagged=frozenset({NUMBER})),
    # raw_tp_writable_prog_is_valid_access: later parts of the buffer's address are numbers.
    ProgramType("raw_tracepoint_writable", 24, tuple(_plus("raw_tracepoint.w", "raw_tp.w")),
                "bpf_raw_tracepoint_args", 96, (kernel("buffer", 0),), raw_ctx=1, sleepable=False,
                interrupts=False, packet=PacketKind.NONE, caller=Offer.TRACEPOINT, returns=None,
                test_run=None, ctx_tagged=frozenset({NUMBER})),
    ProgramType("syscall", 31, (Section("syscall", sleepable=True),), "void", 65535, raw_ctx=0,
                ctx_writable=True, objects=True, sleepable=True, interrupts=False,
                packet=PacketKind.NONE, caller=Offer.SYSCALL, returns=None,
                test_run=65535, ctx_tagged=frozenset({ANY_TYPE})),
    _typed("tracing", 26, [
        *_plus("tp_btf", attach=At.TRACE_RAW_TP, btf=True),
        *_both("fentry", At.TRACE_FENTRY),
        *_both("fexit", At.TRACE_FEXIT),
        *_both("fmod_ret", At.MODIFY_RETURN),
        *_both("iter", At.TRACE_ITER),
    ]),
    _typed("struct_ops", 27, _both("struct_ops", btf=False)),
    _typed("ext", 28, _plus("freplace", btf=True)),
    _typed("lsm", 29, [*_both("lsm", At.LSM_MAC), *_plus("lsm_cgroup", attach=At.LSM_CGROUP,
                                                         btf=True)]),
)  # fmt: skip
