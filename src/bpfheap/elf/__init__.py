"""BPF ELF objects: bytes in, ObjectSpec out."""

from bpfheap.elf.load import load_spec

__all__ = ["load_spec"]
