"""`--kernel` and `--kernels`: releases of Linux that the programs have to load on."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from bpfheap.cli.output import plain, say
from bpfheap.errors import UsageError, among
from bpfheap.platform.calls import CALL_BY_NAME
from bpfheap.platform.linux import NEWEST, Release, kfunc_since, shown
from bpfheap.platform.releases import LONG_TERM
from bpfheap.spec import ProgramSpec
from bpfheap.verifier import VerdictKind
from bpfheap.verifier.verdict import Verdict
from bpfheap.vmlinux import release_named

_NEWEST = shown(NEWEST)

KernelRelease = Annotated[
    str | None,
    typer.Option(
        "--kernel",
        metavar="RELEASE",
        help="The release of Linux that the programs have to load on, such as 6.1: what came later "
        "is refused.",
        show_default=_NEWEST,
    ),
]
KernelReleases = Annotated[
    str | None,
    typer.Option(
        "--kernels",
        metavar="all|RELEASE,RELEASE",
        help="Say for each of these releases, too, whether the programs load there; all are "
        f"{', '.join(map(shown, LONG_TERM))}.",
        show_default=False,
    ),
]


Forbid = Annotated[
    list[str] | None,
    typer.Option(
        "--forbid",
        metavar="NAME",
        help="A helper or kfunc that the kernel has not, as it is configured without it or locked "
        "down, such as bpf_override_return. May be repeated.",
        show_default=False,
    ),
]


class OnRelease(NamedTuple):
    """What is said of a program on a release."""

    release: Release
    verdict: Verdict


def releases(text: str | None) -> tuple[Release, ...]:
    """Raises UsageError for one that is none, or not known."""
    if text is None:
        return ()
    if text == "all":
        return LONG_TERM
    found = [release_named(one.strip()) for one in text.split(",")]
    return tuple(sorted(set(found)))


def forbidden(names: list[str] | None) -> frozenset[str]:
    """What --forbid names. Raises UsageError for what is no helper or kfunc."""
    found = frozenset(names or ())
    for name in found:
        if name not in CALL_BY_NAME and kfunc_since(name) is None:
            raise UsageError(f"--forbid {name} names no call", hint=among(CALL_BY_NAME, name))
    return found


def to_json(said: tuple[OnRelease, ...]) -> dict[str, Any]:
    """By release."""
    return {
        shown(release): {
            "verdict": str(verdict.kind),
            "insns_processed": verdict.insns_processed,
            "error": None if verdict.error is None else verdict.error.to_json(),
        }
        for release, verdict in said
    }


def print_matrix(
    out: Console,
    programs: list[tuple[ProgramSpec, Verdict, tuple[OnRelease, ...]]],
    styles: dict[VerdictKind, str],
) -> None:
    """A row for each program, a column for each release; then why one is refused there, where that
    is another reason than that of its verdict."""
    if not programs:
        return
    columns = [f"Linux {shown(one.release)}" for one in programs[0][2]]
    table = Table("program", *columns, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for program, _, said in programs:
        kinds = [one.verdict.kind for one in said]
        table.add_row(plain(program.name), *(plain(kind, styles[kind]) for kind in kinds))
    out.print(table)
    for program, verdict, said in programs:
        why: dict[str, list[str]] = {}
        for release, on in said:
            if on.error is not None and str(on.error) != str(verdict.error):
                why.setdefault(str(on.error), []).append(shown(release))
        for error, where in why.items():
            line = f"{program.name} on Linux {', '.join(where)}: {error}"
            for part in line.splitlines():
                say(out, plain(f"    {part}"))
