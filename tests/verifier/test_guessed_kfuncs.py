"""Kfuncs that no table has are taken by their prototypes, as strictly as they can be registered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from small_kernel import SmallKernel
from verifier_cases import SYSTEM, Types, program

from bpfheap.kernel import Kernel
from bpfheap.platform import kfuncs
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import Options, Verdict, VerdictKind, verify
from bpfheap.verifier.walk import explained

BTF = Types({}).build()
OBJ = ObjectSpec("small", BTF, {}, {}, kernel=SmallKernel())
ACCEPT, REJECT, UNSUPPORTED = VerdictKind.ACCEPT, VerdictKind.REJECT, VerdictKind.UNSUPPORTED
#: Programs that sleep, and that do not.
SLEEPS, WAKES = "lsm.s/file_open", "tp_btf/seen"
TASK = "r1 = *(u64 *)(r1 +0)\n"


def verdict(section: str, code: str, obj: ObjectSpec = OBJ) -> Verdict:
    return verify(obj, program(f"{code}\nout: r0 = 0\nexit", BTF, section), Options(explain=False))


#: Section, code, the verdict, and a part of what is said of it.
PROGRAMS = [
    (SLEEPS, TASK + "call kfunc made_up", ACCEPT, ""),
    (SLEEPS, "r1 = 1\ncall kfunc made_up_number", ACCEPT, ""),
    (SLEEPS, "r1 = r10\nr1 += -8\n*(u64 *)(r10 -8) = 0\nr2 = 8\ncall kfunc made_up_memory",
     ACCEPT, ""),
    # Whatever the flags.
    (SLEEPS, "r1 = r10\nr1 += -8\n*(u64 *)(r10 -8) = 0\nr2 = 16\ncall kfunc made_up_memory",
     REJECT, "len pair leads to invalid memory access"),
    (SLEEPS, "r1 = r10\ncall kfunc made_up_number", REJECT, "R1 is not a scalar"),
    (WAKES, "r1 = 1\ncall kfunc made_up_number\nr0 = *(u64 *)(r6 +0)", REJECT, "R6 !read_ok"),
    # By the flags.
    (WAKES, TASK + "call kfunc made_up", UNSUPPORTED, "flags: program must be sleepable to call"),
    ("fentry/vfs_read", "call kfunc made_up_count", UNSUPPORTED, "flags: program must be sleep"),
    ("lsm.s/file_open", TASK + "r1 = *(u64 *)(r1 +24)\ncall kfunc made_up", REJECT,
     "arg#0 is untrusted_ptr_ expected ptr_ or socket"),
    ("fentry.s/vfs_read", TASK + "r1 = *(u64 *)(r1 +24)\ncall kfunc made_up", UNSUPPORTED,
     "flags: R1 must be referenced or trusted"),
    (SLEEPS, "r1 = 0\nr2 = 0\ncall kfunc made_up_memory", UNSUPPORTED, "flags: Possibly NULL"),
    (SLEEPS, "r1 = 0\nr2 = 8\ncall kfunc made_up_memory", REJECT, "leads to invalid memory access"),
    (SLEEPS, "r1 = 0\ncall kfunc made_up_out", UNSUPPORTED, "flags: Possibly NULL"),
    (SLEEPS, "call kfunc bpf_rcu_read_lock\nr1 = 1\ncall kfunc made_up_number\n"
     "call kfunc bpf_rcu_read_unlock", UNSUPPORTED, "is sleepable within rcu_read_lock region"),
    # What it gives.
    (SLEEPS, "call kfunc made_up_count\nif r0 == 0 goto out\nr0 = *(u32 *)(r0 +0)", ACCEPT, ""),
    (SLEEPS, "call kfunc made_up_count\nr0 = *(u32 *)(r0 +0)", UNSUPPORTED,
     "flags: R0 invalid mem access 'rdonly_mem_or_null'"),
    (SLEEPS, "call kfunc made_up_count\nif r0 == 0 goto out\n*(u32 *)(r0 +0) = 1", REJECT,
     "cannot write into rdonly_mem"),
    (SLEEPS, "call kfunc made_up_count\nif r0 == 0 goto out\nr0 = *(u64 *)(r0 +0)", REJECT,
     "invalid access to memory"),
    (SLEEPS, "call kfunc made_up_address\nif r0 == 0 goto out", ACCEPT, ""),
    (SLEEPS, "call kfunc made_up_address\nr0 = *(u64 *)(r0 +0)", REJECT, "'scalar'"),
    # Where nothing but a row can tell.
    (SLEEPS, "call kfunc made_up_task", UNSUPPORTED, "struct task, may have to be released"),
    (SLEEPS, "r1 = r10\nr1 += -8\ncall kfunc made_up_walk", UNSUPPORTED, "it takes an iterator"),
    (SLEEPS, "r1 = 0\ncall kfunc made_up_loop", UNSUPPORTED, "nothing tells what call is called"),
    (SLEEPS, TASK + "call kfunc made_up_put", UNSUPPORTED, "who owns an object"),
    (SLEEPS, "call kfunc made_up_irq_save", UNSUPPORTED, "begin or end a section"),
    (SLEEPS, "call kfunc bpf_task_work_made_up", UNSUPPORTED, "task work are not there yet"),
    (SLEEPS, "call kfunc made_up_untagged", UNSUPPORTED, "does not know kfunc made_up_untagged"),
    (SLEEPS, "call kfunc made_up_nowhere", UNSUPPORTED, "does not know kfunc made_up_nowhere"),
    # Where it is not reached.
    (WAKES, "r0 = 0\nif r0 == 0 goto out\ncall kfunc made_up_task", ACCEPT, ""),
]  # fmt: skip


@pytest.mark.parametrize(("section", "code", "kind", "said"), PROGRAMS)
@pytest.mark.parametrize("of_modules", [False, True])
def test_programs(section: str, code: str, kind: VerdictKind, said: str, of_modules: bool) -> None:
    obj = replace(OBJ, kernel=SmallKernel(of_modules=of_modules))
    found = verdict(section, code, obj)
    error = found.error
    text = "" if error is None else f"{error.message} {error.detail} {error.hint}"
    assert found.kind is kind, text
    assert said in text


def test_the_verdict_says_so() -> None:
    found = verdict(SLEEPS, "r1 = 1\ncall kfunc made_up_number\nr1 = 2\ncall kfunc made_up_number")
    assert found.guessed == ("made_up_number",)
    (note,) = found.notes
    assert note.startswith("kfunc made_up_number is not known here, and was taken by its prototype")
    rejected = verdict(SLEEPS, "r1 = r10\ncall kfunc made_up_number")
    (note,) = rejected.notes
    assert note.endswith("no flags would help")
    assert verdict(SLEEPS, "r0 = 0").notes == ()
    asleep = verdict(WAKES, "r1 = 1\ncall kfunc made_up_number")
    assert asleep.missing == ("made_up_number",)
    assert asleep.notes == ()


def test_only_what_no_guess_helps_with_is_missing() -> None:
    found = verdict(SLEEPS, "r1 = 1\ncall kfunc made_up_number\ncall kfunc made_up_task")
    assert found.missing == ("made_up_task",)


def test_programs_under_other_licences() -> None:
    spec = program("r1 = 1\ncall kfunc made_up_number\nr0 = 0\nexit", BTF, "tc")
    error = verify(OBJ, replace(spec, license="MIT"), Options(explain=False)).error
    assert error is not None
    assert error.message == "cannot call kernel function from non-GPL compatible program"


def test_a_rejection_is_explained() -> None:
    spec = program("r6 = 7\nr1 = r10\ncall kfunc made_up_number\nr0 = 0\nexit", BTF, SLEEPS)
    found, known = explained(OBJ, spec)
    assert found.error is not None
    assert "R1 is not a scalar" in found.error.log
    assert known


def test_what_is_known_in_front_of_it() -> None:
    code = "r6 = 7\nr1 = 1\ncall kfunc made_up_number\nr0 = r6\nr0 = 0\nexit"
    _, known = explained(OBJ, program(code, BTF, SLEEPS))
    assert known[0].values["r6"][0] == ("7",)


def test_it_may_move_the_packet() -> None:
    """No program type has both: packets, and programs that sleep."""
    assert kfuncs.call_of(kfuncs.by_prototype("made_up", kfuncs.STRICTEST)).packet
    assert not kfuncs.call_of(kfuncs.by_prototype("made_up", kfuncs.LAXEST)).packet


def test_without_the_types_of_a_kernel() -> None:
    found = verdict("syscall", "call kfunc made_up_number", ObjectSpec("none", BTF, {}, {}))
    assert found.missing == ("made_up_number",)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A kfunc of Linux that no table has."""
    name = "bpf_send_signal_task"
    monkeypatch.delitem(kfuncs.BY_PROTOTYPE, name)
    kfuncs.kfunc_row.cache_clear()
    yield name
    kfuncs.kfunc_row.cache_clear()


def test_one_of_linux(without: str, oracle: Kernel) -> None:
    if SYSTEM.types() is None:
        pytest.skip("there are no types of a kernel here")
    obj = replace(OBJ, kernel=SYSTEM)
    task = "call bpf_get_current_task_btf\nr1 = r0\n"
    call = f"r2 = 0\nr3 = 0\nr4 = 0\ncall kfunc {without}\nout: r0 = 0\nexit"
    for code, kind in (
        (task + call, ACCEPT),
        (task + "call kfunc bpf_task_acquire\nif r0 == 0 goto out\nr1 = r0\n" + call, UNSUPPORTED),
        ("r1 = 7\n" + call, REJECT),
    ):
        spec = program(code, BTF, "syscall")
        found = verify(obj, spec, Options(explain=False))
        assert found.kind is kind, found.error
        if kind is not UNSUPPORTED:
            assert oracle.verify(obj, spec).accepted == found.accepted
            assert found.guessed == (without,)
