"""The rules of life, on the model machine: who holds whom, what waits, and in what order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bpfheap.compile import object_spec
from bpfheap.errors import LoadRefused, MapError, UsageError, VerifierError, Violation
from bpfheap.events import ObjectEvent, ObjectKind
from bpfheap.lifetime import FieldId, Global, LiveCount, Policy, Refusal, UsedAllocators, View
from bpfheap.machine.model import ModelMachine
from bpfheap.platform.maps import BY_NAME
from bpfheap.runtime.definitions import why_other_map
from bpfheap.runtime.facts import load_facts
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID, AtCall, Done
from bpfheap.runtime.objects import MapObject
from bpfheap.runtime.system import System
from bpfheap.runtime.world import Links
from bpfheap.spec import MapSpec, ObjectSpec
from bpfheap.verifier import verify
from bpfheap.verifier.flows import GLOBAL_ALLOCATOR, Field, Flow, FlowKind, Holder

EXAMPLES = Path(__file__).parents[2] / "examples" / "three_programs"


@cache
def spec(name: str) -> ObjectSpec:
    return object_spec(EXAMPLES / f"{name}.bpf.c")


class Loader:
    """Loads the three programs into a system the way a loader without a runtime would."""

    def __init__(self, policy: Policy) -> None:
        self.system = System(policy, ModelMachine())
        self.fds: dict[str, int] = {}
        self.own: dict[str, list[int]] = {}

    def load(self, name: str) -> int:
        system, obj = self.system, spec(name)
        btf = system.btf_load(obj.btf)
        own: list[int] = [btf]
        ids: dict[str, int] = {}
        for map_spec in obj.maps.values():
            known = system.find_map(map_spec.name)
            if known is None:
                fd = system.map_create(map_spec, btf, ids)
            else:
                fd = system.map_share(known, map_spec)
            ids[map_spec.name] = system.map_of(fd).id
            self.fds[map_spec.name] = fd
            own.append(fd)
        program = obj.programs[name]
        fd = system.program_load(program, verify(obj, program), btf, ids)
        own.append(fd)
        self.fds[name] = fd
        self.own[name] = own
        return fd

    def unload(self, name: str) -> None:
        """Close all that loading gave: what others hold stays."""
        for fd in self.own.pop(name):
            self.system.close(fd)

    def settle(self) -> None:
        while self.system.grace_period():
            pass

    def names(self) -> set[str]:
        return {m.name for m in self.system.maps.values()}


@pytest.fixture
def live() -> Loader:
    return Loader(LiveCount())


def until_p3_is_alone(loader: Loader) -> None:
    for name in ("p1", "p3", "p2"):
        loader.load(name)
    loader.system.run(loader.fds["p2"])
    loader.system.run(loader.fds["p1"])
    loader.unload("p2")
    loader.unload("p1")
    loader.settle()


def test_maps_go_with_their_last_holder(live: Loader) -> None:
    until_p3_is_alone(live)
    assert live.names() == {"m2"}
    assert [p.name for p in live.system.programs.values()] == ["p3"]


def test_live_count_keeps_the_allocator_exactly_as_long_as_its_object(live: Loader) -> None:
    until_p3_is_alone(live)
    (allocator,) = live.system.allocators.values()
    assert allocator.closed
    assert live.system.live(allocator.id) == 1
    live.system.run(live.fds["p3"])
    assert live.system.allocators == {}


def test_live_count_frees_the_object_with_the_map(live: Loader) -> None:
    until_p3_is_alone(live)
    live.unload("p3")
    assert live.system.allocators
    live.settle()
    assert live.system.allocators == {}
    assert live.system.maps == {}
    assert live.system.btfs == {}
    assert live.system.fds == {}


def test_used_allocators_frees_the_allocator_under_p3() -> None:
    loader = Loader(UsedAllocators())
    until_p3_is_alone(loader)
    assert loader.system.allocators == {}
    with pytest.raises(Violation) as seen:
        loader.system.run(loader.fds["p3"])
    assert seen.value.kind == "use-after-free"
    life = "\n".join(seen.value.life)
    for place in ("p2.bpf.c:", "p1.bpf.c:", "p3.bpf.c:"):
        assert place in life


def test_used_allocators_frees_the_allocator_under_m2() -> None:
    loader = Loader(UsedAllocators())
    until_p3_is_alone(loader)
    loader.unload("p3")
    with pytest.raises(Violation) as seen:
        loader.settle()
    assert seen.value.kind == "use-after-free"
    assert "m2" in str(seen.value)


def test_used_allocators_is_right_in_the_other_order() -> None:
    loader = Loader(UsedAllocators())
    for name in ("p2", "p1", "p3"):
        loader.load(name)
    loader.system.run(loader.fds["p2"])
    loader.system.run(loader.fds["p1"])
    loader.unload("p2")
    loader.unload("p1")
    loader.settle()
    assert loader.system.allocators
    loader.system.run(loader.fds["p3"])
    loader.unload("p3")
    loader.settle()
    assert loader.system.allocators == {}


def test_global_keeps_the_allocator_for_good() -> None:
    loader = Loader(Global())
    until_p3_is_alone(loader)
    loader.system.run(loader.fds["p3"])
    loader.unload("p3")
    loader.settle()
    assert [a.name for a in loader.system.allocators.values()] == ["ma"]


def test_unload_touches_no_map_content(live: Loader) -> None:
    live.load("p2")
    live.load("p1")
    live.system.run(live.fds["p2"])
    live.unload("p2")
    live.settle()
    m1 = live.system.map_of(live.fds["m1"]).id
    (kptr,) = live.system.machine.map_kptrs(m1, bytes(4))
    assert kptr.type_name == "foo"
    assert int.from_bytes(kptr.data, "little") == 42


def test_a_running_program_delays_its_own_end_and_that_of_its_maps(live: Loader) -> None:
    live.load("p2")
    execution = live.system.start(live.fds["p2"])
    stop = live.system.step(execution)
    assert isinstance(stop, AtCall)
    assert stop.name == "bpf_map_update_elem"
    live.unload("p2")
    live.settle()
    assert [p.name for p in live.system.programs.values()] == ["p2"]
    assert live.names() == {"ma", "m1"}
    calls = []
    while not isinstance(stop := live.system.step(execution), Done):
        calls.append(stop.name)
    assert calls == ["bpf_map_lookup_elem", "bpf_mem_alloc", "bpf_kptr_xchg"]
    live.settle()
    assert live.system.programs == {}
    assert live.names() == set()
    assert live.system.allocators == {}


def test_nothing_is_freed_before_a_grace_period(live: Loader) -> None:
    live.load("p3")
    live.unload("p3")
    assert live.names() == {"m2"}
    assert live.system.grace_period()  # the program
    assert live.names() == {"m2"}
    assert live.system.grace_period()  # its map
    assert live.names() == set()
    assert not live.system.grace_period()


def test_a_pin_keeps_a_map(live: Loader) -> None:
    live.load("p2")
    live.system.pin(live.fds["m1"], "/m1")
    live.system.run(live.fds["p2"])
    live.unload("p2")
    live.settle()
    assert live.names() == {"m1"}
    assert len(live.system.allocators) == 1
    with pytest.raises(UsageError, match="pinned already"):
        live.system.pin(live.system.open_pin("/m1"), "/m1")
    live.system.close(max(live.system.fds))
    live.system.unpin("/m1")
    live.settle()
    assert live.names() == set()
    assert live.system.allocators == {}


def test_a_map_that_is_being_freed_is_not_found_by_name(live: Loader) -> None:
    live.load("p3")
    first = live.system.map_of(live.fds["m2"]).id
    live.unload("p3")
    live.system.grace_period()
    assert live.names() == {"m2"}
    live.load("p3")
    assert live.system.map_of(live.fds["m2"]).id != first


@dataclass(frozen=True, slots=True)
class Recording(LiveCount):
    """Live count, and the order in which it was told things."""

    events: tuple[str, ...] = ()

    def map_freed(self, map_id: int, view: View) -> Recording:
        assert isinstance(view, System)
        held = sum(view.live(allocator) for allocator in view.allocators)
        return Recording((*self.events, f"map {view.map_name(map_id)} freed, {held} objects"))

    def unloaded(self, program: int, view: View) -> Recording:
        return Recording((*self.events, "program freed"))

    def btf_freed(self, btf: int, view: View) -> Recording:
        return Recording((*self.events, "btf freed"))


def test_order_of_a_map_s_end() -> None:
    """Values are freed before the policy hears of it, and the BTF goes last."""
    loader = Loader(Recording())
    loader.load("p2")
    loader.system.run(loader.fds["p2"])
    loader.unload("p2")
    loader.settle()
    assert isinstance(loader.system.policy, Recording)
    assert loader.system.policy.events[0] == "program freed"
    assert set(loader.system.policy.events[1:3]) == {
        "map m1 freed, 0 objects",
        "map ma freed, 0 objects",
    }
    assert loader.system.policy.events[3] == "btf freed"


def bad_calls(loader: Loader) -> Iterator[tuple[str, object]]:
    system = loader.system
    yield "not open", lambda: system.close(99)
    yield "not a program", lambda: system.start(loader.fds["m2"])
    yield "not a map", lambda: system.map_update(loader.fds["p3"], bytes(4), bytes(8))
    yield "nothing is pinned", lambda: system.unpin("/none")
    yield "nothing is pinned", lambda: system.open_pin("/none")
    yield "no map with id 99", lambda: system.map_open(99)
    yield "no program with id 99", lambda: system.program_open(99)
    yield (
        "signals run no programs on the model machine",
        lambda: system.attach(loader.fds["p3"], 10, 0),
    )
    yield (
        "programs of the model machine have no entry",
        lambda: system.entry(loader.fds["p3"], None),
    )
    yield "programs of the model machine have no entry", lambda: system.context(b"", {})


def test_wrong_descriptors_are_usage_errors(live: Loader) -> None:
    live.load("p3")
    for message, call in bad_calls(live):
        assert callable(call)
        with pytest.raises(UsageError, match=message):
            call()


def test_what_is_there_can_be_opened_by_its_id(live: Loader) -> None:
    """And stays as long as the new descriptor, though it has no other."""
    live.load("p3")
    program = live.system.program_of(live.fds["p3"]).id
    m2 = live.system.map_of(live.fds["m2"]).id
    fd, map_fd = live.system.program_open(program), live.system.map_open(m2)
    live.unload("p3")
    live.settle()
    assert live.system.program_of(fd).id == program
    assert live.system.map_of(map_fd).id == m2
    live.system.close(fd)
    live.system.close(map_fd)
    live.settle()
    assert live.names() == set()
    with pytest.raises(UsageError, match=f"no program with id {program}"):
        live.system.program_open(program)


def test_user_space_gets_the_kernel_s_errors(live: Loader) -> None:
    live.load("p3")
    with pytest.raises(MapError) as seen:
        live.system.map_delete(live.fds["m2"], bytes(4))
    assert seen.value.errno_name == "ENOENT"


class Signalled(ModelMachine):
    """A machine with signals and short ways in, which keeps what it is told."""

    asked: ClassVar[list[tuple[object, ...]]] = []

    def attach(self, program: int, signal: int, hz: int) -> Any:
        self.asked.append((program, signal, hz))

    def entry(self, program: int, cpu: int | None) -> Any:
        self.asked.append((program, cpu))

    def context(self, ctx: bytes, links: Links) -> bytes:
        self.asked.append((ctx, links))
        return ctx

    def note(self, sentence: str) -> None:
        self.asked.append((sentence,))


def test_a_machine_with_signals_and_entries_is_asked_for_them() -> None:
    loader = Loader(LiveCount())
    machine = Signalled()
    loader.system = System(LiveCount(), machine)
    loader.load("p3")
    program = loader.system.program_of(loader.fds["p3"]).id
    machine.asked.clear()
    loader.system.attach(loader.fds["p3"], 10, 99)
    loader.system.entry(loader.fds["p3"], 3)
    assert loader.system.context(b"x", {}) == b"x"
    loader.system.detached(10)
    assert machine.asked == [
        (program, 10, 99),
        ("p3 runs on signal 10",),
        (program, 3),
        (b"x", {}),
        ("signal 10 runs nothing any more",),
    ]


def test_a_free_that_a_policy_sees_go_wrong_is_a_violation() -> None:
    @dataclass(frozen=True, slots=True)
    class Suspicious(LiveCount):
        watches_objects = True

        def misdirected(self, event: ObjectEvent, view: View) -> str | None:
            return "it goes elsewhere" if event.kind is ObjectKind.FREE else None

    loader = Loader(Suspicious())
    until_p3_is_alone(loader)
    with pytest.raises(Violation, match="it goes elsewhere") as seen:
        loader.system.run(loader.fds["p3"])
    assert seen.value.kind == "use-after-free"
    assert loader.system.machine.object_events == []


def test_the_global_allocator_has_a_name(live: Loader) -> None:
    assert live.system.allocator_name(GLOBAL_ALLOCATOR_ID) == GLOBAL_ALLOCATOR


def test_what_the_global_allocator_made_is_stored_as_its() -> None:
    obj, (m1,) = spec("p2"), [m for m in spec("p2").maps.values() if m.name == "m1"]
    map_object = MapObject(7, "m1", 1)
    stored = Flow(FlowKind.STORE, GLOBAL_ALLOCATOR, Field(Holder.MAP, "m1", "ptr"))
    facts = load_facts(1, obj.programs["p2"], 1, (stored,), {"m1": map_object}, {7: m1}.__getitem__)
    (flow,) = facts.flows
    assert (flow.source, flow.field) == (
        GLOBAL_ALLOCATOR_ID,
        FieldId(Holder.MAP, 7, "ptr"),
    )


def test_a_map_that_names_one_that_is_not_there(live: Loader) -> None:
    obj = spec("p3")
    named = replace(obj.maps["m2"], kptr_allocator="elsewhere")
    with pytest.raises(LoadRefused, match="m2 names map elsewhere, which is not there"):
        live.system.map_create(named, live.system.btf_load(obj.btf), {})


def test_an_inner_map_has_the_allocator_that_the_outer_one_names(live: Loader) -> None:
    """An allocator of the same name is none."""
    system, obj = live.system, spec("p2")
    btf = system.btf_load(obj.btf)
    first, second = (system.map_of(system.map_create(obj.maps["ma"], btf, {})).id for _ in range(2))
    named = replace(obj.maps["m1"], kptr_allocator="ma")
    outer = replace(
        named, name="outer", type=BY_NAME["array_of_maps"].number, max_entries=1,
        key_size=4, value_size=4, key=0, value=0, inner=replace(named, name="outer.inner"),
        inner_names=("inner",),
    )  # fmt: skip
    fd = system.map_create(replace(named, name="inner"), btf, {"ma": first})
    inner = system.map_of(fd).id
    system.map_create(outer, btf, {"ma": first, "inner": inner})
    with pytest.raises(LoadRefused, match="its kptr_allocator is another one, ma, not ma"):
        system.map_create(outer, btf, {"ma": second, "inner": inner})


def test_a_rejected_program_is_not_loaded(live: Loader) -> None:
    obj = spec("p3")
    program = obj.programs["p3"]
    verdict = verify(obj, program)
    broken = type(verdict)("p3", 0, 0, (), VerifierError("no"))
    with pytest.raises(VerifierError):
        live.system.program_load(program, broken, live.system.btf_load(obj.btf), {})
    assert live.system.programs == {}


def test_a_refused_program_leaves_nothing_behind() -> None:
    @dataclass(frozen=True, slots=True)
    class Never(LiveCount):
        def refuse(self, facts: object, view: View) -> Refusal:
            return Refusal("it is Monday")

    loader = Loader(Never())
    with pytest.raises(LoadRefused, match="it is Monday"):
        loader.load("p3")
    assert loader.system.programs == {}
    assert all(m.refs == 0 for m in loader.system.maps.values())


def test_a_refused_map_leaves_nothing_behind(live: Loader) -> None:
    system, obj = live.system, spec("p3")
    btf = system.btf_load(obj.btf)
    plain = system.map_create(obj.maps["m2"], btf, {})
    odd = replace(obj.maps["m2"], name="odd", kptr_allocator="m2")
    with pytest.raises(LoadRefused, match="odd names m2 as its allocator, which is none"):
        system.map_create(odd, btf, {"m2": system.map_of(plain).id})
    assert [m.name for m in system.maps.values()] == ["m2"]
    with pytest.raises(UsageError):
        system.machine.map_keys(system.map_of(plain).id + 1)


@pytest.mark.parametrize("attribute", ["kptr_allocator", "elem_allocator"])
def test_a_map_has_the_allocator_that_all_its_definitions_name(
    live: Loader, attribute: str
) -> None:
    system, obj = live.system, spec("p2")
    btf = system.btf_load(obj.btf)
    ma = system.map_create(obj.maps["ma"], btf, {})
    of_ma: dict[str, Any] = {attribute: "ma"}
    of_mb: dict[str, Any] = {attribute: "mb"}
    named = replace(obj.maps["m1"], **of_ma)
    m1 = system.map_of(system.map_create(named, btf, {"ma": system.map_of(ma).id})).id
    with pytest.raises(LoadRefused, match=f"its {attribute} is ma in one definition and mb in the"):
        system.map_share(m1, replace(obj.maps["m1"], **of_mb))
    system.map_share(m1, named)
    system.map_share(m1, obj.maps["m1"])


def nested(spec: MapSpec | None, of: MapSpec) -> MapSpec:
    return replace(of, inner=spec)


M1, M2 = spec("p2").maps["m1"], spec("p3").maps["m2"]


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (M1, M1, None),
        (M1, replace(M1, max_entries=9), "its max_entries is 123 in one definition and 9 in the"),
        (M1, replace(M1, value=0), "its value has a type in one definition and none in the other"),
        (nested(M2, M1), M1, "only one definition has a template for inner maps"),
        (nested(M2, M1), nested(M2, M1), None),
        (
            nested(M2, M1),
            nested(replace(M2, flags=1), M1),
            "the templates for inner maps differ: its flags is 0 in one definition and 1 in the",
        ),
    ],
    ids=["same", "attribute", "no type", "no template", "same template", "other template"],
)
def test_two_definitions_of_one_map(one: MapSpec, other: MapSpec, why: str | None) -> None:
    for a, b in ((one, other), (other, one)):
        told = why_other_map(a, b)
        assert (told is None) == (why is None), told
    assert (why_other_map(one, other) or "").startswith(why or "")
