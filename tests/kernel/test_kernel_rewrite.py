"""Objects with allocators, as objects on the kernel's own: what changes and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfheap.btf import Func, KptrKind, Ptr, kptr_fields
from bpfheap.compile import object_spec
from bpfheap.errors import KernelUnsupported
from bpfheap.kernel import Kernel
from bpfheap.kernel.rewrite import without_allocators
from bpfheap.spec import ObjectSpec, RefKind

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("three_programs/p1", "inner_map/fill", "nested/build", "churn/tick")

SOURCE = """
#include <bpfheap.h>
struct parcel { int weight; };
struct shelf {
	struct parcel *after __kptr __local;
	struct parcel __kptr __local *before;
	struct parcel *many[2] __kptr;
	struct parcel *plain;
};
struct { __uint(type, BPF_MAP_TYPE_ALLOCATOR); __uint(max_entries, 1); } ma SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
	__type(key, __u32); __type(value, struct shelf);
	__kptr_allocator(ma);
} shelves SEC(".maps");
char LICENSE[] SEC("license") = "GPL";

#define STORE(field)                                                               \\
	__u32 key = 0;                                                              \\
	struct shelf *s = bpf_map_lookup_elem(&shelves, &key);                      \\
	struct parcel *p;                                                           \\
	if (!s)                                                                     \\
		return 0;                                                           \\
	p = bpf_mem_alloc(&ma, type_id_local(struct parcel));                       \\
	if (!p)                                                                     \\
		return 0;                                                           \\
	p->weight = 42;                                                             \\
	p = bpf_kptr_xchg(&s->field, p);                                            \\
	if (p)                                                                      \\
		unit_free(p);                                                       \\
	return 7;

SEC("tc") int after(void *ctx) { STORE(after) }
SEC("tc") int before(void *ctx) { STORE(before) }
SEC("tc") int many(void *ctx) { STORE(many[1]) }
SEC("tc") int plain(void *ctx) { STORE(plain) }
SEC("syscall") int prefill(void *ctx) { return bpf_mem_prefill(&ma, 1); }
SEC("tc") int leak(void *ctx)
{
	return bpf_mem_alloc(&ma, type_id_local(struct parcel)) != NULL;
}
"""


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    path = tmp_path_factory.mktemp("rewrite") / "shelves.bpf.c"
    path.write_text(SOURCE)
    return object_spec(path)


@pytest.fixture(scope="module")
def rewriting(kernel: Kernel) -> Kernel:
    return Kernel(rewrite=True)


def test_no_instruction_moves(shelves: ObjectSpec) -> None:
    done = without_allocators(shelves)
    old, new = shelves.programs["after"], done.programs["after"]
    entry = old.subprogs[0]
    assert new.subprogs[: len(old.subprogs)] == old.subprogs
    assert [s.name for s in new.subprogs[1:]] == ["bpf_mem_alloc", "unit_free"]
    changed = [slot for slot in range(entry.end) if old.insns[slot] != new.insns[slot]]
    gone = {slot for slot, ref in old.refs.items() if slot not in new.refs}
    assert set(changed) <= gone
    assert {r.name for r in new.refs.values()} == {
        "shelves",
        "bpf_obj_new_impl",
        "bpf_obj_drop_impl",
    }
    assert not any(r.kind is RefKind.MAP and r.name == "ma" for r in new.refs.values())
    for sub in new.subprogs[1:]:
        assert isinstance(done.btf[sub.func_id], Func)
        assert sub.start in new.lines


def test_types_keep_their_ids_and_get_tags(shelves: ObjectSpec) -> None:
    done = without_allocators(shelves)
    assert "ma" not in done.maps
    spec = done.maps["shelves"]
    assert spec.kptr_allocator is None
    assert spec.btf is done.btf
    value = spec.value
    assert done.btf.c_name(value) == shelves.btf.c_name(value) == "struct shelf"
    fields = kptr_fields(done.btf, value)
    assert [f.path for f in fields] == ["after", "before", "many[0]", "many[1]"]
    assert {f.kind for f in fields} == {KptrKind.KPTR}
    struct = done.btf[value]
    tags = [done.btf.type_tags(m.type) for m in struct.members]  # type: ignore[union-attr]
    assert tags == [("kptr",), ("kptr",), (), ()]
    many = done.btf[struct.members[2].type]  # type: ignore[union-attr]
    assert done.btf.type_tags(many.type) == ("kptr",)  # type: ignore[union-attr]
    assert isinstance(done.btf[struct.members[3].type], Ptr)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("after", ""),
        ("before", ""),
        ("many", ""),
        ("plain", "point to kptr"),
        ("leak", "reference leak"),
    ],
)
def test_the_kernel_judges(rewriting: Kernel, shelves: ObjectSpec, name: str, message: str) -> None:
    verdict = rewriting.verify(shelves, shelves.programs[name], log=True)
    assert verdict.accepted == (not message), verdict.log
    assert message in verdict.message
    assert "; bpf_mem_alloc()" in verdict.log


def test_programs_run(rewriting: Kernel, shelves: ObjectSpec) -> None:
    assert rewriting.test_run(shelves, shelves.programs["after"], repeat=3).retval == 7


def test_prefill_cannot_be_rewritten(rewriting: Kernel, shelves: ObjectSpec) -> None:
    with pytest.raises(KernelUnsupported, match="no function bpf_mem_prefill"):
        rewriting.verify(shelves, shelves.programs["prefill"])


def test_without_rewriting_allocators_are_refused(kernel: Kernel, shelves: ObjectSpec) -> None:
    with pytest.raises(KernelUnsupported, match=r"allocator.*rewrite=True") as caught:
        kernel.verify(shelves, shelves.programs["after"])
    assert caught.value.errno_name == "ENOTSUPP"


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_accepted(rewriting: Kernel, name: str) -> None:
    obj = object_spec(EXAMPLES / f"{name}.bpf.c")
    for program in obj.programs.values():
        verdict = rewriting.verify(obj, program, stats=True)
        assert verdict.accepted, verdict.log
