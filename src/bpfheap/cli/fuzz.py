"""`bpfheap fuzz`: random programs, to find bugs of bpfheap itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bpfheap.cli import exhaustive as enumerated
from bpfheap.cli.bar import ProgressBar
from bpfheap.cli.campaign import EXAMPLES as HUNT_EXAMPLES
from bpfheap.cli.campaign import hunt as run_hunt
from bpfheap.cli.output import console, help_of, plain, print_json, say
from bpfheap.errors import UsageError
from bpfheap.fuzz.against import Against
from bpfheap.fuzz.against import opened as examiner_of
from bpfheap.fuzz.corpus import read_seeds, stored_seeds
from bpfheap.fuzz.generate import features_of, random_program
from bpfheap.fuzz.grammars import GRAMMARS, aimed_program, fitting
from bpfheap.fuzz.guided import guided as guided_search
from bpfheap.fuzz.hunt import HuntReport, hunt, listing
from bpfheap.fuzz.results import BUGS, Made, Outcome
from bpfheap.fuzz.surroundings import FEATURES
from bpfheap.fuzz.themes import THEMES
from bpfheap.kernel import available

EXAMPLES = """Examples:

bpfheap fuzz verifier -n 1000

bpfheap fuzz verifier --against model -n 5000 --seed 7

bpfheap fuzz verifier --against unpruned -n 100000

bpfheap fuzz verifier --features maps,branches --json

bpfheap fuzz verifier --seed 7 --show 42

bpfheap fuzz verifier --grammar spilled,joined --against unpruned -n 100000

bpfheap fuzz verifier --guided --against unpruned -n 20000 --corpus found

bpfheap fuzz verifier --exhaustive stack --length 3
"""

_OUTPUT = "Output"
_DEFAULT_FEATURES = ",".join(f.name for f in FEATURES)

#: What each outcome is called in the summary.
_WORDS = {
    Outcome.ACCEPTED: "accepted by both",
    Outcome.REFUSED: "refused by both",
    Outcome.TOO_LONG: "accepted by both, by ours after more instructions",
    Outcome.UNSUPPORTED: "not known to bpfheap as a whole",
    Outcome.UNASKED: "without a verdict of the kernel",
    Outcome.EXPLAINED: "differ for a known reason",
    Outcome.CRASH: "crashed bpfheap",
    Outcome.KERNEL_REFUSES: "accepted by bpfheap alone",
    Outcome.OURS_REFUSES: "refused by bpfheap alone",
    Outcome.VIOLATION: "accepted, then made a memory error",
    Outcome.OUTSIDE: "accepted, then held values that were ruled out",
    Outcome.UNROLLED: "accepted, and right as far as loops were unrolled",
    Outcome.UNDECIDED: "accepted, and too long to be walked to the end",
    Outcome.PRUNED: "accepted only because paths end early",
    Outcome.INCOMPARABLE: "accepted, and hang on clocks, addresses or the order of keys",
    Outcome.DIFFERENT: "accepted, then did not do the same",
}
#: Other words where nobody else gives a verdict: programs run on a machine, or are walked again.
_MODEL_WORDS = {Outcome.ACCEPTED: "accepted, and ran well", Outcome.REFUSED: "refused"}
_UNPRUNED_WORDS = {Outcome.ACCEPTED: "accepted, and so without pruning", Outcome.REFUSED: "refused"}


@dataclass(frozen=True)
class Source:
    """Where programs come from. `grammar`, `guided`: as the options have it. Raises UsageError for
    a grammar that there is not, or that does not do with the features."""

    seed: int
    features: frozenset[str]
    grammar: str | None
    guided: bool = False

    def __post_init__(self) -> None:
        if self.grammar is not None:
            fitting(self.grammar, self.features)

    @property
    def made(self) -> Made:
        if self.grammar is None:
            return random_program
        return partial(aimed_program, names=self.grammar)

    def replay(self, index: int) -> str:
        """The command that shows a program, or comes by it again."""
        grammar = "" if self.grammar is None else f" --grammar {self.grammar}"
        features = ",".join(sorted(self.features))
        command = f"bpfheap fuzz verifier --seed {self.seed} --features {features}{grammar}"
        return f"{command} --guided -n {index + 1}" if self.guided else f"{command} --show {index}"

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"seed": self.seed, "features": sorted(self.features)}
        return found if self.grammar is None else found | {"grammar": self.grammar}


app = typer.Typer(
    help="Try bpfheap on random programs: they come from a seed, so whatever is found can be "
    "found again.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def verifier(
    against: Annotated[
        Against | None,
        typer.Option(
            show_default="kernel; with --exhaustive all that there is",
            help="kernel: the live kernel's verifier has to give the same verdicts (asks for "
            "bpf(2), so for root). unpruned: accepted programs are walked once more, each path to "
            "its end, and must be accepted so, too. model: accepted programs run on the model "
            "machine, which must see no error and no value that the verifier had ruled out. "
            "native: accepted programs run on the model machine and on the native one, interpreted "
            "and compiled; all must do the same; and return the same on the live kernel, where "
            "bpf(2) is allowed.",
        ),
    ] = None,
    number: Annotated[
        int, typer.Option("-n", min=1, metavar="N", help="How many programs.")
    ] = 1000,
    seed: Annotated[int, typer.Option(metavar="S", help="Where programs come from.")] = 1,
    features: Annotated[
        str,
        typer.Option(
            metavar="all|NAME,NAME",
            help="What programs may use: "
            + "; ".join(f"{f.name} ({f.about})" for f in FEATURES)
            + ".",
        ),
    ] = _DEFAULT_FEATURES,
    grammar: Annotated[
        str | None,
        typer.Option(
            metavar="all|NAME,NAME",
            help="Not any random programs, but those of grammars, which aim at what verifiers get "
            "wrong: " + "; ".join(f"{g.name} ({g.about})" for g in GRAMMARS.values()) + ".",
            show_default=False,
        ),
    ] = None,
    guided: Annotated[
        bool,
        typer.Option(
            "--guided",
            help="Keep programs that reach branches of the verifier that none before them reached, "
            "and make others of them, besides those of the grammars (all, if --grammar names "
            "none).",
        ),
    ] = False,
    corpus: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --guided: where to read more programs to begin with, and to write what is "
            "kept, made small.",
            show_default=False,
        ),
    ] = None,
    exhaustive: Annotated[
        str | None,
        typer.Option(
            metavar="THEME",
            help="Not random programs, but all of a theme: "
            + "; ".join(f"{t.name} ({t.about})" for t in THEMES.values())
            + ".",
            show_default=False,
        ),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=8,
            metavar="L",
            help="How long the enumerated part of a theme's programs may be; as the theme says, "
            "if not given.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="J",
            help="Processes, one per CPU if not given. Results do not depend on it.",
            show_default=False,
        ),
    ] = None,
    show: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="INDEX",
            help="Print one program, and examine nothing.",
            rich_help_panel=_OUTPUT,
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=_OUTPUT),
    ] = False,
) -> None:
    """Compare the verifier's verdicts on random programs with the kernel's, or with what happens.

    Programs are loaded into the kernel and never attached, nor run there. Each difference is told
    once, by the smallest program found that shows it. Differences that are wanted are listed in
    docs/verifier-differences.md and only counted here. Ctrl-C ends the search and reports what is
    known by then.

    Exit code 1 if there is a difference that nothing explains, or if the kernel could not say
    anything of more than one program in a thousand.
    """
    processes = jobs or len(os.sched_getaffinity(0))
    if exhaustive is not None:
        told = None if against is None else str(against)
        enumerated.run(exhaustive, length, told, processes, _WORDS, as_json=json)
        return
    if length is not None:
        raise UsageError("--length is of --exhaustive", hint="random programs have any length")
    if corpus is not None and not guided:
        raise UsageError("--corpus is of --guided", hint="add --guided")
    against = against or Against.KERNEL
    grammar = grammar or ("all" if guided else None)
    chosen = features_of(features)
    source = Source(seed, chosen, grammar, guided)
    if show is not None and guided:
        raise UsageError("--guided has no programs by index", hint="leave out --show or --guided")
    if show is not None:
        _show(source, show, as_json=json)
        return
    if against is Against.KERNEL:
        reason = available()
        if reason is not None:
            raise UsageError(
                f"the kernel cannot be asked: {reason}",
                hint="--against unpruned and --against model need no kernel",
            )
    opened = partial(examiner_of, against, seed, chosen, source.made)
    about: dict[str, Any] = {}
    with ProgressBar(number) as bar:
        progress = partial(_show_progress, bar)
        if guided:
            seeds = [*stored_seeds(), *(read_seeds(corpus) if corpus is not None else ())]
            search = guided_search(
                opened, number, seed, chosen, seeds, names=grammar or "all", into=corpus,
                jobs=processes, progress=progress,
            )  # fmt: skip
            report, about = search.hunt, search.to_json()
        else:
            report = hunt(opened, range(number), jobs=processes, progress=progress)
    if json:
        print_json({"against": str(against)} | source.to_json() | (about or report.to_json()))
    else:
        if about:
            arcs, first, kept = (about[name] for name in ("arcs", "arcs_at_first", "kept"))
            told = f"{arcs:,} branches of the verifier, {first:,} at first; {kept:,} programs kept"
            say(console(), plain(told))
        _print(console(), report, against, source)
    if not report.finished:
        done = f"interrupted: {report.counts.total():,} of {number:,} programs examined"
        say(console(stderr=True), plain(done, "yellow"))
    if not report.passed:
        raise typer.Exit(1)


app.command("hunt", help=help_of(run_hunt), epilog=HUNT_EXAMPLES)(run_hunt)
app.command("verifier", help=help_of(verifier), epilog=EXAMPLES)(verifier)


#: What of _WORDS is said otherwise.
_WORDS_OF: dict[Against, dict[Outcome, str]] = {
    Against.KERNEL: {},
    Against.UNPRUNED: _UNPRUNED_WORDS,
    Against.MODEL: _MODEL_WORDS,
    Against.NATIVE: _MODEL_WORDS,
}


def _show_progress(bar: ProgressBar, done: int, bugs: int) -> None:
    if done == bar.total:
        # Reducing the programs that show bugs takes a while.
        bar.show("making findings small", done)
    else:
        bar.show(f"programs ({bugs} to look at)" if bugs else "programs", done)


def _show(source: Source, index: int, *, as_json: bool) -> None:
    made = source.made(source.seed, index, source.features)
    if as_json:
        document = source.to_json() | {"index": index}
        print_json(document | {"section": made.section, "program": listing(made)})
        return
    out = console()
    say(out, plain(f'SEC("{made.section}")', "bold"))
    for line in listing(made):
        say(out, plain(line))


def _print(out: Console, report: HuntReport, against: Against, source: Source) -> None:
    words = _WORDS | _WORDS_OF[against]
    say(out, plain(f"{report.counts.total():,} programs", "bold"))
    for outcome in Outcome:
        count = report.counts[outcome]
        if count:
            say(out, plain(f"{count:>8,} {words[outcome]}", "red" if outcome in BUGS else ""))
    for message, count in sorted(report.unasked.items()):
        say(out, plain(f"{count:>8,} of them: {message}"))
    for section, count in sorted(report.sections.items()):
        say(out, plain(f'{count:>8,} of them: see "{section}"'))
    for finding in report.findings:
        result = finding.result
        others = len(finding.indices) - 1
        more = f", and {others} more like it" if others else ""
        say(out, plain(""))
        say(
            out,
            plain(words[finding.outcome], "red"),
            plain(f"(program {finding.indices[0]}{more})"),
        )
        for who, message in (("bpfheap", result.ours), (str(against), result.theirs)):
            if message:
                say(out, plain(f"    {who}: {message}"))
        say(out, plain(f'    SEC("{finding.program.section}")'))
        for line in listing(finding.program):
            say(out, plain(f"    {line}"))
        say(out, plain(f"    as it was: {source.replay(finding.indices[0])}"))
    if report.untold:
        say(out, plain(f"\n{report.untold} more kinds of findings are not shown"))
