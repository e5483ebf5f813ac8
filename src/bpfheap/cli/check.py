"""`bpfheap check`: verify every program and load nothing."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from bpfheap.cli.against import DIFFERS, Against, Said, said
from bpfheap.cli.baseline import (
    CHANGED,
    Baseline,
    Compare,
    Save,
    Tolerance,
    is_worse,
    print_changes,
)
from bpfheap.cli.baseline import to_json as changes_to_json
from bpfheap.cli.explain import print_explained
from bpfheap.cli.inputs import (
    Constants,
    Entries,
    Files,
    KernelBtf,
    KernelConfig,
    Settings,
    compiles,
    expand,
)
from bpfheap.cli.kernels import (
    Forbid,
    KernelRelease,
    KernelReleases,
    OnRelease,
    forbidden,
    print_matrix,
    releases,
)
from bpfheap.cli.kernels import to_json as on_to_json
from bpfheap.cli.output import complain, console, plain, print_json, remark, say
from bpfheap.compile import CompileOptions, object_specs
from bpfheap.elf.target import Target
from bpfheap.errors import BpfheapError, KernelUnavailable, NoPrograms, Unsupported, UsageError
from bpfheap.kernel import Kernel, opened
from bpfheap.platform.linux import NEWEST, Release
from bpfheap.report import details
from bpfheap.spec import ProgramSpec
from bpfheap.verifier import VerdictKind, verify
from bpfheap.verifier.explain.knowledge import Known
from bpfheap.verifier.flows import Flow
from bpfheap.verifier.verdict import Options, Verdict
from bpfheap.verifier.walk import explained
from bpfheap.vmlinux import Earlier, Vmlinux, release_named

_STYLES = {
    VerdictKind.ACCEPT: "green", VerdictKind.REJECT: "red", VerdictKind.UNSUPPORTED: "yellow",
}  # fmt: skip

EXAMPLES = """Examples:

bpfheap check prog.bpf.c

bpfheap check prog.bpf.c -p filter --explain

bpfheap check tool.bpf.c -I ../headers -D DEBUG=1

bpfheap check prog.bpf.o --log --log-level 1

bpfheap check examples/three_programs --json

bpfheap check prog.bpf.c --kernels all

bpfheap check prog.bpf.c --compare verdicts.json --tolerance 10

bpfheap check prog.bpf.c --against vm:boot/vmlinuz-6.1.0-57-cloud-amd64
"""


@dataclass(frozen=True, slots=True)
class _Checked:
    """A verified program. `known` is what `--explain` prints, `said` what the kernel of `--against`
    says; None without these options. `on`: the verdicts of `--kernels`."""

    program: ProgramSpec
    verdict: Verdict
    known: tuple[Known, ...] | None = None
    said: Said | None = None
    on: tuple[OnRelease, ...] = ()

    @property
    def undecided(self) -> bool:
        """Was a kernel asked that has no verdict?"""
        return self.said is not None and self.said.kind is None

    @property
    def differs(self) -> bool:
        return self.said is not None and self.said.differs(self.verdict.kind)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the options ask for."""

    #: The name of the only program wanted, None for all.
    program: str | None
    explain: bool
    #: The level of the log, None for no log.
    log: int | None
    #: What the verdict is for, and what those on `releases` are for.
    targets: list[Target]
    settings: Settings
    #: The kernel that is asked, too.
    kernel: Kernel | None
    releases: tuple[Release, ...] = ()
    #: Where the verdicts are kept, and what they were.
    save: Path | None = None
    before: Baseline | None = None
    #: Per cent of instructions.
    tolerance: float | None = None
    #: Calls that the kernel has not.
    forbidden: frozenset[str] = frozenset()


def _targets(kernel: Vmlinux, wanted: tuple[Release, ...]) -> list[Target]:
    return [kernel if one == NEWEST else Earlier(kernel, one) for one in wanted]


@compiles
def check(
    files: Files,
    compiling: CompileOptions,
    program: Annotated[
        str | None,
        typer.Option("--program", "-p", metavar="NAME", help="Only programs of this name."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Print the source with what is known behind each line."),
    ] = False,
    log: Annotated[
        bool,
        typer.Option("--log", "--verbose", "-v", help="Print the verifier's log, as Linux does."),
    ] = False,
    log_level: Annotated[
        int,
        typer.Option(
            metavar="1|2",
            min=1,
            max=2,
            help="What the log has: 1 only the way to the rejection, 2 all paths.",
        ),
    ] = 2,
    constants: Constants = None,
    entries: Entries = None,
    kernel_btf: KernelBtf = None,
    kconfig: KernelConfig = None,
    kernel: KernelRelease = None,
    kernels: KernelReleases = None,
    forbid: Forbid = None,
    against: Against = None,
    save: Save = None,
    compare: Compare = None,
    tolerance: Tolerance = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Verify programs: is each one safe, and which flows of objects does it have.

    Flows say what a program does with objects that it owns, over all its paths: where they come
    from (alloc), which map fields they go into (store, move), where it takes them out (take) and
    gives them back (free). Of a rejected program you see the place, where the values in question
    came from, the way that led there, and what to change. An unsupported program names something
    that bpfheap does not know, such as a helper or a type of map: Linux may accept it, and you see
    all that is missing. Exit code 1 if a program is rejected or a file cannot be read or has no
    programs, else 4 if a program is unsupported.

    With --against, a kernel is asked to load the programs, too; nothing is attached. Where its
    verdict differs from ours, as it accepts a program that we reject or refuses one that we do not,
    the exit code is 5. Without such a difference it is as above, so with 0 and 4 the kernel loads
    all of them that it has a verdict on: it has none where it refuses, whatever the program does,
    a map without a size or a type of program (EPERM). "vm:VMLINUZ" is an image of a kernel, such as
    Debian's, whose types the programs are for unless --kernel-btf names others; it takes
    qemu-system-x86 and a few seconds, no root.

    --kernel and --kernels ask for the verdicts of earlier releases of Linux, without a kernel: what
    came later is refused there, by name. Exit codes count what is said of all of them. It is not
    known of each rule of the verifier when it changed; --against an image asks the kernel itself.
    """
    release = NEWEST if kernel is None else release_named(kernel)
    more = releases(kernels)
    before = None if compare is None else Baseline.read(compare)
    if tolerance is not None and before is None:
        raise UsageError("--tolerance is of --compare", hint="add --compare FILE")
    with ExitStack() as stack:
        # It boots while our side is at work.
        transport = None if against is None else stack.enter_context(opened(against))
        target = Vmlinux if transport is None else transport.target
        wanted = _Wanted(
            program,
            explain,
            log_level if log else None,
            _targets(target(kernel_btf, kconfig), (release, *more)),
            Settings(constants, entries),
            None if transport is None else stack.enter_context(Kernel(transport)),
            more,
            save,
            before,
            tolerance,
            forbidden(forbid),
        )
        code = _check_all(files, compiling, wanted, json=json)
    if code:
        raise typer.Exit(code)


def _check_all(files: list[Path], compiling: CompileOptions, wanted: _Wanted, *, json: bool) -> int:
    """The exit code."""
    program = wanted.program
    checked: list[_Checked] = []
    errors: list[BpfheapError] = []
    names: set[str] = set()
    out = console()
    for path in expand(files):
        try:
            found = _check(path, compiling, wanted, names)
        except (UsageError, KernelUnavailable):
            raise
        except BpfheapError as error:
            error.at(str(path))
            errors.append(error)
            complain(error)
            continue
        checked += found
        if not found and program is None:
            # A folder may have files that are there for others only.
            if path in files:
                errors.append(NoPrograms(file=str(path)))
                complain(errors[-1])
            elif not json:
                say(out, plain(f"{path}: no programs"))
        if not json:
            _print(out, path, found, wanted)
    if not errors:
        wanted.settings.check_used()
    if not checked and not errors and program is None:
        errors += [NoPrograms(file=str(path)) for path in files]
        for without in errors:
            complain(without)
    if program is not None and not checked and not errors:
        known = ", ".join(sorted(names)) or "none"
        raise UsageError(f"there is no program {program}", hint=f"there are {known}")
    differ = sum(one.differs for one in checked)
    undecided = sum(one.undecided for one in checked)
    now = Baseline.of((one.program, one.verdict) for one in checked)
    changes = [] if wanted.before is None else wanted.before.changes(now)
    if wanted.save is not None and not errors:
        now.write(wanted.save)
    if json:
        document: dict[str, Any] = {"programs": [_to_json(program, wanted) for program in checked]}
        if wanted.before is not None:
            document["changes"] = changes_to_json(changes, wanted.tolerance)
        if wanted.kernel is not None:
            document["against"] = {
                "programs": len(checked), "differ": differ, "no_verdict": undecided,
            }  # fmt: skip
        if errors:
            document["errors"] = [error.to_json() for error in errors]
        print_json(document)
    if undecided and not json:
        told = f"the kernel has no verdict on {undecided} of {len(checked)} programs"
        say(out, plain(told, "yellow"))
    if differ and not json:
        say(out, plain(f"the verdicts on {differ} of {len(checked)} programs differ", "yellow"))
    if wanted.releases and not json:
        print_matrix(out, [(one.program, one.verdict, one.on) for one in checked], _STYLES)
    if wanted.before is not None and not json:
        print_changes(out, changes, wanted.tolerance)
    kinds = {one.verdict.kind for one in checked} | {
        said.verdict.kind for one in checked for said in one.on
    }
    if errors:
        return 1
    if any(is_worse(change, wanted.tolerance) for change in changes):
        return CHANGED
    if differ:
        return DIFFERS
    if VerdictKind.REJECT in kinds:
        return 1
    return Unsupported.exit_code if VerdictKind.UNSUPPORTED in kinds else 0


def _check(
    path: Path, compiling: CompileOptions, wanted: _Wanted, names: set[str]
) -> list[_Checked]:
    """Verify the wanted programs of a file; adds the names of all its programs to `names`."""
    obj, *others = map(wanted.settings.applied, object_specs(path, wanted.targets, compiling))
    remark(obj)
    names.update(obj.programs)
    options = Options(
        log=wanted.log is not None, log_level=wanted.log or 2, forbidden=wanted.forbidden
    )
    found = []
    for program in obj.programs.values():
        if wanted.program not in (None, program.name):
            continue
        known = None
        if wanted.explain:
            verdict, known = explained(obj, program, options)
        else:
            verdict = verify(obj, program, options)
        answer = None
        if wanted.kernel is not None:
            answer = said(wanted.kernel, obj, program, log=wanted.log is not None)
        on = tuple(
            OnRelease(release, verify(other, other.programs[program.name], options))
            for release, other in zip(wanted.releases, others, strict=True)
        )
        found.append(_Checked(program, verdict, known, answer, on))
    return found


def _to_json(checked: _Checked, wanted: _Wanted) -> dict[str, Any]:
    program, verdict = checked.program, checked.verdict
    document = {
        "file": program.file,
        "section": program.section,
        "name": program.name,
        "verdict": str(verdict.kind),
        "insns_processed": verdict.insns_processed,
        "states": verdict.states,
        "flows": [flow.to_json() for flow in verdict.flows],
        "error": None if verdict.error is None else verdict.error.to_json(),
        "missing": list(verdict.missing),
        "notes": list(verdict.notes),
    }
    if checked.known is not None:
        document["lines"] = [line.to_json() for line in checked.known]
    if wanted.log is not None:
        document["log"] = _log(verdict)
    if checked.on:
        document["kernels"] = on_to_json(checked.on)
    if checked.said is not None:
        document["kernel"] = checked.said.to_json(verdict.kind, log=wanted.log is not None)
    return document


def _log(verdict: Verdict) -> str:
    return verdict.log or (verdict.error.log if verdict.error is not None else "")


def _print(out: Console, path: Path, found: list[_Checked], wanted: _Wanted) -> None:
    for checked in found:
        program, verdict = checked.program, checked.verdict
        say(
            out,
            plain(verdict.kind, _STYLES[verdict.kind]),
            plain(program.name, "bold"),
            plain(
                f"({path}, {program.section}): {verdict.insns_processed} instructions processed, "
                f"{verdict.states} states"
            ),
        )
        if checked.said is not None:
            _print_said(out, checked.said, differs=checked.differs)
        for note in verdict.notes:
            say(out, plain(f"    note: {note}", "yellow"))
        if verdict.error is not None:
            for line in (*str(verdict.error).splitlines(), *details(verdict.error)):
                say(out, plain(f"    {line}"))
        elif verdict.flows:
            out.print(Padding(_flows(verdict.flows), (0, 0, 0, 4), expand=False))
        if checked.known is not None:
            print_explained(out, checked.known, verdict.error)
        if wanted.log is not None:
            say(out, plain(_log(verdict).rstrip("\n")))
            if checked.said is not None:
                say(out, plain(f"the log of Linux {checked.said.release}:"))
                say(out, plain(checked.said.log.rstrip("\n")))


def _print_said(out: Console, answer: Said, *, differs: bool) -> None:
    told = [answer.message] if answer.message else []
    if answer.insns_processed is not None:
        told.insert(0, f"{answer.insns_processed} instructions processed")
    kind = answer.kind
    parts = [
        plain("no verdict", "yellow") if kind is None else plain(kind, _STYLES[kind]),
        plain(f"by Linux {answer.release}: {', '.join(told)}"),
    ]
    say(out, *parts, *([plain("(differs)", "yellow")] if differs else []))


def _flows(flows: tuple[Flow, ...]) -> Table:
    table = Table("flow", "source", "field", "line", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for flow in flows:
        table.add_row(
            plain(flow.kind),
            plain("" if flow.source is None else flow.source),
            plain("" if flow.field is None else flow.field),
            plain("" if flow.line is None else flow.line.line),
        )
    return table
