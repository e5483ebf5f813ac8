"""Types of the kernel that programs are for, as far as the verifier has met them."""

from __future__ import annotations

from typing import NamedTuple

from bpfheap.btf import (
    Btf,
    BtfType,
    BtfTypes,
    Datasec,
    DeclTag,
    Enum,
    Func,
    FuncProto,
    KptrField,
    KptrKind,
    LazyBtf,
    Place,
    Ptr,
    Struct,
    Union,
    Var,
    Void,
    contains,
    essential_name,
    kernel_target,
    pointee,
    walk,
)
from bpfheap.btf.types import name_of
from bpfheap.errors import BpfheapError, BtfError
from bpfheap.platform.kernel_kptrs import OWNED
from bpfheap.spec import KernelTypes as Source
from bpfheap.verifier.reject import Reject

#: Where the kernel has the variables of which each CPU has one.
_PER_CPU = ".data..percpu"

#: What functions are tagged with that programs may call.
_KFUNC = "bpf_kfunc"

#: The types of programs, and for each what it sees of its context and what that is.
_TYPES = "bpf_prog_type"
_CONTEXTS = "bpf_ctx_convert"

#: Structs that say which pointers in a struct may be trusted are called like it, and this
#: (BTF_TYPE_SAFE_RCU and others in kernel/bpf/verifier.c).
SAFE_TRUSTED = "__safe_trusted"
SAFE_TRUSTED_OR_NULL = "__safe_trusted_or_null"
SAFE_RCU = "__safe_rcu"
SAFE_RCU_OR_NULL = "__safe_rcu_or_null"


class KernelType:
    """A struct or union of the kernel; compared by identity (see KernelTypes).

    `btf`, `type_id`, `name`: what it is.
    """

    __slots__ = ("_places", "_safe", "_size", "btf", "name", "type_id")

    def __init__(self, btf: LazyBtf, type_id: int) -> None:
        self.btf = btf
        self.type_id = type_id
        self.name = name_of(btf[type_id]) or "(anonymous)"
        self._places: dict[tuple[int, int], Place | str] = {}
        self._safe: dict[tuple[str, str, int], bool] = {}
        self._size: int | None = None

    def __str__(self) -> str:
        return f"struct {self.name}"

    @property
    def size(self) -> int:
        """In bytes. Raises BtfError for what has none."""
        if self._size is None:
            self._size = self.btf.size_of(self.type_id)
        return self._size

    def place(self, off: int, size: int) -> Place | str:
        """What an access leads to, or what is wrong with it."""
        key = (off, size)
        found = self._places.get(key)
        if found is None:
            try:
                found = walk(self.btf, self.type_id, off, size)
            except BtfError as error:
                found = error.message
            self._places[key] = found
        return found

    def extent(self, path: tuple[tuple[str, str], ...]) -> tuple[int, int] | None:
        """The first byte of a member of it, and the one behind: of structs of the same kernel and
        members of these, each of which begins where the one before is; None if there is no such.
        Without steps, the whole struct."""
        at, end = 0, self.size
        for struct, names in path:
            found = self.btf.find(struct, Struct)
            if found is None:
                return None
            for name in names.split("."):
                place = self._member(found, name)
                if place is None:
                    return None
                at, found = at + place[0], place[1]
            end = at + self.btf.size_of(found)
        return at, end

    def _member(self, type_id: int, name: str) -> tuple[int, int] | None:
        """The first byte of a member, and its type."""
        kind = self.btf[self.btf.resolve(type_id)]
        for member in kind.members if isinstance(kind, Struct | Union) else ():
            if member.name == name:
                return member.bit_offset // 8, member.type
            if not member.name:
                inner = self._member(member.type, name)
                if inner is not None:
                    return member.bit_offset // 8 + inner[0], inner[1]
        return None

    def is_safe(self, place: Place, suffix: str) -> bool:
        """Does the kernel say of the pointer at a place what the suffix means
        (btf_nested_type_is_trusted)? It has to be called so, and to point at that."""
        key = (suffix, place.member, place.type_id)
        found = self._safe.get(key)
        if found is None:
            found = self._safe[key] = self._is_safe(place, suffix)
        return found

    def _is_safe(self, place: Place, suffix: str) -> bool:
        btf = self.btf
        list_ = btf.find(self.name + suffix, Struct)
        kind = None if list_ is None else btf[list_]
        if not isinstance(kind, Struct):
            return False
        for member in kind.members:
            pointer = btf[member.type]
            if member.name == place.member and isinstance(pointer, Ptr):
                target, _ = pointee(btf, pointer)
                if target == place.type_id:
                    return True
        return False

    def holds(self, off: int, other: KernelType) -> bool:
        """Does a struct of the other type begin at a byte of this one (btf_struct_ids_match)?"""
        if self is other:
            return off == 0
        # The ids of one module mean something else in another one.
        if other.btf.is_split and other.btf is not self.btf:
            return False
        return contains(self.btf, self.type_id, off, other.type_id)


class Variable(NamedTuple):
    """A variable of the kernel: what it is, and whether each CPU has its own."""

    type: KernelType
    per_cpu: bool


class Parameter(NamedTuple):
    """What a function of the kernel is given; types are without their modifiers.

    `type`: its own; `pointer`: is that one? `target`: what that leads to, 0 for void.
    """

    name: str
    type: int
    pointer: bool
    target: int

    @property
    def is_size(self) -> bool:
        """By its name, does it say how large the memory in the argument before is?"""
        return self.name.endswith(("__sz", "__szk"))


class Prototype(NamedTuple):
    """A function of the kernel, which is type `type_id` of `btf`; `returns`, whose `type` is 0 for
    void, has no name."""

    btf: LazyBtf
    type_id: int
    parameters: tuple[Parameter, ...]
    returns: Parameter


class KernelTypes:
    """The types of one kernel; the same type gives the same instance."""

    def __init__(self, types: LazyBtf) -> None:
        self.types = types
        self._known: dict[tuple[int, int], KernelType] = {}

    def of(self, btf: BtfTypes, type_id: int) -> KernelType:
        """`btf` is the kernel's or that of one of its modules. Raises Reject for what is broken."""
        assert isinstance(btf, LazyBtf)
        # Types of a module have ids beyond the kernel's, which are those of other modules, too.
        if type_id < len(self.types):
            btf = self.types
        key = (id(btf), type_id)
        found = self._known.get(key)
        if found is None:
            try:
                found = self._known[key] = KernelType(btf, type_id)
            except BtfError as error:
                raise Reject(error.message, hint=error.hint) from None
        return found

    def variable(self, name: str, source: Source) -> Variable | None:
        """A variable, None if neither the kernel nor a module has it. Raises BtfError."""
        for btf in (self.types, *source.modules()):
            at = btf.find(name, Var)
            kind = None if at is None else btf[at]
            if isinstance(kind, Var):
                return Variable(self.of(btf, btf.resolve(kind.type)), at in _per_cpu(btf))
        return None

    def of_kptr(self, field: KptrField, btf: Btf, source: Source) -> KernelType | None:
        """The struct that a kptr field of a program points at, None if it is the program's own.
        Raises BtfError for one that nothing may own, and BpfheapError."""
        found = kernel_target(btf, field, (self.types, *source.modules()))
        if found is None:
            return None
        type_ = self.of(*found)
        row = OWNED.get(type_.name)
        can_own = row is not None and type_.btf.find(row.destructor, Func) is not None
        if field.kind is KptrKind.KPTR and not can_own:
            raise BtfError(
                f"kptr {field.path} points at {type_} of the kernel, which has no destructor",
                file=btf.file,
                hint=f"if you mean a struct of your own, give it another name than {type_.name}, "
                "or tag the field __local; one of the kernel can be kept as __kptr_untrusted",
            )
        return type_

    def of_argument(self, n: int, said: BtfType, source: Source) -> KernelType:
        """What the parameter `n` of a global function points at, of which the program says `said`:
        the one type of its kind and name, but for a flavour (btf_get_ptr_to_btf_id). Raises Reject
        and BpfheapError."""
        name = name_of(said)
        what = f"arg#{n} reference type('{kind_name(said)} {name or '(anon)'}')"
        if not name:
            raise Reject(
                f"{what} candidate matching error: -22", hint="point at a struct of the kernel"
            )
        found = _candidates(self.types, said)
        of_modules = found or [i for btf in source.modules() for i in _candidates(btf, said)]
        if len(of_modules) != 1:
            raise Reject(
                f"{what} {'is ambiguous' if of_modules else 'has no matches'}",
                hint="point at a struct by the name that the kernel has for it",
            )
        if not found:
            raise Reject(
                f"{what} points to kernel module type (unsupported)",
                hint="point at a struct of the kernel itself",
            )
        return self.of(self.types, found[0])

    def prototype(self, name: str, source: Source) -> Prototype | None:
        """Of a function, None if neither the kernel nor a module has it. Raises BtfError."""
        for btf in (self.types, *source.modules()):
            at = btf.find(name, Func)
            kind = None if at is None else btf[at]
            found = btf[kind.type] if isinstance(kind, Func) else None
            if at is not None and isinstance(found, FuncProto):
                parameters = tuple(_parameter(btf, p.name, p.type) for p in found.params)
                return Prototype(btf, at, parameters, _parameter(btf, "", found.ret))
        return None

    def is_kfunc(self, prototype: Prototype) -> bool:
        """Does its BTF tag the function as one that programs may call, as that of Linux 6.10 and
        later does (pahole's --btf_features=decl_tag_kfuncs)?"""
        btf = prototype.btf
        tags = (btf[at] for at in btf.named(_KFUNC))
        return any(
            isinstance(tag, DeclTag) and tag.type == prototype.type_id and tag.component == -1
            for tag in tags
        )

    def context(self, number: int) -> KernelType | int:
        """What the kernel has the context of programs of a type in; the id of its type if
        that is no struct (get_kern_ctx_btf_id)."""
        enum, contexts = self.types.find(_TYPES, Enum), self.types.find(_CONTEXTS, Struct)
        if enum is None or contexts is None:
            return 0
        kind, struct = self.types[enum], self.types[contexts]
        assert isinstance(kind, Enum)
        assert isinstance(struct, Struct)
        wanted = {f"{name}_kern" for name, value in kind.values if value == number}
        found = next((m.type for m in struct.members if m.name in wanted), 0)
        return self.of(self.types, found) if isinstance(self.types[found], Struct) else found

    def named(self, name: str) -> KernelType | None:
        """A struct, None if the kernel has none of that name."""
        found = self.types.find(name, Struct)
        return None if found is None else self.of(self.types, found)


def _candidates(types: LazyBtf, said: BtfType) -> list[int]:
    """Types of that kind and name (bpf_core_find_cands)."""
    same = types.named(essential_name(name_of(said)))
    return [i for i in same if type(types[i]) is type(said)]


def kind_name(kind: BtfType) -> str:
    """The log's word for a kind (btf_type_str)."""
    return "UNKNOWN" if isinstance(kind, Void) else type(kind).__name__.upper()


def _parameter(btf: LazyBtf, name: str, type_id: int) -> Parameter:
    type_id = btf.resolve(type_id)
    kind = btf[type_id]
    if not isinstance(kind, Ptr):
        return Parameter(name, type_id, False, 0)
    return Parameter(name, type_id, True, btf.resolve(kind.type))


class KernelOf:
    """The kernel that an object is for, whose types are read when somebody asks. It knows nothing
    of the walk that asks, so that this is freed as soon as it has ended."""

    def __init__(self, source: Source | None) -> None:
        self._source = source
        self._types: KernelTypes | None = None

    def types(self) -> KernelTypes | None:
        """None if there are none. Raises Reject if they cannot be read."""
        if self._types is None and self._source is not None:
            try:
                types = self._source.types()
            except BpfheapError as error:
                raise Reject(error.message, hint=error.hint) from None
            self._types = None if types is None else KernelTypes(types)
        return self._types

    def of_kptr(self, field: KptrField, btf: Btf) -> KernelType | None:
        """The struct of the kernel that a kptr leads to. Raises BtfError and Reject."""
        types, source = self.types(), self._source
        return None if types is None or source is None else types.of_kptr(field, btf, source)


def _per_cpu(btf: LazyBtf) -> frozenset[int]:
    """The ids of the variables of which each CPU has one."""
    at = btf.find(_PER_CPU, Datasec)
    section = None if at is None else btf[at]
    if not isinstance(section, Datasec):
        return frozenset()
    return frozenset(var.type for var in section.vars)
