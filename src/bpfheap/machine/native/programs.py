"""The native machine's programs: made ready for the core when they are loaded, and compiled before
their first run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from bpfheap.errors import UsageError
from bpfheap.isa import Kind, check_structure, instructions
from bpfheap.machine import played
from bpfheap.machine.layout import Types
from bpfheap.machine.lookup import by_id
from bpfheap.machine.native import _core
from bpfheap.machine.native.code import arguments, helper_numbers, make
from bpfheap.machine.native.compiling import NamedMap, Origin, source_of
from bpfheap.machine.native.heaps import Heaps, NativeAllocator
from bpfheap.machine.native.records import MACHINE, NativeMap, NativeProgram, shape_number
from bpfheap.machine.offers import check_program
from bpfheap.machine.relocations import resolve
from bpfheap.platform.called import names_of_calls
from bpfheap.platform.calls import KFUNC_BY_NAME, Arg, Ret
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID
from bpfheap.spec import ProgramSpec
from bpfheap.verifier.facts import Facts

if TYPE_CHECKING:
    from bpfheap.machine.native.jit import Compilation
    from bpfheap.machine.native.jit.source import Source

#: In a site's type, as BH_PERCPU_TYPE: objects with a copy for each CPU.
_PERCPU_TYPE = 1 << 30


def has_compiler() -> bool:
    """Whether programs can become machine code."""
    return find_spec("llvmlite") is not None


@dataclass(frozen=True, slots=True)
class _Addresses:
    """Of what a program refers to, for `resolve`.

    `maps`: those that the program names.
    `variables`: of the kernel, by name: where each is, and its size.
    """

    maps: Mapping[str, NativeMap]
    variables: Mapping[str, tuple[int, int]]

    def function(self, slot: int) -> int:
        return slot

    def map(self, name: str) -> int | None:
        record = self.maps.get(name)
        return None if record is None else record.map.pointer

    def value(self, name: str, offset: int) -> int | None:
        record = self.maps[name]
        first = record.map.address(bytes(4)) if record.row.direct else None
        return None if first is None else first + offset

    def variable(self, name: str) -> int | None:
        found = self.variables.get(name)
        return None if found is None else found[0]


class Programs:
    """By their ids. `compiles`: they become machine code, which is `cached` on disk; `counted`: its
    loops count instructions, so that a budget bounds them."""

    def __init__(
        self,
        core: _core.Core,
        heaps: Heaps,
        *,
        compiles: bool,
        cached: bool,
        counted: bool,
        hardened: bool,
    ) -> None:
        if compiles and not has_compiler():
            raise UsageError("programs cannot be compiled", hint="install llvmlite")
        self.records: dict[int, NativeProgram] = {}
        self._core = core
        self._heaps = heaps
        self._compiles = compiles
        self._cached = cached
        self._counted = counted
        self._hardened = hardened

    def load(
        self,
        program: int,
        spec: ProgramSpec,
        maps: Mapping[str, NativeMap],
        facts: Facts | None,
        variables: Mapping[str, tuple[int, int]],
        stubs: Collection[str],
    ) -> None:
        """`variables` are those of the kernel that the program names, by name: where each is, and
        its size; `stubs` are calls that Python performs whatever the core has.

        Raises InsnError for what is no program, RelocationError for a reference to nothing,
        MachineUnsupported for a call or a packet that this machine does not offer."""
        check_structure(spec.insns, spec.refs)
        called = {name for _, name in names_of_calls(spec)}
        asked = frozenset(
            name
            for name in called
            if name in stubs or (name in played.CALLS and name not in _core.CALLS)
        )
        check_program(MACHINE, spec, {*_core.CALLS, *asked}, facts)
        named = {r.name: maps[r.name] for r in spec.refs.values() if r.name in maps}
        links = resolve(spec, _Addresses(named, variables))
        code, calls = make(spec.insns, links, b"" if facts is None else facts.guarded, asked)
        origins, sites = self._sites(spec, links.kfuncs.values(), named)
        made = _core.Program(
            program,
            code,
            self._heaps.allocators[GLOBAL_ALLOCATOR_ID].heap,
            sites,
            helper_numbers(),
            tuple(record.map for record in named.values()),
            arguments(),
            spec.exception_callback,
        )
        known = {name: _named(record) for name, record in named.items()}
        self.records[program] = NativeProgram(
            spec.name, spec, made, calls, facts, known, origins, asked, dict(variables)
        )

    def free(self, program: int) -> None:
        for entry in self.record(program).entries:
            entry.close()
        self._core.synchronize()
        del self.records[program]

    def record(self, program: int) -> NativeProgram:
        return by_id(self.records, program, "program")

    def pointer(self, program: int) -> int | None:
        """Where the core has it, ready to run; None if there is no such program."""
        found = self.records.get(program)
        if found is None:
            return None
        self.compile(found)
        return found.program.pointer

    def compile(self, loaded: NativeProgram) -> Compilation | None:
        """How a program became machine code, which it does now if it has not yet; None if it is
        interpreted."""
        known = loaded.facts is not None or self._hardened
        if self._compiles and known and loaded.compilation is None:
            from bpfheap.machine.native import jit

            source, addresses = self._source(loaded, loaded.facts)
            loaded.compilation = compilation = jit.compile_for(source, cached=self._cached)
            if compilation.made is not None:
                code = jit.load(compilation.made, addresses)
                loaded.program.compiled(code.address, code)
                loaded.address = code.address
        return loaded.compilation

    def slot_of(self, loaded: NativeProgram, pc: int) -> int:
        """The instruction that machine code of a hardened program is about, or the first one."""
        from bpfheap.machine.native.jit import places

        made = None if loaded.compilation is None else loaded.compilation.made
        return 0 if made is None else places.slot_at(made.image, pc - loaded.address) or 0

    def source(self, program: int) -> Source:
        """What the compiler is told of a program. Raises UsageError if nothing is known of it, but
        of a hardened one nothing has to be."""
        loaded = self.record(program)
        if loaded.facts is None and not self._hardened:
            raise UsageError(f"the verifier said nothing of program {loaded.name}")
        return self._source(loaded, loaded.facts)[0]

    def _source(self, loaded: NativeProgram, facts: Facts | None) -> tuple[Source, dict[str, int]]:
        return source_of(
            loaded.spec,
            facts,
            loaded.maps,
            loaded.origins,
            loaded.calls,
            asked=loaded.asked,
            variables=loaded.variables,
            counted=self._counted,
            hardened=self._hardened,
            watched=self._heaps.watched,
            cpus=self._core.cpus,
        )

    def _sites(
        self, spec: ProgramSpec, kfuncs: Collection[str], maps: Mapping[str, NativeMap]
    ) -> tuple[tuple[Origin, ...], tuple[tuple[int, _core.Unit], ...]]:
        """Where the program may allocate from. Types are named by constants, which reach the call
        through registers: each constant that is a type's number counts, since a unit that nobody
        uses costs nothing."""
        allocators = self._heaps.allocators
        sources: list[tuple[NativeAllocator, int, str]] = []
        rows = (KFUNC_BY_NAME[name] for name in kfuncs if name in KFUNC_BY_NAME)
        news = {(row.ret, Arg.ALLOCATOR in row.args) for row in rows}
        if (Ret.NEW_OR_NULL, True) in news:
            for name, record in sorted(maps.items(), key=lambda item: item[0]):
                if record.allocator is not None:
                    sources.append((allocators[record.allocator], 0, name))
        if (Ret.NEW_OR_NULL, False) in news:
            sources.append((allocators[GLOBAL_ALLOCATOR_ID], 0, ""))
        if (Ret.PERCPU_NEW_OR_NULL, False) in news:
            sources.append((allocators[GLOBAL_ALLOCATOR_ID], self._core.cpus, ""))
        if not sources:
            return (), ()
        types = Types(spec.btf)
        origins: list[Origin] = []
        sites: list[tuple[int, _core.Unit]] = []
        for number in sorted(_constants(spec)):
            kind = types.object(number)
            if kind is None:
                continue
            for allocator, cpus, name in sources:
                made = self._heaps.unit(allocator, kind, cpus)
                if not cpus:
                    origins.append(Origin(name, number, made.unit, made))
                sites.append((number | (_PERCPU_TYPE if cpus else 0), made.unit))
        return tuple(origins), tuple(sites)


def _named(record: NativeMap) -> NamedMap:
    spec, row = record.spec, record.row
    return NamedMap(
        record.map,
        spec.key_size,
        spec.value_size,
        spec.max_entries,
        row.per_cpu,
        row.pointers,
        shape_number(spec, row),
    )


def _constants(spec: ProgramSpec) -> set[int]:
    """What a program moves into registers as it stands in the code."""
    return {
        spec.insns[slot].imm
        for slot, op in instructions(spec.insns)
        if op.kind is Kind.LDDW or (op.kind is Kind.MOV and not op.reg)
    }
