"""`bpfheap run`: load files and run one of their programs."""

from __future__ import annotations

import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

import bpfheap
from bpfheap.cli.around import (
    CurrentFacts,
    ObjectFiles,
    StubFiles,
    Surroundings,
    split_context,
)
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
from bpfheap.cli.output import complain, console, plain, print_json, remark, say
from bpfheap.cli.show import Shown, contents, lines, plain_values
from bpfheap.compile import CompileOptions, object_spec
from bpfheap.errors import BpfheapError, UsageError
from bpfheap.host import size_of
from bpfheap.lifetime import POLICIES
from bpfheap.report import numbered
from bpfheap.runtime.loader import reached
from bpfheap.runtime.machine import CodeForm
from bpfheap.runtime.settings import with_open_sizes
from bpfheap.spec import ObjectSpec
from bpfheap.vmlinux import Vmlinux

EXAMPLES = """Examples:

bpfheap run examples/first.bpf.c

bpfheap run examples/first.bpf.c -p first --repeat 3 --json

bpfheap run examples/three_programs -p p2 --policy used-allocators

bpfheap run filter.bpf.c -p filter --data frame.bin

bpfheap run execsnoop.bpf.c -p exec --set ctx.filename=/bin/sh --current comm=sh,pid=42

bpfheap run execsnoop.bpf.c -p exec --show events="struct event"

bpfheap run examples/first.bpf.c --machine native --dump-asm
"""

_DEFAULT_MACHINE = "model"
#: The most bytes of a context or packet; contexts of program types have some hundreds.
_LARGEST = 1 << 20


@dataclass(slots=True)
class _Report:
    """What `bpfheap run` prints; fields after an error keep their defaults."""

    machine: str
    policy: str
    program: str | None
    retval: int | None = None
    #: What an iterator's program wrote.
    output: str = ""
    #: The packet after the run.
    data: bytes = b""
    printk: list[str] = field(default_factory=list)
    #: What --show asked for, by the maps' names.
    maps: dict[str, list[Any]] = field(default_factory=dict)
    #: Statistics of each allocator, by its name.
    allocators: dict[str, dict[str, int]] = field(default_factory=dict)
    leftovers: list[bpfheap.Leftover] = field(default_factory=list)
    error: BpfheapError | None = None
    #: What --dump-ir and --dump-asm asked for.
    code: dict[CodeForm, str] = field(default_factory=dict)
    compilation: dict[str, Any] | None = None

    def note_compilation(self, program: bpfheap.Program) -> None:
        """Fill in `compilation`, if the program was compiled or could have been."""
        found = program.compilation()
        if found is not None:
            self.compilation = {
                "why_not": found.why or None,
                "ms": round(found.ns / 1e6, 3),
                "cached": found.cached,
                "bytes": found.size,
            }

    @property
    def clean(self) -> bool:
        return self.error is None and not any(left.is_error for left in self.leftovers)

    def to_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "policy": self.policy,
            "program": self.program,
            "retval": self.retval,
            "output": self.output,
            "data": self.data.hex(),
            "printk": self.printk,
            "maps": {name: [plain_values(v) for v in found] for name, found in self.maps.items()},
            "allocators": self.allocators,
            "leftovers": [asdict(left) for left in self.leftovers],
            "error": None if self.error is None else self.error.to_json(),
            "compilation": self.compilation,
            "code": dict(self.code),
        }


def _policy_names(incomplete: str) -> list[str]:
    return [p.name for p in bpfheap.policies() if p.name.startswith(incomplete)]


def _machine_names(incomplete: str) -> list[str]:
    return [name for name in bpfheap.machines() if name.startswith(incomplete)]


@compiles
def run(
    files: Files,
    compiling: CompileOptions,
    program: Annotated[
        str | None,
        typer.Option(
            "--program",
            "-p",
            metavar="NAME",
            help="The program to run; may be left out if there is only one.",
            show_default=False,
        ),
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="How often to run it.")] = 1,
    machine: Annotated[
        str, typer.Option(help="Machine to run on.", autocompletion=_machine_names)
    ] = _DEFAULT_MACHINE,
    policy: Annotated[
        str,
        typer.Option(
            help="What keeps an allocator alive; see `bpfheap policies`.",
            autocompletion=_policy_names,
        ),
    ] = POLICIES[0].name,
    ctx: Annotated[
        str,
        typer.Option(
            metavar="HEX|FILE",
            help="First bytes of the program's context, in hexadecimal or from a file; "
            "the rest is zero.",
            show_default=False,
        ),
    ] = "",
    data: Annotated[
        str,
        typer.Option(
            metavar="HEX|FILE",
            help="The packet that the program sees, an Ethernet frame, in hexadecimal or from a "
            "file.",
            show_default=False,
        ),
    ] = "",
    jit: Annotated[
        bool | None,
        typer.Option(
            "--jit/--no-jit",
            help="Compile programs of the native machine, or interpret them.",
            show_default="if llvmlite is there",
        ),
    ] = None,
    budget: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Break a run off after so many instructions, counted in loops; 0: never.",
        ),
    ] = 0,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="What maps and objects may take together, such as 64M.",
            show_default="three quarters of what there is, on the native machine",
        ),
    ] = None,
    hardened: Annotated[
        bool,
        typer.Option(
            "--hardened",
            help="Let programs of the native machine reach the runtime's memory alone, even if the "
            "verifier is wrong.",
        ),
    ] = False,
    dump_ir: Annotated[
        bool, typer.Option("--dump-ir", help="Show the program's LLVM IR beside its source.")
    ] = False,
    dump_asm: Annotated[
        bool, typer.Option("--dump-asm", help="Show its machine code beside its source.")
    ] = False,
    constants: Constants = None,
    entries: Entries = None,
    current: CurrentFacts = None,
    objects: ObjectFiles = None,
    stubs: StubFiles = None,
    show: Shown = None,
    kernel_btf: KernelBtf = None,
    kconfig: KernelConfig = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Load files and run one of their programs.

    All files are loaded into one runtime; maps of the same name and type are one map. Of the file
    that has the program of -p, only that one is loaded. Afterwards
    everything is unloaded and freed, so that a use-after-free at the very end is seen too. Exit
    code 4 if a program needs what bpfheap does not know, 1 if a file does not load or the run does
    something wrong.
    """
    if (dump_ir or dump_asm or hardened) and machine == _DEFAULT_MACHINE:
        machine = "native"
    rt = bpfheap.Runtime(
        policy=policy,
        machine=machine,
        jit=jit,
        budget=budget,
        memory=None if memory is None else size_of(memory),
        hardened=hardened,
        kernel_btf=kernel_btf,
        kconfig=kconfig,
    )
    set_constants, fields = split_context(constants)
    kernel, settings = rt.kernel.source, Settings(set_constants, entries)
    ctx_bytes = _bytes("--ctx", ctx)
    packet = _bytes("--data", data)
    report = _Report(machine=machine, policy=policy, program=program)
    try:
        specs = [_read(path, compiling, kernel, settings) for path in expand(files)]
        settings.check_used(of_context=True)
        around = Surroundings(rt)
        around.read_stubs(stubs)
        loaded = [_load(rt, spec, program) for spec in specs]
        around.read_objects(objects)
        around.set_current(current)
        chosen = _choose(loaded, program)
        report.program = chosen.name
        forms: dict[CodeForm, bool] = {"ir": dump_ir, "asm": dump_asm}
        report.code = {form: chosen.dump(form) for form, wanted in forms.items() if wanted}
        if fields and ctx_bytes:
            raise UsageError("--ctx gives the whole context: leave out --set ctx.FIELD")
        given = {name: around.value(value) for name, value in fields.items()} or ctx_bytes
        result = chosen.run(ctx=given, data=packet, repeat=repeat)
        report.note_compilation(chosen)
        report.output = result.output
        report.retval, report.data = result.retval, result.data or b""
        report.maps = contents({n: m for obj in loaded for n, m in obj.maps.items()}, show or [])
    except UsageError:
        raise
    except BpfheapError as error:
        report.error = error
    report.printk = list(rt.printk)
    report.allocators = {name: asdict(a.stats()) for name, a in rt.allocators.items()}
    if report.error is None:
        report.leftovers = rt.close()
    if json:
        print_json(report.to_json())
    else:
        _print(report)
    if report.error is not None:
        complain(report.error)
    if not report.clean:
        raise typer.Exit(1 if report.error is None else report.error.exit_code)


def _read(path: Path, compiling: CompileOptions, kernel: Vmlinux, settings: Settings) -> ObjectSpec:
    try:
        spec = with_open_sizes(settings.applied(object_spec(path, compiling, target=kernel)))
    except BpfheapError as error:
        raise error.at(str(path)) from None
    remark(spec)
    return spec


def _load(rt: bpfheap.Runtime, spec: ObjectSpec, program: str | None) -> bpfheap.LoadedObject:
    """Of the file that has the program, only that one, and those that it may jump to."""
    wanted = None if program not in spec.programs else reached(spec, program)
    try:
        return rt.load(spec, programs=wanted)
    except BpfheapError as error:
        raise error.at(spec.file) from None


def _bytes(option: str, text: str) -> bytes:
    """The value of --ctx or --data: hexadecimal digits if it can be read so, else a file's name.
    (`beef` is two bytes, `./beef` a file.)"""
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        pass
    path = Path(text)
    try:
        # A device may never end, a pipe never begin.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{option} {text} is neither hexadecimal nor an ordinary file")
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{option} {text} is longer than {_LARGEST} bytes")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{option} {text} is neither hexadecimal nor a file to be read: {reason}",
            hint="hexadecimal has two digits a byte: 0a000000",
        ) from None


def _choose(loaded: list[bpfheap.LoadedObject], name: str | None) -> bpfheap.Program:
    """The program of that name; None: the only one. Raises UsageError if there is not exactly
    one."""
    programs = [(obj.spec.file, program) for obj in loaded for program in obj.programs.values()]
    there_is = ", ".join(program.name for _, program in programs) or "none"
    if name is None:
        if len(programs) != 1:
            raise UsageError(
                f"there are {len(programs)} programs", hint=f"choose with -p; there is {there_is}"
            )
        return programs[0][1]
    named = [(file, program) for file, program in programs if program.name == name]
    if not named:
        raise UsageError(f"there is no program {name}", hint=f"there is {there_is}")
    if len(named) > 1:
        raise UsageError(
            f"there are several programs {name}, in {', '.join(file for file, _ in named)}",
            hint="give fewer files",
        )
    return named[0][1]


def _print(report: _Report) -> None:
    out = console()
    for text in report.code.values():
        for line in text.splitlines():
            say(out, plain(line))
        say(out, plain(""))
    if report.compilation is not None:
        say(out, plain(_how(report.compilation)))
    if report.retval is not None:
        say(out, plain(f"{report.program} returned {report.retval}"))
    if report.printk:
        say(out, plain("printed:"))
        for line in report.printk:
            say(out, plain(f"    {line}"))
    if report.output:
        say(out, plain("wrote:"))
        for line in report.output.splitlines():
            say(out, plain(f"    {line}"))
    for line in lines(report.maps):
        say(out, plain(line))
    if report.allocators:
        out.print(_allocators(report.allocators))
    for left in report.leftovers:
        say(out, plain(f"{left.kind}: {left.message}", "red" if left.is_error else "yellow"))
        for line in numbered(left.life):
            say(out, plain(line))


def _how(compilation: dict[str, Any]) -> str:
    if compilation["why_not"]:
        return f"interpreted: {compilation['why_not']}"
    how = "taken from the cache" if compilation["cached"] else "compiled"
    return f"{how} in {compilation['ms']:.1f} ms"


def _allocators(allocators: dict[str, dict[str, int]]) -> Table:
    columns = list(next(iter(allocators.values())))
    # Machines without real memory have no slabs.
    if not any(stats["slabs"] for stats in allocators.values()):
        columns = [c for c in columns if c not in ("slabs", "memory")]
    table = Table("allocator", *columns, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name, stats in allocators.items():
        table.add_row(plain(name), *(str(stats[column]) for column in columns))
    return table
