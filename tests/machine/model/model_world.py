"""A small world for the model machine: types, maps by name, programs in assembly.

The types are  struct foo { int var; };  struct node { int var; struct node *next __kptr; };
struct map_val { int n; struct foo *ptr __kptr; };  struct node_val { struct node *head __kptr; };
"""

from __future__ import annotations

from typing import Any

from bpfheap.btf import Btf, BtfBuilder, Int, Member, Ptr, Struct, TypeTag
from bpfheap.isa import assemble
from bpfheap.machine.model import ModelMachine
from bpfheap.platform.calls import HELPERS
from bpfheap.platform.maps import BY_NAME
from bpfheap.runtime.machine import AtCall, Context, Done
from bpfheap.spec import MapSpec, ProgramSpec, Ref, RefKind, SourceLine, SubprogSpec

NUMBERS = {row.name: row.number for row in HELPERS}


def _types() -> tuple[Btf, dict[str, int]]:
    b = BtfBuilder()
    ids: dict[str, int] = {}
    integer = b.add(Int("int", 4, 1, 0, 32))
    ids["foo"] = b.add(Struct("foo", 4, (Member("var", integer, 0),)))
    # The pointer to node is three types further on.
    ids["node"] = b.add(Struct("node", 16, (Member("var", integer, 0), Member("next", 6, 64))))
    foo_ptr = b.add(Ptr(b.add(TypeTag("kptr", ids["foo"]))))
    assert foo_ptr == 5
    # Ids are given in order: the pointer is 6, its tag 7.
    assert b.add(Ptr(7)) == 6
    assert b.add(TypeTag("kptr", ids["node"])) == 7
    ids["map_val"] = b.add(
        Struct("map_val", 16, (Member("n", integer, 0), Member("ptr", foo_ptr, 64)))
    )
    ids["node_val"] = b.add(Struct("node_val", 8, (Member("head", 6, 0),)))
    ids["int"] = integer
    return b.build(), ids


BTF, TYPES = _types()


class World:
    """`maps` and `programs` are ids by name; the allocator of map "ma" has id 100."""

    def __init__(self, **options: Any) -> None:
        self.machine = ModelMachine(**options)
        self.maps: dict[str, int] = {}
        self.programs: dict[str, int] = {}
        self.allocator = 100

    def add_allocator(self, name: str = "ma", capacity: int = 0) -> None:
        self.machine.allocator_create(self.allocator, name, capacity)
        self.add_map(name, "allocator", key_size=0, value_size=0, allocator=self.allocator)

    def add_map(
        self,
        name: str,
        type_name: str = "hash",
        *,
        value: str | None = None,
        key_size: int = 4,
        value_size: int = 8,
        max_entries: int = 4,
        allocator: int | None = None,
        inner: dict[int, int] | None = None,
        **fields: Any,
    ) -> int:
        type_id = TYPES[value] if value is not None else 0
        spec = MapSpec(
            name,
            BY_NAME[type_name].number,
            key_size,
            BTF.size_of(type_id) if type_id else value_size,
            max_entries,
            BTF,
            value=type_id,
            **fields,
        )
        map_id = len(self.maps) + 1
        self.machine.map_create(map_id, spec, allocator, inner or {})
        self.maps[name] = map_id
        return map_id

    def load(self, name: str, text: str, section: str = "tc") -> int:
        """Slot n of the program is line n + 1 of NAME.bpf.c."""
        made = assemble(text, helper_number=NUMBERS.get)
        refs = {
            slot: Ref(RefKind(s.kind), s.name, s.offset, made.labels.get(s.name, -1))
            for slot, s in made.refs.items()
        }
        spec = ProgramSpec(
            name,
            section,
            made.insns,
            refs,
            (SubprogSpec(name, 0, len(made.insns), 0, True),),
            {i: SourceLine(f"src/{name}.bpf.c", i + 1) for i in range(len(made.insns))},
            BTF,
            file=f"src/{name}.bpf.c",
        )
        program = len(self.programs) + 200
        self.machine.program_load(program, spec, self.maps)
        self.programs[name] = program
        return program

    def start(self, name: str, ctx: bytes = b"", cpu: int = 0) -> int:
        return self.machine.start(self.programs[name], ctx, cpu=cpu, context=Context.TASK)

    def finish(self, execution: int) -> int:
        while not isinstance(stop := self.machine.step(execution), Done):
            pass
        return stop.retval

    def run(self, name: str, ctx: bytes = b"", cpu: int = 0) -> int:
        return self.finish(self.start(name, ctx, cpu))

    def run_text(self, text: str, **where: Any) -> int:
        name = f"t{len(self.programs)}"
        self.load(name, text)
        return self.run(name, **where)

    def step_to(self, execution: int, call: str) -> None:
        """On until the execution stands before that call."""
        while (stop := self.machine.step(execution)) and not isinstance(stop, Done):
            if stop.name == call:
                return
        raise AssertionError(f"never came to {call}")


def calls_of(world: World, execution: int) -> list[str]:
    """The names of the calls that it makes until it ends."""
    seen: list[str] = []
    while isinstance(stop := world.machine.step(execution), AtCall):
        seen.append(stop.name)
    return seen


#: Key 0 at r10-4, for map calls: r2 points to it.
KEY = """
    *(u32 *)(r10 -4) = 0
    r2 = r10
    r2 += -4
"""


def lookup(map_name: str) -> str:
    """r0 = the value of key 0, with an exit (r0 = 0) if there is none."""
    return f"""
    {KEY}
    r1 = map[name:{map_name}] ll
    call bpf_map_lookup_elem
    if r0 != 0x0 goto pc+2
    r0 = 0
    exit
"""


def alloc(type_name: str = "foo") -> str:
    """r0 = a new object of ma, with an exit (r0 = 0) if there is none."""
    return f"""
    r1 = map[name:ma] ll
    r2 = {TYPES[type_name]}
    call kfunc bpf_mem_alloc
    if r0 != 0x0 goto pc+2
    r0 = 0
    exit
"""


#: Put a new foo into hash map m1, key 0, whose element must be there.
STORE = f"""
    {lookup("m1")}
    r6 = r0
    {alloc()}
    *(u32 *)(r0 +0) = 42
    r2 = r0
    r1 = r6
    r1 += 8
    call bpf_kptr_xchg
    if r0 == 0x0 goto pc+2
    r1 = r0
    call kfunc unit_free
    r0 = 1
    exit
"""

#: Move the kptr of m1 into m2, free what was there.
MOVE = f"""
    {lookup("m2")}
    r7 = r0
    {lookup("m1")}
    r1 = r0
    r1 += 8
    r2 = 0
    call bpf_kptr_xchg
    if r0 == 0x0 goto out
    r2 = r0
    r1 = r7
    r1 += 8
    call bpf_kptr_xchg
    if r0 == 0x0 goto out
    r1 = r0
    call kfunc unit_free
out:
    r0 = 1
    exit
"""

#: Take the kptr of m2 and free it.
TAKE = f"""
    {lookup("m2")}
    r1 = r0
    r1 += 8
    r2 = 0
    call bpf_kptr_xchg
    if r0 == 0x0 goto out
    r1 = r0
    call kfunc unit_free
out:
    r0 = 1
    exit
"""


def seeded(**options: Any) -> World:
    """The seed's world: ma, m1, m2 with one element each, and p1, p2, p3 as there."""
    world = World(**options)
    world.add_allocator()
    for name in ("m1", "m2"):
        map_id = world.add_map(name, value="map_val")
        world.machine.map_update(map_id, bytes(4), bytes(16))
    world.load("p1", MOVE)
    world.load("p2", STORE)
    world.load("p3", TAKE)
    return world
