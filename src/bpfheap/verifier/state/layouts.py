"""What the verifier needs to know of a type: its size, its kptr fields, its untagged pointers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bpfheap.btf import (
    Btf,
    KptrField,
    PlainPointer,
    SpecialField,
    SpecialKind,
    Struct,
    incomplete,
    kptr_fields,
    numbers_alone,
    plain_pointers,
    special_fields,
    user_pointers,
    walk,
    why_different,
)
from bpfheap.errors import BpfheapError, BtfError
from bpfheap.verifier.domain.word import U32_MAX
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.kernel import KernelType

#: The struct of the kernel that a kptr leads to.
OfKernel = Callable[[KptrField, Btf], KernelType | None]

KPTR_SIZE = 8
_NODES = frozenset({SpecialKind.LIST_NODE, SpecialKind.RB_NODE})


class Layout:
    """A struct, map value or data section; compared by identity (see Layouts).

    `btf`, `type_id`, `name`: its type.
    `size`: in bytes.
    `kptrs`: its kptr fields, by offset.
    `kernel`: what those of them lead to that are to structs of the kernel, by offset.
    `plain`: its untagged pointers, by offset.
    `shared`: its pointers to memory of a process, by offset.
    `special`: its locks, heads, roots, nodes and counts.
    `lock`, `res_lock`: the offsets of its bpf_spin_lock and its bpf_res_spin_lock, -1 for none.
    `locks`: has it one, so that it matters which of its kind it is (reg_may_point_to_spin_lock)?
    `nodes`: can lists or trees link it?
    """

    __slots__ = (
        "_crossed", "btf", "kernel", "kptrs", "lock", "locks", "name", "nodes", "plain", "res_lock",
        "shared", "size", "special", "type_id",
    )  # fmt: skip

    def __init__(
        self, btf: Btf, type_id: int, size: int, kptrs: dict[int, KptrField],
        plain: dict[int, PlainPointer], shared: dict[int, PlainPointer],
        special: tuple[SpecialField, ...], kernel: dict[int, KernelType],
    ) -> None:  # fmt: skip
        self.btf = btf
        self.type_id = type_id
        self.name = _name(btf, type_id)
        self.size = size
        self.kptrs = kptrs
        self.kernel = kernel
        self.plain = plain
        self.shared = shared
        self.special = special
        lock = self.one(SpecialKind.SPIN_LOCK)
        self.lock = -1 if lock is None else lock.offset
        resilient = self.one(SpecialKind.RES_SPIN_LOCK)
        self.res_lock = -1 if resilient is None else resilient.offset
        self.locks = self.lock >= 0 or self.res_lock >= 0
        self._crossed: dict[tuple[int, int], str | None] = {}
        self.nodes = any(field.kind in _NODES for field in special)

    def one(self, kind: SpecialKind) -> SpecialField | None:
        """Its first field of that kind."""
        return next((field for field in self.special if field.kind is kind), None)

    def special_at(self, offset: int, kind: SpecialKind) -> SpecialField | None:
        """The field of that kind that begins at a byte."""
        for field in self.special:
            if field.offset == offset and field.kind is kind:
                return field
        return None

    def __str__(self) -> str:
        return f"struct {self.name}"

    def kptr_in(self, start: int, end: int) -> KptrField | None:
        """The first kptr field that has a byte in [start, end)."""
        for offset, field in self.kptrs.items():
            if start < offset + KPTR_SIZE and offset < end:
                return field
        return None

    def shared_in(self, start: int, end: int) -> PlainPointer | None:
        """The first pointer to memory of a process that has a byte in [start, end)."""
        for offset, field in self.shared.items():
            if start < offset + KPTR_SIZE and offset < end:
                return field
        return None

    def pointer_at(self, offset: int) -> KptrField | PlainPointer | None:
        """The pointer to a struct, tagged or not, that begins at a byte."""
        found = self.kptrs.get(offset) or self.plain.get(offset)
        if found is None or not isinstance(self.btf[found.target], Struct):
            return None
        return found

    def crossed(self, start: int, size: int) -> str | None:
        """What is wrong with an access to the object's plain bytes: it has to stay within one
        member. None if nothing is."""
        key = (start, size)
        if key not in self._crossed:
            try:
                walk(self.btf, self.type_id, start, size)
                self._crossed[key] = None
            except BtfError as error:
                self._crossed[key] = error.message
        return self._crossed[key]

    def special_in(self, start: int, end: int) -> SpecialField | None:
        """The first lock, head, root, node or count that has a byte in [start, end)."""
        for field in self.special:
            if start < field.offset + field.size and field.offset < end:
                return field
        return None


def _name(btf: Btf, type_id: int) -> str:
    kind = btf[type_id]
    return getattr(kind, "name", "") or "(anonymous)"


def _none(field: KptrField, btf: Btf) -> None:
    """Without the types of a kernel, all structs are the program's own."""


#: How to name a type to an allocator.
_NAMED: Final = "write type_id_local(struct ...) and compile with -g"


class Layouts:
    """The layouts of one verification; the same type gives the same instance."""

    def __init__(self, of_kernel: OfKernel = _none) -> None:
        """`of_kernel` gives the struct of the kernel that a kptr leads to, None if it is the
        program's own, and raises BpfheapError for one that cannot be."""
        self._of_kernel = of_kernel
        # The BTF is kept beside its layout, so that its id() stays its own.
        self._known: dict[tuple[int, int, int | None], Layout] = {}
        self._differences: dict[tuple[int, int, int, int], str | None] = {}
        self._incomplete: dict[tuple[int, int], str | None] = {}

    def of(self, btf: Btf, type_id: int, size: int | None = None) -> Layout:
        """`size` is that of a map value, which a type may only fill in part; type 0 has no fields.

        Raises Reject for kptrs that cannot be (BtfError's words).
        """
        type_id = btf.resolve(type_id)
        key = (id(btf), type_id, size)
        found = self._known.get(key)
        if found is None:
            try:
                plain_bytes = not type_id or numbers_alone(btf, type_id)
                kptrs = () if plain_bytes else kptr_fields(btf, type_id)
                plain = () if plain_bytes else plain_pointers(btf, type_id)
                shared = () if plain_bytes else user_pointers(btf, type_id)
                special = () if plain_bytes else special_fields(btf, type_id)
                if size is not None:
                    # In a map value these are plain bytes (map_check_btf).
                    special = tuple(f for f in special if f.kind not in _NODES)
                if size is None:
                    size = btf.size_of(type_id)
                targets = ((f.offset, self._of_kernel(f, btf)) for f in kptrs)
                kernel = {offset: type_ for offset, type_ in targets if type_ is not None}
            except BpfheapError as error:
                raise Reject(error.message, hint=error.hint) from None
            found = Layout(
                btf,
                type_id,
                size,
                {f.offset: f for f in kptrs},
                {p.offset: p for p in plain},
                {p.offset: p for p in shared},
                special,
                kernel,
            )
            self._known[key] = found
        return found

    def why_other(self, a: Btf, ida: int, b: Btf, idb: int, *, strict: bool) -> str | None:
        """What keeps two types from being one, None if nothing does; `strict` is always the same
        within one verification."""
        key = (id(a), ida, id(b), idb)
        if key not in self._differences:
            self._differences[key] = why_different(a, ida, b, idb, strict=strict)
        return self._differences[key]

    def incomplete(self, btf: Btf, type_id: int) -> str | None:
        """What the type owns and the object only declares; see btf.incomplete. Raises Reject for
        kptrs that cannot be."""
        key = (id(btf), type_id)
        if key not in self._incomplete:
            try:
                self._incomplete[key] = incomplete(btf, type_id)
            except BtfError as error:
                raise Reject(error.message, hint=error.hint) from None
        return self._incomplete[key]

    def of_struct(self, btf: Btf, type_id: int, call: str, *, register: int) -> Layout:
        """The layout of the struct that a program names by its id to `call`. Raises Reject."""
        if not 0 <= type_id <= U32_MAX:
            raise Reject(
                "local type ID argument must be in range [0, U32_MAX]",
                register=register,
                hint=_NAMED,
            )
        there = 0 < type_id < len(btf)
        if not there or not isinstance(btf[type_id], Struct):
            raise Reject(
                f"{call} type ID argument must be of a struct",
                detail=f"type {type_id} is {btf.c_name(type_id)}"
                if there
                else f"the program's BTF has no type {type_id}",
                register=register,
                hint="objects are structs: name the struct itself, or put the value into one"
                if there
                else _NAMED,
            )
        return self.of(btf, type_id)
