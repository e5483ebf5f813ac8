"""Every kind of register as every argument of the kfuncs that are judged by their prototypes, in
programs of each kind that may call them: our verdict is Linux's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from later import is_refused_later
from test_arguments import BEGIN, BTF, OBJ, REGISTERS, SUB, filled, fits, is_hole, row_of

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import SYSTEM, placed, program

from bpfheap.btf import Struct
from bpfheap.kernel import Kernel
from bpfheap.kernel.log import KernelVerdict
from bpfheap.platform.calls import left_out
from bpfheap.platform.kfuncs import BY_PROTOTYPE, KFUNCS, Kfunc, KfuncFlag
from bpfheap.platform.programs import Offer, ProgramType
from bpfheap.verifier import Options, Verdict, verify
from bpfheap.verifier.state.kernel import KernelTypes, Parameter, Prototype
from linux_versions import skip_not_allowed

F = KfuncFlag
#: What is said is not asked for.
_PLAINLY = Options(explain=False)

#: What has to be released, and by what.
_RELEASED_BY = {
    "bpf_cpumask": "bpf_cpumask_release", "task_struct": "bpf_task_release",
    "cgroup": "bpf_cgroup_release", "bpf_key": "bpf_key_put", "nf_conn": "bpf_ct_release",
    "bpf_crypto_ctx": "bpf_crypto_ctx_release", "xfrm_state": "bpf_xdp_xfrm_state_release",
    "nf_conn___init": "bpf_ct_insert_entry", "file": "bpf_put_file",
}  # fmt: skip


def _acquired(struct: str, code: str) -> dict[str, tuple[str, str, str]]:
    """Registers that lead to an acquired object, by what becomes of it; or to none."""
    done = _RELEASED_BY[struct]
    # Two may be there.
    place = "(r10 -112)" if struct == "cgroup" else "(r10 -72)"
    begin = f"{code}*(u64 *){place} = r0\n"
    sure = f"{begin}if r0 == 0 goto out\n"
    end = f"r1 = *(u64 *){place}\nif r1 == 0 goto {struct}\ncall kfunc {done}\n{struct}: r0 = 0\n"
    if struct == "nf_conn___init":
        again = f"if r0 == 0 goto {struct}\nr1 = r0\ncall kfunc bpf_ct_release\n{struct}: "
        end = end.replace(f"{struct}: ", again)
    made = f"r{{n}} = *(u64 *){place}"
    return {
        struct: (sure, made, ""),
        f"{struct}, released later": (sure, made, end),
        f"{struct} or NULL": (begin, made, end),
        f"{struct}, further on": (sure, f"{made}\nr{{n}} += 8", end),
    }


_TUPLE = """
*(u64 *)(r10 -96) = 0
*(u64 *)(r10 -88) = 0
*(u64 *)(r10 -80) = 0
r1 = r6
r2 = r10
r2 += -96
r3 = 12
r4 = r10
r4 += -40
r5 = 12
call kfunc bpf_{kind}_ct_{what}
"""
_PARAMS = """
r1 = r10
r1 += -500
r2 = 408
r3 = r10
r3 += -8
call kfunc bpf_crypto_ctx_create
"""


def _walking(kind: str, arguments: str, lock: bool = False) -> tuple[str, str, str]:
    begin = "call kfunc bpf_rcu_read_lock\n" if lock else ""
    begin += f"r1 = r10\nr1 += -40\n{arguments}call kfunc bpf_iter_{kind}_new\n"
    end = f"r1 = r10\nr1 += -40\ncall kfunc bpf_iter_{kind}_destroy\n"
    end += "call kfunc bpf_rcu_read_unlock\n" if lock else ""
    return begin, "r{n} = r10\nr{n} += -40", end


#: As those of helpers; `end` is to be done after the call. Where they can be is in `_WHERE`.
_MORE: dict[str, tuple[str, str, str]] = {
    "trusted task": ("r9 = *(u64 *)(r6 +8)\n", "r{n} = r9", ""),
    "trusted task, further on": ("r9 = *(u64 *)(r6 +8)\n", "r{n} = r9\nr{n} += 8", ""),
    "trusted task, at any place": (
        "r9 = *(u64 *)(r6 +8)\n", "r{n} = r9\nr0 = *(u64 *)(r10 -64)\nr0 &= 7\nr{n} += r0", "",
    ),
    "parent": (
        "r9 = *(u64 *)(r6 +8)\nr9 = *(u64 *)(r9 +@task_struct.real_parent)\n", "r{n} = r9", "",
    ),
    "CPUs of a task": (
        "r9 = *(u64 *)(r6 +8)\nr9 = *(u64 *)(r9 +@task_struct.cpus_ptr)\n", "r{n} = r9", "",
    ),
    "CPUs in a task": ("r9 = *(u64 *)(r6 +8)\n", "r{n} = r9\nr{n} += @task_struct.cpus_mask", ""),
    "walked to": (
        "r9 = *(u64 *)(r6 +8)\nr9 = *(u64 *)(r9 +@task_struct.last_wakee)\n", "r{n} = r9", "",
    ),
    "parent, in a section": (
        "call kfunc bpf_rcu_read_lock\nr9 = *(u64 *)(r6 +8)\n"
        "r9 = *(u64 *)(r9 +@task_struct.real_parent)\n",
        "r{n} = r9",
        "call kfunc bpf_rcu_read_unlock\n",
    ),
    "parent, after a section": (
        "call kfunc bpf_rcu_read_lock\nr9 = *(u64 *)(r6 +8)\n"
        "r9 = *(u64 *)(r9 +@task_struct.real_parent)\ncall kfunc bpf_rcu_read_unlock\n",
        "r{n} = r9",
        "",
    ),
    "cast task": (
        "r1 = r6\nr2 = $task\ncall kfunc bpf_rdonly_cast\nr9 = r0\n", "r{n} = r9", "",
    ),
    "cast memory": ("r1 = r6\nr2 = 0\ncall kfunc bpf_rdonly_cast\nr9 = r0\n", "r{n} = r9", ""),
    "kernel's context": ("r1 = r6\ncall kfunc bpf_cast_to_kern_ctx\nr9 = r0\n", "r{n} = r9", ""),
    "cgroup subsystem": (
        "r1 = 1\ncall kfunc bpf_cgroup_from_id\nif r0 == 0 goto out\n*(u64 *)(r10 -104) = r0\n",
        "r{n} = *(u64 *)(r10 -104)\nr{n} += @cgroup.self",
        "r1 = *(u64 *)(r10 -104)\ncall kfunc bpf_cgroup_release\n",
    ),
    **_acquired("bpf_cpumask", "call kfunc bpf_cpumask_create\n"),
    **_acquired("task_struct", "r1 = 1\ncall kfunc bpf_task_from_pid\n"),
    **_acquired("cgroup", "r1 = 1\ncall kfunc bpf_cgroup_from_id\n"),
    **_acquired("bpf_key", "r1 = 1\ncall kfunc bpf_lookup_system_key\n"),
    **_acquired("bpf_crypto_ctx", _PARAMS),
    **_acquired("nf_conn", _TUPLE.replace("{what}", "lookup")),
    **_acquired("nf_conn___init", _TUPLE.replace("{what}", "alloc")),
    **_acquired(
        "xfrm_state", "r1 = r6\nr2 = r10\nr2 += -56\nr3 = 40\ncall kfunc bpf_xdp_get_xfrm_state\n"
    ),
    "iterator of numbers": _walking("num", "r2 = 0\nr3 = 9\n"),
    "iterator of bits": _walking("bits", "r2 = r8\nr3 = 1\n"),
    "iterator of tasks": _walking("task", "r2 = 0\nr3 = 0\n", lock=True),
    "iterator of caches": _walking("kmem_cache", ""),
    "iterator of buffers": _walking("dmabuf", ""),
    "iterator of areas": _walking("task_vma", "r2 = *(u64 *)(r6 +8)\nr3 = 0\n"),
    "a kernel struct's id": ("", "r{n} = $task", ""),
    "iterator of subsystems": (
        "r1 = 1\ncall kfunc bpf_cgroup_from_id\nif r0 == 0 goto out\n*(u64 *)(r10 -104) = r0\n"
        "call kfunc bpf_rcu_read_lock\nr1 = r10\nr1 += -40\nr2 = *(u64 *)(r10 -104)\n"
        "r2 += @cgroup.self\nr3 = 1\ncall kfunc bpf_iter_css_new\n",
        "r{n} = r10\nr{n} += -40",
        "r1 = r10\nr1 += -40\ncall kfunc bpf_iter_css_destroy\n"
        "call kfunc bpf_rcu_read_unlock\n"
        "r1 = *(u64 *)(r10 -104)\ncall kfunc bpf_cgroup_release\n",
    ),
    "iterator of a cgroup's tasks": (
        "r1 = 1\ncall kfunc bpf_cgroup_from_id\nif r0 == 0 goto out\n*(u64 *)(r10 -104) = r0\n"
        "r1 = r10\nr1 += -40\nr2 = *(u64 *)(r10 -104)\n"
        "r2 += @cgroup.self\nr3 = 0\ncall kfunc bpf_iter_css_task_new\n",
        "r{n} = r10\nr{n} += -40",
        "r1 = r10\nr1 += -40\ncall kfunc bpf_iter_css_task_destroy\n"
        "r1 = *(u64 *)(r10 -104)\ncall kfunc bpf_cgroup_release\n",
    ),
    "408": ("", "r{n} = 408", ""),
    "large stack": ("", "r{n} = r10\nr{n} += -500", ""),
    "socket of an iterator": ("r9 = *(u64 *)(r6 +8)\n", "r{n} = r9", ""),
}  # fmt: skip
_ALL = REGISTERS | _MORE

_TASK = frozenset({
    "trusted task", "trusted task, further on", "trusted task, at any place", "parent",
    "CPUs of a task", "CPUs in a task", "walked to", "parent, in a section",
    "parent, after a section", "iterator of areas",
})  # fmt: skip
#: The kfuncs that registers are made with.
_WITH = {
    "bpf_cpumask": "bpf_cpumask_create", "bpf_key": "bpf_lookup_system_key",
    "bpf_crypto_ctx": "bpf_crypto_ctx_create", "nf_conn": "bpf_ct_release",
    "xfrm_state": "bpf_xdp_get_xfrm_state", "task_struct": "bpf_task_get_cgroup1",
    "cgroup": "bpf_task_get_cgroup1",
}  # fmt: skip
_SLEEPING = ("iterator of caches", "iterator of buffers", "iterator of a cgroup's tasks")


def _can_be(name: str, row: ProgramType, section: str) -> bool:
    """Whether programs of that type can have such a register."""
    if name in _TASK:
        return section == "tp_btf/sched_switch"
    if name in _SLEEPING:
        return section == "syscall"
    if name == "socket of an iterator":
        return section == "iter/tcp"
    if name in ("cgroup subsystem", "iterator of subsystems"):
        return BY_PROTOTYPE["bpf_task_get_cgroup1"].has(row)
    if name == "kernel's context":
        return section in ("tc", "xdp", "cgroup_skb/egress", "cgroup/connect4", "sockops")
    needed = next((kfunc for made, kfunc in _WITH.items() if name.startswith(made)), None)
    if needed is not None:
        return BY_PROTOTYPE[needed].has(row)
    return name in _MORE or fits(row, (name,))


TYPES = SYSTEM.types()
_KERNEL = None if TYPES is None else KernelTypes(TYPES)


def _prototype(kfunc: Kfunc) -> Prototype | None:
    return None if _KERNEL is None else _KERNEL.prototype(kfunc.name, SYSTEM)


def _struct(parameter: Parameter) -> str:
    assert TYPES is not None
    return getattr(TYPES[parameter.target], "name", "")


#: What is right for a pointer to a struct of the kernel, the best first.
_RIGHT = {
    "task_struct": ("trusted task", "task_struct, released later"),
    "cgroup": ("cgroup, released later",),
    "cgroup_subsys_state": ("cgroup subsystem",),
    "bpf_cpumask": ("bpf_cpumask, released later",), "cpumask": ("bpf_cpumask, released later",),
    "bpf_key": ("bpf_key, released later",), "nf_conn": ("nf_conn, released later",),
    "bpf_crypto_ctx": ("bpf_crypto_ctx, released later",),
    "nf_conn___init": ("nf_conn___init, released later",),
    "xfrm_state": ("xfrm_state, released later",), "bpf_map": ("hash map",),
    "sock_common": ("socket of an iterator",), "sock": ("socket",),
    "bpf_iter_bits": ("iterator of bits",), "bpf_iter_task": ("iterator of tasks",),
    "bpf_iter_css": ("iterator of subsystems",),
    "bpf_iter_css_task": ("iterator of a cgroup's tasks",),
    "bpf_iter_kmem_cache": ("iterator of caches",), "bpf_iter_dmabuf": ("iterator of buffers",),
    "bpf_iter_task_vma": ("iterator of areas",),
    "bpf_sock_addr_kern": ("kernel's context",), "bpf_sock_ops_kern": ("kernel's context",),
    "bpf_crypto_params": ("large stack",),
}  # fmt: skip


#: What is right for a number where 1 is not.
_NUMBERS = {"bpf_crypto_ctx_create": "408", "bpf_rdonly_cast": "a kernel struct's id"}


def _right(kfunc: Kfunc, found: Prototype, row: ProgramType, section: str) -> tuple[str, ...]:
    registers = []
    for n, parameter in enumerate(found.parameters):
        struct = _struct(parameter) if parameter.pointer else ""
        if parameter.name.endswith("__ign"):
            name = "0"
        elif not parameter.pointer:
            name = "24" if parameter.name.endswith("__sz") else "1"
            name = _NUMBERS.get(kfunc.name, name)
        elif struct in row.ctx_names or kfunc.name == "bpf_cast_to_kern_ctx":
            name = "context"
        elif n == 0 and F.ITER_NEW in kfunc.flags:
            name = "stack, 40 bytes"
        elif parameter.name.endswith("__str"):
            name = "text"
        else:
            known = [name for name in _RIGHT.get(struct, ()) if _can_be(name, row, section)]
            name = known[0] if known else "stack, 40 bytes"
            if F.RELEASE in kfunc.flags:
                name = name.removesuffix(", released later")
        registers.append(name)
    return tuple(registers)


def code_of(kfunc: Kfunc, found: Prototype, registers: tuple[str, ...], row: ProgramType) -> str:
    first, made, owed = "", "", ""
    for n, name in enumerate(registers, 1):
        needed, this, last = _ALL[name]
        first += needed if needed not in first else ""
        made += this.format(n=n) + "\n"
        owed += last if last not in owed else ""
    after = ""
    if F.ACQUIRE in kfunc.flags:
        done = _RELEASED_BY[_struct(found.returns)]
        after = f"if r0 == 0 goto none\nr1 = r0\ncall kfunc {done}\nnone: r0 = 0\n"
        if done == "bpf_ct_insert_entry":
            again = "if r0 == 0 goto none\nr1 = r0\ncall kfunc bpf_ct_release\nnone: "
            after = after.replace("none: ", again)
    if F.ITER_NEW in kfunc.flags:
        iterator = _struct(found.parameters[0])
        after = f"r1 = r10\nr1 += -40\ncall kfunc {iterator}_destroy\n"
    if F.ITER_DESTROY in kfunc.flags and owed.count("_destroy"):
        owed = owed.partition("_destroy\n")[2]
    return _whole(first, f"{made}call kfunc {kfunc.name}\n", after + owed, row, registers)


def _whole(first: str, call: str, after: str, row: ProgramType, registers: tuple[str, ...]) -> str:
    kind = "xdp" if "xdp_md" in row.ctx_names else "skb"
    code = f"{BEGIN}{filled(first, row)}{call}{after}"
    code += f"out: r0 = {1 if row.returns == (1, 1) else 0}\nexit\n"
    code += SUB if "function" in registers else ""
    assert TYPES is not None
    task = str(TYPES.find("task_struct", Struct))
    return placed(code.replace("$task", task).replace("$foo", "1").replace("{kind}", kind))


def _sections(kfunc: Kfunc) -> list[str]:
    """Those in which most kinds of registers can be."""
    if Offer.LSM in kfunc.only and Offer.TC not in kfunc.only:
        return ["lsm/file_open"]
    if F.SLEEPABLE in kfunc.flags:
        return ["syscall"]
    usual = (
        "tp_btf/sched_switch",
        "tc",
        "xdp",
        "syscall",
        "cgroup/connect4",
        "sockops",
        "iter/tcp",
    )
    return [section for section in usual if kfunc.has(row_of(section))]


def _places() -> list[tuple[Kfunc, str]]:
    """Each kfunc that the kernel has, in programs that may call it."""
    return [
        (kfunc, section)
        for kfunc in KFUNCS
        for section in _sections(kfunc)
        if left_out(None, kfunc.name) is None
        and _prototype(kfunc) is not None
        and not F.BOUND & kfunc.flags
    ]


def _same(ours: Verdict, linux: KernelVerdict) -> bool:
    return bool(ours.accepted == linux.accepted and ours.kind != "unsupported")


@pytest.mark.parametrize(
    ("kfunc", "section"), _places(), ids=lambda value: getattr(value, "name", value)
)
def test_every_argument(kfunc: Kfunc, section: str, oracle: Kernel) -> None:
    found = _prototype(kfunc)
    assert found is not None
    row = row_of(section)
    right = _right(kfunc, found, row, section)
    differ = []
    for registers in _variants(right, row, section):
        spec = program(code_of(kfunc, found, registers, row), BTF, section)
        ours, linux = verify(OBJ, spec, _PLAINLY), oracle.verify(OBJ, spec, stats=True)
        skip_not_allowed(section, linux)
        if linux.accepted and is_hole(kfunc, registers, ours.error):
            continue
        if not linux.accepted and is_refused_later(oracle, linux):
            continue
        if not _same(ours, linux):
            why = ours.error or linux.message or linux.errno
            differ.append(f"{kfunc.name}({'; '.join(registers)}): {why}")
    assert not differ, "\n".join(differ)


def _variants(
    right: tuple[str, ...], row: ProgramType, section: str
) -> dict[tuple[str, ...], None]:
    found = {right: None}
    for at in range(len(right)):
        for name in _ALL:
            if _can_be(name, row, section):
                found[(*right[:at], name, *right[at + 1 :])] = None
    return found


#: Programs that between them take the ways through the checks of arguments that others leave out.
FEW: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("bpf_rdonly_cast", "tc", ("a struct's id", "a kernel struct's id"), "accept"),
    ("bpf_key_put", "tc", ("object, dropped later",), "reject"),
    ("bpf_cpumask_set_cpu", "tp_btf/sched_switch", ("1", "cast memory"), "reject"),
    ("bpf_copy_from_user_str", "syscall", ("array map", "24", "0", "1"), "reject"),
    ("bpf_rdonly_cast", "iter/tcp", ("0", "1"), "reject"),
    (
        "bpf_xdp_ct_alloc",
        "xdp",
        ("context", "stack, 40 bytes", "24", "object or NULL", "24"),
        "reject",
    ),
    ("bpf_cpumask_copy", "syscall", ("context", "bpf_cpumask, released later"), "accept"),
)


@pytest.mark.parametrize(
    ("name", "section", "registers", "kind"), FEW, ids=lambda value: str(value)
)
def test_ours_of_a_few(name: str, section: str, registers: tuple[str, ...], kind: str) -> None:
    kfunc = BY_PROTOTYPE[name]
    found = _prototype(kfunc)
    if found is None:
        pytest.skip(f"this kernel has no {name}")
    spec = program(code_of(kfunc, found, registers, row_of(section)), BTF, section)
    assert str(verify(OBJ, spec, _PLAINLY).kind) == kind
