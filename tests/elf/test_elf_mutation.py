"""Whatever a file holds, the reader answers with an ObjectSpec or with one of the project's errors,
and soon."""

from __future__ import annotations

import random

import pytest
from elf_objects import Image, build
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpfheap.elf import load_spec
from bpfheap.errors import FormatError

pytestmark = pytest.mark.long

# One of everything: nested maps, data, subprograms, CO-RE, kfuncs, several sections.
SOURCE = """
struct foo { int var; };
struct val { struct foo *ptr __kptr __local; };
int counter; const volatile int limit = 3;
struct { __uint(type, BPF_MAP_TYPE_ALLOCATOR); __type(value, struct foo); } ma SEC(".maps");
struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32);
               __type(value, struct val); __kptr_allocator(ma); } one SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 2); __type(key, __u32);
         __array(values, struct inner); } outer SEC(".maps") = { .values = { [1] = &one } };
static long visit(__u32 i, void *ctx) { counter += limit; return 0; }
static __noinline int sub(int a) { return a * counter; }
SEC("tc") int p(struct __sk_buff *skb)
{
    __u32 key = 0;
    struct foo *f = bpf_mem_alloc(&ma, type_id_local(struct foo));
    if (f)
        unit_free(f);
    bpf_loop(3, visit, NULL, 0);
    return sub(skb->len) + !bpf_map_lookup_elem(&outer, &key);
}
SEC("xdp") int q(struct xdp_md *ctx) { return sub(1) + XDP_PASS; }
char _license[] SEC("license") = "GPL";
"""

#: Cases of each of the two ways to mutate.
CASES = 2500


def without_debug_sections() -> bytes:
    """Two thirds of an object are debug information that nobody reads."""
    image = Image(build(SOURCE))
    keep = [
        (place, h)
        for name, place, h in image.sections()
        if h["offset"] and not name.startswith((".debug", ".rel.debug", ".llvm", ".eh"))
        and h["type"] != 8
    ]  # fmt: skip
    head = image.header()
    out = bytearray(image.data[:64])
    moved = {}
    for place, h in keep:
        moved[place] = len(out)
        out += image.data[h["offset"] : h["offset"] + h["size"]]
        out += bytes(-len(out) % 8)
    table = len(out)
    out += image.data[head["shoff"] : head["shoff"] + 64 * head["shnum"]]
    result = Image(bytes(out)).set_header(shoff=table)
    for place in range(head["shoff"], head["shoff"] + 64 * head["shnum"], 64):
        fields = list(Image.SHDR.unpack_from(image.data, place))
        if place in moved:
            fields[4] = moved[place]
        elif fields[1] != 8:
            fields[1:6] = [0] * 5
        Image.SHDR.pack_into(result.data, place - head["shoff"] + table, *fields)
    return bytes(result)


GOOD = without_debug_sections()
WILD = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40,
        (1 << 63) - 1, (1 << 64) - 1)  # fmt: skip


def check(data: bytes) -> None:
    try:
        load_spec(data, file="mutant.o")
    except FormatError as error:
        place = error.file
        text = str(error)
    else:
        return
    assert place is not None
    assert text.isprintable()


def test_what_is_mutated_is_good() -> None:
    spec = load_spec(GOOD)
    assert set(spec.programs) == {"p", "q"}
    assert len(GOOD) < 12_000


quick = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@quick
@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_bytes_anywhere(source: random.Random, count: int) -> None:
    data = bytearray(GOOD)
    for _ in range(count):
        data[source.randrange(len(data))] = source.randrange(256)
    check(bytes(data))


@quick
@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_wild_numbers_and_moved_pieces(source: random.Random, count: int) -> None:
    data = bytearray(GOOD)
    for _ in range(count):
        width = source.choice((2, 4, 8))
        at = source.randrange(len(data) - 64) // width * width
        match source.randrange(4):
            case 0 | 1:
                number = source.choice(WILD) & ((1 << 8 * width) - 1)
                data[at : at + width] = number.to_bytes(width, "little")
            case 2:
                other = source.randrange(len(data) - 64) // width * width
                data[at : at + width] = data[other : other + width]
            case _:
                del data[at : at + source.choice((1, 8, 64))]
    check(bytes(data))


@pytest.mark.parametrize("section", ["tc", ".maps", ".BTF", ".BTF.ext", ".symtab", ".reltc"])
def test_no_section_is_trusted(section: str) -> None:
    """Each byte of the tables, in turn."""
    size = Image(GOOD).section(section)["size"]
    source = random.Random(section)
    for offset in source.sample(range(size), min(size, 120)):
        image = Image(GOOD)
        image.patch(section, offset, bytes([image.content(section)[offset] ^ (1 << offset % 8)]))
        check(bytes(image))
