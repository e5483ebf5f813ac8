"""Structs of functions that programs may be (struct_ops), as Linux 6.18 has them.

Sources: struct bpf_struct_ops of each, its cfi_stubs, check_member and verifier_ops:
net/ipv4/bpf_tcp_ca.c, kernel/sched/ext.c, drivers/hid/bpf/hid_bpf_struct_ops.c,
net/sched/bpf_qdisc.c, net/bpf/bpf_dummy_struct_ops.c.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfheap.platform.programs.row import (
    NUMBER,
    CtxForm,
    Offer,
    PacketKind,
    ProgramType,
    Section,
)


@dataclass(frozen=True, slots=True)
class StructOps:
    """One such struct.

    `struct`: its name. `caller`: what its programs are to helpers. `members`: those that programs
    may be, as there are stubs for them; None for all that are functions. `sleepable`: those whose
    programs may sleep (check_member); None where Linux does not look. `nullable`: by member, the
    arguments, from 1, that may be NULL, where the stub's parameters do not say it. `promoted`: what
    a program sees of an argument that is of another struct. `given`: by member and argument, from
    1, the struct of one whose type does not say it. `private_stack`: large frames are elsewhere
    than on the kernel's stack. `held`: what they are called in, where that must not sleep.
    """

    struct: str
    caller: Offer
    members: frozenset[str] | None = None
    sleepable: frozenset[str] | None = frozenset()
    nullable: dict[str, tuple[int, ...]] = field(default_factory=dict)
    promoted: dict[str, str] = field(default_factory=dict)
    given: dict[tuple[str, int], str] = field(default_factory=dict)
    private_stack: bool = False
    held: str = ""


def _row(
    caller: Offer, sections: tuple[Section, ...] = (), *, private_stack: bool = False,
) -> ProgramType:  # fmt: skip
    """Whose context are the arguments of a member, twelve at most."""
    return ProgramType(
        "struct_ops", 27, sections, "void", 96, objects=True, form=CtxForm.ARGUMENTS,
        private_stack=private_stack, sleepable=False, interrupts=False, packet=PacketKind.NONE,
        caller=caller, returns=None, test_run=None, ctx_tagged=frozenset({NUMBER}),
        kernel_types=bool(sections),
    )  # fmt: skip


#: Parameters of stub functions are called so that may be NULL, or that the program owns.
NULLABLE, OWNED = "__nullable", "__ref"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TCP_MEMBERS = _names("""
    ssthresh cong_avoid set_state cwnd_event in_ack_event pkts_acked min_tso_segs cong_control
    undo_cwnd sndbuf_expand init release
""")
#: bpf_tcp_ca_get_func_proto: options of the socket are not for what ends it.
TCP_SOCKOPT = TCP_MEMBERS - {"release"}

STRUCT_OPS: dict[str, StructOps] = {
    row.struct: row
    for row in (
        # It works on what the network brings in; Linux does not ask whether programs sleep.
        StructOps("tcp_congestion_ops", Offer.TCP_CA, TCP_MEMBERS,
                  sleepable=None, promoted={"sock": "tcp_sock"}, held="softirq"),
        StructOps("sched_ext_ops", Offer.SCHED_EXT,
                  sleepable=_names("init_task cgroup_init cgroup_exit cgroup_prep_move cpu_online "
                                   "cpu_offline init exit"),
                  nullable={"dispatch": (2,), "yield": (2,)}),
        StructOps("hid_bpf_ops", Offer.HID,
                  sleepable=_names("hid_rdesc_fixup hid_hw_request hid_hw_output_report")),
        # A qdisc that is there by default has no options, and nobody to tell what is wrong
        # (qdisc_create_dflt); the stub does not say so.
        StructOps("Qdisc_ops", Offer.QDISC, _names("enqueue dequeue init reset destroy"),
                  nullable={"init": (2, 3)}, given={("enqueue", 3): "bpf_sk_buff_ptr"}),
        StructOps("bpf_dummy_ops", Offer.DUMMY_OPS, sleepable=frozenset({"test_sleepable"})),
    )
}  # fmt: skip

#: What programs are before it is known which member of which struct.
_SECTIONS = (
    Section("struct_ops", extras=True), Section("struct_ops.s", extras=True, sleepable=True),
)  # fmt: skip
#: The rows by struct, and "" for the programs that are no member of any.
OPS_ROWS: dict[str, ProgramType] = {
    "": _row(Offer.STRUCT_OPS, _SECTIONS),
    **{
        row.struct: _row(row.caller, private_stack=row.private_stack) for row in STRUCT_OPS.values()
    },
}
