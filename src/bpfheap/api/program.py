"""A loaded program: runs, compiled code, attachment to signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, get_args

from bpfheap.api.arguments import buffer, one_of, shown, whole
from bpfheap.api.kernel import Around, flow_keys, given_of, left_in, with_flow_keys
from bpfheap.api.session import Session, gives_back, locked
from bpfheap.errors import BpfheapError, UsageError
from bpfheap.runtime.machine import CodeForm, Compilation, Compiling, Context, Entry, Memory
from bpfheap.runtime.world import Redirect
from bpfheap.spec import ProgramSpec
from bpfheap.verifier import Verdict


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run gave.

    `retval`: the low half of r0, unsigned, as BPF_PROG_TEST_RUN gives it.
    `printk`: the lines printed meanwhile.
    `data`: what became of the packet, with the metadata in front; None if there was none.
    `output`: what an iterator's program wrote (bpf_seq_printf), as text; `written`: as bytes.
    `signals`: those that the program sent.
    `returns`: what it lets the kernel return (bpf_set_retval, bpf_override_return); None if it did
        not say.
    `redirects`: what was sent where, in order (bpf_redirect_map and its like).
    `stdout`, `stderr`: what the program wrote to its streams (bpf_stream_printk).
    `ctx`: what it left in its context: the fields by their names (`result.ctx.mark`), those of an
        array as a list; bytes where the context has no fields.
    `instructions`: how many were executed; None on a machine that does not count them.
    """

    retval: int
    printk: list[str]
    data: bytes | None = None
    output: str = ""
    signals: tuple[int, ...] = ()
    returns: int | None = None
    redirects: tuple[Redirect, ...] = ()
    stdout: str = ""
    stderr: str = ""
    instructions: int | None = None
    ctx: Any = b""
    written: bytes = b""


class Program:
    """A loaded program. `verdict` has its flows and what verification took."""

    def __init__(self, runtime: Around, spec: ProgramSpec, verdict: Verdict, fd: int) -> None:
        self.name = spec.name
        self.spec = spec
        self.verdict = verdict
        self._runtime = runtime
        self._fd: int | None = fd
        self._entries: dict[int | None, Entry] = {}

    @property
    def fd(self) -> int:
        """The descriptor, for `Runtime.system`. Raises UsageError once unloaded."""
        self._runtime._check()
        if self._fd is None:
            raise UsageError(f"program {self.name} was unloaded")
        return self._fd

    def run(
        self,
        ctx: Any = b"",
        *,
        cpu: int = 0,
        context: Context = Context.TASK,
        repeat: int = 1,
        data: Any = b"",
        cookie: int = 0,
    ) -> RunResult:
        """Run `repeat` times; the result is the last one's. `ctx` is what the program is given: its
        context's first bytes, the rest is 0; a mapping of the context's fields; a list of the
        arguments of what it is attached to; or what `Runtime.tracepoint` and its like make. Without
        any, what is attached to a function gets objects of zeros. `data` is the packet, an Ethernet
        frame, for types that get one; `cookie` what user space gave when it attached the program.

        Raises Violation where the machine sees a memory error, UsageError for a context or packet
        that is none of the program's type."""
        cpu, cookie = whole(cpu, "a CPU"), whole(cookie, "a cookie", 0, (1 << 64) - 1)
        if not isinstance(context, Context):
            context = one_of(context, "context", Context)
        if whole(repeat, "the number of runs") < 1:
            raise UsageError(f"a program cannot run {repeat} times")
        before = len(self._runtime.printk)
        system = self._runtime.system
        given = given_of(ctx, data, self.spec)
        around = self._runtime
        for _ in range(repeat):
            ready = given.ready(around.kernel, self.spec)
            ready, keys = with_flow_keys(around.kernel, self.spec, ready)
            around._enter(ready.place._replace(cookie=cookie))
            done = system.run_on(
                self.fd, ready.data, ready.ctx, cpu=cpu, context=context, links=ready.links
            )
        world = around._world()
        left = left_in(done.ctx, self.spec, flow_keys(around.kernel, keys, len(ready.data)))
        around._passed()
        return RunResult(
            done.retval & 0xFFFFFFFF,
            around.printk[before:],
            done.data,
            world.output.decode("utf-8", "replace"),
            world.signals,
            world.returns,
            world.redirects,
            world.stdout.decode("utf-8", "replace"),
            world.stderr.decode("utf-8", "replace"),
            done.steps,
            left,
            world.output,
        )

    def compilation(self) -> Compilation | None:
        """How the program became machine code, which it does now if it has not yet; None if it is
        interpreted, as on the model machine."""
        self._runtime._check()
        machine = self._runtime.system.machine
        if not isinstance(machine, Compiling):
            return None
        return machine.compilation(self._runtime.system.program_of(self.fd).id)

    def dump(self, form: CodeForm = "asm") -> str:
        """The program as LLVM's text or machine code, beside its C source. Raises UsageError on a
        machine that does not compile, BpfheapError for a program that cannot be compiled."""
        self._runtime._check()
        machine = self._runtime.system.machine
        one_of(form, "form of code", get_args(CodeForm))
        if not isinstance(machine, Compiling):
            raise UsageError(
                f"the {machine.name} machine compiles nothing", hint='use machine="native"'
            )
        return machine.dump(self._runtime.system.program_of(self.fd).id, form)

    def entry(self, ctx: Any = None, *, cpu: int | None = None) -> Callable[..., int]:
        """The short way in, for programs that run often: `entry(ctx)` gives r0's lower half, and
        does nothing but run the program, on that CPU or on any. No grace period passes and the
        history does not tell of it. It ends with the program.

        `program.entry([task, 5])` makes the context here, of anything that `run` takes, and the
        short way in takes nothing. The objects in it may change between two runs.

        Raises UsageError where there is none: on a machine without real memory, for a program that
        gets a packet, and under a policy that watches each object."""
        run = self._entry(cpu).run
        if ctx is None:
            return run
        around = self._runtime
        ready = given_of(ctx, b"", self.spec).ready(around.kernel, self.spec)
        raw = around.system.context(ready.ctx, ready.links)

        def again() -> int:
            around._is_at(ready.place)
            return run(raw)

        return again

    @locked
    def _entry(self, cpu: int | None) -> Entry:
        cpu = None if cpu is None else whole(cpu, "a CPU")
        if cpu not in self._entries:
            self._entries[cpu] = self._runtime.system.entry(self.fd, cpu)
        return self._entries[cpu]

    def run_batch(self, inputs: Memory, *, cpu: int | None = None) -> memoryview:
        """Run once for each row of `inputs`, which are the first bytes of contexts: a numpy array,
        of rows or of records, or another buffer of items. Gives r0's lower halves, one u32 each.
        Other threads of Python go on meanwhile.

        Raises UsageError where `entry` does, and for inputs that are no rows of a context."""
        rows = buffer(inputs, f"the inputs of {self.name}")
        if not rows.c_contiguous or not rows.ndim:
            raise UsageError("the inputs of a batch must lie in memory one after the other")
        count = rows.shape[0] if rows.shape else 0
        results = memoryview(bytearray(4 * count)).cast("I")
        if count:
            self._entry(cpu).batch(rows, rows.nbytes // count, results)
            self._runtime._passed()
        return results

    @gives_back
    def unload(self) -> None:
        """Give the descriptor back; the program goes unless it is pinned."""
        self._close()
        self._runtime._passed()

    def _close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._runtime._give_back(fd)


class Attachment:
    """A program that a signal runs; a context manager, which ends it."""

    def __init__(self, runtime: Session, program: Program, signal: int, hz: int) -> None:
        if not isinstance(program, Program):
            raise UsageError(f"what a signal runs is a program, not {shown(program)}")
        self.signal = whole(signal, "a signal", 1, 64)
        self._runtime = runtime
        system = runtime.system
        # It goes on when the program is unloaded, as a bpf_link does.
        self._fd: int | None = system.program_open(system.program_of(program.fd).id)
        try:
            self._probe = system.attach(self._fd, self.signal, hz)
        except BaseException:
            runtime._give_back(self._fd)
            raise

    @property
    def runs(self) -> int:
        """How often the program ran."""
        return self._probe.stats()[0]

    @property
    def missed(self) -> int:
        """How many signals came when no CPU was free for it, or all its levels were taken."""
        return self._probe.stats()[1]

    @property
    def retval(self) -> int:
        """What the last run returned."""
        return self._probe.stats()[2] & 0xFFFFFFFF

    @property
    def error(self) -> BpfheapError | None:
        """Why the signal runs the program no more: a run that did not come to an end, or went
        wrong; None if it still does."""
        return self._probe.error()

    def let_go(self) -> None:
        """The same as `detach`, when nobody is left who wants to know."""
        self._probe.detach()

    @gives_back
    def detach(self) -> None:
        """The signal does again what it did before."""
        if self._fd is None:
            return
        self._probe.detach()
        fd, self._fd = self._fd, None
        self._runtime.system.detached(self.signal)
        self._runtime._attached.remove(self)
        self._runtime._give_back(fd)
        self._runtime._passed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *rest: object) -> None:
        """Detach; raises `error`, if there is one, unless the body failed by itself."""
        why = self.error
        self.detach()
        if error is None and why is not None:
            raise why
