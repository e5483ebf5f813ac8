"""What all paths of one verification share (struct bpf_verifier_env)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from bpfheap.btf import BtfType, LazyBtf, SpecialKind
from bpfheap.errors import BpfheapError, BtfError
from bpfheap.isa import Kind
from bpfheap.platform.calls import SideEffect, left_out
from bpfheap.platform.kfuncs import (
    BY_PROTOTYPE,
    STRICTEST,
    Kfunc,
    KfuncFlag,
    by_prototype,
    call_of,
)
from bpfheap.platform.licenses import is_gpl_compatible
from bpfheap.platform.maps import BY_NUMBER, PAGE_SIZE, Holds, MapFlag, MapType
from bpfheap.platform.missing import (
    kfunc_name,
    missing_map_type,
    section_name,
)
from bpfheap.platform.programs import (
    Offer,
    ProgramType,
    may_sleep,
    other_sections,
    program_type,
    types_with,
)
from bpfheap.platform.programs.struct_ops import OPS_ROWS, STRUCT_OPS
from bpfheap.platform.programs.targets import HOOKS_HOLD, ITERATORS_HOLD
from bpfheap.spec import KernelTypes as KernelSource
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec, RefKind
from bpfheap.verifier import hints
from bpfheap.verifier.analysis.attach import Attached, attached, no_types
from bpfheap.verifier.analysis.cfg import Cfg, Step
from bpfheap.verifier.analysis.guess import why_not
from bpfheap.verifier.analysis.liveness import AS_LONG_AS_NEXT, SETS_UP, live_at
from bpfheap.verifier.analysis.loops import loops
from bpfheap.verifier.analysis.release import check_release, release_of
from bpfheap.verifier.analysis.signature import Parameter, parameters, returns_number
from bpfheap.verifier.analysis.struct_ops import attached_member, member_of
from bpfheap.verifier.facts import Foreign
from bpfheap.verifier.flows import Field, Flow, FlowKind, Holder
from bpfheap.verifier.paths.widening import Widening
from bpfheap.verifier.reject import NotKnown, Reject
from bpfheap.verifier.state.kernel import KernelOf, KernelType, KernelTypes, Prototype
from bpfheap.verifier.state.layouts import Layout, Layouts
from bpfheap.verifier.state.state import (
    MAP_VALUE,
    ZERO_OFFSET,
    Dynptr,
    Held,
    KernelObject,
    MapRef,
    Mem,
    Object,
    Reg,
    State,
)
from bpfheap.verifier.verdict import Options

#: What programs are called in, by what they are attached to.
_HELD = {Offer.ITER: ITERATORS_HOLD, Offer.LSM: HOOKS_HOLD}
#: BPF_COMPLEXITY_LIMIT_JMP_SEQ.
MAX_PENDING = 8192
#: MAX_USED_MAPS, BPF_MAX_SUBPROGS.
_MAX_MAPS = 64
_MAX_FUNCTIONS = 256


class Env:
    """What all paths of one verification share.

    `obj`, `spec`, `options`: what is verified, and how.
    `layouts`: those of all types met so far.
    `cfg`: the program's control flow graph.
    `type`: the program's type.
    `stored`: the states stored in the function that is walked.
    `sleepable`: may the program sleep?
    `gpl`: may the program call what is for GPL programs only?
    `release`: the release of Linux that it has to load on.
    `flows`: those found so far.
    `pending`: the paths yet to be walked: state, slot, and the jump that led there.
    `depth`: for each subprogram, how many bytes of stack it used on any path so far.
    `called`: the global functions that were called, in that order. `walked`: those of them that
    need not be walked any more.
    `lent`: by a global function's number and that of a parameter, what calls give, where it is less
    than what the parameter says.
    `callbacks`: the functions that calls call back.
    `later`: those that are called apart from the program, each with the map whose value the call is
    about, and whether it may sleep.
    `attached`: what the program is attached to, if its context are the arguments of that.
    `arena`: the map that is its arena, "" if there is none.
    `foreign`: by slot, what an instruction reads of the kernel.
    `allowed`: by slot, what calls.py knows of a call that the program may make.
    `guess`: what kfuncs without a row are taken to be registered with. `no_guess`: by name, why
    one is not taken so.
    """

    def __init__(
        self, obj: ObjectSpec, spec: ProgramSpec, options: Options, guess: KfuncFlag = STRICTEST
    ) -> None:
        self.obj = obj
        self.spec = spec
        self.options = options
        self._kernel = KernelOf(obj.kernel)
        self.layouts = Layouts(self._kernel.of_kptr)
        self.cfg: Cfg
        self.type: ProgramType
        self.stored: Widening
        self.sleepable = may_sleep(spec.section)
        self.gpl = is_gpl_compatible(spec.license)
        self.release = release_of(obj)
        self.flows: dict[tuple[FlowKind, str | Field | None, Field | None], Flow] = {}
        self.pending: list[tuple[State, int, int]] = []
        self.depth: list[int] = []
        self._live: list[int] | None = None
        self._loops: list[int] | None = None
        self.called: dict[int, None] = {}
        self.walked: set[int] = set()
        self.callbacks: set[int] = set()
        self.later: dict[tuple[int, MapRef, bool], None] = {}
        self.lent: dict[tuple[int, int], Mem | KernelObject | Dynptr] = {}
        self.foreign: dict[int, Foreign] = {}
        self.allowed: dict[int, Any] = {}
        self.guess = guess
        self.no_guess: dict[str, str] = {}
        self._guesses: dict[str, Kfunc] = {}
        self.attached: Attached | None = None
        self.arena = ""
        self._parameters: dict[int, tuple[Parameter, ...]] = {}
        self._maps: dict[str, MapRef] = {}
        self._prototypes: dict[str, Prototype] = {}
        self._ids = 0
        self._changes: list[bool] = []
        self._writes: list[bool] = []
        self._sleeps: list[bool] = []
        self._tail_calls: list[bool] = []
        self._throws: list[bool] = []

    def prepare(self) -> None:
        """All that is known before the walk. Raises Reject and InsnError."""
        found = program_type(self.spec.section)
        if found is None:
            raise NotKnown(
                f'section "{self.spec.section}" selects no program type that bpfheap knows',
                section_name(self.spec.section),
                insn=0,
                hint=other_sections(self.spec.section),
            )
        if found.kernel_types and found is not OPS_ROWS[""]:
            raise NotKnown(
                f"bpfheap does not know {found.name} programs, whose context only the types of the "
                "kernel describe",
                section_name(self.spec.section),
                insn=0,
            )
        self.type = found
        if found.arguments:
            self.attached = self._attached()
        self.cfg = Cfg(self.spec)
        if len(self.cfg.subprogs) > _MAX_FUNCTIONS:
            raise Reject(
                "too many subprograms",
                detail=f"there are {len(self.cfg.subprogs)}, and Linux takes {_MAX_FUNCTIONS}",
                insn=self.cfg.subprogs[_MAX_FUNCTIONS].start,
                hint="let functions be inlined, or split the program by tail calls",
            )
        check_release(self.obj, self.spec, self.cfg, self.release)
        if self.cfg.exception_cb:
            # do_check_subprogs takes it for called.
            self.called[self.cfg.exception_cb] = None
            self.callbacks.add(self.cfg.exception_cb)
        self._guess_kfuncs()
        self.depth = [0] * len(self.cfg.subprogs)
        self._check_returns()
        self._check_kfuncs()
        self._check_maps()
        if self.attached is not None and any(a.owned for a in self.attached.arguments):
            self._check_no_tail_calls()

    def _check_no_tail_calls(self) -> None:
        """Who is called so gets no objects (check_struct_ops_btf_id). Raises Reject."""
        for step in self.cfg:
            if step.row is not None and step.row.jumps:
                raise Reject(
                    "program with __ref argument cannot tail call",
                    insn=step.slot,
                    hint="call a function instead",
                )

    def _attached(self) -> Attached:
        if self.type is OPS_ROWS[""]:
            member = member_of(self.spec, gpl=self.gpl)
            self.type = OPS_ROWS.get(member.struct, self.type)
            kernel, source = self._types_there()
            return attached_member(kernel, source, member, sleepable=self.sleepable)
        kernel, source = self._types_there()
        return attached(kernel, source, self.spec.section, gpl=self.gpl, sleepable=self.sleepable)

    def _types_there(self) -> tuple[KernelTypes, KernelSource]:
        """Raises NotKnown where there are none, Reject if they cannot be read."""
        if self.kernel is None:
            raise no_types()
        assert self.obj.kernel is not None
        return self.kernel, self.obj.kernel

    def owned_arguments(self) -> tuple[Held, ...]:
        """The references that the program begins with (do_check_common)."""
        held: list[Held] = []
        for argument in () if self.attached is None else self.attached.arguments:
            if argument.owned and isinstance(argument.what, KernelObject):
                assert self.attached is not None
                self.attached.refs[argument.start] = self.new_id()
                held.append(Held(self.attached.refs[argument.start], 0, argument.what))
        return tuple(held)

    @property
    def target(self) -> str:
        """What follows the section's "/"; the member that the program is for."""
        if self.spec.member is not None:
            return self.spec.member.name
        return self.spec.section.partition("/")[2]

    @property
    def held(self) -> str:
        """What an iterator's or a hook's program is called in, where that must not sleep."""
        if self.spec.member is not None:
            ops = STRUCT_OPS.get(self.spec.member.struct)
            return "" if ops is None else ops.held
        known = _HELD.get(self.type.caller)
        return "" if known is None else known.get(self.target, "")

    @property
    def returns(self) -> tuple[int, int] | None:
        """What the program may return, None for anything."""
        said = None if self.attached is None else self.attached.returns
        return self.type.returns if said is None else said

    @property
    def kernel(self) -> KernelTypes | None:
        """The types of the kernel that the program is for, None if there are none. Raises
        Reject if they cannot be read."""
        return self._kernel.types()

    def _of_argument(self, n: int, said: BtfType) -> KernelType:
        """What a parameter that is tagged as the kernel's points at. Raises Reject."""
        kernel, source = self.kernel, self.obj.kernel
        if kernel is None or source is None:
            raise no_types()
        try:
            return kernel.of_argument(n, said, source)
        except BpfheapError as error:
            raise Reject(error.message, hint=error.hint) from None

    def struct(self, name: str, what: str) -> KernelType:
        """A struct of the kernel that the program is for, which `what` is about. Raises NotKnown
        and Reject."""
        if self.kernel is None:
            raise no_types()
        found = self.kernel.named(name)
        if found is None:
            raise NotKnown(
                f"the kernel has no struct {name}, which {what} is about", f"struct {name}"
            )
        return found

    def prototype(self, name: str) -> Prototype | None:
        """Of a function of the kernel that the program is for, None if that has none. Raises
        Reject."""
        found = self._prototypes.get(name)
        if found is None:
            kernel, source = self.kernel, self.obj.kernel
            if kernel is None or source is None:
                raise no_types()
            try:
                found = kernel.prototype(name, source)
            except BtfError as error:
                raise Reject(error.message, hint=error.hint) from None
            if found is not None:
                self._prototypes[name] = found
        return found

    def kernel_type(self, btf: LazyBtf, type_id: int) -> KernelType:
        """A struct of the kernel's, or of a module's. Raises Reject."""
        assert self.kernel is not None
        return self.kernel.of(btf, type_id)

    def kernel_context(self) -> KernelType:
        """What the kernel has the program's context in (get_kern_ctx_btf_id). Raises Reject if
        that is no struct."""
        assert self.kernel is not None
        found = self.kernel.context(self.type.number)
        if isinstance(found, int):
            raise Reject(
                f"kern ctx type id {found} is not a struct",
                register=1,
                hint=f"the context of {self.type.name} programs is no struct of the kernel",
            )
        return found

    def struct_of_map(self, row: MapType) -> KernelType:
        """What the kernel keeps maps of a type in. Raises NotKnown and Reject."""
        return self.struct(row.struct, f"map type {row.name}")

    def _check_returns(self) -> None:
        """A function that may end early gives 0 then, so it has to give a number
        (check_abnormal_return, check_btf_func_early)."""
        for sub in self.cfg.subprogs[1:]:
            for step in self.cfg.within(sub):
                row = step.row
                if step.kind is not Kind.LEGACY and (row is None or not row.jumps):
                    continue
                what = "LD_ABS" if row is None else "tail_call"
                if not sub.func_id:
                    raise Reject(
                        f"{what} is not allowed in subprogs without BTF",
                        insn=step.slot,
                        hint="compile with -g",
                    )
                if not returns_number(self.spec, sub):
                    raise Reject(
                        f"{what} is only allowed in functions that return 'int'.",
                        insn=step.slot,
                        hint=f"let {sub.name}() return an int",
                    )

    def _check_kfuncs(self) -> None:
        """Of kfuncs the licence is asked for in code that never runs, too (add_kfunc_call)."""
        if self.gpl:
            return
        for step in self.cfg:
            row = step.row
            if row is not None and row.number is None and row.gpl:
                raise Reject(
                    "cannot call kernel function from non-GPL compatible program",
                    detail=f"{row.name} is one, and {licensed(self.spec)}",
                    insn=step.slot,
                    hint=hints.LICENSE,
                )

    def _guess_kfuncs(self) -> None:
        """Give rows to calls of kfuncs that have none, where their prototypes say enough."""
        source = self.obj.kernel
        for step in self.cfg:
            if step.kind is not Kind.CALL_KFUNC or step.row is not None:
                continue
            name = kfunc_name(self.spec, step.slot)
            if source is None or not source.has_types() or left_out(None, name) is not None:
                continue
            found, kernel = self.prototype(name), self.kernel
            if found is None or kernel is None or not kernel.is_kfunc(found):
                continue
            why = why_not(name, found)
            if why is not None:
                self.no_guess[name] = why
                continue
            self._guesses[name] = by_prototype(name, self.guess)
            step.row = call_of(self._guesses[name])

    def kfunc(self, name: str) -> Kfunc:
        """How a kfunc that has no facts of its own is registered."""
        return self._guesses[name] if name in self._guesses else BY_PROTOTYPE[name]

    @property
    def taken(self) -> Collection[str]:
        """The names of the kfuncs that are taken by their prototypes, as no table has them."""
        return self._guesses.keys()

    def guessed(self) -> tuple[str, ...]:
        """Those of them that are called where the walk came by, in the order of the code."""
        if not self._guesses:
            return ()
        rows = (step.row for step in self.cfg if step.seen)
        return tuple(
            dict.fromkeys(r.name for r in rows if r is not None and r.name in self._guesses)
        )

    def _check_maps(self) -> None:
        """What is asked of maps whether the code that names them is reached or not
        (check_map_prog_compatibility, bpf_cgroup_storage_assign)."""
        storages: dict[int, str] = {}
        used: set[str] = set()
        for slot, ref in self.spec.refs.items():
            named = ref.kind in (RefKind.MAP, RefKind.MAP_VALUE)
            spec = self.obj.maps.get(ref.name) if named else None
            row = None if spec is None else BY_NUMBER.get(spec.type)
            if spec is None or row is None:
                continue
            if row.holds is not Holds.NOTHING:
                used.add(ref.name)
            if row.holds is Holds.PAGES:
                if self.arena not in ("", ref.name):
                    raise Reject(
                        "Only one arena per program",
                        detail=f"{self.arena} and {ref.name} are arenas",
                        insn=slot,
                        hint="let one map have the pages of both",
                    )
                self.arena = ref.name
            if len(used) > _MAX_MAPS:
                raise Reject(
                    f"The total number of maps per program has reached the limit of {_MAX_MAPS}",
                    insn=slot,
                    hint="let several of them be one, or split the program by tail calls",
                )
            inner = None if spec.inner is None else BY_NUMBER.get(spec.inner.type)
            if inner is not None and not inner.inner:
                # bpf_map_meta_alloc, when the map is created
                raise Reject(
                    f"map {ref.name} cannot hold maps of type {inner.c_name} (ENOTSUPP)",
                    insn=slot,
                    hint="use another type in its __array(values, ...)",
                )
            # Linux does not look at the maps that a map holds.
            kind = row if inner is None or not row.sleepable else inner
            if self.sleepable and not kind.sleepable:
                is_one = "is a" if kind is row else "holds maps of type"
                raise Reject(
                    "Sleepable programs can only use array, hash, ringbuf and local storage maps",
                    detail=f"{ref.name} {is_one} {kind.c_name}",
                    insn=slot,
                    hint="use the map from a program that does not sleep",
                )
            layout = self.layouts.of(spec.btf, spec.value, spec.value_size)
            if self.map(ref.name).layout.shared:
                self._check_shared(ref.name, layout, slot)
            if self.map(ref.name).layout.locks:
                self.check_locks(f"map {ref.name}", slot)
            self._check_work(ref.name, slot)
            if row.holds is Holds.STORAGE:
                first = storages.setdefault(row.number, ref.name)
                if first != ref.name:
                    raise Reject(
                        "only one cgroup storage of each type is allowed",
                        detail=f"{first} and {ref.name} are of type {row.c_name}",
                        insn=slot,
                        hint="let one map have the members of both",
                    )

    def _check_work(self, name: str, slot: int) -> None:
        """Raises Reject if programs of this type may not use a map for its timers or work."""
        if self.type.has(Offer.LOCKS | Offer.SOCKET):
            return
        for kind in (SpecialKind.TIMER, SpecialKind.WORKQUEUE):
            if self.map(name).layout.one(kind) is not None:
                raise Reject(
                    f"tracing progs cannot use {kind} yet",
                    detail=f"map {name} has one, and this is a {self.type.name} program",
                    insn=slot,
                    hint=f"{types_with(Offer.LOCKS)} programs can",
                )

    def _check_shared(self, name: str, layout: Layout, slot: int) -> None:
        """Linux pins one page of a process for each (btf_check_and_fixup_fields). Raises Reject."""
        for field in layout.shared.values():
            size = layout.btf.size_of(field.target)
            struct = layout.btf.c_name(field.target)
            found = self.kernel is not None and self.kernel.named(struct.removeprefix("struct "))
            if found or not 0 < size <= PAGE_SIZE:
                why = "is one of the kernel" if found else f"has {size} bytes"
                raise Reject(
                    f"map {name} cannot have {field.path} "
                    f"({'E2BIG' if size > PAGE_SIZE and not found else 'EINVAL'})",
                    detail=f"{struct} {why}",
                    insn=slot,
                    hint=f"a __uptr points at a struct of the program's own, of 1 to {PAGE_SIZE} "
                    "bytes",
                )

    def check_locks(self, what: str, slot: int | None = None) -> None:
        """Raises Reject if programs of this type may not use a lock, which `what` has."""
        if self.type.has(Offer.LOCKS):
            return
        kind = "socket filter" if self.type.caller is Offer.SOCKET else "tracing"
        raise Reject(
            f"{kind} progs cannot use bpf_spin_lock yet",
            detail=f"{what} has one, and this is a {self.type.name} program",
            insn=slot,
            hint=f"{types_with(Offer.LOCKS)} programs can",
        )

    def parameters(self, number: int) -> tuple[Parameter, ...]:
        """What a global function declares. Raises Reject for what none can have."""
        found = self._parameters.get(number)
        if found is None:
            sub = self.cfg.subprogs[number]
            found = parameters(self.spec, sub, self.type, self._of_argument)
            self._parameters[number] = found
        return found

    def changes_packet(self, number: int) -> bool:
        """May a subprogram, or one that it calls, make packet pointers void
        (subprog_info.changes_pkt_data)?"""
        if not self._changes:
            self._changes = self._with_calls(_changes_packet)
        return self._changes[number]

    def writes_dynptr(self, number: int) -> bool:
        """May a subprogram, or one that it calls, write through a dynptr to a packet? (Linux does
        not look.)"""
        if not self._writes:
            packets = any(makes_of_packet(step) for step in self.cfg)
            self._writes = self._with_calls(lambda step: packets and writes_dynptr(step))
        return self._writes[number]

    def sleeps(self, number: int) -> bool:
        """May a subprogram, or one that it calls, sleep (subprog_info.might_sleep)?"""
        if not self._sleeps:
            self._sleeps = self._with_calls(self.sleeps_at)
        return self._sleeps[number]

    def sleeps_at(self, step: Step) -> bool:
        """May a call sleep? With some flags, those of programs that sleep may: to wait for memory
        (do_misc_fixups gives them GFP_KERNEL), or for pages of files."""
        row = step.row
        if row is None:
            return False
        if not row.sleeps_with or not self.sleepable:
            return row.sleepable
        flags = self.cfg.constant_before(step, 4)
        return flags is None or flags & row.sleeps_with != 0

    def tail_calls(self, number: int) -> bool:
        """May a subprogram, or one that it calls, jump to another program
        (subprog_info.tail_call_reachable)?"""
        if not self._tail_calls:
            self._tail_calls = self._with_calls(_jumps)
        return self._tail_calls[number]

    def throws(self, number: int) -> bool:
        """May a subprogram, or one that it calls, throw (subprog_info.might_throw)?"""
        if not self._throws:
            self._throws = self._with_calls(lambda s: s.row is not None and s.row.throws)
        return self._throws[number]

    def _with_calls(self, wanted: Callable[[Step], bool]) -> list[bool]:
        """For each subprogram, whether it makes a `wanted` call, or enters one that does."""
        found = [False] * len(self.cfg.subprogs)
        for at in self.cfg.call_order:
            for step in self.cfg.within(self.cfg.subprogs[at]):
                if wanted(step):
                    found[at] = True
                callee = self.cfg.starts.get(step.enters)
                if callee is not None and found[callee]:
                    found[at] = True
        return found

    def live(self) -> list[int]:
        """See liveness.live_at."""
        if self._live is None:
            self._live = live_at(self.cfg, self.spec, self.obj.maps, self._kfunc_reads)
        return self._live

    def loops(self) -> list[int]:
        """See loops.loops."""
        if self._loops is None:
            self._loops = loops(self.cfg)
        return self._loops

    def _kfunc_reads(self, name: str) -> list[int | None] | None:
        """See liveness.KfuncReads."""
        try:
            found = self.prototype(name)
        except Reject:
            # It is told where the call is walked, if it is.
            return None
        if found is None:
            return None
        reads: list[int | None] = []
        for parameter in found.parameters:
            if parameter.is_size and reads:
                reads[-1] = AS_LONG_AS_NEXT
            size = None
            if parameter.name.endswith("__uninit"):
                reads.append(SETS_UP)
                continue
            if parameter.target:
                with suppress(BtfError):
                    size = found.btf.size_of(parameter.target)
            reads.append(size)
        return reads

    def new_id(self) -> int:
        self._ids += 1
        return self._ids

    def map(self, name: str) -> MapRef:
        """The map that a reference names. Raises Reject if the object has none."""
        ref = self._maps.get(name)
        if ref is None:
            spec = self.obj.maps.get(name)
            if spec is None:
                raise Reject(f"there is no map {name}", hint='define it in SEC(".maps")')
            ref = self._maps[name] = self._map_ref(Holder.MAP, name, spec)
        return ref

    def inner(self, outer: MapRef) -> MapRef:
        """What a lookup in a map of maps finds: any map like the template. Raises Reject."""
        if outer.inner is None:
            spec = outer.spec.inner
            if spec is None:
                raise Reject(
                    f"map {outer.name} has no template for its inner maps",
                    hint="give it one: __array(values, struct { ... });",
                )
            outer.inner = self._map_ref(Holder.INNER, outer.name, spec)
        return outer.inner

    def _map_ref(self, holder: Holder, name: str, spec: MapSpec) -> MapRef:
        row = _map_type(spec)
        layout = self.layouts.of(spec.btf, spec.value, spec.value_size)
        flags = spec.flags | (MapFlag.RDONLY_PROG if spec.readonly else 0)
        kinds = (str(field.kind) for field in layout.special)
        if row.may_have(flags, bool(layout.kptrs), kinds, bool(layout.shared)):
            return MapRef(holder, name, spec, layout)
        plain = self.layouts.of(spec.btf, 0, spec.value_size)
        return MapRef(holder, name, spec, plain, bytes=True)

    def map_value(self, ref: MapRef) -> Reg:
        """A value of a map, known to be there. Which one it is matters for its lock only."""
        id_ = self.new_id() if ref.layout.locks else 0
        return Reg(MAP_VALUE, ZERO_OFFSET, id=id_, what=ref)

    def in_section(self, st: State) -> bool:
        """Do objects that are seen now stay alive (in_rcu_cs)?"""
        return st.rcu or st.lock is not None or not st.sleeps

    def flow(
        self, kind: FlowKind, source: str | Field | None, field: Field | None, slot: int
    ) -> None:
        """Report what the program does here, once."""
        key = (kind, source, field)
        if key not in self.flows:
            self.flows[key] = Flow(kind, source, field, self.spec.line_of(slot))

    def fork(self, state: State, slot: int, jump: int) -> None:
        """Walk on later, from `slot`, to which the instruction at `jump` leads. Raises Reject
        beyond the kernel's limit."""
        if len(self.pending) >= MAX_PENDING:
            raise Reject(
                f"The sequence of {MAX_PENDING + 1} jumps is too complex.",
                hint="split the function, or make it branch less",
            )
        if state.parent is not None:
            state.parent.branches += 1
        self.pending.append((state, slot, jump))

    def place(self, slot: int) -> str:
        """Where a slot is, for people."""
        line = self.spec.line_of(slot)
        return f"insn {slot}" if line is None else f"{line}, insn {slot}"


def _changes_packet(step: Step) -> bool:
    # What is jumped to may change it, too.
    row = step.row
    return row is not None and (row.packet or row.jumps)


def makes_of_packet(step: Step) -> bool:
    row = step.row
    kfunc = None if row is None else BY_PROTOTYPE.get(row.name)
    return kfunc is not None and kfunc.makes is not None and kfunc.makes.moved


def writes_dynptr(step: Step) -> bool:
    row = step.row
    return row is not None and row.side_effect is SideEffect.WRITES_DYNPTR


def _jumps(step: Step) -> bool:
    return step.row is not None and step.row.jumps


def _map_type(spec: MapSpec) -> MapType:
    """Raises Reject for a type that Linux does not have, NotKnown for others without a row."""
    row = BY_NUMBER.get(spec.type)
    if row is not None:
        return row
    name = missing_map_type(spec)
    if name is None:
        known = ", ".join(t.name for t in BY_NUMBER.values())
        raise Reject(f"map {spec.name} has unknown type {spec.type}", hint=f"known: {known}")
    raise NotKnown(f"bpfheap does not know map type {name}, which {spec.name} is of", name)


def licensed(spec: ProgramSpec) -> str:
    """Under what licence the program is, for people."""
    return f'the licence is "{spec.license}"' if spec.license else "there is no licence"


def field_of(holder: MapRef | Object, path: str) -> Field:
    """A kptr field by the name that flows give it."""
    if isinstance(holder, MapRef):
        return Field(holder.holder, holder.name, path)
    return Field(Holder.TYPE, holder.layout.name, path)
