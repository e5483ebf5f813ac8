"""Programs for a kernel of a few types: contexts that are arguments, and variables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_kernel import SmallKernel
from verifier_cases import Types, program

from bpfheap.btf import BtfType, Int, LazyBtf, Var
from bpfheap.btf.raw import encode_types
from bpfheap.errors import BtfError, UsageError
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import Options, Verdict, verify
from built_btf import built

BTF = Types({}).build()
OBJ = ObjectSpec("small", BTF, {}, {}, kernel=SmallKernel())


def verdict(section: str, code: str, obj: ObjectSpec = OBJ) -> Verdict:
    return verify(obj, program(f"{code}\nout: r0 = 0\nexit", BTF, section), Options(explain=False))


#: Section, code, and a part of the message or the detail; "" for programs that are accepted.
PROGRAMS = [
    # What is read in the context.
    ("fentry/vfs_read", "r2 = *(u64 *)(r1 +0)", ""),
    ("fentry/vfs_read", "r2 = *(u64 *)(r1 +8)", ""),
    ("fentry/vfs_read", "r2 = *(u64 *)(r1 +16)", "func 'vfs_read' doesn't have 3-th argument"),
    ("fexit/vfs_read", "r2 = *(u64 *)(r1 +16)", ""),
    ("fexit/vfs_read", "r2 = *(u64 *)(r1 +24)", "doesn't have 4-th argument"),
    ("fexit/vfs_done", "r2 = *(u64 *)(r1 +8)", "doesn't have 2-th argument"),
    ("fmod_ret/vfs_read", "r2 = *(u64 *)(r1 +16)", ""),
    ("fentry/vfs_read", "r2 = *(u32 *)(r1 +0)", "size 4 must be 8"),
    ("fentry/vfs_read", "r2 = *(u32 *)(r1 +8)", ""),
    ("fentry/vfs_read", "r2 = *(u32 *)(r1 +4)", "offset 4 is not multiple of 8"),
    ("fentry/vfs_read", "*(u64 *)(r1 +8) = 1", "invalid bpf_context access"),
    ("lsm/file_open", "r2 = *(u64 *)(r1 +8)", ""),
    ("lsm/task_free", "r2 = *(u64 *)(r1 +8)", "doesn't have 2-th argument"),
    ("lsm/is_trusted", "", "points to wrong type name bpf_lsm_is_trusted"),
    # What is known of it.
    ("fentry/vfs_read", "r2 = *(u64 *)(r1 +0)\nr3 = *(u32 *)(r2 +0)", ""),
    ("fentry/vfs_read", "r2 = *(u64 *)(r1 +0)\nr3 = *(u64 *)(r2 +0)",
     "beyond the end of member pid"),
    ("tp_btf/seen", "r2 = *(u64 *)(r1 +0)\nr3 = *(u32 *)(r2 +0)", ""),
    ("tp_btf/perhaps", "r2 = *(u64 *)(r1 +0)\nr3 = *(u32 *)(r2 +0)", "trusted_ptr_or_null_"),
    ("iter/task", "r2 = *(u64 *)(r1 +8)\nr3 = *(u32 *)(r2 +0)", "trusted_ptr_or_null_"),
    ("tp_btf/seen", "r2 = *(u64 *)(r1 +0)\nr3 = *(u64 *)(r2 +32)\nr3 = *(u32 *)(r3 +0)",
     "access user memory"),
    ("tp_btf/seen", "r2 = *(u64 *)(r1 +0)\nr3 = *(u64 *)(r2 +48)\nr3 = *(u32 *)(r3 +0)",
     "trusted_ptr_or_null_"),
    ("fentry/vfs_read", "r2 = *(u64 *)(r1 +0)\nr3 = *(u64 *)(r2 +48)\nr3 = *(u32 *)(r3 +0)", ""),
    ("tp_btf/seen", "r2 = *(u64 *)(r1 +0)\nr3 = *(u64 *)(r2 +56)\nr3 = *(u32 *)(r3 +0)",
     "rcu_ptr_or_null_"),
    ("fentry/vfs_read", "r2 = *(u64 *)(r1 +0)\nr1 = *(u64 *)(r2 +56)\ncall bpf_task_pt_regs",
     "R1 type=untrusted_ptr_"),
    ("fentry/vfs_read", "r2 = *(u64 *)(r1 +0)\nr1 = *(u64 *)(r2 +24)\ncall bpf_task_pt_regs",
     "no struct task_struct"),
    ("lsm.s/file_open", "r2 = *(u64 *)(r1 +0)\nr3 = *(u64 *)(r2 +24)\nr3 = *(u64 *)(r3 +24)\n"
     "r3 = *(u32 *)(r3 +0)", ""),
    ("lsm.s/file_open", "r2 = *(u64 *)(r1 +0)\nr1 = *(u64 *)(r2 +24)\ncall bpf_task_pt_regs",
     "R1 type=untrusted_ptr_"),
    ("tp_btf/nfs4_inode_callback_event", "r2 = *(u64 *)(r1 +16)\nr3 = *(u32 *)(r2 +0)",
     "R2 invalid mem access 'scalar'"),
    ("fentry/texts", "r2 = *(u64 *)(r1 +0)", "is not a struct"),
    ("tp_btf/real", "r2 = *(u64 *)(r1 +0)", "Only pointer access is allowed"),
    ("fentry/vfs_read", "r2 = *(u64 *)(r1 +96)", "invalid bpf_context access off=96 size=8"),
    ("tp_btf/seen", "r2 = *(u64 *)(r1 +0)\nr3 = *(u32 *)(r2 +4000)", "how many elements"),
    ("tp_btf/seen", "r2 = *(u64 *)(r1 +0)\nr3 = *(u32 *)(r2 -4)", "invalid negative access"),
    # What calls take and give.
    ("fentry/vfs_read", "r1 = *(u64 *)(r1 +0)\ncall bpf_task_pt_regs", "no struct task_struct"),
    ("fentry/vfs_read", "call bpf_get_current_task_btf", "no struct task_struct"),
    ("fentry/vfs_read", "r1 = *(u64 *)(r1 +0)\nr2 = r10\nr2 += -8\nr3 = 8\ncall bpf_d_path",
     "helper call is not allowed in probe"),
    # Where programs may be attached.
    ("fentry", "", "Tracing programs must provide btf_id"),
    ("fentry/nothing", "", "no function nothing to attach to"),
    ("tp_btf/nothing", "", "no tracepoint nothing to attach to"),
    ("fentry/many", "", "has 13 arguments. Too many."),
    ("fentry/far", "", "arg0 type struct task is unsupported"),
    ("fentry/odd", "", "arg0 type double is unsupported"),
    ("tp_btf/odd", "", "btf_trace_odd of the kernel's BTF is no function"),
    ("fentry/printk", "", "with variable args is unsupported"),
    ("fmod_ret/vfs_done", "", "can't modify return codes of vfs_done"),
    ("lsm/getprocattr", "", "points to disabled hook bpf_lsm_getprocattr"),
    ("lsm.s/file_open", "", ""),
    ("lsm.s/task_free", "", "bpf_lsm_task_free is not sleepable"),
    # Variables.
    ("raw_tp", "r1 = ksym[name:first] ll\nr2 = *(u32 *)(r1 +0)", ""),
    ("raw_tp", "r1 = ksym[name:limit] ll\nr2 = *(u32 *)(r1 +0)", ""),
    ("raw_tp", "r1 = ksym[name:limit] ll\nr2 = *(u64 *)(r1 +0)", "mem_size=4 off=0 size=8"),
    ("raw_tp", "r1 = ksym[name:limit] ll\n*(u32 *)(r1 +0) = 1", "cannot write into rdonly_mem"),
    ("raw_tp", "r1 = ksym[name:each_task] ll\nr2 = *(u32 *)(r1 +0)", "access percpu memory"),
    ("raw_tp", "r1 = ksym[name:each_task] ll\ncall bpf_this_cpu_ptr\nr2 = *(u32 *)(r0 +0)", ""),
    ("raw_tp", "r1 = ksym[name:each_task] ll\nr2 = 0\ncall bpf_per_cpu_ptr\nr2 = *(u32 *)(r0 +0)",
     "R0 invalid mem access 'ptr_or_null_'"),
    ("raw_tp", "r1 = ksym[name:each_task] ll\nr2 = 0\ncall bpf_per_cpu_ptr\nif r0 == 0 goto out\n"
     "r2 = *(u32 *)(r0 +0)", ""),
    ("raw_tp", "r1 = ksym[name:each_count] ll\ncall bpf_this_cpu_ptr\nr2 = *(u32 *)(r0 +0)", ""),
    ("raw_tp", "r1 = ksym[name:each_count] ll\ncall bpf_this_cpu_ptr\nr2 = *(u64 *)(r0 +0)",
     "mem_size=4"),
    ("raw_tp", "r1 = ksym[name:nothing] ll", "the kernel has no variable nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("section", "code", "message"), PROGRAMS)
def test_programs(section: str, code: str, message: str) -> None:
    found = verdict(section, code)
    said = "" if found.error is None else f"{found.error.message}\n{found.error.detail}"
    assert found.accepted == (not message), said
    assert message in said


#: r8 is trusted since r7 is, which an argument or the section keeps.
SECTIONS = """
r6 = *(u64 *)(r1 +0)
call kfunc bpf_rcu_read_lock
r8 = 0
r7 = {task}
if r7 == 0 goto over
r8 = *(u64 *)(r7 +24)
{within}
over: call kfunc bpf_rcu_read_unlock
if r8 == 0 goto out
{after}
"""
USE = "r3 = load_acquire((u32 *)(r8 +0))"


@pytest.mark.parametrize(
    ("task", "within", "after", "message"),
    [
        ("*(u64 *)(r6 +56)", USE, "r0 = 0", ""),
        ("*(u64 *)(r6 +56)", "r0 = 0", USE, "loads from R8 untrusted_ptr_"),
        ("r6", "r0 = 0", USE, ""),
    ],
)
def test_what_is_trusted_for_the_sake_of_what_a_section_keeps_ends_with_it(
    task: str, within: str, after: str, message: str
) -> None:
    code = SECTIONS.format(task=task, within=within, after=after)
    obj = replace(OBJ, kernel=SmallKernel(trusted_parents=True))
    found = verdict("lsm.s/file_open", code, obj)
    said = "" if found.error is None else found.error.message
    assert found.accepted == (not message), said
    assert message in said


@pytest.mark.parametrize("one", ["r6", "*(u64 *)(r6 +56)"])
def test_who_keeps_an_object_matters_where_paths_meet(one: str) -> None:
    """The path that is walked first has the object of the argument, and stays safe."""
    code = f"""
r6 = *(u64 *)(r1 +0)
r9 = *(u64 *)(r1 +8)
call kfunc bpf_rcu_read_lock
r7 = {one}
if r7 == 0 goto over
if r9 == 0 goto meet
r7 = r6
meet: r8 = *(u64 *)(r7 +24)
r7 = 0
call kfunc bpf_rcu_read_unlock
{USE}
goto out
over: call kfunc bpf_rcu_read_unlock
"""
    obj = replace(OBJ, kernel=SmallKernel(trusted_parents=True))
    assert verdict("lsm.s/file_open", code, obj).accepted == (one == "r6")


@pytest.mark.parametrize(
    ("section", "results"),
    [
        ("fentry/vfs_read", {0: True, 1: False}),
        ("fexit/vfs_read", {0: True, -1: False}),
        ("fmod_ret/vfs_read", {0: True, -1: True, 5: True}),
        ("lsm/file_open", {0: True, -1: True, -4095: True, -4096: False, 1: False}),
        # What a function that returns an int leaves in the lower half.
        ("lsm/file_open", {"0xffffffff ll": True, "0x100000000 ll": True, "7 ll": False}),
        ("lsm/task_free", {0: True, 7: True}),
        ("lsm/inode_xattr_skipcap", {0: True, 1: True, -1: False}),
        ("lsm_cgroup/file_open", {0: True, 1: True, -1: False}),
        ("lsm_cgroup/task_free", {0: False, 1: True}),
        ("iter/task", {0: True, 1: True, 2: False}),
        ("tp_btf/seen", {0: True, 77: True}),
    ],
)
def test_results(section: str, results: dict[object, bool]) -> None:
    for result, accepted in results.items():
        spec = program(f"r0 = {result}\nexit", BTF, section)
        assert verify(OBJ, spec, Options(explain=False)).accepted == accepted, result


@pytest.mark.parametrize(
    ("section", "load", "accepted"),
    [
        ("lsm/file_open", "r0 = *(u64 *)(r1 +8)", True),
        # Its lower half is all that counts, and is negative.
        ("lsm/file_open", "r0 = *(u32 *)(r1 +8)", True),
        ("lsm/file_open", "r0 = *(s32 *)(r1 +8)", True),
        ("lsm/file_open", "r0 = *(u64 *)(r1 +8)\nr0 -= 1", False),
        ("lsm/file_open", "r0 = *(u8 *)(r1 +8)", False),
        ("lsm/inode_xattr_skipcap", "r0 = *(u64 *)(r1 +8)", True),
        ("lsm_cgroup/file_open", "r0 = *(u64 *)(r1 +8)", False),
        ("fmod_ret/vfs_read", "r0 = *(u64 *)(r1 +16)", True),
    ],
)
def test_hooks_hand_on_what_was_returned_before(section: str, load: str, accepted: bool) -> None:
    spec = program(f"{load}\nexit", BTF, section)
    assert verify(OBJ, spec, Options(explain=False)).accepted == accepted


def test_security_hooks_are_for_programs_under_the_gpl() -> None:
    spec = replace(program("r0 = 0\nexit", BTF, "lsm/file_open"), license="")
    error = verify(OBJ, spec, Options(explain=False)).error
    assert error is not None
    assert error.message == "LSM programs must have a GPL compatible license"


def test_types_of_modules() -> None:
    obj = replace(OBJ, kernel=SmallKernel(of_modules=True))
    assert verdict("fentry/vfs_read", "r2 = *(u64 *)(r1 +0)\nr3 = *(u32 *)(r2 +0)", obj).accepted
    error = verdict("tp_btf/seen", "r2 = *(u64 *)(r1 +0)\nr3 = *(u32 *)(r2 +0)", obj).error
    # Whether a module passes NULL, nobody knows: but this one is not split off the kernel.
    assert error is None


def test_facts_of_what_is_read_of_the_kernel() -> None:
    code = "r2 = *(u64 *)(r1 +0)\nr3 = *(u32 *)(r2 +0)\nr0 = 0\nexit"
    found = verify(OBJ, program(code, BTF, "tp_btf/seen"), Options(facts=True))
    assert found.facts is not None
    assert found.facts.guarded


def test_an_untyped_variable_is_an_address() -> None:
    btf = built(Int("int", 4, 1, 0, 32), Var("text", 0, 2))
    spec = replace(program("r1 = ksym[name:text] ll\nr1 += 1\nr0 = 0\nexit", BTF, "tc"), btf=btf)
    assert verify(replace(OBJ, btf=btf), spec).accepted


class OneCpu(SmallKernel):
    """No variable is there once for each CPU."""

    def types(self) -> LazyBtf | None:
        types = built(Int("int", 4, 1, 0, 32), Var("limit", 1, 1)).types
        return LazyBtf.parse(encode_types(types))


def test_a_kernel_without_variables_of_a_cpu() -> None:
    obj = replace(OBJ, kernel=OneCpu())
    assert verdict("raw_tp", "r1 = ksym[name:limit] ll\nr2 = *(u32 *)(r1 +0)", obj).accepted


class Torn(LazyBtf):
    """Types of which one cannot be read."""

    def find(self, name: str, kind: type[BtfType]) -> int | None:
        raise BtfError(f"type {name} is torn")


def test_types_that_are_torn() -> None:
    kernel = SmallKernel()
    types = kernel.types()
    assert types is not None
    types.__class__ = Torn
    for code, section in (("", "fentry/vfs_read"), ("r1 = ksym[name:first] ll", "raw_tp")):
        error = verdict(section, code, replace(OBJ, kernel=kernel)).error
        assert error is not None
        assert error.message.endswith("is torn")


class Broken(SmallKernel):
    """Its types cannot be read."""

    def types(self) -> LazyBtf | None:
        raise UsageError("cannot be read: no such device", file="vmlinux")


def test_types_that_cannot_be_read() -> None:
    error = verdict("fentry/vfs_read", "", replace(OBJ, kernel=Broken())).error
    assert error is not None
    assert error.message == "cannot be read: no such device"


@pytest.mark.parametrize("section", ["fentry/vfs_read", "iter/task", "lsm/file_open"])
def test_without_the_types_of_a_kernel(section: str) -> None:
    found = verdict(section, "", ObjectSpec("none", BTF, {}, {}))
    assert found.missing == ("the kernel's BTF",)
    assert found.error is not None
    assert "--kernel-btf" in (found.error.hint or "")


def test_variables_without_the_types_of_a_kernel() -> None:
    found = verdict("raw_tp", "r1 = ksym[name:first] ll", ObjectSpec("none", BTF, {}, {}))
    assert found.missing == ("first",)
