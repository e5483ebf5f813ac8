"""Programs with allocator maps, as programs that the kernel takes: its one global allocator stands
in for all.

A call of bpf_mem_alloc becomes one of a static function behind the program, which passes the type
on to bpf_obj_new; so no instruction moves. The kernel verifies static functions with what the
caller knows, and so it knows the type.
"""

from __future__ import annotations

from dataclasses import replace

from bpfheap.btf import (
    Array,
    Btf,
    BtfType,
    Func,
    FuncProto,
    Int,
    KptrKind,
    Ptr,
    Struct,
    TypeTag,
    Union,
)
from bpfheap.isa import CALL_OPCODE, Assembled, Insn, assemble
from bpfheap.kernel.bpf import Pseudo
from bpfheap.platform.calls import KFUNC_BY_NAME, KFUNCS, Arg, Call
from bpfheap.platform.maps import ALLOCATOR_NUMBER
from bpfheap.spec import (
    MapSpec,
    ObjectSpec,
    ProgramSpec,
    Ref,
    RefKind,
    SourceLine,
    SubprogSpec,
)


def _body(row: Call, stand_in: Call) -> Assembled:
    """Passes on the arguments that Linux's own function takes, too, in their order."""
    moves = [
        f"r{n} = r{row.args.index(arg) + 1}\n"
        for n, arg in enumerate(stand_in.args, 1)
        if arg is not Arg.UNUSED and row.args.index(arg) + 1 != n
    ]
    return assemble(f"{''.join(moves)}call kfunc {stand_in.name}\nexit")


#: What takes the place of each function that there is something for.
_BODIES = {
    row.name: _body(row, KFUNC_BY_NAME[row.stand_in]) for row in KFUNCS if row.stand_in is not None
}
_LOCAL = "local"
_STATIC = 0


def without_allocators(obj: ObjectSpec) -> ObjectSpec:
    """The object on the global allocator: no allocator maps, none named by other maps, and kptrs
    tagged as the kernel knows them. What cannot be rewritten (bpf_mem_prefill, an allocator in a
    map of maps) stays, for the load to refuse."""
    btf, functions = _types(obj.btf)
    maps = {
        name: _map(spec, btf) for name, spec in obj.maps.items() if spec.type != ALLOCATOR_NUMBER
    }
    gone = frozenset(obj.maps) - frozenset(maps)
    programs = {
        name: _program(program, btf, functions, gone) for name, program in obj.programs.items()
    }
    return replace(obj, btf=btf, maps=maps, programs=programs)


def _map(spec: MapSpec, btf: Btf) -> MapSpec:
    return replace(
        spec,
        btf=btf,
        inner=_map(spec.inner, btf) if spec.inner is not None else None,
        kptr_allocator=None,
        elem_allocator=None,
    )


# -- types


def _types(btf: Btf) -> tuple[Btf, dict[str, int]]:
    """All types under their ids, kptrs with one type tag; and the FUNCs of the new functions."""
    types = list(btf.types)
    for type_id, kind in enumerate(btf.types):
        match kind:
            case Ptr(type=target) | TypeTag(type=target):
                while isinstance(tag := btf[target], TypeTag) and tag.name == _LOCAL:
                    target = tag.type
                types[type_id] = replace(kind, type=target)
            case Struct(members=members) | Union(members=members):
                types[type_id] = replace(
                    kind,
                    members=tuple(
                        m._replace(type=_tagged(types, btf, m.type, btf.decl_tags(type_id, i)))
                        for i, m in enumerate(members)
                    ),
                )
    integer = _added(types, Int("int", 4, 1, 0, 32))
    proto = _added(types, FuncProto(integer, ()))
    functions = {name: _added(types, Func(name, proto, _STATIC)) for name in _BODIES}
    return Btf(tuple(types), btf.file), functions


def _added(types: list[BtfType], kind: BtfType) -> int:
    types.append(kind)
    return len(types) - 1


def _tagged(types: list[BtfType], btf: Btf, type_id: int, tags: tuple[str, ...]) -> int:
    """The member's type; a new one if a declaration tag alone says that it is a kptr."""
    kinds = [tag for tag in tags if tag in set(KptrKind)]
    if not kinds:
        return type_id
    at = btf.resolve(type_id)
    match btf[at]:
        case Ptr(type=target) if not set(btf.type_tags(at)) & set(KptrKind):
            return _added(types, Ptr(_added(types, TypeTag(kinds[0], target))))
        case Array(type=element) as array:
            inner = _tagged(types, btf, element, tags)
            return type_id if inner == element else _added(types, replace(array, type=inner))
    return type_id


# -- code


def _program(
    program: ProgramSpec, btf: Btf, functions: dict[str, int], gone: frozenset[str]
) -> ProgramSpec:
    insns, refs = list(program.insns), dict(program.refs)
    lines, subprogs = dict(program.lines), list(program.subprogs)
    starts: dict[str, int] = {}
    for slot, ref in program.refs.items():
        if ref.kind is RefKind.MAP and ref.name in gone:
            # Whatever is there is passed to bpf_mem_alloc, which does not look at it any more.
            insns[slot] = insns[slot]._replace(src=0, imm=0)
            insns[slot + 1] = insns[slot + 1]._replace(imm=0)
            del refs[slot]
        elif ref.kind is RefKind.KFUNC and ref.name in _BODIES:
            if ref.name not in starts:
                start = starts[ref.name] = len(insns)
                body = _BODIES[ref.name]
                insns += body.insns
                refs |= {
                    start + at: Ref(RefKind(symbol.kind), symbol.name)
                    for at, symbol in body.refs.items()
                }
                subprogs.append(
                    SubprogSpec(ref.name, start, len(insns), functions[ref.name], False)
                )
                if lines:
                    lines[start] = SourceLine(program.file, 0, text=f"{ref.name}()")
            insns[slot] = Insn(CALL_OPCODE, src=Pseudo.CALL, imm=starts[ref.name] - slot - 1)
            del refs[slot]
    return replace(
        program, insns=tuple(insns), refs=refs, lines=lines, subprogs=tuple(subprogs), btf=btf
    )
