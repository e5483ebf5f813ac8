"""`bpfheap bench jit`: compiled programs beside the kernel's, calls from Python, compile times."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from timeit import Timer
from typing import Final

import bpfheap
from bpfheap.bench.kernel_loops import bench_beside_kernel
from bpfheap.bench.names import ROUNDS, JitCase
from bpfheap.bench.sides import MS, NS, Progress, SideBench, SideCase, no_progress
from bpfheap.compile import object_spec
from bpfheap.kernel import Kernel
from bpfheap.machine.native import _core, jit
from bpfheap.machine.native.machine import NativeMachine
from bpfheap.runtime.machine import Entry
from bpfheap.spec import ObjectSpec

_SOURCE: Final = Path(__file__).with_name("jit.bpf.c")
#: Runs of the program in one sample.
_RUNS: Final = 200
#: Samples in a round, of which the fastest counts: the others were disturbed.
_SAMPLES: Final = 9
#: Calls from Python in one sample.
_CALLS: Final = 50_000
#: What functions of long programs do besides: Linux takes 256 of them.
_MORE: Final = """	key = (z ^ y) & 1023;
	value = bpf_map_lookup_elem(&table, &key);
	if (value) {{
		if (*value < {odd})
			z += *value ^ {n};
		else
			*value = z - {odd};
	}}
	if (z & 16)
		z = (z << 9 | (unsigned long)z >> 55) + (unsigned long)x / {odd};
	switch (z & 7) {{
	case 3: z += 13 * y; break;
	case 4: z ^= y + {n}; break;
	case 5: z -= x; break;
	default: z = -z;
	}}
"""
#: From as many slots on.
_LONG: Final = 10_000
#: A function of the programs whose compile time is measured.
_FUNCTION: Final = """
static __noinline long part_{n}(long x, long y)
{{
	__u32 key = (x ^ {n}) & 1023;
	__u64 *value = bpf_map_lookup_elem(&table, &key);
	long z = x * {odd} + (y >> {shift});

	if (value) {{
		if (*value > {n})
			z ^= *value * {odd};
		else
			*value = z + {n};
	}}
	if (z & 4)
		z = (z << 7 | (unsigned long)z >> 57) + (unsigned long)y / {odd};
	switch (z & 7) {{
	case 0: z += 11 * x; break;
	case 1: z ^= x + {n}; break;
	case 2: z -= y; break;
	default: z = ~z;
	}}
{more}	return z;
}}
"""
_PROGRAM: Final = """#include <bpfheap.h>
struct {{
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
}} table SEC(".maps");
{functions}
SEC("syscall") int made(long *ctx)
{{
	long x = ctx[0], y = ctx[1];
{calls}
	return x;
}}
char LICENSE[] SEC("license") = "GPL";
"""

#: The column of the same program in a hardened runtime.
HARDENED: Final = "hardened"
#: How much of its time ours takes at least: 1/1.15.
_OF_HARDENED: Final = 0.87
#: Loops: the name in jit.bpf.c, the macro there with the iterations of a run, the threshold for our
#: time by the kernel's, and what an iteration does.
_LOOPS: Final = {
    JitCase.ALU_LOOP: (
        "alu",
        "ROUNDS",
        1.0,
        "an iteration of xorshift, which depends on the one before",
    ),
    JitCase.MEM_LOOP: ("mem", "BYTES", 0.2, "a byte of a map's value, added to a sum"),
    JitCase.HASH_LOOKUP_LOOP: (
        "lookup",
        "ROUNDS",
        0.4,
        "a lookup of one of 1,024 keys, in bpf_loop",
    ),
    JitCase.ALLOC_XCHG_FREE_LOOP: (
        "cycle",
        "ROUNDS",
        0.02,
        "an object of 32 bytes: made, exchanged for that in a map, which is freed",
    ),
}


def bench(
    cases: Sequence[JitCase] = tuple(JitCase),
    *,
    rounds: int = ROUNDS,
    progress: Progress = no_progress,
) -> SideBench:
    """Measure the cases; without bpf(2) the kernel is left out."""
    return bench_beside_kernel(
        "jit", rounds, lambda kernel: _bench(cases, rounds, progress, kernel)
    )


def _bench(
    cases: Sequence[JitCase], rounds: int, progress: Progress, kernel: Kernel | None
) -> tuple[SideCase, ...]:
    spec = object_spec(_SOURCE)
    found: list[SideCase] = []
    names = _native_names(spec)
    with (
        bpfheap.Runtime(machine="native", jit=True, grace="manual") as rt,
        bpfheap.Runtime(machine="native", jit=True, grace="manual", hardened=True) as hard,
    ):
        programs = rt.load(spec, programs=names).programs
        hardened = hard.load(spec, programs=names).programs
        for done, name in enumerate(cases):
            progress(name, done)
            match name:
                case JitCase.CALL_OVERHEAD:
                    found.append(_call_overhead(programs["empty"], rounds))
                case JitCase.BATCH_OVERHEAD:
                    found.append(_batch_overhead(programs["empty"], rounds))
                case JitCase.TRACED:
                    found.append(_traced(rt, programs["traced"], rounds))
                case JitCase.COMPILE_200:
                    found.append(_compile(name, 200, 30.0, rounds))
                case JitCase.COMPILE_20000:
                    found.append(_compile(name, 20_000, 1500.0, min(rounds, 5)))
                case JitCase.CACHE_HIT:
                    found.append(_cache_hit(rounds))
                case _:
                    program, *_ = _LOOPS[name]
                    entry = rt.system.entry(programs[f"native_{program}"].fd, None)
                    inside = hard.system.entry(hardened[f"native_{program}"].fd, None)
                    found.append(_loop(name, entry, inside, spec, rounds, kernel))
    progress("", len(cases))
    return tuple(found)


def _defined(name: str) -> int:
    """The value of a macro in jit.bpf.c."""
    found = re.search(rf"^#define {name} (\d+)$", _SOURCE.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def _native_names(spec: ObjectSpec) -> list[str]:
    return [name for name in spec.programs if not name.startswith("kernel_")]


def _loop(
    name: JitCase,
    entry: Entry,
    hardened: Entry,
    spec: ObjectSpec,
    rounds: int,
    kernel: Kernel | None,
) -> SideCase:
    """Nanoseconds for an iteration, all sides in turns, after one round as warm-up."""
    program, macro, most, about = _LOOPS[name]
    iterations = _defined(macro)
    made = SideCase(name, about, NS, {"kernel": most, HARDENED: -_OF_HARDENED})
    inputs, results = bytes(8 * _RUNS), bytearray(4 * _RUNS)
    theirs = spec.programs[f"kernel_{program}"]

    def here(entry: Entry) -> float:
        began = time.perf_counter_ns()
        entry.batch(inputs, 8, results)
        took = time.perf_counter_ns() - began
        if any(results):
            raise RuntimeError(f"program {program} failed here")
        return took / _RUNS / iterations

    def there(kernel: Kernel) -> float:
        run = kernel.test_run(spec, theirs, repeat=_RUNS)
        if run.retval:
            raise RuntimeError(f"program {program} failed in the kernel")
        return run.ns / iterations

    for number in range(rounds + 1):
        ours, insides, kernels = [], [], []
        for _ in range(_SAMPLES):
            ours.append(here(entry))
            insides.append(here(hardened))
            if kernel is not None:
                kernels.append(there(kernel))
        if number:
            made.ours.append(min(ours))
            made.peers.setdefault(HARDENED, []).append(min(insides))
            if kernels:
                made.peers.setdefault("kernel", []).append(min(kernels))
    return made


def _call_overhead(program: bpfheap.Program, rounds: int) -> SideCase:
    """The timing loop itself is in both measurements, so the difference is free of it."""
    made = SideCase(
        JitCase.CALL_OVERHEAD,
        "a call of an empty program with 8 bytes of context, less a call of an empty C function "
        "with the same",
        NS,
        {"": 150.0},
    )
    names = {"entry": program.entry(), "empty": _core.empty, "ctx": bytes(8)}
    whole, nothing = Timer("entry(ctx)", globals=names), Timer("empty(ctx)", globals=names)
    run = Timer("run(ctx)", globals={"run": program.run, "ctx": bytes(8)})
    wholes, nothings = [], []
    for _ in range(rounds):
        wholes.append(whole.timeit(_CALLS) / _CALLS * 1e9)
        nothings.append(nothing.timeit(_CALLS) / _CALLS * 1e9)
        made.ours.append(wholes[-1] - nothings[-1])
    made.extra["entry_ns"] = round(min(wholes), 1)
    made.extra["empty_ns"] = round(min(nothings), 1)
    # `Program.run` also tells the policy, keeps the history and makes a result object.
    made.extra["program_run_ns"] = round(min(run.repeat(3, 500)) / 500 * 1e9)
    return made


def _batch_overhead(program: bpfheap.Program, rounds: int) -> SideCase:
    made = SideCase(
        JitCase.BATCH_OVERHEAD,
        "a run of an empty program among 100,000, each with 8 bytes of context of its own",
        NS,
        {"": 10.0},
    )
    count = 100_000
    inputs = memoryview(bytes(8 * count)).cast("Q")
    for number in range(rounds + 1):
        began = time.perf_counter_ns()
        program.run_batch(inputs)
        if number:
            made.ours.append((time.perf_counter_ns() - began) / count)
    return made


def _traced(rt: bpfheap.Runtime, program: bpfheap.Program, rounds: int) -> SideCase:
    """All of it counts, the program's instructions, too."""
    made = SideCase(
        JitCase.TRACED,
        "a run of a program of a tracepoint, given a task and a number: it reads two members of "
        "tasks, asks which one runs, and counts in a hash table",
        NS,
        {"": 2000.0},
    )
    parent = rt.kernel.task_struct(tgid=7)
    given = [rt.kernel.task_struct(real_parent=parent), 1]
    again = Timer("entry()", globals={"entry": program.entry(given)})
    run = Timer("run(given)", globals={"run": program.run, "given": given})
    made.ours += [again.timeit(_CALLS) / _CALLS * 1e9 for _ in range(rounds)]
    made.extra["program_run_ns"] = round(min(run.repeat(3, 500)) / 500 * 1e9)
    return made


@contextmanager
def _sized(length: int) -> Iterator[tuple[jit.Source, int]]:
    """A program of at least `length` slots, in the form that the compiler takes, and its exact
    number of slots."""
    functions, more = 1, _MORE if length >= _LONG else ""
    while True:
        spec = _generated(functions, more)
        slots = len(spec.programs["made"].insns)
        if slots >= length:
            break
        functions = max(functions + 1, functions * length // slots)
    with bpfheap.Runtime(machine="native", jit=True, grace="manual") as rt:
        program = rt.load(spec).programs["made"]
        machine = rt.system.machine
        assert isinstance(machine, NativeMachine)
        yield machine.source(rt.system.program_of(program.fd).id), slots


def _generated(count: int, more: str) -> ObjectSpec:
    function = _FUNCTION.replace("{more}", more)
    functions = "".join(function.format(n=n, odd=2 * n + 3, shift=n % 60 + 1) for n in range(count))
    calls = "\n".join(f"\tx = part_{n}(x, y);" for n in range(count))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.bpf.c"
        path.write_text(_PROGRAM.format(functions=functions, calls=calls))
        return object_spec(path)


def _compile(name: JitCase, length: int, most: float, rounds: int) -> SideCase:
    with _sized(length) as (source, slots):
        made = SideCase(name, f"from {slots:,} slots to an object file", MS, {"": most})
        for number in range(rounds + 1):
            found = jit.compiled(source)
            if number:
                made.ours.append(found.ns / 1e6)
        made.extra["slots"] = slots
        made.extra["bytes"] = len(found.image)
    return made


def _cache_hit(rounds: int) -> SideCase:
    made = SideCase(
        JitCase.CACHE_HIT, "the same program's code, taken from the cache", MS, {"": 2.0}
    )
    before = os.environ.get("BPFHEAP_CACHE")
    with tempfile.TemporaryDirectory() as folder, _sized(200) as (source, slots):
        os.environ["BPFHEAP_CACHE"] = folder
        try:
            jit.compile_for(source)
            for number in range(rounds + 1):
                began = time.perf_counter_ns()
                found = jit.compile_for(source)
                if not found.cached:
                    raise RuntimeError("the cache has lost what it was given")
                if number:
                    made.ours.append((time.perf_counter_ns() - began) / 1e6)
        finally:
            del os.environ["BPFHEAP_CACHE"]
            if before is not None:
                os.environ["BPFHEAP_CACHE"] = before
        made.extra["slots"] = slots
    return made
