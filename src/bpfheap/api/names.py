"""The names of policies and machines, resolved here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from bpfheap.api.arguments import one_of
from bpfheap.errors import UsageError
from bpfheap.host import memory_bound
from bpfheap.lifetime import POLICIES, Policy
from bpfheap.machine.model import ModelMachine, ModelOptions
from bpfheap.runtime.machine import Machine


@dataclass(frozen=True, slots=True)
class MachineOptions:
    """What a Runtime was asked for; the fields are parameters of Runtime."""

    cpus: int
    seed: int
    jit: bool | None
    budget: int
    memory: int | None = None
    hardened: bool = False


def _model(options: MachineOptions) -> Machine:
    if options.hardened:
        raise UsageError(
            "the model machine sees every access of a program, and cannot be hardened",
            hint='use machine="native"',
        )
    if options.jit:
        raise UsageError("the model machine compiles nothing", hint='use machine="native"')
    return ModelMachine(
        cpus=options.cpus,
        seed=options.seed,
        step_limit=options.budget or ModelOptions().step_limit,
        memory=options.memory,
    )


def _native(options: MachineOptions) -> Machine:
    try:
        native = import_module("bpfheap.machine.native.machine")
    except ImportError as error:
        raise UsageError(
            f"the native machine is not here: {error}",
            hint="it is built when bpfheap is installed where there is a C compiler",
        ) from None
    machine: Machine = native.NativeMachine(
        cpus=options.cpus,
        seed=options.seed,
        compiles=options.jit,
        budget=options.budget,
        memory=memory_bound() if options.memory is None else options.memory,
        hardened=options.hardened,
    )
    return machine


#: By name. The first is the default.
MACHINES: dict[str, Callable[[MachineOptions], Machine]] = {"model": _model, "native": _native}


@dataclass(frozen=True, slots=True)
class PolicyInfo:
    """One row of `bpfheap policies`.

    `rule`: what the policy does.
    `thread`: what the mailing-list thread says of it.
    `default`: a Runtime has it unless told otherwise.
    `asks`: what programs have to say for it beyond what they do; None: nothing.
    """

    name: str
    rule: str
    thread: str
    default: bool
    asks: str | None = None


def policies() -> tuple[PolicyInfo, ...]:
    """Every policy that a Runtime takes, the default first."""
    return tuple(PolicyInfo(p.name, p.rule, p.thread, p is POLICIES[0], p.asks) for p in POLICIES)


def machines() -> tuple[str, ...]:
    """The names of the machines that a Runtime takes, the default first."""
    return tuple(MACHINES)


def policy_named(name: str) -> Policy:
    """A new policy. Raises UsageError for an unknown name."""
    one_of(name, "policy", [p.name for p in POLICIES])
    return next(policy for policy in POLICIES if policy.name == name)()


def machine_named(name: str, options: MachineOptions) -> Machine:
    """A new machine. Raises UsageError for an unknown name, and for what it does not have."""
    one_of(name, "machine", MACHINES)
    return MACHINES[name](options)
