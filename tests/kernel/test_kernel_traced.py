"""Programs that are attached to what the kernel's types name. Some live kernels refuse all of them
before they look; `--oracle vm:VMLINUZ` asks another one. The verdicts are those of Linux 6.1 and
later."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfheap.btf import Btf, Struct, Typedef
from bpfheap.compile import object_spec
from bpfheap.errors import KernelUnsupported
from bpfheap.isa import assemble
from bpfheap.kernel import Kernel, KernelVerdict
from bpfheap.spec import ObjectSpec, ProgramSpec, Ref, RefKind, SubprogSpec
from bpfheap.vmlinux import Vmlinux
from linux_versions import skip_not_allowed

EMPTY = "r0 = 0\nexit"
#: The second argument, a pointer to a struct filename, which begins with a pointer.
FILENAME = "r1 = *(u64 *)(r1 +8)\n"


def verdict(kernel: Kernel, section: str, code: str, license_: str = "GPL") -> KernelVerdict:
    """With the log; skips the test if this kernel says no to all such programs."""
    done = assemble(code)
    refs = {slot: Ref(RefKind(s.kind), s.name) for slot, s in done.refs.items()}
    subs = (SubprogSpec("p", 0, len(done.insns), 0, True),)
    spec = ProgramSpec("p", section, done.insns, refs, subs, {}, Btf.EMPTY, license_, "x.o")
    found = kernel.verify(ObjectSpec("x.o", Btf.EMPTY, {}, {"p": spec}, license_), spec, log=True)
    skip_not_allowed(section, found)
    return found


@pytest.mark.parametrize(
    ("section", "code"),
    [
        ("fentry/do_unlinkat", FILENAME + "r1 = *(u64 *)(r1 +0)\n" + EMPTY),
        ("fexit/do_unlinkat", "r0 = *(u64 *)(r1 +16)\n" + EMPTY),
        ("fmod_ret/security_file_open", EMPTY),
        ("lsm/file_open", "r1 = *(u64 *)(r1 +0)\n" + EMPTY),
        ("lsm.s/file_open", EMPTY),
        ("tp_btf/sched_switch", "r1 = *(u64 *)(r1 +8)\n" + EMPTY),
        ("iter/task", "r1 = *(u64 *)(r1 +8)\n" + EMPTY),
        ("raw_tp/sched_switch", EMPTY),
        ("tracepoint/sched/sched_switch", "r1 = *(u32 *)(r1 +8)\n" + EMPTY),
        ("kprobe/do_unlinkat", "r1 = *(u64 *)(r1 +112)\n" + EMPTY),
        ("xdp", "r0 = 2\nexit"),
    ],
)
def test_accepted(kernel: Kernel, section: str, code: str) -> None:
    found = verdict(kernel, section, code)
    assert found.accepted, found.log
    assert found.insns_processed == len(assemble(code).insns)


@pytest.mark.parametrize(
    ("section", "code", "message"),
    [
        ("fentry/do_unlinkat", "r0 = *(u64 *)(r1 +16)\nexit", "doesn't have 3-th argument"),
        ("fentry/do_unlinkat", FILENAME + "*(u64 *)(r1 +0) = 0\n" + EMPTY, "only read is"),
        ("fexit/do_unlinkat", "r0 = *(u64 *)(r1 +24)\nexit", "doesn't have 4-th argument"),
        ("fentry.s/vfs_read", EMPTY, "is not sleepable"),
        ("fmod_ret/do_unlinkat", EMPTY, "is not modifiable"),
        ("lsm/file_open", "r0 = *(u64 *)(r1 +16)\nexit", "doesn't have 3-th argument"),
        ("tp_btf/sched_switch", "r0 = *(u64 *)(r1 +64)\nexit", "doesn't have"),
        ("iter/task", "r0 = 2\nexit", "At program exit the register R0 has"),
        ("kprobe/do_unlinkat", "r0 = *(u64 *)(r1 +168)\nexit", "invalid bpf_context access"),
        ("xdp", "r1 = *(u32 *)(r1 +0)\nr0 = *(u8 *)(r1 +0)\nexit", "outside of the packet"),
    ],
)
def test_refused(kernel: Kernel, section: str, code: str, message: str) -> None:
    found = verdict(kernel, section, code)
    assert not found.accepted
    assert message in found.log
    assert found.log.splitlines()[-1].startswith("processed ")


def test_licences(kernel: Kernel) -> None:
    found = verdict(kernel, "lsm/file_open", EMPTY, "Proprietary")
    assert found.message == "LSM programs must have a GPL compatible license"


def test_places_that_are_not_there(kernel: Kernel) -> None:
    with pytest.raises(KernelUnsupported, match="no no_such_function to attach p to"):
        verdict(kernel, "fentry/no_such_function", EMPTY)


def test_its_own_types_count(kernel: Kernel, tmp_path: Path) -> None:
    """CO-RE relocations, and what is attached to, go by the types of the kernel that is asked."""
    types = kernel.transport.types()
    assert types.find("btf_trace_sched_switch", Typedef) is not None
    task = types[types.find("task_struct", Struct) or 0]
    assert isinstance(task, Struct)
    (pid,) = (member.bit_offset // 8 for member in task.members if member.name == "pid")
    path = tmp_path / "pid.bpf.c"
    path.write_text(
        "#include <bpfheap.h>\nstruct task_struct { int pid; } "
        "__attribute__((preserve_access_index));\n"
        'SEC("tp_btf/sched_switch") int p(__u64 *ctx)\n'
        "{ return ((struct task_struct *)ctx[1])->pid; }\n"
        'char LICENSE[] SEC("license") = "GPL";\n'
    )
    obj = object_spec(path, target=Vmlinux(kernel.transport.types))
    program = obj.programs["p"]
    assert pid in {insn.off for insn in program.insns}
    found = kernel.verify(obj, program, stats=True)
    skip_not_allowed(program.section, found)
    assert found.accepted, found.log
