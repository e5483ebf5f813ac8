"""Maps: definitions in BTF, nested ones, data sections."""

from __future__ import annotations

from pathlib import Path

import pytest
from elf_objects import Image, build, compiler, spec_of

from bpfheap.btf import Datasec, Struct, Var
from bpfheap.compile import Compiler, object_spec
from bpfheap.errors import BtfError, ElfError, RelocationError

__all__ = ["compiler"]

PLAIN = """
struct key { __u32 a, b; };
struct val { __u64 x; __u8 y; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 123);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(numa_node, 2);
    __uint(pinning, 1);
    __ulong(map_extra, 0x500000006);
    __type(key, struct key);
    __type(value, struct val);
} hash SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 7);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, 24);
} array SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} ring SEC(".maps");
typedef struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
                 __type(key, __u32); __type(value, __u64); } named_t;
named_t behind_typedef SEC(".maps");
"""


def test_numbers_and_types_of_a_definition(compiler: Compiler) -> None:
    spec = spec_of(PLAIN, compiler)

    hash_ = spec.maps["hash"]
    assert (hash_.type, hash_.key_size, hash_.value_size, hash_.max_entries) == (1, 8, 16, 123)
    assert (hash_.flags, hash_.numa_node, hash_.pinning, hash_.map_extra) == (1, 2, 1, 0x500000006)
    key, value = spec.btf[hash_.key], spec.btf[hash_.value]
    assert isinstance(key, Struct)
    assert isinstance(value, Struct)
    assert (key.name, value.name) == ("key", "val")
    array = spec.maps["array"]
    assert (array.type, array.key_size, array.value_size, array.key, array.value) == (
        2,
        4,
        24,
        0,
        0,
    )
    assert (spec.maps["ring"].type, spec.maps["ring"].max_entries) == (27, 4096)
    assert spec.maps["behind_typedef"].value_size == 8
    assert all(m.file == "test.bpf.o" and m.data is None for m in spec.maps.values())


NESTED = """
struct inner {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, __u64);
} first SEC(".maps"), second SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 8);
    __type(key, __u32);
    __array(values, struct inner);
} outer SEC(".maps") = { .values = { [0] = &first, [3] = &second } };
struct {
    __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
    __uint(max_entries, 8);
    __uint(key_size, 4);
    __array(values, struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, 2);
        __uint(key_size, 4);
        __uint(value_size, 8);
    });
} empty SEC(".maps");
static struct inner hidden SEC(".maps");
SEC("tc") int use(void *ctx)
{
    __u32 key = 0;
    return !bpf_map_lookup_elem(&hidden, &key);
}
SEC("tc") int jump_target(void *ctx) { return 5; }
struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 2);
    __uint(key_size, 4);
    __array(values, int(void *));
} jumps SEC(".maps") = { .values = { [1] = &jump_target } };
"""


def test_maps_of_maps(compiler: Compiler) -> None:
    spec = spec_of(NESTED, compiler)

    outer, empty = spec.maps["outer"], spec.maps["empty"]
    assert outer.inner_names == ("first", None, None, "second")
    assert outer.inner is not None
    assert (outer.inner.type, outer.inner.max_entries, outer.inner.value_size) == (2, 4, 8)
    assert (outer.key_size, outer.value_size) == (4, 4)
    assert empty.inner is not None
    assert (empty.inner.name, empty.inner.type, empty.inner.max_entries) == ("empty.inner", 1, 2)
    assert empty.inner_names == ()
    assert spec.maps["jumps"].inner is None
    assert spec.maps["jumps"].inner_names == (None, "jump_target")


def test_a_static_map_is_found_by_its_place(compiler: Compiler) -> None:
    spec = spec_of(NESTED, compiler)

    assert "hidden" in spec.maps
    assert [r.name for r in spec.programs["use"].refs.values()] == ["hidden"]


ALLOCATORS = """
struct foo { int var; };
struct val { struct foo *ptr __kptr __local; };
struct {
    __uint(type, BPF_MAP_TYPE_ALLOCATOR);
    __type(value, struct foo);
    __uint(max_entries, 1000);
} ma SEC(".maps"), mb SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct val);
    __kptr_allocator(ma);
    __elem_allocator(mb);
} by_tag SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct val);
    void *kptr_allocator;
    void *elem_allocator;
} by_initialiser SEC(".maps") = { .kptr_allocator = &ma, .elem_allocator = &mb };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 8);
    __type(key, __u32);
    __array(values, struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, 1);
        __type(key, __u32);
        __type(value, struct val);
        __kptr_allocator(mb);
    });
} outer SEC(".maps");
"""


def test_allocators_named_in_a_definition(compiler: Compiler) -> None:
    """Two allocators of one type: only the name tells them apart."""
    spec = spec_of(ALLOCATORS, compiler)

    assert (spec.maps["ma"].type, spec.maps["ma"].max_entries) == (1000, 1000)
    for name in ("by_tag", "by_initialiser"):
        assert spec.maps[name].kptr_allocator == "ma", name
        assert spec.maps[name].elem_allocator == "mb", name
    inner = spec.maps["outer"].inner
    assert inner is not None
    assert inner.kptr_allocator == "mb"


DATA = """
int counter = 3;
const volatile int limit = 5;
int zeroed;
static int hidden_zeroed;
long named SEC(".data.named") = 9;
int late SEC(".bss.late");
SEC("tc") int use(void *ctx)
{
    bpf_printk("%s", "abc");
    return counter + limit + zeroed++ + hidden_zeroed++ + named + late;
}
"""


def test_data_sections_are_array_maps(compiler: Compiler) -> None:
    spec = spec_of(DATA, compiler)

    text = b"%s\0"
    expected = {
        ".data": ((3).to_bytes(4, "little"), False),
        ".rodata": ((5).to_bytes(4, "little") + text, True),
        ".bss": (bytes(8), False),
        ".data.named": ((9).to_bytes(8, "little"), False),
        ".bss.late": (bytes(4), False),
        ".rodata.str1.1": (b"abc\0", True),
    }
    assert {n: (m.data, m.readonly) for n, m in spec.maps.items()} == expected
    for spec_map in spec.maps.values():
        assert (spec_map.type, spec_map.key_size, spec_map.max_entries) == (2, 4, 1)
        assert spec_map.value_size == len(spec_map.data or b"")
        assert spec_map.flags == (1 << 7 if spec_map.readonly else 0)


def test_variables_have_their_place_in_the_data(compiler: Compiler) -> None:
    """The compiler leaves sizes and places to the linker."""
    spec = spec_of(DATA, compiler)
    places = {}
    for name in (".data", ".bss"):
        datasec = spec.btf[spec.maps[name].value]
        assert isinstance(datasec, Datasec)
        assert datasec.size == spec.maps[name].value_size
        for entry in datasec.vars:
            var = spec.btf[entry.type]
            assert isinstance(var, Var)
            places[var.name] = (entry.offset, entry.size)

    assert places == {"counter": (0, 4), "zeroed": (0, 4), "hidden_zeroed": (4, 4)}


HEAD = "__uint(max_entries, 1); __type(key, __u32);"
OF_MAPS = "__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);"
HASH = "__uint(type, BPF_MAP_TYPE_HASH);"


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (f"struct {{ {HEAD} }} m", r"map m has no type \(add __uint\(type"),
        (f"struct {{ {HASH} {HEAD} __uint(colour, 3); }} m", "unknown member 'colour'"),
        (f"struct {{ {HASH} {HEAD} __uint(key_size, 3); }} m", "key_size is 3, but .* 4 bytes"),
        (f"struct {{ {HASH} {HEAD} __type(value, void); }} m", "void has no size"),
        ("struct { int type; } m", "map m: type is no number"),
        ("struct { int *type; } m", "map m: type is no number"),
        (f"struct {{ {HASH} int key; }} m", "map m: key is no type"),
        (f"struct {{ {HASH} int values; }} m", "map m: values is no array"),
        (f"struct {{ {HASH} __array(values, struct foo); }} m", "its type holds no maps"),
        (f"struct {{ {OF_MAPS} __array(values, int); }} m", "map m.inner is no struct"),
        (
            f"struct {{ {OF_MAPS} __array(values, struct {{ {OF_MAPS} __array(values, struct {{ "
            f"{OF_MAPS} }}); }}); }} m",
            "an inner map cannot hold maps",
        ),
        ("int m", "map m is no struct"),
        (f"struct {{ {HASH} {HEAD} void *kptr_allocator; }} m", "names no allocator"),
        (f"struct {{ {HASH} {HEAD} }} n SEC(\".maps\"); struct {{ {HASH} __kptr_allocator(n); }} m",
         "n is no allocator map of this file"),
    ],
)  # fmt: skip
def test_definitions_that_make_no_map(definition: str, message: str) -> None:
    with pytest.raises((ElfError, BtfError), match=message) as caught:
        spec_of(f'struct foo {{ int a; }}; {definition} SEC(".maps");')
    assert caught.value.file == "test.bpf.o"


def test_an_initialiser_that_is_out_of_the_map() -> None:
    with pytest.raises(ElfError, match=r"map outer: value 3 is out of it \(it has 2 entries\)"):
        spec_of(NESTED.replace("__uint(max_entries, 8)", "__uint(max_entries, 2)"))


def test_initial_keys_of_a_hash_table_of_maps() -> None:
    source = NESTED.replace("__uint(max_entries, 8)", "__uint(max_entries, 2)")
    source = source.replace("[3] = &second", "[1917] = &second")
    assert source.count("BPF_MAP_TYPE_ARRAY_OF_MAPS") == 1
    source = source.replace("BPF_MAP_TYPE_ARRAY_OF_MAPS", "BPF_MAP_TYPE_HASH_OF_MAPS")
    outer = spec_of(source).maps["outer"]
    assert outer.max_entries == 2
    assert outer.inner_names[1917] == "second"


def test_an_initialiser_that_is_no_attribute() -> None:
    """The second pointer, at slot 3 of `outer`, is moved behind the variable."""
    image = Image(build(NESTED))
    at = image.section(".rel.maps")["offset"] + 16
    offset = int.from_bytes(image.data[at : at + 8], "little")
    image.patch(".rel.maps", 16, (offset + 40).to_bytes(8, "little"))
    with pytest.raises(RelocationError, match=f"a pointer at byte {offset + 40} of .maps"):
        image.load()


def test_an_initialiser_that_points_to_no_map() -> None:
    source = NESTED.replace("[3] = &second", "[3] = (void *)&other")
    with pytest.raises(RelocationError, match="map outer points to other, which is no map"):
        spec_of(f"int other = 1; {source}")


def test_maps_need_btf() -> None:
    data = build(PLAIN, cflags=("-g0",))
    with pytest.raises(ElfError, match=r"section \.maps has no BTF \(compile with -g\)"):
        Image(data).load()


def test_bss_may_not_claim_the_machine() -> None:
    with pytest.raises(ElfError, match=r"section \.bss has 2147483648 bytes"):
        Image(build(DATA)).set_section(".bss", size=1 << 31).load()


@pytest.mark.parametrize("member", ["type", "max_entries"])
def test_a_number_that_no_array_has(tmp_path: Path, member: str) -> None:
    numbers = {"type": "1", "max_entries": "4"} | {member: "~0U"}
    lines = "".join(f"__uint({name}, {value});" for name, value in numbers.items())
    (tmp_path / "p.bpf.c").write_text(
        f"#include <bpfheap.h>\nstruct {{ {lines} __type(key, int); __type(value, int); }}\n"
        'numbers SEC(".maps");\n'
        'SEC("tc") int p(void *ctx) { int k = 0; return !bpf_map_lookup_elem(&numbers, &k); }\n'
    )
    with pytest.raises(BtfError, match=f"map numbers: {member} is 4294967295, which is") as caught:
        object_spec(tmp_path / "p.bpf.c")
    assert "below 1 << 30" in (caught.value.hint or "")
