"""The kernel around a runtime's programs: a test makes its objects up, and programs find them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from bpfheap.api.arguments import octets, shown
from bpfheap.api.kernel.objects import KernelObject, Values, address_of, type_of
from bpfheap.api.kernel.types import KernelType, TypeSources
from bpfheap.api.kernel.views import socket_views
from bpfheap.api.session import Session
from bpfheap.btf import (
    BtfTypes,
    Datasec,
    FoundMember,
    Func,
    FuncProto,
    LazyBtf,
    Var,
    Void,
)
from bpfheap.errors import UsageError
from bpfheap.runtime.system import System
from bpfheap.runtime.world import Leads, Playing, Space
from bpfheap.vmlinux import Vmlinux

_TEXT_LIMIT = 4096
_WORD = 8
#: Where the kernel has the variables of which each CPU has one.
_PER_CPU = ".data..percpu"
#: RB_BLACK of struct rb_node: trees are balanced, and nobody looks at the colours.
_BLACK = 1


class Maker:
    """Makes objects of one type: `kernel.task_struct(pid=42)`."""

    def __init__(self, kernel: Kernel, of: KernelType) -> None:
        self._kernel = kernel
        self._type = of

    def __call__(self, **members: Any) -> KernelObject:
        """A new object, of zeros but for `members`. Raises UsageError for a member that is not
        there and a value that does not fit."""
        return self._kernel.make(self._type, members)

    def __repr__(self) -> str:
        return f"<objects of {self._type.name}>"


class Kernel(Values):
    """What is around the programs of a runtime. `kernel.task_struct(pid=42, comm="sh")` makes an
    object of any struct of the kernel's BTF, or, without any, of the loaded files'.

    What nobody sets is 0; but pointers that the kernel promises to be never NULL lead to an object
    of zeros (`task.real_parent`: to the task itself). With `strict`, what is made from then on has
    none of these, and a program that reads what was not set ends with a Violation.
    """

    def __init__(
        self, session: Session, source: Vmlinux, loaded: Sequence[BtfTypes], cpus: int
    ) -> None:
        self.cpus = cpus
        self.strict = False
        self.types = TypeSources(self._sources)
        self.types_of: dict[int, KernelType] = {}
        self.variables = Variables(self)
        self._session = session
        self.source = source
        self.loaded = loaded
        self._numbers: dict[str, int] = {}
        self._defaults: dict[int, KernelObject] = {}
        #: What was put into maps that say where the arguments of static probes are, by their ids.
        self.static_probes: dict[int, bytes] = {}

    @property
    def system(self) -> System:
        return self._session.system

    @property
    def machine(self) -> Playing:
        """Raises UsageError for a machine that plays no kernel."""
        machine = self._session.system.playing
        if machine is None:
            name = self._session.system.machine.name
            raise UsageError(
                f"there is no kernel around programs on the {name} machine",
                hint='use machine="model"',
            )
        return machine

    def __getattr__(self, name: str) -> Maker:
        # Copying and reflection ask for names that no struct has.
        if name.startswith("_"):
            raise AttributeError(name)
        return Maker(self, self.types.named(name))

    def new(self, type_name: str, **members: Any) -> KernelObject:
        """An object of a type by its name: "struct file", "u64". Raises UsageError."""
        return self.make(self.types.named(type_name), members)

    def make(self, of: KernelType, members: Mapping[str, Any]) -> KernelObject:
        """The same of a type that is known already."""
        self._session._check()
        made = self._zeros(of, strict=self.strict)
        if not self.strict:
            for name, target in of.never_null():
                if name not in members:
                    mine = target.type_id == of.type_id
                    made[name] = made if mine else self.default(target)
        return made.set(**members)

    def default(self, of: KernelType) -> KernelObject:
        """An object of zeros that stands for one that nobody made; one for each type."""
        found = self._defaults.get(of.type_id)
        if found is None:
            found = self._defaults[of.type_id] = self._zeros(of)
            for name, target in of.never_null():
                found[name] = self.default(target)
        return found

    def _zeros(self, of: KernelType, *, strict: bool = False) -> KernelObject:
        number = self._numbers[of.name] = self._numbers.get(of.name, 0) + 1
        name, size = f"{of.name}#{number}", max(1, of.size)
        block = self.machine.block_create(name, size, of=of, strict=strict)
        self.types_of[block] = of
        return KernelObject(self, of, Leads(block))

    def object(self, block: int) -> KernelObject:
        """One that was made here, by its number, such as `to` of a Redirect. Raises UsageError if
        there is none."""
        if block not in self.types_of:
            raise UsageError(f"there is no object {block}")
        return KernelObject(self, self.types_of[block], Leads(block))

    def text(self, value: str | bytes) -> Leads:
        """Memory of the kernel with a text, and a NUL behind it."""
        return self.memory(value, Space.KERNEL)

    def user(self, value: str | bytes | Sequence[Any]) -> Leads:
        """Memory of user space: a text with a NUL behind it, bytes as they are, or a list of such,
        of numbers and of None: their addresses with NULL behind them, as those of a program's
        arguments are."""
        if isinstance(value, str):
            return self.memory(value, Space.USER)
        if is_list(value):
            at = self._bytes(bytes(_WORD * (len(value) + 1)), Space.USER)
            for i, one in enumerate(value):
                known = one is None or isinstance(one, int | Leads | KernelObject)
                to = self.led_to(None, 0, one, "") if known else self.user(one)
                if isinstance(to, Leads):
                    self.machine.block_point(at.block, _WORD * i, to)
                else:
                    self.machine.block_write(at.block, _WORD * i, to.to_bytes(_WORD, "little"))
            return at
        return self._bytes(octets(value, "memory of user space"), Space.USER)

    def memory(self, value: str | bytes | bytearray, space: Space) -> Leads:
        raw = value.encode() if isinstance(value, str) else octets(value, "a text")
        return self._bytes(raw + b"\0", space)

    def _bytes(self, raw: bytes, space: Space) -> Leads:
        what = "memory of user space" if space is Space.USER else "a text"
        block = self.machine.block_create(what, max(1, len(raw)), space=space)
        self.machine.block_write(block, 0, raw)
        return Leads(block)

    def text_at(self, leads: Leads) -> bytes:
        """What is there before a NUL."""
        found = bytearray()
        while len(found) < _TEXT_LIMIT:
            byte = self.machine.block_read(leads.block, leads.offset + len(found), 1)
            if byte == b"\0":
                break
            found += byte
        return bytes(found)

    def link(self, head: KernelObject, objects: Sequence[KernelObject], member: str) -> None:
        """Make a list: `head` is a struct list_head or hlist_head, such as `task["children"]`, and
        each object is in it by its `member`, a list_head or hlist_node: "sibling"."""
        nodes = [one[member] for one in objects]
        if type_of(head).name == "struct hlist_head":
            head.first = nodes[0] if nodes else None
            for before, after in pairwise([head, *nodes]):
                after.pprev = address_of(before)
            for node, after in zip(nodes, [*nodes[1:], None], strict=True):
                node.next = after
            return
        ring = [head, *nodes]
        for node, after in zip(ring, [*ring[1:], head], strict=True):
            node.next = after
            after.prev = node

    def tree(self, root: KernelObject, objects: Sequence[KernelObject], member: str) -> None:
        """Make a tree, of objects in their order: `root` is a struct rb_root or rb_root_cached, and
        each object is in it by its `member`, a struct rb_node."""
        nodes = [one[member] for one in objects]
        top = self._subtree(nodes, None)
        cached = type_of(root).name == "struct rb_root_cached"
        root["rb_root.rb_node" if cached else "rb_node"] = top
        if cached:
            root["rb_leftmost"] = nodes[0] if nodes else None

    def _subtree(
        self, nodes: list[KernelObject], parent: KernelObject | None
    ) -> KernelObject | None:
        if not nodes:
            return None
        middle = len(nodes) // 2
        top = nodes[middle]
        if parent is None:
            top["__rb_parent_color"] = _BLACK
        else:
            place = top._member("__rb_parent_color")
            at = address_of(top)
            to = address_of(parent)
            colour = Leads(to.block, to.offset + _BLACK)
            self.machine.block_point(at.block, at.offset + place.offset, colour)
        top["rb_left"] = self._subtree(nodes[:middle], top)
        top["rb_right"] = self._subtree(nodes[middle + 1 :], top)
        return top

    def _sources(self) -> Iterator[BtfTypes]:
        types = self.source.types()
        if types is not None:
            yield types
            yield from self.source.modules()
        yield from self.loaded
        yield socket_views()


def is_list(value: Any) -> bool:
    """A list that a test wrote; where something leads to is a tuple, too."""
    return isinstance(value, list | tuple) and not isinstance(value, Leads)


def is_per_cpu(btf: LazyBtf, var: int) -> bool:
    """Is there a copy of a variable for each CPU?"""
    at = btf.find(_PER_CPU, Datasec)
    section = None if at is None else btf[at]
    return isinstance(section, Datasec) and any(v.type == var for v in section.vars)


class Variables:
    """The kernel's variables: `kernel.variables["jiffies"] = 5`. Of one with a copy for each CPU, a
    list. One is made, as zeros, when somebody asks for it or a program that names it is loaded."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._types: dict[str, KernelType] = {}

    def __getitem__(self, name: str) -> Any:
        places = self.places(name)
        of = self._types[name]
        values = [self._kernel.read(of.btf, FoundMember(of.type_id, 0), place) for place in places]
        return values if len(values) > 1 else values[0]

    def __setitem__(self, name: str, value: Any) -> None:
        places = self.places(name)
        of = self._types[name]
        values = value if len(places) > 1 else [value]
        if not isinstance(values, list | tuple) or len(values) != len(places):
            raise UsageError(f"{name} takes a list of {len(places)} values, one for each CPU")
        for place, one in zip(places, values, strict=True):
            self._kernel.write(of.btf, FoundMember(of.type_id, 0), place, one, name)

    def places(self, name: str) -> tuple[Leads, ...]:
        """Where it is. Raises UsageError if the kernel has no such variable."""
        machine = self._kernel.machine
        found = machine.variables.get(name)
        if found is None:
            of, copies = self._find(name)
            size = max(1, of.size)
            found = tuple(
                Leads(machine.block_create(f"variable {name}", size, of=of)) for _ in range(copies)
            )
            self._types[name] = of
            machine.variables[name] = found
        return found

    def declare(self, btf: BtfTypes, name: str, type_id: int) -> None:
        """A variable that a program declares, and no BTF of a kernel has."""
        machine = self._kernel.machine
        if name in machine.variables:
            return
        try:
            self.places(name)
        except UsageError:
            of = KernelType(btf, type_id)
            sized = not isinstance(of.kind, Void)
            block = machine.block_create(f"variable {name}", of.size if sized else 1, of=of)
            self._types[name] = of
            machine.variables[name] = (Leads(block),)

    def _find(self, name: str) -> tuple[KernelType, int]:
        for btf in self._kernel._sources():
            if not isinstance(btf, LazyBtf):
                continue
            at = btf.find(name, Var)
            kind = None if at is None else btf[at]
            if isinstance(kind, Var) and at is not None:
                copies = self._kernel.cpus if is_per_cpu(btf, at) else 1
                return KernelType(btf, kind.type), copies
        raise UsageError(f"the kernel has no variable {shown(name)} with a type")


def prototype_of(kernel: Kernel, function: str) -> tuple[BtfTypes, FuncProto] | None:
    """A function of the kernel or of its modules, and where its types are; None for one that their
    BTF does not have."""
    types = kernel.source.types()
    for btf in () if types is None else (types, *kernel.source.modules()):
        at = btf.find(function, Func)
        func = None if at is None else btf[at]
        proto = btf[func.type] if isinstance(func, Func) else None
        if isinstance(proto, FuncProto):
            return btf, proto
    return None
