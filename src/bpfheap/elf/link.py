"""From code sections to programs: each is its entry function followed by every function that it
reaches, with relocations and local calls resolved.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bpfheap.elf.container import Container, Reloc, Section, Symbol
from bpfheap.elf.ext import SectionInfo
from bpfheap.elf.externs import Declared, Extern, Externs
from bpfheap.elf.kconfig import KCONFIG
from bpfheap.elf.patch import BAD_KFUNC, poison
from bpfheap.elf.recipes import recipe_of
from bpfheap.errors import BpfheapError, ElfError, RelocationError
from bpfheap.isa import CALL_OPCODE, LDDW_OPCODE, SLOT_SIZE, Insn, decode
from bpfheap.spec import Ref, RefKind, SourceLine, SubprogSpec

#: What the source register says of an immediate (RFC 9669 section 5.4 and 4.3.1; BPF_PSEUDO_*).
_PSEUDO_CALL, _PSEUDO_KFUNC = 1, 2
_PSEUDO_LDDW = {
    RefKind.MAP: 1, RefKind.MAP_VALUE: 2, RefKind.KSYM: 3, RefKind.KCONFIG: 3, RefKind.FUNC: 4,
}  # fmt: skip

#: Slots of all linked programs of an object together, subprograms counted where they are used.
#: The kernel takes a million for one program (BPF_COMPLEXITY_LIMIT_INSNS).
MAX_SLOTS = 4_000_000

#: Where functions live that are no programs.
_TEXT = ".text"


@dataclass(frozen=True, slots=True)
class ElfFunction:
    """A function symbol of the object."""

    name: str
    #: The index of its section.
    section: int
    #: Its slots in the section, `end` exclusive.
    start: int
    end: int
    #: The id of its BTF FUNC, 0 if unknown.
    func_id: int
    #: Verified by itself, from what it declares (not static, not hidden).
    is_global: bool
    #: Is its symbol local?
    is_static: bool


@dataclass(frozen=True, slots=True)
class _LocalRef:
    """A reference to a function of the same object."""

    slot: int
    #: Section and first slot of the function.
    callee: tuple[int, int]
    #: A call; else its address is taken.
    is_call: bool


@dataclass(slots=True)
class _SectionCode:
    """A code section while it is linked. All slots are counted within the section."""

    section: Section
    insns: list[Insn]
    info: SectionInfo
    functions: list[ElfFunction] = field(default_factory=list)
    #: What an immediate refers to, by slot.
    refs: dict[int, Ref] = field(default_factory=dict)
    #: The keys of `refs`, sorted.
    ref_slots: list[int] = field(default_factory=list)
    #: Sorted by slot.
    local_refs: list[_LocalRef] = field(default_factory=list)
    #: What is wrong with a slot. It costs the programs that have it, and no others.
    faults: dict[int, BpfheapError] = field(default_factory=dict)
    #: The keys of `faults`, sorted.
    fault_slots: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LinkedProgram:
    """A program, ready to become a ProgramSpec. `fault` is the first thing wrong with it."""

    function: ElfFunction
    section: str
    insns: tuple[Insn, ...]
    refs: dict[int, Ref]
    subprogs: tuple[SubprogSpec, ...]
    lines: dict[int, SourceLine]
    fault: BpfheapError | None


class Linker:
    """Links the code of one object: `instructions`, then `link`."""

    def __init__(
        self,
        container: Container,
        infos: Mapping[str, SectionInfo],
        *,
        maps_at: Mapping[tuple[int, int], str],
        data_sections: Mapping[int, str],
        externs: Externs,
        callback_of: Callable[[int], str | None],
    ) -> None:
        """`infos` is .BTF.ext by section; `maps_at` gives the map that starts at a byte of a
        section;
        `data_sections` the names of the maps that stand for data sections, by section index;
        `externs` what is known of the symbols that this object only declares; `callback_of` the
        name of the exception callback of a function, by the id of its BTF FUNC."""
        self._file = container.file
        self._container = container
        self._maps_at = maps_at
        self._map_sections = {section for section, _ in maps_at}
        self._data_sections = data_sections
        self._externs = externs
        self._callback_of = callback_of
        self._codes: dict[int, _SectionCode] = {}
        for section in code_sections(container):
            insns = list(decode(section.data))
            self._codes[section.index] = _SectionCode(section, insns, infos[section.name])
        self._by_start: dict[tuple[int, int], ElfFunction] = {}

    def instructions(self) -> dict[str, list[Insn]]:
        """The slots of each section, to be changed in place before `link`."""
        return {code.section.name: code.insns for code in self._codes.values()}

    def note_missing(self, section: str, missing: Mapping[int, str]) -> None:
        """What poisoned slots of a section would need, by slot."""
        for code in self._codes.values():
            if code.section.name == section:
                code.refs |= {slot: Ref(RefKind.MISSING, what) for slot, what in missing.items()}

    def fault(self, section: str, slot: int, error: BpfheapError) -> None:
        """Note what is wrong with a slot, before `link`."""
        code = next(c for c in self._codes.values() if c.section.name == section)
        code.faults.setdefault(slot, error)

    def link(self) -> list[LinkedProgram]:
        """All programs, in file order. Raises ElfError where no programs can be told apart."""
        for code in self._codes.values():
            code.functions = self._functions(code)
            for function in code.functions:
                self._by_start[code.section.index, function.start] = function
        for code in self._codes.values():
            self._relocate(code)
        linked: list[LinkedProgram] = []
        room = MAX_SLOTS
        for entry in self._entries():
            reached = self._reachable_from(entry)
            room -= sum(f.end - f.start for f in reached)
            if room < 0:
                raise ElfError(
                    f"the programs have more than {MAX_SLOTS} instructions together",
                    file=self._file,
                    hint="split the file",
                )
            linked.append(self._concatenate(reached))
        return linked

    def _entries(self) -> list[ElfFunction]:
        """The programs, as against functions that are only called. libbpf takes no static ones,
        cilium/ebpf does."""
        called = {ref.callee for code in self._codes.values() for ref in code.local_refs}
        return [
            function
            for code in self._codes.values()
            if code.section.name != _TEXT
            for function in code.functions
            if not function.is_static or (code.section.index, function.start) not in called
        ]

    # -- functions

    def _functions(self, code: _SectionCode) -> list[ElfFunction]:
        section = code.section
        found = sorted(self._function_symbols(section), key=lambda s: s.value)
        functions: list[ElfFunction] = []
        for symbol in found:
            start, rest = divmod(symbol.value, SLOT_SIZE)
            count, rest_of_size = divmod(symbol.size, SLOT_SIZE)
            if rest or rest_of_size or not count or start + count > len(code.insns):
                raise ElfError(
                    f"function {symbol.name} (bytes {symbol.value} to "
                    f"{symbol.value + symbol.size}) is not made of whole instructions of section "
                    f"{section.name} ({section.size} bytes)",
                    file=self._file,
                    hint="compile the source again",
                )
            if functions and start < functions[-1].end:
                raise ElfError(
                    f"functions {functions[-1].name} and {symbol.name} overlap in section "
                    f"{section.name}",
                    file=self._file,
                    hint="give each its own body; aliases are not supported",
                )
            functions.append(
                ElfFunction(
                    name=symbol.name,
                    section=section.index,
                    start=start,
                    end=start + count,
                    func_id=code.info.funcs.get(start, 0),
                    # libbpf has hidden functions verified like static ones.
                    is_global=symbol.bind != "STB_LOCAL"
                    and symbol.visibility not in ("STV_HIDDEN", "STV_INTERNAL"),
                    is_static=symbol.bind == "STB_LOCAL",
                )
            )
        return functions

    def _function_symbols(self, section: Section) -> list[Symbol]:
        """LLVM before 8 gives functions neither type nor size. It has each in a section of its own
        or inlined, and labels that are local (cilium/ebpf, assignSymbols); before 4, functions are
        local, too, but no label is at the first byte."""
        inside = [s for s in self._container.symbols if s.section == section.index]
        found = [s for s in inside if s.type == "STT_FUNC"]
        if found:
            return found
        plain = [
            s
            for s in inside
            if s.type == "STT_NOTYPE" and s.name and (s.bind == "STB_GLOBAL" or not s.value)
        ]
        plain.sort(key=lambda s: s.value)
        ends = [*(s.value for s in plain), section.size][1:]
        return [replace(s, size=max(end - s.value, 0)) for s, end in zip(plain, ends, strict=False)]

    # -- relocations

    def _relocate(self, code: _SectionCode) -> None:
        """Fill in refs and local references of a section."""
        slots: set[int] = set()
        for reloc in self._container.relocs.get(code.section.index, ()):
            slot = reloc.offset // SLOT_SIZE
            try:
                self._relocate_slot(code, slot, reloc, again=slot in slots)
            except RelocationError as error:
                code.faults.setdefault(slot, error)
            slots.add(slot)
        for slot, insn in enumerate(code.insns):
            if insn.opcode == CALL_OPCODE and insn.src == _PSEUDO_CALL and slot not in slots:
                # The compiler resolves calls of static functions within a section by itself.
                try:
                    self._add_local_call(code, slot, code.section.index, slot + 1 + insn.imm, None)
                except RelocationError as error:
                    code.faults.setdefault(slot, error)
        code.local_refs.sort(key=lambda r: r.slot)
        code.ref_slots = sorted(code.refs)
        code.fault_slots = sorted(code.faults)

    def _relocate_slot(self, code: _SectionCode, slot: int, reloc: Reloc, *, again: bool) -> None:
        """Raises RelocationError."""
        recipe = recipe_of(reloc, code.section, self._file)
        opcode = code.insns[slot].opcode
        if reloc.offset % SLOT_SIZE or recipe.opcode is None or recipe.opcode != opcode or again:
            raise self._error_at(
                code,
                slot,
                f"{recipe.name} at byte {reloc.offset} of section {code.section.name} does "
                f"not fit the instruction there (opcode 0x{opcode:02x})",
                "compile the source again",
            )
        if opcode == LDDW_OPCODE:
            self._relocate_lddw(code, slot, reloc)
        else:
            self._relocate_call(code, slot, reloc)

    def _relocate_call(self, code: _SectionCode, slot: int, reloc: Reloc) -> None:
        insn, symbol = code.insns[slot], reloc.symbol
        if insn.src != _PSEUDO_CALL:
            raise self._error_at(code, slot, "a relocation on the call of a helper", None)
        if symbol.undefined:
            extern, there = self._resolve_extern(code, slot, symbol)
            if extern.kind is not Extern.KFUNC:
                raise self._error_at(
                    code, slot, f"{symbol.name} is called, but is a {extern.kind}", None
                )
            if not there:
                poison(code.insns, slot, BAD_KFUNC + extern.number)
                code.refs[slot] = Ref(RefKind.MISSING, f"kfunc {symbol.name}")
                return
            code.refs[slot] = Ref(RefKind.KFUNC, extern.offered)
            code.insns[slot] = insn._replace(src=_PSEUDO_KFUNC, imm=0)
            return
        target = symbol.section
        if target not in self._codes:
            raise self._error_at(
                code, slot, f"a call of {self._name(symbol)}, which is no function", None
            )
        start, rest = divmod(symbol.value, SLOT_SIZE)
        if rest:
            raise self._error_at(
                code, slot, f"a call into the middle of {self._name(symbol)}", None
            )
        self._add_local_call(code, slot, target, start + insn.imm + 1, symbol)

    def _add_local_call(
        self, code: _SectionCode, slot: int, section: int, target: int, symbol: Symbol | None
    ) -> None:
        if (section, target) not in self._by_start:
            what = self._name(symbol) if symbol is not None and symbol.name else f"slot {target}"
            raise self._error_at(
                code,
                slot,
                f"slot {slot} of section {code.section.name} calls {what}, where no function "
                "starts",
                "define the function in this file; do not strip its symbol",
            )
        code.local_refs.append(_LocalRef(slot, (section, target), is_call=True))

    def _relocate_lddw(self, code: _SectionCode, slot: int, reloc: Reloc) -> None:
        insn, symbol = code.insns[slot], reloc.symbol
        offset = symbol.value + insn.imm
        second = 0
        if symbol.undefined:
            extern, there = self._resolve_extern(code, slot, symbol)
            if not there or extern.kind is Extern.KFUNC:
                if there:
                    code.refs[slot] = Ref(RefKind.KFUNC_ADDR, extern.offered)
                _set_wide(code.insns, slot, int(there))
                return
            if extern.kind is Extern.KCONFIG:
                place = self._externs.config.places.get(symbol.name)
                if place is None:
                    ref = Ref(RefKind.KCONFIG, symbol.name)
                else:
                    second = place + insn.imm
                    ref = Ref(RefKind.MAP_VALUE, KCONFIG, second)
            else:
                ref = Ref(RefKind.KSYM, symbol.name)
        elif symbol.section in self._codes:
            start, rest = divmod(offset, SLOT_SIZE)
            if rest or (symbol.section, start) not in self._by_start:
                raise self._error_at(
                    code,
                    slot,
                    f"the address of byte {offset} of section {self._section_name(symbol)} is "
                    "taken, where no function starts",
                    None,
                )
            code.local_refs.append(_LocalRef(slot, (symbol.section, start), is_call=False))
            ref = Ref(RefKind.FUNC, self._by_start[symbol.section, start].name)
        elif (data := self._data_section(symbol)) is not None:
            if not 0 <= offset < data.size:
                raise self._error_at(
                    code, slot, f"the address of byte {offset} of {data.name} is out of it", None
                )
            ref = Ref(RefKind.MAP_VALUE, self._data_sections[data.index], offset)
            second = offset
        elif symbol.section in self._map_sections:
            found = self._maps_at.get((symbol.section, offset))
            if found is None:
                name = self._section_name(symbol)
                raise self._error_at(
                    code, slot, f"no map starts at byte {offset} of section {name}", None
                )
            ref = Ref(RefKind.MAP, found)
        else:
            raise self._error_at(
                code,
                slot,
                f"a reference to {self._name(symbol)}, which is neither code nor data",
                None,
            )
        code.refs[slot] = ref
        code.insns[slot] = insn._replace(src=_PSEUDO_LDDW[ref.kind], imm=0)
        if slot + 1 < len(code.insns):
            code.insns[slot + 1] = code.insns[slot + 1]._replace(imm=second)

    def _resolve_extern(
        self, code: _SectionCode, slot: int, symbol: Symbol
    ) -> tuple[Declared, bool]:
        """What a symbol is declared as, and whether there is one; all that are not weak are.
        Raises RelocationError, and BpfheapError if the kernel's types cannot be read."""
        extern = self._externs.by_name.get(symbol.name)
        if extern is None:
            raise self._error_at(
                code,
                slot,
                f"{symbol.name or 'a symbol without name'} is used, but never defined",
                "define it in this file, or declare it `__ksym` if the machine provides it",
            )
        try:
            if extern.kind is Extern.KCONFIG:
                if symbol.name in self._externs.config.faults:
                    raise self._externs.config.faults[symbol.name]
                return extern, True
            return extern, self._externs.is_there(extern, weak=symbol.bind == "STB_WEAK")
        except RelocationError as error:
            raise self._error_at(code, slot, error.message, error.hint) from None

    def _data_section(self, symbol: Symbol) -> Section | None:
        section = self._container.section_at(symbol.section)
        return section if section is not None and section.index in self._data_sections else None

    def _section_name(self, symbol: Symbol) -> str:
        section = self._container.section_at(symbol.section)
        return section.name if section is not None else "(none)"

    def _name(self, symbol: Symbol) -> str:
        return symbol.name or f"section {self._section_name(symbol)}"

    def _error_at(
        self, code: _SectionCode, slot: int, message: str, hint: str | None
    ) -> RelocationError:
        line = code.info.line_of(slot)
        if line is None:
            return RelocationError(message, file=self._file, hint=hint)
        return RelocationError(message, file=line.file, line=line.line, hint=hint)

    # -- programs

    def _reachable_from(self, entry: ElfFunction) -> list[ElfFunction]:
        """The entry, then all functions that it refers to, directly or not, breadth first; then
        its exception callback, which nothing refers to, and what that refers to."""
        order = {entry: None}
        self._follow([entry], order)
        callback = self._exception_callback(entry)
        if callback is not None and callback not in order:
            order[callback] = None
            self._follow([callback], order)
        return list(order)

    def _follow(self, queue: list[ElfFunction], order: dict[ElfFunction, None]) -> None:
        for function in queue:
            for ref in self._local_refs_of(function):
                callee = self._by_start[ref.callee]
                if callee not in order:
                    order[callee] = None
                    queue.append(callee)

    def _exception_callback(self, entry: ElfFunction) -> ElfFunction | None:
        """None if it is none that a loader would find (bpf_prog_assign_exc_cb of libbpf)."""
        name = self._callback_of(entry.func_id)
        if name is None:
            return None
        functions = (f for code in self._codes.values() for f in code.functions)
        return next((f for f in functions if f.name == name and f.is_global), None)

    def _fault_in(self, functions: list[ElfFunction]) -> BpfheapError | None:
        """The first thing that is wrong with them."""
        for function in functions:
            code = self._codes[function.section]
            for slot in _slots_in(code.fault_slots, function):
                return code.faults[slot]
        return None

    def _local_refs_of(self, function: ElfFunction) -> list[_LocalRef]:
        found = self._codes[function.section].local_refs
        first = bisect_left(found, function.start, key=lambda r: r.slot)
        last = bisect_left(found, function.end, key=lambda r: r.slot)
        return found[first:last]

    def _concatenate(self, functions: list[ElfFunction]) -> LinkedProgram:
        """One program from its functions. The imm of a call or function address becomes relative to
        the slot after it, as the kernel wants it."""
        base: dict[tuple[int, int], int] = {}
        at = 0
        for f in functions:
            base[f.section, f.start] = at
            at += f.end - f.start
        insns: list[Insn] = []
        refs: dict[int, Ref] = {}
        lines: dict[int, SourceLine] = {}
        subprogs = []
        for f in functions:
            code = self._codes[f.section]
            start = len(insns)
            shift = start - f.start
            insns += code.insns[f.start : f.end]
            refs |= {s + shift: code.refs[s] for s in _slots_in(code.ref_slots, f)}
            lines |= {s + shift: code.info.lines[s] for s in _slots_in(code.info.line_slots, f)}
            for local in self._local_refs_of(f):
                slot, target = local.slot + shift, base[local.callee]
                insns[slot] = insns[slot]._replace(imm=target - slot - 1)
                if not local.is_call:
                    ref = code.refs[local.slot]
                    refs[slot] = Ref(ref.kind, ref.name, target=target)
            subprogs.append(SubprogSpec(f.name, start, len(insns), f.func_id, f.is_global))
        entry = functions[0]
        return LinkedProgram(
            function=entry,
            section=self._codes[entry.section].section.name,
            insns=tuple(insns),
            refs=refs,
            subprogs=tuple(subprogs),
            lines=lines,
            fault=self._fault_in(functions),
        )


def code_sections(container: Container) -> list[Section]:
    """The sections that hold instructions, in file order. Raises ElfError if one does not, or if
    two have the same name (.BTF.ext tells them apart by name only)."""
    found = [s for s in container.sections if s is not None and s.executable and s.size]
    names = set()
    for section in found:
        if section.size % SLOT_SIZE:
            raise ElfError(
                f"section {section.name} has {section.size} bytes of code, which is no multiple "
                f"of {SLOT_SIZE}",
                file=container.file,
                hint="compile the source again",
            )
        if section.name in names:
            raise ElfError(
                f"two code sections are called {section.name}",
                file=container.file,
                hint="link the object anew",
            )
        names.add(section.name)
    return found


def _set_wide(insns: list[Insn], slot: int, value: int) -> None:
    """Let lddw load a small number."""
    insns[slot] = insns[slot]._replace(src=0, imm=value)
    if slot + 1 < len(insns):
        insns[slot + 1] = insns[slot + 1]._replace(imm=0)


def _slots_in(slots: list[int], function: ElfFunction) -> list[int]:
    """Those of the sorted `slots` that are in the function."""
    return slots[bisect_left(slots, function.start) : bisect_left(slots, function.end)]
