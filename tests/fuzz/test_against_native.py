"""Random programs on all machines: they agree, and who does not is found out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bpfheap.compile import object_spec
from bpfheap.errors import KernelError, UsageError
from bpfheap.fuzz.results import Outcome
from bpfheap.fuzz.surroundings import ALL
from bpfheap.kernel import Kernel
from bpfheap.kernel.load import KernelRun
from bpfheap.runtime.machine import Done, Stop
from bpfheap.verifier import Options, verify

pytest.importorskip("bpfheap.machine.native._core")
pytest.importorskip("llvmlite")
from bpfheap.fuzz import machines
from bpfheap.machine.native.machine import NativeMachine


def outcomes(examiner: Any, number: int) -> Counter[Outcome]:
    return Counter(examiner.examine(examiner.program(n), n).outcome for n in range(number))


def test_all_machines_agree() -> None:
    found = outcomes(machines.AgainstNative(97, ALL), 60)
    assert found.keys() <= {Outcome.ACCEPTED, Outcome.REFUSED, Outcome.INCOMPARABLE}
    assert found[Outcome.ACCEPTED] >= 20


@pytest.mark.parametrize("compiles", [False, True])
def test_who_does_not_agree_is_found_out(compiles: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    step = NativeMachine.step

    def one_more(self: Any, execution: int, *, through: bool = False) -> Stop:
        stop: Stop = step(self, execution, through=through)
        if isinstance(stop, Done) and self.compiles == compiles:
            return Done(stop.retval + 1, stop.data)
        return stop

    monkeypatch.setattr(NativeMachine, "step", one_more)
    examiner = machines.AgainstNative(97, frozenset({"alu"}))
    results = [examiner.examine(examiner.program(n), n) for n in range(10)]
    different = [r for r in results if r.outcome is Outcome.DIFFERENT]
    assert len(different) >= 5
    assert all(r.theirs.endswith("compiled" if compiles else "interpreted") for r in different)


@pytest.mark.parametrize("machine", ["ModelMachine", "NativeMachine"])
@pytest.mark.parametrize("error", [AttributeError("no such thing"), UsageError("not like this")])
def test_an_exception_in_a_machine_is_a_bug(
    machine: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Any, execution: int, *, through: bool = False) -> Stop:
        raise error

    monkeypatch.setattr(getattr(machines, machine), "step", fails)
    examiner = machines.AgainstNative(97, frozenset({"alu"}))
    results = [examiner.examine(examiner.program(n), n) for n in range(6)]
    assert {r.outcome for r in results} <= {Outcome.CRASH, Outcome.REFUSED}
    told = {r.ours for r in results if r.outcome is Outcome.CRASH}
    assert told == {f"{type(error).__name__}: {error} (test_against_native.py, in fails)"}


def test_a_run_that_is_too_long_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "STEPS", 1)
    found = outcomes(machines.AgainstNative(97, frozenset({"alu"})), 6)
    assert found.keys() <= {Outcome.ACCEPTED, Outcome.REFUSED}
    assert found[Outcome.ACCEPTED]


def test_linux_agrees(kernel: Kernel) -> None:
    found = outcomes(machines.AgainstNative(98, ALL, kernel), 60)
    wanted = {Outcome.ACCEPTED, Outcome.REFUSED, Outcome.INCOMPARABLE, Outcome.UNASKED}
    assert found.keys() <= wanted
    assert found[Outcome.ACCEPTED] >= 20


class _Other:
    """Another Linux, where all programs return what none returns here."""

    def test_run(self, *args: object, **named: object) -> KernelRun:
        return KernelRun(0x1234_5678, b"", 0)


class _Tampering:
    """One that leaves other packets."""

    def __init__(self, linux: Kernel) -> None:
        self._linux = linux

    def test_run(self, *args: Any, **named: Any) -> KernelRun:
        ran = self._linux.test_run(*args, **named)
        return ran._replace(data_out=ran.data_out[:-1] + bytes([ran.data_out[-1] ^ 1]))


class _Refusing:
    def test_run(self, *args: object, **named: object) -> KernelRun:
        raise KernelError("there is no memory", errno_name="ENOMEM")


def test_another_linux_is_found_out() -> None:
    found = outcomes(machines.AgainstNative(98, ALL, _Other()), 40)
    assert found[Outcome.DIFFERENT] >= 5
    assert outcomes(machines.AgainstNative(98, ALL, _Refusing()), 40)[Outcome.UNASKED] >= 5


def test_another_packet_is_found_out(kernel: Kernel) -> None:
    examiner = machines.AgainstNative(98, frozenset({"alu"}), _Tampering(kernel))
    results = [examiner.examine(examiner.program(n), n) for n in range(40)]
    assert sum(r.theirs.startswith("leaves the packet") for r in results) >= 3


def test_garbage_is_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "garbage.bpf.c"
    path.write_text(
        "#include <bpfheap.h>\n"
        'SEC("syscall") int reads(long *ctx)\n'
        '{ long x; asm volatile("%0 = *(u64 *)(r10 - 64)" : "=r"(x)); return x != 0; }\n'
        'SEC("syscall") int is_large(long *ctx)\n'
        '{ int x; asm volatile("%0 = *(u32 *)(r10 - 64)" : "=r"(x)); return x > 0x1570381; }\n'
        'SEC("syscall") int is_small(long *ctx)\n'
        '{ int x; asm volatile("%0 = *(u32 *)(r10 - 64)" : "=r"(x)); return x > 0 && x < 9; }\n'
        'SEC("syscall") int does_not(long *ctx) { return 1; }\n'
        'char LICENSE[] SEC("license") = "GPL";\n'
    )
    spec = object_spec(path)
    for name, wanted in (
        ("reads", Outcome.INCOMPARABLE),
        ("is_large", Outcome.INCOMPARABLE),
        ("is_small", Outcome.INCOMPARABLE),
        ("does_not", Outcome.DIFFERENT),
    ):
        program = spec.programs[name]
        verdict = verify(spec, program, Options(facts=True))
        found = machines.beside_linux(spec, program, verdict, "seed", _Other())
        assert found.outcome is wanted, name


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        ("1 << 23", Outcome.DIFFERENT),
        ("(1 << 23) + 1", Outcome.EXPLAINED),
        ("*ctx & 7", Outcome.EXPLAINED),
    ],
)
def test_loops_that_are_too_many_for_linux(tmp_path: Path, count: str, wanted: Outcome) -> None:
    path = tmp_path / "loops.bpf.c"
    path.write_text(
        "#include <bpfheap.h>\n"
        "static int ends(unsigned i, void *p) { return 1; }\n"
        f'SEC("syscall") int loops(long *ctx) {{ return bpf_loop({count}, ends, NULL, 0); }}\n'
        'char LICENSE[] SEC("license") = "GPL";\n'
    )
    spec = object_spec(path)
    program = spec.programs["loops"]
    verdict = verify(spec, program, Options(facts=True))
    assert verdict.accepted
    found = machines.beside_linux(spec, program, verdict, "seed", _Other())
    assert found.outcome is wanted


def test_objects_in_elements_that_were_removed(tmp_path: Path) -> None:
    """When they go is up to a machine; in the end none is left on any."""
    path = tmp_path / "late.bpf.c"
    path.write_text(
        "#include <bpfheap.h>\n"
        "struct item { long word; };\n"
        "struct slot { struct item *item __kptr; };\n"
        "struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4);\n"
        '\t __type(key, __u32); __type(value, struct slot); } table SEC(".maps");\n'
        'SEC("syscall") int late(long *ctx)\n'
        "{\n"
        "\tstruct slot none = {}, *slot;\n"
        "\tstruct item *item;\n"
        "\t__u32 key = 0;\n"
        "\tbpf_map_update_elem(&table, &key, &none, BPF_NOEXIST);\n"
        "\tslot = bpf_map_lookup_elem(&table, &key);\n"
        "\titem = slot ? bpf_obj_new(typeof(*item)) : NULL;\n"
        "\tif (!item)\n"
        "\t\treturn 1;\n"
        "\tbpf_map_update_elem(&table, &key, &none, BPF_ANY);\n"
        "\titem = bpf_kptr_xchg(&slot->item, item);\n"
        "\tif (item)\n"
        "\t\tbpf_obj_drop(item);\n"
        "\treturn 0;\n"
        "}\n"
        'char LICENSE[] SEC("license") = "GPL";\n'
    )
    spec = object_spec(path)
    program = spec.programs["late"]
    verdict = verify(spec, program, Options(facts=True))
    assert verdict.accepted
    found = machines.compared(spec, program, verdict, "seed", filled=False)
    assert (found.outcome, found.theirs) == (Outcome.ACCEPTED, "")
