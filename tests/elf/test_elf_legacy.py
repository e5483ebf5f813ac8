"""Objects of old compilers and for old loaders: maps without BTF, functions without a type,
relocations that the compiler did not write."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from elf_objects import Image, build, compiler, fault_of
from test_elf_mutation import check

from bpfheap.compile import Compiler
from bpfheap.elf import load_spec
from bpfheap.errors import ElfError, RelocationError
from bpfheap.spec import MapSpec, ObjectSpec, Ref, RefKind
from bpfheap.verifier import verify

__all__ = ["compiler"]

#: struct bpf_map_def as most files have it, and those of the kernel's samples and of iproute2.
PLAIN = "struct def { __u32 type, key, value, entries, flags; };"
SAMPLES = "struct def { __u32 type, key, value, entries, flags, inner_map_idx, numa_node; };"
IPROUTE2 = (
    "struct def { __u32 type, key, value, entries, flags, id, pinning, inner_id, inner_idx; };"
)

MAPS = """
struct def SEC("maps") counts = { BPF_MAP_TYPE_HASH, 4, 8, 10, 1 };
struct def SEC("maps") numbers = { BPF_MAP_TYPE_ARRAY, 4, 16, 3 };
static struct def SEC("maps/hidden") hidden = { BPF_MAP_TYPE_ARRAY, 4, 8, 1 };
int total;
static __noinline int add(long *p) { return *p + total; }
SEC("xdp") int first(void *ctx)
{
    __u32 key = 0;
    long *v = bpf_map_lookup_elem(&counts, &key), *w = bpf_map_lookup_elem(&numbers, &key);
    return v && w ? add(v) + w[1] : 0;
}
SEC("tc") int second(void *ctx)
{
    __u32 key = 0;
    long *v = bpf_map_lookup_elem(&hidden, &key);
    return v ? add(v) : 0;
}
"""
no_btf = pytest.mark.parametrize("cflags", [(), ("-g0",)], ids=["btf", "no_btf"])


def spec_of(
    source: str, cflags: tuple[str, ...] = (), compiler: Compiler | None = None
) -> ObjectSpec:
    return load_spec(build(source, compiler, cflags), file="test.bpf.o")


def numbers(spec: MapSpec) -> tuple[int, ...]:
    return spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags


def kinds(spec: ObjectSpec) -> dict[str, str]:
    return {p.name: str(verify(spec, p).kind) for p in spec.programs.values()}


# -- maps


@no_btf
def test_maps_without_btf(compiler: Compiler, cflags: tuple[str, ...]) -> None:
    spec = spec_of(PLAIN + MAPS, cflags, compiler)

    found = {name: numbers(m) for name, m in spec.maps.items() if m.data is None}
    assert found == {
        "counts": (1, 4, 8, 10, 1),
        "numbers": (2, 4, 16, 3, 0),
        "hidden": (2, 4, 8, 1, 0),
    }
    assert not any(m.is_typed for m in spec.maps.values() if m.data is None)
    refs = {n: list(p.refs.values()) for n, p in spec.programs.items()}
    assert refs["first"][:2] == [Ref(RefKind.MAP, "counts"), Ref(RefKind.MAP, "numbers")]
    assert refs["second"][0] == Ref(RefKind.MAP, "hidden")
    assert (spec.notes, kinds(spec)) == ((), {"first": "accept", "second": "accept"})


def test_maps_of_both_sorts_in_one_file() -> None:
    other = """struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
                        __type(key, __u32); __type(value, long); } %s SEC(".maps");"""
    spec = spec_of(PLAIN + MAPS + other % "typed")
    assert [n for n, m in spec.maps.items() if m.data is None] == [
        "typed",
        "counts",
        "numbers",
        "hidden",
    ]
    image = Image(build(PLAIN + MAPS + other % "countz")).replace(b"countz\0", b"counts\0")
    with pytest.raises(ElfError, match=r"two maps are called counts \(rename one of them\)"):
        image.load()


def test_what_is_not_there_is_zero() -> None:
    """Members that came later: map_flags, and what follows it."""
    spec = spec_of(
        'struct { __u32 type, key, value, entries; } m SEC("maps") = { 2, 4, 8, 5 };'
        'struct { __u32 a[9]; } n SEC("maps/n") = { { 1, 4, 8, 6, 7 } };'
    )
    assert (numbers(spec.maps["m"]), numbers(spec.maps["n"])) == ((2, 4, 8, 5, 0), (1, 4, 8, 6, 7))
    assert spec.notes == ()


def test_what_is_behind_is_not_read() -> None:
    spec = spec_of(
        IPROUTE2 + 'struct def SEC("maps") a = { 2, 4, 8, 5, 0, 3, 2 };'
        'struct def SEC("maps") b = { 2, 4, 8, 5, 0, 0, 2 };'
    )
    assert [numbers(m) for m in spec.maps.values()] == [(2, 4, 8, 5, 0)] * 2
    (note,) = spec.notes
    assert note.startswith("what the definition of a and 1 more says behind map_flags is not read")


NESTED = """
struct def SEC("maps") small = { BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0, 7 };
struct def SEC("maps") large = { BPF_MAP_TYPE_ARRAY, 4, 64, 1, 0, 9 };
struct def SEC("maps") outer = { BPF_MAP_TYPE_HASH_OF_MAPS, 4, 0, 8, 0, %s };
SEC("xdp") int p(void *ctx)
{
    __u32 key = 0;
    void *inner = bpf_map_lookup_elem(&outer, &key);
    long *v = inner ? bpf_map_lookup_elem(inner, &key) : 0;
    return v ? v[7] : 0;
}
"""


@pytest.mark.parametrize(
    ("struct", "tail", "inner", "verdict"),
    [
        (SAMPLES, "1", 64, "accept"),
        (SAMPLES, "0", 4, "reject"),
        (SAMPLES, "2", None, "reject"),
        (SAMPLES, "3", None, "reject"),
        (IPROUTE2, "5, 0, 9", 64, "accept"),
        (IPROUTE2, "5, 0, 7", 4, "reject"),
        (IPROUTE2, "5, 0, 5", None, "reject"),
        (IPROUTE2, "5, 0, 4", None, "reject"),
        (IPROUTE2, "0, 0, 0", None, "reject"),
        (PLAIN.replace("flags", "flags, id"), "1", None, "reject"),
    ],
)
def test_templates_of_maps_of_maps(struct: str, tail: str, inner: int | None, verdict: str) -> None:
    spec = spec_of(struct + NESTED % tail)
    outer = spec.maps["outer"]
    assert (outer.inner and outer.inner.value_size, outer.value_size) == (inner, 4)
    assert kinds(spec) == {"p": verdict}


def broken(change: Callable[[Image], object]) -> Image:
    image = Image(build(PLAIN + MAPS, None, ("-g0",)))
    change(image)
    return image


def symbol(image: Image, name: str, **fields: int) -> None:
    """Change the symbol of that name: info, section, value, size."""
    names = image.content(".strtab")
    table = image.section(".symtab")
    for at in range(table["offset"], table["offset"] + table["size"], 24):
        start = int.from_bytes(image.data[at : at + 4], "little")
        if names[start : names.index(0, start)].decode() == name:
            for what, value in fields.items():
                place, size = {"info": (4, 1), "section": (6, 2), "value": (8, 8), "size": (16, 8)}[
                    what
                ]
                image.data[at + place : at + place + size] = value.to_bytes(size, "little")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: symbol(i, "counts", section=0), r"'maps' \(40 bytes\) is no map|map numbers is"),
        (lambda i: symbol(i, "counts", value=20), r"map counts is at byte 20 .* each has 20 bytes"),
        (lambda i: symbol(i, "numbers", value=0), r"map numbers is at byte 0 of section 'maps'"),
        (lambda i: symbol(i, "numbers", value=24), "map numbers is at byte 24 .* no definition"),
        (lambda i: symbol(i, "numbers", value=1 << 40), "map numbers is at byte 1099511627776 of"),
        (lambda i: symbol(i, "hidden", section=0), r"'maps/hidden' \(20 bytes\) has 0 maps"),
        (lambda i: i.set_section("maps", size=39), r"'maps' \(39 bytes\) has 2 maps, which cannot"),
        (lambda i: i.set_section("maps", size=24), "2 maps of 12 bytes, which is too short"),
        (lambda i: i.patch("maps", 20, bytes(4)), r"map numbers has no type \(initialise it with"),
    ],
)
def test_definitions_that_cannot_be(change: Callable[[Image], object], message: str) -> None:
    with pytest.raises(ElfError, match=message) as caught:
        broken(change).load()
    assert caught.value.file == "test.bpf.o"
    assert caught.value.hint


def test_a_reference_between_definitions() -> None:
    """It costs the program that has it."""
    image = Image(build(PLAIN + MAPS))
    image.patch("tc", image.content("tc").index(b"\x18\x01") + 4, b"\x04")
    assert "no map starts at byte 4 of section maps/hidden" in str(fault_of(image.load()))


def test_a_section_of_code_or_without_content_holds_no_maps() -> None:
    source = 'SEC("maps/p") int p(void *ctx) { return 0; } char gone SEC("maps");'
    image = Image(build(source)).set_section("maps", type=8)
    assert image.load().maps == {}


@pytest.mark.long
@pytest.mark.parametrize("section", ["maps", ".symtab", ".relxdp"])
def test_no_section_is_trusted(section: str) -> None:
    good = build(SAMPLES + NESTED % 1, None, ("-g0",))
    size = Image(good).section(section)["size"]
    source = random.Random(section)
    for offset in source.sample(range(size), min(size, 300)):
        for value in (0, 0x7F, 0xFF, source.randrange(256)):
            check(bytes(Image(good).patch(section, offset, bytes([value]))))


def test_without_types_of_functions() -> None:
    """A static function is verified where it is called; a callback has to be known as static
    (check_ld_imm)."""
    source = """
    static __noinline int twice(int a) { return 2 * a; }
    __noinline int from(long *p) { return *p; }
    static long visit(__u32 i, void *ctx) { return 0; }
    SEC("tc") int p(struct __sk_buff *skb) { return twice(skb->len); }
    SEC("tc") int q(struct __sk_buff *skb) { long x = skb->len; return from(&x); }
    SEC("tc") int r(struct __sk_buff *skb) { return bpf_loop(3, visit, NULL, 0); }
    """
    spec = spec_of(source, ("-g0",))
    assert kinds(spec) == {"p": "accept", "q": "accept", "r": "reject"}
    error = verify(spec, spec.programs["r"]).error
    assert error is not None
    assert (error.message, error.hint) == ("missing btf func_info", "compile with -g")
    # From what it declares, a pointer that may be NULL.
    assert kinds(spec_of(source)) == {"p": "accept", "q": "reject", "r": "accept"}


@pytest.mark.parametrize("call", ["bpf_spin_lock((void *)v)", "bpf_kptr_xchg(v, NULL)"])
def test_locks_and_kptrs_need_types(call: str) -> None:
    source = MAPS.replace("return v ? add(v)", f"if (v) {call}; return v ? add(v)")
    spec = spec_of(PLAIN + source)
    name = call.partition("(")[0]
    said = str(verify(spec, spec.programs["second"]).error)
    assert f"map 'hidden' has to have BTF in order to use {name}" in said


# -- what old compilers leave out


def untyped(image: Image, *names: str) -> Image:
    """Functions as LLVM before 8 has them."""
    for name in names:
        symbol(image, name, info=1 << 4, size=0)
    return image


TWO = """
SEC("xdp") int first(void *ctx) { return 1; }
SEC("xdp") int second(void *ctx) { return bpf_get_prandom_u32(); }
SEC("tc") int third(void *ctx) { return 3; }
"""


def test_functions_without_a_type() -> None:
    data = build(TWO, None, ("-g0",))
    spec = untyped(Image(data), "first", "second", "third").load()
    expected = load_spec(data, file="test.bpf.o")
    assert {n: p.insns for n, p in spec.programs.items()} == {
        n: p.insns for n, p in expected.programs.items()
    }


def test_labels_are_no_functions() -> None:
    """Nor is a global symbol beside functions that have a type."""
    image = Image(build(TWO, None, ("-g0",)))
    symbol(image, "third", info=0, size=0, value=8)
    symbol(image, "second", info=1 << 4, size=0)
    assert set(image.load().programs) == {"first"}


def test_objects_of_no_machine_with_local_functions() -> None:
    """As LLVM before 4 has them."""
    image = Image(build(TWO, None, ("-g0",))).set_header(machine=0)
    symbol(image, "third", info=0, size=0)
    assert image.load().programs["third"].insns[0].imm == 3


def test_functions_without_a_type_that_are_no_instructions() -> None:
    image = untyped(Image(build(TWO, None, ("-g0",))), "first", "second", "third")
    symbol(image, "second", value=12)
    with pytest.raises(ElfError, match=r"function first \(bytes 0 to 12\) is not made of whole"):
        image.load()


GLOBALS = """
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32);
         __type(value, long); } one SEC(".maps"), two SEC(".maps");
int a = 1, b = 2;
static volatile int c = 3;
SEC("xdp") int p(void *ctx)
{
    __u32 key = 0;
    return bpf_map_lookup_elem(&two, &key) ? a++ : b++ + c++;
}
SEC("xdp") int q(void *ctx) { return 2; }
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __uint(key_size, 4);
         __array(values, int(void *)); } jumps SEC(".maps") = { .values = { [1] = &q } };
"""


def retyped(image: Image, section: str, old: int, new: int) -> Image:
    table = image.section(section)
    for at in range(table["offset"] + 8, table["offset"] + table["size"], 16):
        if image.data[at] == old:
            image.data[at] = new
    return image


def test_variables_without_relocations() -> None:
    """LLVM before 13 writes R_BPF_NONE in .rel.BTF."""
    data = build(GLOBALS)
    spec = retyped(Image(data), ".rel.BTF", 4, 0).load()
    expected = load_spec(data, file="test.bpf.o")
    assert (spec.maps, spec.btf.types) == (expected.maps, expected.btf.types)
    assert set(spec.maps) == {"one", "two", "jumps", ".data"}
    assert spec.programs["p"].refs == expected.programs["p"].refs


def test_static_variables_without_relocations() -> None:
    """Theirs would be against the section; the distance is in place."""
    source = GLOBALS.replace("struct { __uint(type, BPF_MAP_TYPE_ARRAY)",
                             "static struct { __uint(type, BPF_MAP_TYPE_ARRAY)")  # fmt: skip
    data = build(source.replace("&two", "key ? (void *)&two : (void *)&one"))
    assert (
        retyped(Image(data), ".rel.BTF", 4, 0).load().maps
        == load_spec(data, file="test.bpf.o").maps
    )


def test_two_maps_at_one_place() -> None:
    image = retyped(Image(build(GLOBALS)), ".rel.BTF", 4, 0)
    symbol(image, "two", value=image.section(".maps")["size"] - 40)
    symbol(image, "one", value=image.section(".maps")["size"] - 40)
    with pytest.raises(ElfError, match="two maps start at the same byte"):
        image.load()


def test_pointers_in_maps_have_the_relocation_of_instructions() -> None:
    """R_BPF_64_64, where LLVM 13 writes R_BPF_64_ABS64."""
    spec = retyped(Image(build(GLOBALS)), ".rel.maps", 2, 1).load()
    assert spec.maps["jumps"].inner_names == (None, "q")


def test_a_call_s_relocation_is_none_of_data() -> None:
    with pytest.raises(RelocationError, match=r"R_BPF_64_32 at byte .* where no pointer can be"):
        retyped(Image(build(GLOBALS)), ".rel.maps", 2, 10).load()
    with pytest.raises(RelocationError, match=r"R_BPF_64_32 at byte .* which has no code"):
        retyped(Image(build(GLOBALS)), ".rel.BTF", 4, 10).load()
