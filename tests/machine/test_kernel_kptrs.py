"""Kptrs to structs of the kernel: the kernel's types decide which these are."""

from __future__ import annotations

from pathlib import Path

import pytest

import bpfheap
from bpfheap.btf import BtfBuilder, Func, FuncProto, Int, Member, Param, Ptr, Struct
from bpfheap.btf.raw import encode_types
from bpfheap.compile import object_spec
from bpfheap.errors import MachineUnsupported
from bpfheap.runtime.loader import creation_order
from bpfheap.vmlinux import Vmlinux

SOURCE = """
#include <bpfheap.h>

struct NAME { __u64 x; };
struct value { struct NAME *ptr KPTR; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32);
__type(value, struct value); } map SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ALLOCATOR); __uint(max_entries, 4); } ma SEC(".maps");

SEC("tc") int own(struct __sk_buff *skb)
{
	struct NAME *p = bpf_mem_alloc(&ma, type_id_local(struct NAME));
	struct value *v = bpf_map_lookup_elem(&map, &(__u32){});

	if (p && v)
		p = bpf_kptr_xchg(&v->ptr, p);
	if (p)
		unit_free(p);
	return 7;
}

SEC("tc") int take(struct __sk_buff *skb)
{
	struct value *v = bpf_map_lookup_elem(&map, &(__u32){});

	if (v)
		bpf_kptr_xchg(&v->ptr, NULL);
	return 7;
}
char _license[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel with two structs, of which programs may own one."""
    b = BtfBuilder()
    number = b.add(Int("int", 4, 1, 0, 32))
    task = b.add(Struct("task_struct", 4, (Member("pid", number, 0),)))
    b.add(Struct("node", 4, (Member("id", number, 0),)))
    proto = b.add(FuncProto(0, (Param("p", b.add(Ptr(task))),)))
    b.add(Func("bpf_task_release_dtor", proto, 0))
    b.add(Func("bpf_task_release", proto, 0))
    path = tmp_path_factory.mktemp("kernel") / "vmlinux"
    path.write_bytes(encode_types(b.build().types))
    return path


def written(folder: Path, name: str, kptr: str = "__kptr") -> Path:
    path = folder / "kept.bpf.c"
    path.write_text(SOURCE.replace("NAME", name).replace("KPTR", kptr))
    return path


def verdicts(source: Path, kernel: Path | str) -> dict[str, str]:
    found = bpfheap.check(source, kernel_btf=kernel)
    return {p.name: "" if v.error is None else str(v.error) for p, v in found}


@pytest.mark.parametrize(
    ("name", "kptr", "own", "take"),
    [
        ("parcel", "__kptr", "", "reference leak"),
        ("task_struct", "__kptr", "expected=ptr_task_struct", "reference leak"),
        ("task_struct", "__kptr __local", "", "reference leak"),
        ("node", "__kptr", "has no destructor", "has no destructor"),
        ("node", "__kptr __local", "", "reference leak"),
    ],
)
def test_whose_struct_it_is(
    tmp_path: Path, kernel: Path, name: str, kptr: str, own: str, take: str
) -> None:
    said = verdicts(written(tmp_path, name, kptr), kernel)
    assert own in said["own"]
    assert bool(own) == bool(said["own"])
    assert take in said["take"]
    of_kernel = "of the kernel" in said["take"]
    assert of_kernel == (kptr == "__kptr" and name != "parcel")


def test_the_hint_says_how_to_mean_ones_own(tmp_path: Path, kernel: Path) -> None:
    ((_, verdict), *_) = bpfheap.check(written(tmp_path, "node"), kernel_btf=kernel)
    assert verdict.error is not None
    assert "give it another name than node, or tag the field __local" in str(verdict.error)


def test_without_a_kernel_all_are_the_programs_own(tmp_path: Path) -> None:
    assert verdicts(written(tmp_path, "node"), "none")["own"] == ""


def test_none_in_inner_maps(tmp_path: Path, kernel: Path) -> None:
    path = tmp_path / "inner.bpf.c"
    path.write_text(
        "#include <bpfheap.h>\nstruct task_struct { int pid; }; __kptr_type(struct task_struct);\n"
        "struct value { struct task_struct __kptr *ptr; }; __kptr_type(struct value);\n"
        "struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);\n"
        "__type(key, __u32); __type(value, struct value); };\n"
        "struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 1);\n"
        '__type(key, __u32); __array(values, struct inner); } outer SEC(".maps");\n'
    )
    with pytest.raises(MachineUnsupported, match="map outer has a kptr ptr"):
        creation_order(object_spec(path, target=Vmlinux(kernel)))


@pytest.mark.parametrize("machine", ["model", "native"])
def test_in_objects(tmp_path: Path, kernel: Path, machine: str) -> None:
    if machine == "native":
        pytest.importorskip("bpfheap.machine.native._core")
    path = tmp_path / "inside.bpf.c"
    path.write_text(
        "#include <bpfheap.h>\nstruct task_struct { int pid; }; __kptr_type(struct task_struct);\n"
        "struct keeper { struct task_struct __kptr *task; };\n"
        'extern void bpf_task_release(struct task_struct *) __attribute__((section(".ksyms")));\n'
        'SEC("syscall") int inside(void *ctx)\n{\n'
        "\tstruct keeper *k = bpf_obj_new(struct keeper);\n\tstruct task_struct *t;\n\n"
        "\tif (!k)\n\t\treturn 0;\n"
        "\tt = bpf_kptr_xchg(&k->task, NULL);\n"
        "\tif (t)\n\t\tbpf_task_release(t);\n\tbpf_obj_drop(k);\n\treturn 0;\n}\n"
        'char _license[] SEC("license") = "GPL";\n'
    )
    ((_, verdict),) = bpfheap.check(path, kernel_btf=kernel)
    assert verdict.accepted
    assert [str(flow.kind) for flow in verdict.flows] == ["alloc", "free"]
    with bpfheap.Runtime(machine=machine, kernel_btf=kernel) as rt:
        loaded = rt.load(path)
        assert loaded.programs["inside"].run().retval == 0
        loaded.close()
        assert rt.close() == []
