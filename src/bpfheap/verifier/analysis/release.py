"""What a release of Linux that programs have to load on does not have yet.

Linux looks for it in all of the code, reached or not, but for calls: calls.py asks of those that
are reached.
"""

from __future__ import annotations

from bpfheap.isa import ControlFlow, Kind, Op
from bpfheap.platform.linux import NEWEST, Release, map_type_since, shown
from bpfheap.platform.maps import BY_NUMBER
from bpfheap.platform.releases import Rule, call_since, op_since, section_since
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec
from bpfheap.verifier.analysis.cfg import Cfg
from bpfheap.verifier.reject import Reject

#: What Linux says of instructions that it does not know, where that is not that a field is not 0.
_SAID = {
    Kind.ALU: "BPF_ALU uses reserved fields",
    Kind.MOV: "BPF_MOV uses reserved fields",
    Kind.END: "BPF_END uses reserved fields",
    Kind.JA: "BPF_JA uses reserved fields",
    Kind.CALL_LOCAL: "BPF_CALL uses reserved fields",
    Kind.CALL_KFUNC: "BPF_CALL uses reserved fields",
    Kind.LDDW: "unrecognized bpf_ld_imm64 insn",
}


def release_of(obj: ObjectSpec) -> Release:
    """The release that an object's programs have to load on."""
    return NEWEST if obj.kernel is None else obj.kernel.release()


def _came(since: Release, what: str) -> str:
    return f"{what} came with Linux {shown(since)}"


def follows(release: Release, rule: Rule) -> bool:
    """Is a rule as it is now?"""
    return release >= rule.since


def check_release(obj: ObjectSpec, spec: ProgramSpec, cfg: Cfg, release: Release) -> None:
    """Raises Reject."""
    if release >= NEWEST:
        return
    since = section_since(spec.section)
    if since > release:
        raise Reject(
            f"Linux {shown(release)} does not load programs of section {spec.section}",
            insn=0,
            hint=_came(since, "they"),
        )
    _check_maps(obj, spec, release)
    for step in cfg:
        since = op_since(step.op)
        if since > release:
            raise Reject(
                _said(step.op, spec.insns[step.slot].imm),
                insn=step.slot,
                hint=_came(since, "this instruction") + _to_compile(step.op),
            )


def check_call(name: str, number: int | None, release: Release) -> None:
    """May a program call such a helper, or a kfunc, which has no number? Raises Reject."""
    since = call_since(name, number)
    if since is not None and since > release:
        raise Reject(
            f"invalid func unknown#{number}"
            if number is not None
            else f"the kernel has no function {name}",
            detail="" if number is None else f"{name} is helper {number}",
            hint=_came(since, name),
        )


def _check_maps(obj: ObjectSpec, spec: ProgramSpec, release: Release) -> None:
    """Those of the whole object: loaders create all of them before they load a program."""
    used = {ref.name: slot for slot, ref in spec.refs.items()}
    for named in obj.maps.values():
        inner: MapSpec | None = named
        while inner is not None:
            since = map_type_since(inner.type)
            if since is not None and since > release:
                row = BY_NUMBER.get(inner.type)
                raise Reject(
                    f"Linux {shown(release)} does not create map {named.name}",
                    insn=used.get(named.name, 0),
                    hint=_came(since, "its type" if row is None else f"type {row.name}"),
                )
            inner = inner.inner


def _said(op: Op, imm: int) -> str:
    """The words of a release that does not know the instruction."""
    if op.atomic:
        return f"BPF_ATOMIC uses invalid atomic opcode {imm & 0xFFFFFFFF:02x}"
    if op.kind is Kind.LOAD:
        return "BPF_LDX uses reserved fields"
    return _SAID.get(op.kind, f"unknown opcode {op.opcode:02x}")


def _to_compile(op: Op) -> str:
    """Compilers write some for newer CPUs alone."""
    written = op.kind in (Kind.ALU, Kind.END, Kind.MOV, Kind.LOAD) and not op.atomic
    return "; compile with -mcpu=v3" if written or op.flow is ControlFlow.JUMP else ""
