"""`bpfheap explore`: visit every order of events, under one policy or all of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

import bpfheap
from bpfheap.cli.explored import print_result, print_table, trace_lines
from bpfheap.cli.histories import count
from bpfheap.cli.inputs import Files, KernelBtf, KernelConfig, compiles
from bpfheap.cli.live import LiveLines
from bpfheap.cli.output import console, plain, print_json, say
from bpfheap.compile import CompileOptions
from bpfheap.errors import UsageError
from bpfheap.explore import (
    KernelFiles,
    Reductions,
    Result,
    Scenario,
    VerdictKind,
    explore_all,
    read_scenario,
)
from bpfheap.explore.matrix import Matrix, shows
from bpfheap.host import size_of
from bpfheap.lifetime import POLICIES

EXAMPLES = """Examples:

bpfheap explore examples/three_programs --policy used-allocators --first

bpfheap explore examples/three_programs --policy all --runs 2 --markdown

bpfheap explore examples/walk_race examples/reload --policy unload-walk,live-count --json

bpfheap explore p1.bpf.c p2.bpf.c --loads 2 --trace found.txt
"""

#: The exit code if a bound was reached and no violation was found until then.
_BOUNDED = 3

_BOUNDS = "Bounds, instead of those of the scenario"
_SEARCH = "The search"
_OUTPUT = "Output"


def _policy_names(incomplete: str) -> list[str]:
    """Shell completion of a comma-separated list: completes the name after the last comma."""
    before, comma, last = incomplete.rpartition(",")
    names = [p.name for p in bpfheap.policies() if p.name.startswith(last)]
    if not comma and "all".startswith(last):
        names.append("all")
    given = before.split(",")
    return [before + comma + name for name in names if name not in given]


def _bound(text: str) -> Any:
    return typer.Option(min=1, metavar="N", help=text, rich_help_panel=_BOUNDS, show_default=False)


@compiles
def explore(
    files: Files,
    compiling: CompileOptions,
    policy: Annotated[
        str,
        typer.Option(
            metavar="NAME|all|NAME,NAME",
            help="What keeps an allocator alive; see `bpfheap policies`.",
            autocompletion=_policy_names,
        ),
    ] = POLICIES[0].name,
    runs: Annotated[int | None, _bound("Runs of a program each time it is loaded.")] = None,
    cpus: Annotated[int | None, _bound("CPUs, so programs that run at once.")] = None,
    loads: Annotated[int | None, _bound("Loads of each program.")] = None,
    objects: Annotated[int | None, _bound("Objects that an allocator has at most.")] = None,
    states: Annotated[int | None, _bound("Stop a search after so many states.")] = None,
    nmi: Annotated[
        bool,
        typer.Option(
            "--nmi", help="Programs interrupt others on their CPU.", rich_help_panel=_BOUNDS
        ),
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="What all processes may have together, such as 4G; three quarters of what there "
            "is if not given.",
            rich_help_panel=_SEARCH,
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Processes that search, one per CPU if not given. Results do not depend on it.",
            rich_help_panel=_SEARCH,
            show_default=False,
        ),
    ] = None,
    first: Annotated[
        bool,
        typer.Option(
            "--first", help="End each search at its first violation.", rich_help_panel=_SEARCH
        ),
    ] = False,
    no_partial_order: Annotated[
        bool,
        typer.Option(
            "--no-partial-order",
            help="Also visit orders that differ in steps nobody else can notice.",
            rich_help_panel=_SEARCH,
        ),
    ] = False,
    no_symmetry: Annotated[
        bool,
        typer.Option(
            "--no-symmetry",
            help="Also visit states that differ in the numbers of CPUs only.",
            rich_help_panel=_SEARCH,
        ),
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT",
            help="Write a replay string for each violation and finding to this file.",
            rich_help_panel=_OUTPUT,
            show_default=False,
        ),
    ] = None,
    kernel_btf: KernelBtf = None,
    kconfig: KernelConfig = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=_OUTPUT),
    ] = False,
    markdown: Annotated[
        bool,
        typer.Option(
            "--markdown", help="The table of policies, as Markdown.", rich_help_panel=_OUTPUT
        ),
    ] = False,
) -> None:
    """Visit every order in which programs can be loaded, run and unloaded: is a policy sound?

    Each folder is a scenario, which may say more in its scenario.toml; loose files are one scenario
    together. Programs are preempted at every helper call, walks of maps at every element. A
    violation is told with its shortest history, at source level, and with a replay string for
    `bpfheap replay`. Ctrl-C ends the search and reports what is known by then.

    Exit code 0 if everything was visited and is clean, 1 if there is a violation, 3 if a bound was
    reached before the end.
    """
    if json and markdown:
        raise UsageError("--json and --markdown exclude each other")
    names = _policies(policy)
    bounds = {
        "runs": runs,
        "cpus": cpus,
        "loads": loads,
        "objects": objects,
        "states": states,
        "nmi": nmi or None,
    }
    scenarios = _scenarios(files, compiling, bounds, (kernel_btf, kconfig))
    search = _Search(
        tasks=[(scenario, name) for scenario in scenarios for name in names],
        jobs=jobs or len(os.sched_getaffinity(0)),
        reductions=Reductions(partial_order=not no_partial_order, symmetry=not no_symmetry),
        first=first,
        memory=None if memory is None else size_of(memory),
    )
    # Before the search, which may take an hour: a file that cannot be written is reported now.
    out = None if trace is None else _opened(trace)
    results = search.run()
    if out is not None:
        _write(out, results)
    if json:
        print_json(_document(scenarios, results, with_matrix=len(names) > 1))
    elif markdown:
        print(_matrix(scenarios, results).markdown(), end="")
    else:
        _print(scenarios, results, as_table=len(names) > 1)
    complete = len(results) == len(search.tasks)
    if not complete:
        told = f"interrupted: {len(results)} of {count(len(search.tasks), 'search', 'es')} told"
        say(console(stderr=True), plain(told, "yellow"))
    code = _exit_code(results, complete=complete)
    if code:
        raise typer.Exit(code)


def _policies(text: str) -> list[str]:
    """The policies of `--policy`, each once; for "all" in the order of `bpfheap policies`.

    Raises UsageError for an unknown name.
    """
    known = [p.name for p in bpfheap.policies()]
    if text == "all":
        return known
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            raise UsageError(
                f"there is no policy {name or repr(name)}",
                hint=f"all, or some of {', '.join(known)}",
            )
    return names


def _scenarios(
    paths: Sequence[Path],
    compiling: CompileOptions,
    bounds: dict[str, int | None],
    kernel: KernelFiles,
) -> list[Scenario]:
    """A scenario for each folder, and one for all loose files."""
    folders = [path for path in dict.fromkeys(paths) if os.path.isdir(path)]
    loose = [path for path in dict.fromkeys(paths) if path not in folders]
    groups = [*([folder] for folder in folders), *([loose] if loose else [])]
    found = [read_scenario(group, compiling, kernel=kernel, **bounds) for group in groups]
    names = [scenario.name for scenario in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"two scenarios are called {name}", hint="give one of them, or rename its folder"
            )
    return found


@dataclass(slots=True)
class _Search:
    """The explorations to run: (scenario, policy) pairs, and the options of the search."""

    tasks: list[tuple[Scenario, str]]
    jobs: int
    reductions: Reductions
    first: bool
    memory: int | None

    def run(self) -> list[Result]:
        """The results, in the order of the tasks; fewer of them after a Ctrl-C."""
        labels = [f"{policy} in {scenario.name}" for scenario, policy in self.tasks]
        results: list[Result] = []
        with LiveLines(labels, self.jobs) as live:
            try:
                for number, result in explore_all(
                    self.tasks,
                    jobs=self.jobs,
                    reductions=self.reductions,
                    first=self.first,
                    memory=self.memory,
                    progress=live.progress,
                ):
                    results.append(result)
                    live.done(number)
            except KeyboardInterrupt:
                # Report the explorations that have finished.
                pass
        return results


def _exit_code(results: Sequence[Result], *, complete: bool) -> int:
    if any(result.breaches for result in results):
        return 1
    bounded = any(result.verdict is VerdictKind.BOUNDED for result in results)
    return _BOUNDED if bounded or not complete else 0


def _opened(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(
            f"--trace {path} cannot be written: {error.strerror}", hint="give another file"
        ) from None


def _write(out: TextIO, results: Sequence[Result]) -> None:
    with out:
        out.writelines(f"{line}\n" for line in trace_lines(results))


def _matrix(scenarios: Sequence[Scenario], results: Sequence[Result]) -> Matrix:
    return Matrix(results, {scenario.name: shows(scenario) for scenario in scenarios})


def _document(
    scenarios: Sequence[Scenario], results: Sequence[Result], *, with_matrix: bool
) -> dict[str, Any]:
    parts = [
        {
            "scenario": scenario.name,
            "about": scenario.about,
            "bounds": scenario.bounds.to_json(),
            "results": [r.to_json() for r in results if r.scenario == scenario.name],
        }
        for scenario in scenarios
    ]
    document: dict[str, Any] = parts[0] if len(parts) == 1 else {"scenarios": parts}
    if with_matrix:
        document["matrix"] = _matrix(scenarios, results).to_json()
    return document


def _print(scenarios: Sequence[Scenario], results: Sequence[Result], *, as_table: bool) -> None:
    out = console()
    if as_table:
        print_table(out, _matrix(scenarios, results), results)
    else:
        for number, result in enumerate(results):
            if number:
                say(out, plain(""))
            print_result(out, result)
