"""Lists and trees as users and policies see them."""

from __future__ import annotations

from pathlib import Path

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import UsageError
from bpfheap.lifetime import FieldId, UnloadWalk, View
from bpfheap.runtime.facts import OwningField, owning_fields
from bpfheap.verifier import Verdict
from bpfheap.verifier.flows import Holder

LISTS = Path(__file__).parents[1] / "explore" / "containers" / "lists.bpf.c"


@pytest.fixture(autouse=True)
def unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine and the policies do is asked for here, whatever the verifier thinks."""
    monkeypatch.setattr(
        "bpfheap.api.runtime.verify",
        lambda obj, program, options: Verdict(program.name, 0, 0, ()),
    )


def test_python_reads_lists_and_trees() -> None:
    with bpfheap.Runtime() as rt:
        obj = rt.load(LISTS)
        queues = obj.maps["queues"]
        assert (queues[0].head, queues[0].root) == ([], [])
        for _ in range(2):
            obj.programs["put"].run(bytes(192))
        value = queues[0]
        assert [(o.object, o.key) for o in value.head] == [("item#1", 6), ("item#2", 6)]
        assert [o.object for o in value.root] == ["item#2", "item#1"]
        with pytest.raises(UsageError, match="head is a bpf_list_head, which user space cannot"):
            queues[0] = {"head": value.head}
        queues[0] = {"head": [], "root": []}
        assert rt.allocators["ma"].stats().live == 0


def test_nothing_is_left_of_what_a_map_held() -> None:
    with bpfheap.Runtime(policy="live-count") as rt:
        obj = rt.load(LISTS)
        obj.programs["put"].run(bytes(192))
        allocator = rt.allocators["ma"]
        obj.close()
        rt.grace_period()
        assert not allocator.alive
        assert rt.close() == []


def test_the_walk_of_an_unloaded_program_sees_lists() -> None:
    with bpfheap.Runtime(policy="unload-walk") as rt:
        obj = rt.load(LISTS)
        queues = obj.maps["queues"].id
        for program in obj.programs.values():
            program.unload()
        rt.grace_period()
        policy = rt.system.policy
        assert isinstance(policy, UnloadWalk)
        assert policy.held == frozenset()

        again = rt.load(LISTS)
        again.programs["put"].run(bytes(192))
        for program in again.programs.values():
            program.unload()
        rt.grace_period()
        policy = rt.system.policy
        assert isinstance(policy, UnloadWalk)
        assert {h.map for h in policy.held} == {queues}


def test_a_list_is_read_once_for_each_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[FieldId, int | None]] = []
    really = UnloadWalk.walked

    def walked(
        self: UnloadWalk, program: int, field: FieldId, allocator: int | None, view: View
    ) -> UnloadWalk:
        seen.append((field, allocator))
        return really(self, program, field, allocator, view)

    monkeypatch.setattr(UnloadWalk, "walked", walked)
    with bpfheap.Runtime(policy="unload-walk") as rt:
        obj = rt.load(LISTS)
        queues, ma = obj.maps["queues"].id, rt.allocators["ma"].id
        obj.programs["put"].run(bytes(192))
        obj.programs["put"].run(bytes(192))
        # One object leaves the list, another the tree.
        obj.programs["take"].run(bytes(192))
        obj.programs["take"].unload()
        rt.grace_period()
    head, root = (FieldId(Holder.MAP, queues, path) for path in ("head", "root"))
    # At its unload, and at that of the other program.
    assert seen == [(head, ma), (root, ma)] * 2


def test_heads_are_fields_with_a_type_and_a_tag(tmp_path: Path) -> None:
    path = tmp_path / "heads.bpf.c"
    path.write_text("""
    #include <bpfheap.h>
    struct item { int var; struct bpf_list_node link; };
    struct { __uint(type, BPF_MAP_TYPE_ALLOCATOR); __type(value, struct item); } ma SEC(".maps");
    struct val {
        struct bpf_spin_lock lock;
        struct bpf_list_head plain __contains(item, link);
        struct bpf_list_head tagged __contains(item, link) __from(ma);
        struct item __kptr *ptr;
    };
    struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, 1);
        __type(key, __u32);
        __type(value, struct val);
    } m SEC(".maps");
    __kptr_type(struct item);
    SEC("tc") int p(struct __sk_buff *skb) { return bpf_mem_alloc(&ma, 1) != NULL; }
    """)
    fields = owning_fields(object_spec(path).maps["m"])
    assert fields == (
        OwningField("ptr", "item"),
        OwningField("plain", "item"),
        OwningField("tagged", "item", "ma"),
    )
