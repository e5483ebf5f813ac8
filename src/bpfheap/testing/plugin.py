"""The pytest plugin: the fixture `bpf`, a fresh runtime that has to be empty at the test's end.

pytest imports this module in every run, so bpfheap itself is imported by the first test that asks
for the fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    import bpfheap
    from bpfheap.api.kernel import Net
    from bpfheap.compile.options import Texts

_F = TypeVar("_F", bound=Callable[..., Any])

#: The marker's arguments; all of them are Runtime's.
_OPTIONS = (
    "policy",
    "machine",
    "cpus",
    "seed",
    "strict_identity",
    "grace",
    "hardened",
    "kernel_btf",
    "kconfig",
)
#: How sources are compiled, in the ini file: arguments of `Bpf.load`, pytest's type, what it is.
_COMPILING = (
    ("include", "paths", "folders with headers, relative to the ini file"),
    ("define", "linelist", "macros, NAME or NAME=VALUE, one a line"),
    ("cflags", "args", "further flags of the compiler"),
)


class Bpf:
    """What the fixture `bpf` gives: a runtime, and what was loaded into it so far by name.

    `close` ends it early and hands out what was left; then the test itself decides what of that
    is fine, and nothing more is checked at its end.
    """

    def __init__(
        self, folder: Path, options: dict[str, Any], compiling: dict[str, Any] | None = None
    ) -> None:
        import bpfheap
        from bpfheap.compile import CompileOptions

        self._compiling = CompileOptions.of(**compiling or {})
        self.runtime: bpfheap.Runtime = bpfheap.Runtime(**options)
        self._folder = folder
        self._loaded: list[bpfheap.LoadedObject] = []
        self._closed = False

    def load(
        self,
        file: str | Path,
        programs: Iterable[str] | None = None,
        *,
        include: Texts = (),
        define: Texts = (),
        cflags: Texts = (),
        compile_commands: str | Path | None = None,
        **settings: Any,
    ) -> bpfheap.LoadedObject:
        """Compile, verify and load a file, looked for beside the test, then in the working
        directory. The arguments are `Runtime.load`'s (`settings` its rodata and max_entries); the
        ini file's bpf_include, bpf_define and bpf_cflags come behind those of their names. Raises
        UsageError if the file is in neither, else what `Runtime.load` raises."""
        from bpfheap.compile import CompileOptions

        how = CompileOptions.of(
            include=include, define=define, cflags=cflags, compile_commands=compile_commands
        ).over(self._compiling)
        loaded = self.runtime.load(
            self._find(Path(file)),
            programs=programs,
            include=how.include,
            define=how.define,
            cflags=how.cflags,
            compile_commands=how.compile_commands,
            **settings,
        )
        self._loaded.append(loaded)
        return loaded

    @property
    def maps(self) -> dict[str, bpfheap.Map]:
        """All maps loaded so far."""
        from bpfheap.api.named import Named

        found = {name: one for obj in self._loaded for name, one in obj.maps.items()}
        return Named("map", found)

    @property
    def programs(self) -> dict[str, bpfheap.Program]:
        """All programs loaded so far; of several of one name, the newest."""
        from bpfheap.api.named import Named

        found = {name: one for obj in self._loaded for name, one in obj.programs.items()}
        return Named("program", found)

    @property
    def net(self) -> Net:
        """The network around the programs."""
        return self.runtime.net

    @property
    def printk(self) -> list[str]:
        """What programs printed so far."""
        return self.runtime.printk

    # -- the kernel around programs: as bpfheap.Runtime has it

    @property
    def kernel(self) -> bpfheap.Kernel:
        """Makes objects of the kernel: `bpf.kernel.task_struct(pid=42)`."""
        return self.runtime.kernel

    @property
    def current(self) -> bpfheap.CurrentTask:
        """The task that runs; assign an object or a mapping of facts."""
        return self.runtime.current

    @current.setter
    def current(self, new: bpfheap.KernelObject | Mapping[str, Any]) -> None:
        self.runtime.current = new

    @property
    def clock(self) -> bpfheap.Clock:
        """The time: `bpf.clock.advance(ms=5)`."""
        return self.runtime.clock

    def stub(self, name: str) -> Callable[[_F], _F]:
        """Let a Python function be a helper or kfunc: `@bpf.stub("bpf_fib_lookup")`."""
        return self.runtime.stub(name)

    def fire(self, where: str, given: Any = None, **fields: Any) -> dict[str, bpfheap.RunResult]:
        """Run all loaded programs that would be attached there; their results by name."""
        return self.runtime.fire(where, given, **fields)

    def xdp(self, packet: Any = b"", **fields: Any) -> bpfheap.Given:
        """A packet of an XDP program, and fields of struct xdp_md."""
        return self.runtime.xdp(packet, **fields)

    def tc(self, packet: Any = b"", **fields: Any) -> bpfheap.Given:
        """A packet of a program that gets a struct __sk_buff, and its fields."""
        return self.runtime.skb(packet, **fields)

    skb = tc

    def context(self, **fields: Any) -> bpfheap.Given:
        """Any context by its fields."""
        return self.runtime.context(**fields)

    def tracepoint(self, event: str, **fields: Any) -> bpfheap.Given:
        """The record of a tracepoint, such as "sched:sched_process_exec"."""
        return self.runtime.tracepoint(event, **fields)

    def arguments(self, *values: Any, ret: Any = None) -> bpfheap.Given:
        """The arguments of a function that is traced, or of a hook."""
        return self.runtime.arguments(*values, ret=ret)

    def kprobe(self, *values: Any, ret: Any = None, **registers: int) -> bpfheap.Given:
        """The same in registers, as probes find them."""
        return self.runtime.kprobe(*values, ret=ret, **registers)

    def iterator(self, **arguments: Any) -> bpfheap.Given:
        """What an iterator's program is given for one element."""
        return self.runtime.iterator(**arguments)

    def close(self) -> list[bpfheap.Leftover]:
        """Unload everything; what is left although nothing reaches it. The second call finds
        nothing to do."""
        from bpfheap import Leftover
        from bpfheap.errors import Violation

        if self._closed:
            return []
        self._closed = True
        found = []
        for obj in self._loaded:
            try:
                obj.close()
            except Violation as seen:
                found.append(Leftover(seen.kind, str(seen), seen.life))
        return found + self.runtime.close()

    def _find(self, file: Path) -> Path:
        from bpfheap.errors import UsageError

        for path in (self._folder / file, file):
            if path.exists():
                return path
        raise UsageError(
            "no such file",
            file=str(file),
            hint=f"looked in {self._folder} and {Path.cwd()}",
        )


_BPF = pytest.StashKey[Bpf]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bpfheap", "tests of BPF programs")
    for name in ("policy", "machine"):
        group.addoption(
            f"--bpf-{name}",
            metavar="NAME",
            help=f"{name} of the fixture bpf where the marker bpf names none",
        )
    group.addoption(
        "--bpf-hardened",
        action="store_true",
        help="let programs reach the runtime's own memory alone (on the native machine)",
    )
    group.addoption(
        "--bpf-kernel-btf",
        metavar="FILE|none",
        help="the kernel that programs are for, a file with its BTF, where the marker bpf names "
        "none (default: kernel-btf of pyproject.toml, or this system's)",
    )
    group.addoption("--bpf-kconfig", metavar="FILE|none", help="that kernel's configuration")
    for name, kind, text in _COMPILING:
        parser.addini(f"bpf_{name}", f"how sources are compiled: {text}", kind)  # type: ignore[arg-type]


def pytest_configure(config: pytest.Config) -> None:
    arguments = ", ".join(f"{name}=..." for name in _OPTIONS)
    config.addinivalue_line(
        "markers", f"bpf({arguments}): options of bpfheap.Runtime for the fixture bpf"
    )


@pytest.fixture
def bpf(request: pytest.FixtureRequest) -> Generator[Bpf]:
    """A fresh bpfheap runtime: `bpf.load(file)`, then run programs and look into maps. Objects
    and allocators that are left when everything was unloaded fail the test."""
    from bpfheap.errors import UsageError

    wrong = ""
    try:
        compiling = {name: request.config.getini(f"bpf_{name}") for name, *_ in _COMPILING}
        made = Bpf(request.path.parent, _options(request), compiling)
    except UsageError as error:
        wrong = str(error)
    if wrong:
        # Not inside the handler: the report would show it twice.
        pytest.fail(wrong, pytrace=False)
    request.node.stash[_BPF] = made
    yield made
    made.close()


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name in ("policy", "machine", "kernel_btf", "kconfig"):
        given = request.config.getoption(f"bpf_{name}")
        if given is not None:
            options[name] = given
    if request.config.getoption("bpf_hardened"):
        options = {"machine": "native", "hardened": True} | options
    # The closest marker last, so that it wins.
    for marker in reversed(list(request.node.iter_markers("bpf"))):
        unknown = [str(a) for a in marker.args] + [k for k in marker.kwargs if k not in _OPTIONS]
        if unknown:
            pytest.fail(
                f"marker bpf does not know {', '.join(unknown)}; it takes the keywords "
                f"{', '.join(_OPTIONS)}",
                pytrace=False,
            )
        options |= marker.kwargs
        for name in ("kernel_btf", "kconfig"):
            # As with `load`: beside the test, then in the working directory.
            file = marker.kwargs.get(name)
            if isinstance(file, str | Path) and (request.path.parent / file).is_file():
                options[name] = request.path.parent / file
    return options


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Fixtures of the user's own may load programs."""
    with _explained(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """The end of a test that used the fixture. It is judged here, not when the fixture is torn
    down: what a program leaves behind is a failure of the test, no error around it."""
    with _explained(item):
        result = yield
    made = item.stash.get(_BPF, None)
    left = made.close() if made is not None else []
    if left:
        pytest.fail(_leftovers(left), pytrace=False)
    return result


@contextmanager
def _explained(item: pytest.Item) -> Generator[None]:
    """Add an error's details to the test's report, and cut the traceback after the user's code."""
    try:
        yield
    except Exception as error:
        # A test that does not use the fixture is none of the plugin's business.
        if _BPF in item.stash:
            _explain(error, full_trace=item.config.getoption("fulltrace"))
        raise


def _explain(error: Exception, *, full_trace: bool) -> None:
    from bpfheap.errors import BpfheapError
    from bpfheap.report import details

    if not isinstance(error, BpfheapError):
        return
    lines = details(error)
    if lines:
        error.add_note("\n".join(lines))
    if full_trace:
        return
    package = str(Path(__file__).parents[1])
    users_frame = None
    frame = error.__traceback__
    while frame is not None:
        inside = frame.tb_frame.f_code.co_filename.startswith(package)
        if inside and users_frame is not None:
            users_frame.tb_next = None
            return
        if not inside:
            users_frame = frame
        frame = frame.tb_next


def _leftovers(left: list[bpfheap.Leftover]) -> str:
    from bpfheap.report import numbered

    lines = [f"BPF: {len(left)} left at the end of the test, after everything was unloaded"]
    for one in left:
        lines += ["", f"{one.kind}: {one.message}", *numbered(one.life)]
    return "\n".join(lines)
