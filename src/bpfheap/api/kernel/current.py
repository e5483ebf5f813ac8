"""The task that runs programs, and their clock."""

from __future__ import annotations

from typing import Any

from bpfheap.api.arguments import octets, shown, whole
from bpfheap.api.kernel.kernel import Kernel
from bpfheap.api.kernel.objects import KernelObject, address_of, type_of
from bpfheap.errors import UsageError
from bpfheap.runtime.world import TASK, Current, Leads

_U64 = (1 << 64) - 1
_U32 = (1 << 32) - 1
_COMM = 16
_STACKS = ("stack", "user_stack")
_IDS = ("pid", "tgid", "uid", "gid")
#: Where a task has them.
_CRED = {"uid": "cred.uid.val", "gid": "cred.gid.val"}


class CurrentTask:
    """What calls tell of the current task: `bpf.current.pid = 42`, `bpf.current.comm = "sh"`.
    `task` is its struct task_struct, None where there is no BTF of a kernel; members of that which
    say the same are written too. `cgroups` are the ids of its control groups, the root's first;
    `stack` and `user_stack` the addresses that its functions return to, the innermost first."""

    __slots__ = ("_kernel",)
    _kernel: Kernel

    def __init__(self, kernel: Kernel) -> None:
        object.__setattr__(self, "_kernel", kernel)

    def set(self, **facts: Any) -> CurrentTask:
        """Several at once. Raises UsageError for what is no fact of a task."""
        for name, value in facts.items():
            setattr(self, name, value)
        return self

    @property
    def task(self) -> KernelObject | None:
        """Made as an object of the default values when it is first asked for."""
        task = self._world.task
        if task:
            of = self._kernel.types_of[task]
            return KernelObject(self._kernel, of, Leads(task))
        return self._make()

    def __getattr__(self, name: str) -> Any:
        if name in (*_IDS, "comm", "cgroups", *_STACKS):
            return self._get(name)
        raise AttributeError(f"the current task has no {name}")

    def _get(self, name: str) -> Any:
        world = self._world
        of = self._kernel.types_of.get(world.task) if world.task else None
        if of is not None and name in ("pid", "tgid", "comm") and of.find(name):
            task = self.task
            assert task is not None
            return task[name]
        return getattr(world, name)

    def __setattr__(self, name: str, value: Any) -> None:
        kernel = self._kernel
        if name == "task":
            if not isinstance(value, KernelObject):
                raise UsageError(f"the current task is an object, not {shown(value)}")
            kernel.check_mine(value)
            self._change(task=address_of(value).block)
            return
        if name in _IDS:
            value = whole(value, f"the {name} of a task", 0, _U32)
        elif name == "comm":
            raw = value.encode() if isinstance(value, str) else octets(value, "a task's name")
            value = raw[: _COMM - 1]
        elif name == "cgroups":
            value = tuple(whole(one, "the id of a control group") for one in value)
            if not value:
                raise UsageError("a task is in one control group at least")
        elif name in _STACKS:
            value = tuple(whole(one, "an address", 0, _U64) for one in value)
        else:
            raise UsageError(
                f"the current task has no {name}",
                hint=f"{', '.join((*_IDS, 'comm', 'cgroups', *_STACKS))}, task",
            )
        self._change(**{name: value})
        if self._world.task and name in (*_IDS, "comm"):
            self._tell(name, value)

    def _tell(self, name: str, value: Any) -> None:
        """The task's struct the same."""
        task = self.task
        assert task is not None
        of = type_of(task)
        if name in _CRED:
            if of.find("cred") and (cred := task["cred"]) is not None:
                cred[_CRED[name].partition(".")[2]] = value
        elif of.find(name):
            task[name] = value

    def _make(self) -> KernelObject | None:
        kernel, world = self._kernel, self._world
        of = kernel.types.find(TASK)
        if of is None:
            return None
        made = kernel.make(of, {})
        self._change(task=address_of(made).block)
        for name in ("pid", "tgid", "comm"):
            self._tell(name, getattr(world, name))
        if of.find("cred") and kernel.types.find("struct cred") is not None:
            cred = kernel.cred(**{_CRED[n].partition(".")[2]: getattr(world, n) for n in _CRED})
            made.set(cred=cred, **({"real_cred": cred} if of.find("real_cred") else {}))
        return made

    @property
    def _world(self) -> Current:
        return self._kernel.machine.world.current

    def _change(self, **facts: Any) -> None:
        machine = self._kernel.machine
        machine.world = machine.world._replace(current=self._world._replace(**facts))


class Clock:
    """The clock that programs see, in nanoseconds; it stands still but for what is advanced, and a
    microsecond for each look at it."""

    __slots__ = ("_kernel",)

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    @property
    def now(self) -> int:
        return self._kernel.machine.now

    def advance(self, ns: int = 0, *, us: int = 0, ms: int = 0, s: int = 0) -> int:
        """Let time pass. Gives what it is now."""
        by = whole(ns + 1000 * us + 1_000_000 * ms + 1_000_000_000 * s, "the time that passes")
        self._kernel.machine.now += by
        return self.now
