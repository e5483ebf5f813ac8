"""What an object only declares: kfuncs and variables of the kernel, and whether there are such
(tools/lib/bpf/libbpf.c, bpf_object__resolve_externs)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bpfheap.btf import Btf, BtfType, Datasec, Func, LazyBtf, Var, Void, essential_name
from bpfheap.btf.match import types_are_compatible
from bpfheap.elf.kconfig import Config
from bpfheap.elf.target import Target
from bpfheap.errors import RelocationError
from bpfheap.platform.calls import KFUNC_BY_NAME
from bpfheap.platform.linux import kfunc_since


class Extern(StrEnum):
    """What an undefined symbol is, by the BTF section that declares it."""

    KFUNC = "function in .ksyms"
    KSYM = "variable in .ksyms"
    KCONFIG = "variable in .kconfig"


_SECTIONS = (".ksyms", ".kconfig")


@dataclass(frozen=True, slots=True)
class Declared:
    """`type_id` is that of the VAR or FUNC, `number` its place among all."""

    name: str
    kind: Extern
    type_id: int
    number: int

    @property
    def offered(self) -> str:
        """The name of a kfunc among those that bpfheap offers: flavours are one kfunc."""
        return self.name if self.name in KFUNC_BY_NAME else essential_name(self.name)


class Externs:
    """The externs of one object. Without a target, all that is declared is taken to be there."""

    def __init__(self, btf: Btf, target: Target | None, config: Config) -> None:
        self._btf = btf
        self._target = target
        self.by_name: dict[str, Declared] = {}
        self.config = config
        for kind in btf.types:
            if not isinstance(kind, Datasec) or kind.name not in _SECTIONS:
                continue
            for entry in kind.vars:
                found = btf[entry.type]
                if isinstance(found, Func):
                    self._add(found.name, Extern.KFUNC, entry.type)
                elif isinstance(found, Var):
                    in_ksyms = kind.name == ".ksyms"
                    self._add(found.name, Extern.KSYM if in_ksyms else Extern.KCONFIG, entry.type)

    def _add(self, name: str, kind: Extern, type_id: int) -> None:
        self.by_name[name] = Declared(name, kind, type_id, len(self.by_name))

    def is_there(self, declared: Declared, *, weak: bool) -> bool:
        """False for a weak extern that the kernel lacks. Raises RelocationError, without a place,
        for one that is not weak, and for one of another type."""
        if self._target is None:
            return True
        if declared.kind is Extern.KFUNC:
            return self._has_function(self._target, declared, weak)
        var = self._btf[declared.type_id]
        assert isinstance(var, Var)
        if isinstance(self._btf[self._btf.resolve(var.type)], Void):
            return self._has_symbol(self._target, declared, weak)
        return self._has_variable(self._target, declared, var, weak)

    def _has_function(self, target: Target, declared: Declared, weak: bool) -> bool:
        since = kfunc_since(declared.offered)
        if since is not None and since > target.release():
            return self._lacks(declared, weak, "function")
        if declared.name in KFUNC_BY_NAME:
            # What bpfheap offers is there on any kernel.
            return True
        types = target.types()
        offered = declared.offered in KFUNC_BY_NAME
        if types is None:
            return offered or not weak
        place = _place(target, types, essential_name(declared.name), Func)
        if place is None:
            return offered or self._lacks(declared, weak, "function")
        types, found = place
        mine, theirs = self._btf[declared.type_id], types[found]
        assert isinstance(mine, Func)
        assert isinstance(theirs, Func)
        if types_are_compatible(self._btf, mine.type, types, theirs.type):
            return True
        if weak:
            return False
        raise RelocationError(
            f"kfunc {declared.name} has other parameters in the kernel than it is declared with",
            hint=f"take its declaration from the kernel's own vmlinux.h ({types.file})",
        )

    def _has_symbol(self, target: Target, declared: Declared, weak: bool) -> bool:
        """One without a type, which is looked for in the list of all symbols
        (bpf_object__read_kallsyms_file)."""
        there = target.has_symbol(declared.name)
        if there is not False:
            # Where nobody knows it is taken to be there.
            return True
        if weak or target.types() is not None:
            return self._lacks(declared, weak, "symbol")
        return True

    def _has_variable(self, target: Target, declared: Declared, var: Var, weak: bool) -> bool:
        types = target.types()
        if types is None:
            return not weak
        place = _place(target, types, declared.name, Var)
        if place is None:
            return self._lacks(declared, weak, "variable")
        types, found = place
        theirs = types[found]
        assert isinstance(theirs, Var)
        mine_id, their_id = self._btf.resolve(var.type), types.resolve(theirs.type)
        if not types_are_compatible(self._btf, mine_id, types, their_id):
            raise RelocationError(
                f"{declared.name} is {types.c_name(theirs.type)} in the kernel, and declared as "
                f"{self._btf.c_name(var.type)}"
            )
        return True

    def _lacks(self, declared: Declared, weak: bool, what: str) -> bool:
        if weak:
            return False
        raise RelocationError(
            f"the kernel has no {what} {declared.name}",
            hint="declare it `__ksym __weak` and test its address before it is used",
        )


def _place(
    target: Target, types: LazyBtf, name: str, kind: type[BtfType]
) -> tuple[LazyBtf, int] | None:
    """find_ksym_btf_id: in the kernel, then in its modules."""
    found = types.find(name, kind)
    if found is not None:
        return types, found
    for module in target.modules():
        found = module.find(name, kind)
        if found is not None:
            return module, found
    return None
