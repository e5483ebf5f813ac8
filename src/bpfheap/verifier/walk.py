"""The walk: every path of a program, one after the other, as do_check of the kernel does it.

Static subprograms are walked where they are called, with what the caller knows; a global one that
is called is walked once, for any arguments of its types.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from mypy_extensions import i64

from bpfheap.errors import (
    BpfheapError,
    InsnError,
    ProgramError,
    UnofferedInsn,
    Unsupported,
    VerifierError,
)
from bpfheap.platform.kfuncs import LAXEST, STRICTEST, KfuncFlag
from bpfheap.platform.missing import missing_in
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import hints
from bpfheap.verifier.analysis.cfg import Step, stack_chains
from bpfheap.verifier.calls.exceptions import check_throws
from bpfheap.verifier.calls.globals import arguments
from bpfheap.verifier.calls.noting import facts_of
from bpfheap.verifier.calls.work import later_arguments
from bpfheap.verifier.explain.knowledge import Known, Observer
from bpfheap.verifier.explain.log import Log
from bpfheap.verifier.explain.origin import origins
from bpfheap.verifier.explain.path import Path
from bpfheap.verifier.explain.route import calls_to, route
from bpfheap.verifier.instructions.transfer import transfer
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.prune import StoredStates
from bpfheap.verifier.paths.unpruned import UnprunedStates
from bpfheap.verifier.reject import NotKnown, Reject
from bpfheap.verifier.state.state import (
    CTX,
    FP,
    NOTHING,
    STACK,
    ZERO_OFFSET,
    FuncState,
    MapRef,
    Reg,
    State,
    Trail,
)
from bpfheap.verifier.verdict import Options, Verdict

#: A rejected program is walked once more to write its log, unless that would be longer than
#: anybody reads.
_MAX_LOGGED = 20_000


def verify(obj: ObjectSpec, program: ProgramSpec, options: Options = Options()) -> Verdict:
    """Walk every path of a program. A bad program raises nothing: the verdict has the error.

    The flows of a rejected program are not complete, so its verdict has none.
    """
    # A walk makes no cycles, but many states, and each collection would look at all of them.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _verify(obj, program, options)
    finally:
        if collecting:
            gc.enable()


def explained(
    obj: ObjectSpec, spec: ProgramSpec, options: Options = Options()
) -> tuple[Verdict, tuple[Known, ...]]:
    """Verify a program and tell what is known line by line, in the order of the code. Of a refused
    program that is what is known up to the refusal; nothing if no instruction was walked."""
    if spec.broken is not None:
        return verify(obj, spec, options), ()
    try:
        observer = Observer(obj, spec)
    except (Reject, InsnError):
        return verify(obj, spec, options), ()
    verdict = verify(obj, spec, replace(options, observe=observer.observe))
    if verdict.error is not None:
        observer.stop()
    return verdict, observer.known()


def _verify(obj: ObjectSpec, program: ProgramSpec, options: Options) -> Verdict:
    if program.broken is not None:
        return Verdict(program.name, 0, 0, (), _of_broken(obj, program, program.broken))
    walk = Walk(obj, program, options, logged=options.log)
    verdict = walk.verdict()
    if verdict.guessed and isinstance(verdict.error, VerifierError):
        lax = Walk(obj, program, options, logged=options.log, guess=LAXEST)
        laxly = lax.verdict()
        if laxly.accepted:
            return replace(verdict, error=_undecided(verdict, verdict.error))
        walk, verdict = lax, laxly
    error = verdict.error
    if not isinstance(error, VerifierError) or not options.explain:
        return verdict
    if not options.log:
        if verdict.insns_processed <= _MAX_LOGGED:
            walk = Walk(obj, program, options, logged=True, guess=walk.guess)
            verdict = walk.verdict()
            assert isinstance(verdict.error, VerifierError)
            error = verdict.error
        else:
            error.log = f"{error.message}\n{_summary(verdict, options.complexity_limit)}\n"
    walk.explain(error)
    return verdict


def _undecided(verdict: Verdict, why: VerifierError) -> Unsupported:
    """The error of a program that Linux accepts or not, depending on how it registers the kfuncs
    that are taken by their prototypes."""
    names = " and ".join(verdict.guessed)
    error = Unsupported(
        f"bpfheap does not know how kfunc {names} is registered; with the strictest flags: "
        f"{why.message}",
        missing=verdict.guessed,
        program=why.program,
        insn=why.insn,
        register=why.register,
        source=why.source,
        column=why.column,
        log=why.log,
    )
    error.at(why.file, why.line)
    return error


def _kind_of(
    why: Reject | BpfheapError, obj: ObjectSpec, program: ProgramSpec, taken: Collection[str] = ()
) -> Callable[..., ProgramError]:
    """What makes the error of a program: where bpfheap does not know, with all that is missing."""
    named: tuple[str, ...]
    if isinstance(why, Unsupported):
        named = why.missing
    elif isinstance(why, NotKnown):
        named = (why.missing,)
    elif isinstance(why, UnofferedInsn):
        named = (why.name,)
    else:
        return VerifierError
    others = (name for name in missing_in(obj, program) if name not in taken)
    missing = dict.fromkeys((*named, *others))
    return partial(Unsupported, missing=tuple(missing))


def _of_broken(obj: ObjectSpec, program: ProgramSpec, why: BpfheapError) -> ProgramError:
    """The error of a program that could not be linked."""
    kind = _kind_of(why, obj, program)
    error = kind(why.message, program=program.name, hint=why.hint)
    error.at(why.file, why.line)
    error.__cause__ = why
    return error


def _said(why: InsnError) -> Reject:
    """In the words of Linux where it sees that, too."""
    detail = why.message if why.linux else ""
    return Reject(why.linux or why.message, detail=detail, hint=why.hint, insn=why.insn)


def _summary(verdict: Verdict, limit: int) -> str:
    """As print_verification_stats, without what is counted in the kernel alone."""
    return (
        f"processed {verdict.insns_processed} insns (limit {limit}) total_states {verdict.states}"
    )


class Walk:
    """One walk over one program."""

    def __init__(
        self, obj: ObjectSpec, spec: ProgramSpec, options: Options, *, logged: bool,
        guess: KfuncFlag = STRICTEST,
    ) -> None:  # fmt: skip
        self._spec = spec
        self._limit = options.complexity_limit
        self._env = Env(obj, spec, options, guess)
        self._log = Log(spec, options.log_level) if logged else None
        self._states = 0
        self._cut = False
        self._insns = 0
        self._jumps = 0
        self._begun: set[tuple[int, MapRef, bool]] = set()
        self._step: Step | None = None
        self._state: State | None = None

    @property
    def guess(self) -> KfuncFlag:
        """See Env."""
        return self._env.guess

    def verdict(self) -> Verdict:
        error: ProgramError | None = None
        before = ""
        try:
            self._env.prepare()
            regs = [NOTHING] * 6
            regs[1] = Reg(CTX, ZERO_OFFSET)
            env = self._env
            self._function(0, regs, sleeps=env.sleepable)
            self._later()
            while waiting := [n for n in env.called if n not in env.walked]:
                env.walked.add(waiting[0])
                if self._log is not None:
                    self._log.function(waiting[0], env.cfg.subprogs[waiting[0]].name)
                given = arguments(env, waiting[0])
                self._function(waiting[0], given, sleeps=env.sleepable)
                self._later()
            self._step = self._state = None
            later = {number for number, _, _ in env.later}
            stack_chains(env.cfg, env.depth, later, private=env.type.private_stack)
            check_throws(env.cfg, env.callbacks)
        except Reject as reject:
            before = reject.before
            error = self._error(reject, self._kind_of(reject))
        except InsnError as broken:
            error = self._error(_said(broken), self._kind_of(broken))
        return self._finish(error, before)

    def _kind_of(self, why: Reject | BpfheapError) -> Callable[..., ProgramError]:
        return _kind_of(why, self._env.obj, self._spec, self._env.taken)

    def _finish(self, error: ProgramError | None, before: str) -> Verdict:
        """`before`: the lines that the log has in front of the error's message."""
        states = self._states
        flows = () if error is not None else tuple(self._env.flows.values())
        facts = None
        if error is None and self._env.options.facts:
            facts = facts_of(self._env)
        cut = self._cut
        guessed = self._env.guessed()
        verdict = Verdict(
            self._spec.name, self._insns, states, flows, error, facts=facts, cut=cut,
            guessed=guessed,
        )  # fmt: skip
        if self._log is None:
            return verdict
        if error is not None:
            for line in before.splitlines():
                self._log.say(line)
            self._log.say(error.message)
        self._log.say(_summary(verdict, self._limit))
        text = self._log.text
        if error is not None:
            error.log = text
        return replace(verdict, log=text)

    def _error(self, why: Reject, kind: Callable[..., ProgramError]) -> ProgramError:
        insn = why.insn
        if insn is None and self._step is not None:
            insn = self._step.slot
        line = None
        if insn is not None and 0 <= insn < len(self._spec.insns):
            line = self._spec.line_of(insn)
        return kind(
            why.message,
            detail=why.detail,
            program=self._spec.name,
            insn=insn,
            register=None if why.register is None else f"r{why.register}",
            source=None if line is None else line.text,
            column=None if line is None else line.column or None,
            file=self._spec.file or None if line is None else line.file,
            line=None if line is None else line.line,
            hint=why.hint,
        )

    def explain(self, error: VerifierError) -> None:
        """Add to the error how it came about. The walk is over then."""
        path = self.path()
        reg = None
        if path is not None and error.register is not None:
            reg = path.last_state.regs[int(error.register[1:])]
        if path is not None:
            error.path = route(path)
            error.history = origins(path, error)
        elif error.insn is not None:
            error.path = calls_to(self._spec, error.insn)
            error.history = self._stacks()
        error.hint = hints.sharper(error.message, error.detail, error.hint, reg, error.history)

    def path(self) -> Path | None:
        """The way to where the walk stands, None if it stands nowhere."""
        if self._state is None or self._step is None:
            return None
        return Path(self._env, self._state, self._step.slot)

    def _stacks(self) -> tuple[str, ...]:
        """What the functions take of the stack, if all were walked: it is too much then."""
        if not any(self._env.depth):
            return ()
        subprogs = self._env.cfg.subprogs
        return tuple(
            f"{sub.name}() uses {depth} bytes of stack"
            for sub, depth in zip(subprogs, self._env.depth, strict=True)
            if depth
        )

    def _later(self) -> None:
        """What is called apart from the program, as far as that was met and not walked yet."""
        env = self._env
        while waiting := [each for each in env.later if each not in self._begun]:
            self._begun.add(waiting[0])
            number, ref, sleeps = waiting[0]
            self._function(number, later_arguments(env, ref), sleeps=sleeps, later=True)

    def _function(
        self, number: int, given: list[Reg], *, sleeps: bool, later: bool = False
    ) -> None:
        """All paths of the program, or of a function that is walked apart; `given` are r0 to
        r5."""
        env = self._env
        regs = [*given, *[NOTHING] * 5]
        regs[FP] = Reg(STACK, ZERO_OFFSET, what=0)
        held = () if number else env.owned_arguments()
        st = State([FuncState(0, number, -1, regs, {})], held, None, Trail())
        st.sleeps, st.later = sleeps, later
        stored: StoredStates
        if env.options.pruned:
            stored = StoredStates(
                env.cfg, env.live(), env.loops(),
                all_precise=env.options.all_precise, often=env.options.stored_often,
                as_linux=env.options.as_linux,
            )  # fmt: skip
        else:
            stored = UnprunedStates(env.cfg, env.live(), env.loops())
        env.stored = stored
        slot, jump = env.cfg.subprogs[number].start, -1
        stored.start(st, slot)
        try:
            self._all_paths(st, slot, jump, stored)
        finally:
            self._states += stored.count
            self._cut = self._cut or stored.cut

    def _all_paths(self, st: State, slot: int, jump: int, stored: StoredStates) -> None:
        env = self._env
        while True:
            if self._log is not None:
                self._log.path(slot, jump, st)
            self._path(st, slot, stored)
            stored.path_done(st)
            if not env.pending:
                if self._log is not None:
                    self._log.done()
                return
            st, slot, jump = env.pending.pop()

    def _path(self, st: State, slot: int, stored: StoredStates) -> None:
        """From a slot to the end of the program, or to a state that a stored one subsumes."""
        env, steps, log = self._env, self._env.cfg.steps, self._log
        observe = env.options.observe
        self._state = st
        insns: i64 = self._insns
        jumps: i64 = self._jumps
        limit: i64 = self._limit
        at: i64 = slot
        try:
            while at >= 0:
                step = steps[at]
                assert step is not None
                self._step = step
                insns += 1
                if insns > limit:
                    raise Reject(
                        f"BPF program is too large. Processed {insns} insn", hint=hints.SMALLER
                    )
                if step.join and stored.visit(st, at, insns, jumps, step.loop):
                    if log is not None:
                        log.safe(at)
                    return
                step.seen = True
                if observe is not None:
                    observe(at, st)
                st.trail.entries.append(at)
                if step.counts:
                    jumps += 1
                    if step.jumps:
                        st.trail.jumps += 1
                if log is not None:
                    log.before(step, st)
                at = transfer(env, st, step)
                if log is not None:
                    log.after(step, st, at, len(env.pending))
        finally:
            self._insns, self._jumps = insns, jumps
