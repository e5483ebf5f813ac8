"""What releases of Linux 6.18 refuse that have changes of 7.0, and those before them do not.

Since "bpf: Make KF_TRUSTED_ARGS the default for all kfuncs", a kfunc is given no NULL and no
object that nobody keeps unless its prototype allows it; a global function is given no object of the
kernel as its memory; and the calls that stand for bpf(2) may sleep.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from oracle_cases import said_of

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import SYSTEM, Types, program

from bpfheap.kernel import Kernel, KernelVerdict
from bpfheap.spec import ObjectSpec

_NULL = "Possibly NULL pointer passed to trusted arg"
_KEPT = "must be referenced or trusted"
_LENT = "Caller passes invalid args into func"
_SLEEPS = r"sleepable helper bpf_(sys_bpf|sys_close|btf_find_by_name_kind)#\d+ in rcu_read_lock"
_WORDS = re.compile(rf"{_NULL}\d|R\d {_KEPT}|{_LENT}#|{_SLEEPS}")

#: What cases are called whose verdict or words are others there, the numbers of their variants, and
#: the words.
CASES: tuple[tuple[str, tuple[int, ...], str], ...] = (
    ("kernel_kfuncs: the kernel's context", (2,), _NULL),
    ("kernel_kfuncs: connections", (5,), _NULL),
    ("kernel_kfuncs: memory and its size may be nothing", (0, 1), _NULL),
    ("kernel_kfuncs: memory of a fixed size", (1, 4), _NULL),
    ("lent_memory: task_is_written", (), _LENT),
    ("lent_memory: task_is_read", (), _LENT),
    ("lent_memory: task_is_written_further_on", (), _LENT),
    ("lent_memory: task_is_read_further_on", (), _LENT),
    ("lent_memory: task_is_written_by_a_helper", (), _LENT),
    ("lent_memory: both_are_written", (), _LENT),
    ("list: push_at_the_start_unchecked", (), _NULL),
    ("list: pop_and_push_to_the_other_unchecked", (), _NULL),
    ("null_as_memory: a connection", (0, 1), _NULL),
    ("null_as_memory: a transformation", (1, 2, 3), _NULL),
    ("null_as_memory: a string of user space", (1, 2), _NULL),
    ("null_as_memory: a cipher", (0, 1, 2), _NULL),
    ("rarer_objects: untrusted_to_global_function", (), _LENT),
    ("rarer_objects: list_of_value_that_may_be_null", (), _NULL),
    ("rarer_objects: no_comparison", (), _NULL),
    ("rbtree: remove_unchecked_first", (), _NULL),
    ("rbtree: walk_left_of_unchecked_root", (), _NULL),
    ("sleeping_flags: calls of bpf(2) and its like", (0, 1, 2), "in rcu_read_lock region"),
    ("walked_objects: a function of cgroups", (0, 1), _KEPT),
)

_BTF = Types({}).build()
#: Earlier releases take this NULL, since no byte is to be written there.
_PROBE = """
r1 = 0
r2 = 0
r3 = 0
r4 = 0
call kfunc bpf_copy_from_user_str
r0 = 0
exit
"""
_ASKED: dict[int, bool] = {}


def refuses_more(kernel: Kernel) -> bool:
    """Whether a kernel has these changes."""
    if id(kernel) not in _ASKED:
        nothing = ObjectSpec("probe", _BTF, {}, {}, kernel=SYSTEM)
        found = kernel.verify(nothing, program(_PROBE, _BTF, "syscall"), log=True)
        _ASKED[id(kernel)] = f"{_NULL}0" in found.log
    return _ASKED[id(kernel)]


def is_refused_later(kernel: Kernel, verdict: KernelVerdict) -> bool:
    """Whether a kernel refuses a program for these changes."""
    return bool(_WORDS.search(verdict.log)) and refuses_more(kernel)


def words_of(kernel: Kernel, name: str) -> str | None:
    """What a kernel with these changes says of a case that others take, or refuse in other words;
    None for all other cases and kernels."""
    words = said_of(name, CASES)
    return words if words is not None and refuses_more(kernel) else None
