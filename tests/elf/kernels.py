"""Kernels for tests: their types are compiled from C, so that nothing depends on the machine's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from elf_objects import Image, build

from bpfheap.btf import LazyBtf
from bpfheap.elf import load_spec
from bpfheap.spec import ObjectSpec


class KernelOf:
    """A target whose types are those of C source; None: it has none. `asked` counts how often
    somebody wanted them."""

    def __init__(
        self,
        source: str | None,
        symbols: Iterable[str] | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        self._types = None if source is None else LazyBtf.parse(types_of(source), "vmlinux")
        self._symbols = None if symbols is None else frozenset(symbols)
        self._config = config
        self._modules: tuple[LazyBtf, ...] = ()
        self.asked = 0

    def be(self, types: LazyBtf, *modules: LazyBtf) -> None:
        self._types = types
        self._modules = modules

    def types(self) -> LazyBtf | None:
        self.asked += 1
        return self._types

    def release(self) -> tuple[int, int]:
        return 6, 18

    def has_types(self) -> bool:
        return self._types is not None

    def modules(self) -> tuple[LazyBtf, ...]:
        return self._modules

    def has_symbol(self, name: str) -> bool | None:
        return None if self._symbols is None else name in self._symbols

    def config(self, name: str) -> str | None:
        return None if self._config is None else self._config.get(name)

    def has_config(self) -> bool:
        return self._config is not None

    def without_types(self) -> str | None:
        return "there is no kernel"


def types_of(source: str) -> bytes:
    """The BTF that C source compiles to. Types count if a variable or function uses them."""
    return Image(build(source)).content(".BTF")


def spec_for(source: str, kernel: KernelOf) -> ObjectSpec:
    return load_spec(build(source), file="test.bpf.o", target=kernel)
