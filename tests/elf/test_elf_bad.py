"""Files that are no BPF object: one clear line each, with the file and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from elf_objects import Image, build

from bpfheap.elf import load_spec
from bpfheap.errors import BtfError, ElfError, FormatError, UsageError

SOURCE = """
int counter;
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, __u64);
} table SEC(".maps");
static __noinline int sub(int a) { return a * counter; }
SEC("tc") int p(struct __sk_buff *skb)
{
    __u32 key = 0;
    return sub(skb->len) + !bpf_map_lookup_elem(&table, &key);
}
char _license[] SEC("license") = "GPL";
"""


def image() -> Image:
    return Image(build(SOURCE))


def ident(**changes: int) -> Image:
    made = image()
    for name, value in changes.items():
        made.data[{"cls": 4, "order": 5}[name]] = value
    return made


def at_index(index: int, **fields: int) -> Image:
    made = image()
    name = list(made.sections())[index][0]
    return made.set_section(name, **fields)


BAD: dict[str, tuple[Callable[[], Image], str]] = {
    "empty": (lambda: Image(b""), "not an ELF file"),
    "text": (lambda: Image(b"int main() {}" * 20), "not an ELF file"),
    "cut header": (lambda: Image(bytes(image())[:40]), "ends inside the ELF header, after 40"),
    "32 bits": (lambda: ident(cls=1), "a 32-bit ELF file"),
    "big endian": (lambda: ident(order=2), r"a big-endian object \(.*-target bpfel"),
    "no byte order": (lambda: ident(order=9), "unknown byte order 9"),
    "x86": (lambda: image().set_header(machine=62), "an object for x86-64, not for BPF"),
    "strange machine": (lambda: image().set_header(machine=999), "for machine 999, not for BPF"),
    "executable": (lambda: image().set_header(type=2), "an executable, not a relocatable object"),
    "shared": (lambda: image().set_header(type=3), "a shared object, not a relocatable"),
    "strange type": (lambda: image().set_header(type=77), "ELF type 77, not a relocatable"),
    "no sections": (lambda: image().set_header(shnum=0), "no section table"),
    "odd sections": (lambda: image().set_header(shentsize=40), "no section table"),
    "far sections": (lambda: image().set_header(shoff=1 << 40), "reaches past the end of the file"),
    "many sections": (lambda: image().set_header(shnum=65535), "reaches past the end of the file"),
    "no names": (lambda: image().set_header(shstrndx=3), "should be in section 3, which has none"),
    "names out": (lambda: image().set_header(shstrndx=999), "should be in section 999"),
    "2 GiB section": (
        lambda: image().set_section("tc", size=2 << 30),
        r"section \d+ \(bytes \d+ to \d+\) reaches past the end of the file \(\d+ bytes\)",
    ),
    "2**64 section": (lambda: image().set_section("tc", size=(1 << 64) - 1), "past the end"),
    "overlap": (
        lambda: image().set_section("license", offset=0, size=len(image().data) - 10),
        "sections overlap",
    ),
    "endless name": (
        lambda: image().set_section(".strtab", size=image().section(".strtab")["size"] - 1),
        r"section \d+ is no string table: a name in it does not end",
    ),
    "huge name": (
        lambda: image().append(".strtab", b"\0" + b"a" * 5000 + b"\0"),
        "a name in it does not end",
    ),
    "stripped": (
        lambda: image().set_section(".symtab", type=0).set_section(".reltc", type=0)
        .set_section(".rel.text", type=0).set_section(".rel.BTF", type=0)
        .set_section(".rel.BTF.ext", type=0).set_section(".rel.debug_info", type=0)
        .set_section(".rel.debug_line", type=0).set_section(".rel.debug_frame", type=0)
        .set_section(".rel.debug_str_offsets", type=0).set_section(".rel.debug_addr", type=0),
        r"no symbol table \(do not strip it; `llvm-strip -g` would",
    ),
    "two symbol tables": (
        lambda: image().set_section("license", type=2, entsize=24, size=0, link=1),
        "more than one symbol table",
    ),
    "odd symbols": (lambda: image().set_section(".symtab", entsize=16), "not 24 bytes long"),
    "cut symbols": (
        lambda: image().set_section(".symtab", size=image().section(".symtab")["size"] - 1),
        "not 24 bytes long",
    ),
    "symbols without names": (
        lambda: image().set_section(".symtab", link=2),
        "refers to section 2, which is of another type",
    ),
    "names are the table": (
        lambda: image().set_section(".symtab", link=len(list(image().sections())) - 1),
        "which is of another type",
    ),
    "relocations without symbols": (
        lambda: image().set_section(".reltc", link=3),
        "refers to section 3, which is of another type",
    ),
    "relocations of nothing": (
        lambda: image().set_section(".reltc", info=999),
        "relocates section 999, which does not exist",
    ),
    "relocations with addends": (
        lambda: image().set_section(".reltc", type=4),
        r"section tc has relocations with addends \(RELA\), which loaders of BPF do not read",
    ),
    "cut code": (
        lambda: image().set_section("tc", size=12),
        "(out of it|is no multiple of 8)",
    ),
    "long function": (
        lambda: image().set_section(".BTF.ext", type=0).set_section(".text", size=8),
        "out of it|is not made of whole instructions of section .text",
    ),
    "two sections of code": (
        lambda: image().rename(".text", "tc"),
        "two code sections are called tc",
    ),
    "cut BTF": (lambda: image().set_section(".BTF", size=100), "out of it"),
    "BTF of another order": (lambda: image().patch(".BTF", 0, b"\xeb\x9f"), "big endian"),
    "wild BTF": (lambda: image().patch(".BTF", 24 + 4, b"\xff" * 8), "BTF"),
    "BTF cut in the strings": (lambda: image().patch(".BTF", 20, b"\x10\0\0\0"), "BTF"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_objects(case: str) -> None:
    make, message = BAD[case]
    with pytest.raises(FormatError, match=message) as caught:
        load_spec(bytes(make()), file="bad.o")
    text = str(caught.value)
    assert text.startswith(("bad.o: ", "bad.o:"))
    assert "\n" not in text
    assert isinstance(caught.value, ElfError | BtfError)


def test_every_cut_of_a_file_is_refused() -> None:
    data = bytes(image())
    for length in range(0, len(data), 97):
        with pytest.raises(ElfError):
            load_spec(data[:length])


def test_files(tmp_path: Path) -> None:
    good = tmp_path / "good.o"
    good.write_bytes(bytes(image()))
    assert load_spec(good).file == str(good)
    assert load_spec(good, file="other").file == "other"
    assert load_spec(bytes(image())).file == "<bytes>"

    with pytest.raises(UsageError, match=r"missing\.o: no such file"):
        load_spec(tmp_path / "missing.o")
    with pytest.raises(UsageError, match="not a file"):
        load_spec(tmp_path)
    with pytest.raises(UsageError, match=r"cannot be read|no such file"):
        load_spec("a\0b")


def test_huge_files_are_not_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.o"
    with huge.open("wb") as out:
        out.truncate(1 << 40)  # sparse
    with pytest.raises(ElfError, match="1099511627776 bytes are too many"):
        load_spec(huge)


@pytest.mark.parametrize("section", [".rel.debug_info", ".rel.BTF.ext"])
def test_relocations_with_addends_that_nobody_reads(section: str) -> None:
    assert (
        image().set_section(section, type=4).load().programs.keys()
        == image().load().programs.keys()
    )
