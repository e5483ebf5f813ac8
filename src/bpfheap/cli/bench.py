"""`bpfheap bench`: this machine, side by side with what else is there."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bpfheap.bench.cases import INSNS, NS, PER_INSN, CaseName, MinMedian, VerifierCase
from bpfheap.bench.measure import Measured, Side
from bpfheap.bench.names import ROUNDS as SIDE_ROUNDS
from bpfheap.bench.names import HeapCase, JitCase, MapCase
from bpfheap.bench.plot import plot
from bpfheap.bench.sides import FASTEST, RATIO, SideBench, SideCase
from bpfheap.bench.verifier import NO_TYPES, ROUNDS, VerifierBench, bench, machine_info, sources_of
from bpfheap.cli.bar import ProgressBar
from bpfheap.cli.output import console, help_of, plain, print_json, say
from bpfheap.errors import UsageError
from bpfheap.kernel import Kernel, available

EXAMPLES = """Examples:

bpfheap bench verifier

bpfheap bench verifier --case throughput_large --rounds 21

bpfheap bench verifier --json > verifier.json
"""

app = typer.Typer(
    help="Measure bpfheap on this machine, side by side with what else is there.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def verifier(
    case: Annotated[
        list[CaseName] | None,
        typer.Option(
            help="Measure what this case is about, and nothing else; may be given several times.",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="How often each program is verified, if that takes no time."
        ),
    ] = ROUNDS,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Compare the verifier with the kernel's: instructions processed, and time.

    Over programs that come with bpfheap, and are compiled first: for each, the time of our verifier
    alone beside that of a load into the kernel without a log, in turns. Programs are loaded and
    never attached, nor run. That asks for bpf(2), so for root; without it there are our own figures
    only. Programs that take long get fewer rounds.

    Ratios are ours by the kernel's, from medians. A program of which the two do not say the same
    counts as infinitely slow. A bench that is missed is not an error: the exit code is 0.
    """
    cases = tuple(case) if case else tuple(CaseName)
    why = available() or ""
    wanted = sources_of(cases)
    with ProgressBar(len(wanted)) as bar:

        def show(doing: str, name: str, done: int) -> None:
            bar.show(f"{doing} {name}", done)

        measure = partial(bench, cases=cases, wanted=wanted, rounds=rounds, progress=show)
        if why:
            found = measure(None, no_kernel=why)
        else:
            # The kernel has no allocator maps: calls are rewritten to bpf_obj_new.
            with Kernel(rewrite=True) as kernel:
                found = measure(kernel)
    if json:
        print_json(found.to_json())
        return
    out = console()
    out.print(_programs(found))
    _print_reasons(out, found)
    say(out, plain(""))
    out.print(_cases(found.cases))
    _print_circumstances(out, found)


app.command("verifier", help=help_of(verifier), epilog=EXAMPLES)(verifier)


HEAP_EXAMPLES = """Examples:

bpfheap bench heap

bpfheap bench heap --case alloc_free_32 --rounds 51 --json
"""


_CASE = typer.Option(
    help="Measure this case, and nothing else; may be given several times.", show_default=False
)
_Rounds = Annotated[int, typer.Option(min=1, metavar="N", help="How often each side is timed.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def heap(
    case: Annotated[list[HeapCase] | None, _CASE] = None,
    rounds: _Rounds = SIDE_ROUNDS,
    json: _Json = False,
) -> None:
    """Compare the native heap with malloc and with the kernel's allocator.

    The loops are compiled code, the same for all sides; each side is timed in turns with the
    others. Peers are glibc's malloc and, where they are installed, jemalloc, mimalloc and tcmalloc,
    each in a process of its own; and bpf_obj_new and bpf_obj_drop of the live kernel, where bpf(2)
    is allowed. What is missed is not an error: the exit code is 0.
    """
    _side_by_side("heap", case or tuple(HeapCase), rounds, as_json=json)


app.command("heap", help=help_of(heap), epilog=HEAP_EXAMPLES)(heap)

MAPS_EXAMPLES = """Examples:

bpfheap bench maps

bpfheap bench maps --case hash_lookup_hit --json
"""


def maps(
    case: Annotated[list[MapCase] | None, _CASE] = None,
    rounds: _Rounds = SIDE_ROUNDS,
    json: _Json = False,
) -> None:
    """Compare the native machine's hash maps with the live kernel's.

    The loops are compiled code: here they call the maps, there they are programs that the kernel
    runs (BPF_PROG_TEST_RUN; asks for bpf(2), so for root). What is missed is not an error: the exit
    code is 0.
    """
    _side_by_side("maps", case or tuple(MapCase), rounds, as_json=json)


app.command("maps", help=help_of(maps), epilog=MAPS_EXAMPLES)(maps)


JIT_EXAMPLES = """Examples:

bpfheap bench jit

bpfheap bench jit --case mem_loop --case compile_200 --json
"""


def jit(
    case: Annotated[list[JitCase] | None, _CASE] = None,
    rounds: _Rounds = SIDE_ROUNDS,
    json: _Json = False,
) -> None:
    """Compare compiled programs with the live kernel's, and time calls and the compiler.

    Loops are the same C, as programs of the native machine and as programs that the kernel runs
    (BPF_PROG_TEST_RUN; asks for bpf(2), so for root), in turns. Calls are those from Python. What
    is missed is not an error: the exit code is 0.
    """
    _side_by_side("jit", case or tuple(JitCase), rounds, as_json=json)


app.command("jit", help=help_of(jit), epilog=JIT_EXAMPLES)(jit)


def _side_by_side(
    name: str, cases: Sequence[HeapCase | MapCase | JitCase], rounds: int, *, as_json: bool
) -> None:
    try:
        module = import_module(f"bpfheap.bench.{name}")
    except ImportError as error:
        raise UsageError(
            f"the native machine is not here: {error}",
            hint="it is built when bpfheap is installed where there is a C compiler",
        ) from None
    with ProgressBar(len(cases)) as bar:
        found: SideBench = module.bench(cases, rounds=rounds, progress=bar.show)
    if as_json:
        print_json(found.to_json())
        return
    out = console()
    for one in found.cases:
        out.print(_sides(one))
        say(out, plain(""))
        if "live" in one.extra:
            say(out, plain("one of so many live objects replaced:"))
            for line in plot(one.extra["live"], one.extra["ns_among_live"], NS):
                say(out, plain(line))
            say(out, plain(""))
    info = found.info
    say(
        out,
        plain(f"{info['system']}, {info['machine']}, {info['cpus']} CPUs, {rounds} rounds."),
    )
    for name, reason in found.missing.items():
        say(out, plain(f"{name} was left out: {reason}", "yellow"))


def _sides(case: SideCase) -> Table:
    """A case as a table: a row for bpfheap and for each peer."""
    passed = _PASSED[case.passed]
    table = Table(title=plain(f"{case.name} ", "bold") + passed, title_justify="left", box=None,
                  padding=(0, 2, 0, 0), pad_edge=False, caption=plain(case.about),
                  caption_justify="left")  # fmt: skip
    for title in ("", "min", "median", "ours/theirs", "aim"):
        table.add_column(title, justify="right" if title else "left")
    aims = dict(case.thresholds)
    table.add_row("bpfheap", *_min_median(case.ours, case.unit), "", _aim(aims.pop("", None)))
    ratios = case.ratios()
    for name, times in case.peers.items():
        most = aims.get(name, aims.get(FASTEST) if name != "kernel" else None)
        table.add_row(name, *_min_median(times, case.unit), f"{ratios[name]:.3f}", _aim(most))
    for name, value in case.extra.items():
        if not isinstance(value, dict | list):
            table.add_row(name, "", f"{value:,}" if isinstance(value, int) else f"{value}", "", "")
    return table


def _min_median(times: list[float], unit: str) -> tuple[str, str]:
    if not times:
        return "", ""
    suffix = "" if unit == RATIO else f" {unit}"
    return f"{min(times):.2f}{suffix}", f"{statistics.median(times):.2f}{suffix}"


def _aim(most: float | None) -> str:
    if most is None:
        return ""
    return f"at most {most:g}" if most > 0 else f"at least {-most:g}"


def _programs(found: VerifierBench) -> Table:
    table = _table("program")
    for title in ("slots", "processed", "kernel", "ratio", "time", "kernel", "ratio"):
        table.add_column(title, justify="right")
    table.add_column("")
    for program in found.programs:
        ours, kernel = program.ours, program.kernel
        table.add_row(
            plain(program.program, "red" if program.wrong else ""),
            f"{program.slots:,}",
            _count(ours),
            _count(kernel),
            _ratio(program.processed_ratio),
            _time(ours.median),
            _time(kernel.median if kernel is not None else math.nan),
            _ratio(program.time_ratio),
            _remark(program),
        )
    return table


def _table(first: str) -> Table:
    return Table(first, box=None, padding=(0, 2, 0, 0), pad_edge=False)


def _count(side: Side | None) -> str:
    return "" if side is None or side.processed is None else f"{side.processed:,}"


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return "wrong" if math.isinf(ratio) else f"{ratio:.2f}"


#: (nanoseconds below which a unit is used, nanoseconds in the unit, its name).
_UNITS = ((1e6, 1e3, "us"), (1e9, 1e6, "ms"), (math.inf, 1e9, "s"))


def _time(ns: float) -> str:
    for below, size, unit in _UNITS:
        if ns < below:
            return f"{ns / size:.{2 if unit == 's' else 1}f} {unit}"
    return ""


def _remark(program: Measured) -> Text:
    """The last column: a refusal, a difference, or why there is no verdict."""
    ours, kernel = program.ours, program.kernel
    if ours.accepted is None:
        return plain("failed", "red")
    if program.wrong:
        return plain(
            "accepted by bpfheap alone" if ours.accepted else "refused by bpfheap alone", "red"
        )
    if kernel is not None and kernel.accepted is None:
        return plain("the kernel was not able to say", "yellow")
    return plain("" if ours.accepted else "refused")


def _print_reasons(out: Console, found: VerifierBench) -> None:
    """The errors of programs without a verdict, or with different ones."""
    for program in found.programs:
        kernel = program.kernel
        unasked = kernel is not None and kernel.accepted is None
        if program.ours.accepted is not None and not program.wrong and not unasked:
            continue
        say(out, plain(""))
        say(out, plain(f"{program.program} ({program.source.path.name})", "bold"))
        if program.ours.error:
            say(out, plain(f"    bpfheap: {program.ours.error}"))
        if kernel is not None and kernel.error:
            say(out, plain(f"    kernel: {kernel.error}"))


def _cases(cases: tuple[VerifierCase, ...]) -> Table:
    table = _table("case")
    for title in ("ours", "kernel", "ratio", "at most", "", "programs", "wrong"):
        table.add_column(title, justify="right")
    for case in cases:
        table.add_row(
            plain(case.name),
            _amount(case, case.ours),
            _amount(case, case.kernel),
            _ratio(case.ratio),
            "" if case.ratio is None else f"{case.threshold:g}",
            _PASSED[case.passed],
            f"{case.programs}",
            "" if case.ratio is None else f"{case.wrong}",
        )
    return table


def _amount(case: VerifierCase, extent: MinMedian | None) -> str:
    if extent is None:
        return ""
    return _SHOWN[case.unit](extent.median)


def _speed(ns_each: float) -> str:
    return f"{1e3 / ns_each:.2f} M insns/s"


def _insns(count: float) -> str:
    return f"{count:,.0f} insns"


_SHOWN = {NS: _time, PER_INSN: _speed, INSNS: _insns}
_PASSED = {True: plain("passed", "green"), False: plain("missed", "red"), None: plain("")}


def _print_circumstances(out: Console, found: VerifierBench) -> None:
    info = machine_info()
    module = info["verifier_module"]
    how = "compiled" if info["verifier"] == "compiled" else "uncompiled, as Python"
    say(out, plain(""))
    say(
        out,
        plain(f"{info['system']}, {info['machine']}, {info['cpus']} CPUs, Python {info['python']}"),
    )
    say(out, plain(f"The verifier runs {how} ({module})."))
    if found.no_kernel:
        say(out, plain(f"The kernel was not asked: {found.no_kernel}", "yellow"))
    if found.left_out:
        names = ", ".join(source.name for source in found.left_out)
        say(out, plain(f"Left out, as {NO_TYPES}: {names}", "yellow"))
    if found.noise:
        noise = " and ".join(f"{amount:.2f} ({who})" for who, amount in found.noise.items())
        say(out, plain(f"Noise: the median round takes {noise} times as long as the fastest."))
