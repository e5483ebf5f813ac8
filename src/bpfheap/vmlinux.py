"""The kernel that programs are for: its types, its configuration, and where they come from."""

from __future__ import annotations

import hashlib
import io
import re
import stat
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from elftools.elf.elffile import ELFFile

from bpfheap import kconfig, project
from bpfheap.btf import BtfIndex, Func, LazyBtf
from bpfheap.btf.lazy import index_of
from bpfheap.btf.raw import open_types
from bpfheap.errors import BpfheapError, BtfError, UsageError
from bpfheap.kconfig import Kconfig
from bpfheap.kept import Shelf
from bpfheap.platform.linux import NEWEST, Release, release_of, shown

VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")
KALLSYMS: Final = Path("/proc/kallsyms")
#: In place of a file: there is no kernel.
NONE: Final = "none"
#: Keys of [tool.bpfheap], and options.
_BTF, _CONFIG = project.KERNEL
_WHAT: Final = {_BTF: ("BTF", str(VMLINUX)), _CONFIG: ("configuration", "/boot/config-*")}
#: Bytes of BTF that are read at all; a large kernel has a tenth of it.
_MAX_BTF: Final = 128 << 20
#: KERNEL_VERSION(major, minor, 0), whatever the configuration says.
_VERSION: Final = "LINUX_KERNEL_VERSION"
_SHELF: Final = Shelf("kernel", "indices of kernels' types", b"bpfheap types of a kernel 1\n")
#: Functions of kernels that have what LINUX_HAS_* asks for (tools/lib/bpf/features.c): the wrapper
#: of some system call on each architecture, and what gives cookies.
_FEATURES: Final = {
    "LINUX_HAS_SYSCALL_WRAPPER": (
        "__x64_sys_bpf", "__arm64_sys_bpf", "__s390x_sys_bpf", "__riscv_sys_bpf",
    ),
    "LINUX_HAS_BPF_COOKIE": ("bpf_get_attach_cookie_trace",),
}  # fmt: skip
_GIVE: Final = (
    "give a kernel's BTF with --kernel-btf FILE, or as kernel-btf in [tool.bpfheap] of "
    "pyproject.toml"
)


class Vmlinux:
    """A kernel, as far as objects need one (elf.target.Target).

    Its types are, in this order: those that `btf` names, a file or "none", or gives; those that the
    pyproject.toml of the working directory, or of one above it, names as `kernel-btf` in
    `[tool.bpfheap]`; this system's. Its configuration is that of the file `config`, of the key
    `kconfig` there, or this system's if the types are. What is found is found when it is asked for
    first.

    Raises UsageError if `btf` or `config` is no file.
    """

    def __init__(
        self,
        btf: str | Path | Callable[[], LazyBtf] | None = None,
        config: str | Path | None = None,
    ) -> None:
        self._given = btf if callable(btf) else None
        self._options = {
            _BTF: None if btf is None or callable(btf) else _source(_BTF, str(btf), Path()),
            _CONFIG: None if config is None else _source(_CONFIG, str(config), Path()),
        }
        self._types: LazyBtf | None = None
        self._modules: tuple[LazyBtf, ...] | None = None
        self._asked_types = False
        self._none = ""
        self._is_system = False
        self._config: Kconfig | None = None
        self._asked_config = False
        self._lock = threading.Lock()

    def release(self) -> Release:
        return NEWEST

    def types(self) -> LazyBtf | None:
        """Raises UsageError or BtfError for what cannot be read."""
        with self._lock:
            if not self._asked_types:
                self._types = self._find_types()
                self._asked_types = True
            return self._types

    def has_types(self) -> bool:
        try:
            return self.types() is not None
        except BpfheapError:
            return False

    def _find_types(self) -> LazyBtf | None:
        if self._given is not None:
            return self._given()
        source = self._source(_BTF)
        if source == NONE:
            return None
        if isinstance(source, Path):
            return read_types(source)
        if not VMLINUX.exists():
            self._none = f"this system has no {VMLINUX}"
            return None
        try:
            found = read_types(VMLINUX)
        except UsageError as error:
            self._none = f"{VMLINUX} {error.message}"
            return None
        self._is_system = True
        return found

    def modules(self) -> tuple[LazyBtf, ...]:
        """Those of this system, if its kernel is meant. Modules that cannot be read, for example as
        they were unloaded just now, are left out."""
        types = self.types()
        if types is None or not self._is_system:
            return ()
        with self._lock:
            if self._modules is None:
                self._modules = tuple(_modules_of(types))
            return self._modules

    def _source(self, key: str) -> Path | str | None:
        """A file, "none", or None for this system's."""
        given = self._options[key]
        return given if given is not None else _of_project(key)

    def has_symbol(self, name: str) -> bool | None:
        if self.types() is None and not self._none:
            return False
        if self._is_system or self._none:
            return name in _symbols() if _symbols() else None
        return None

    def without_types(self) -> str | None:
        if not self._none:
            return None
        return (
            f"CO-RE went by the program's own types, not by a kernel's: {self._none}; {_GIVE}, or "
            f"say --kernel-btf {NONE}"
        )

    def config(self, name: str) -> str | None:
        """Raises UsageError or FormatError for what cannot be read."""
        found = self._kconfig()
        return self._by_types(name) if found is None else found.get(name)

    def _by_types(self, name: str) -> str | None:
        """What libbpf finds out by trying, where the types of a kernel tell it."""
        functions, types = _FEATURES.get(name, ()), self.types()
        if not functions or types is None:
            return None
        return str(int(any(types.find(function, Func) is not None for function in functions)))

    def _kconfig(self) -> Kconfig | None:
        with self._lock:
            if not self._asked_config:
                self._config = self._find_config()
                self._asked_config = True
            return self._config

    def _find_config(self) -> Kconfig | None:
        source = self._source(_CONFIG)
        if isinstance(source, Path):
            return kconfig.read(source)
        # Another kernel's types come with another configuration.
        if source is not None or self._given is not None or self._source(_BTF) is not None:
            return None
        return kconfig.of_system()

    def has_config(self) -> bool:
        return self._kconfig() is not None


def release_named(text: str) -> Release:
    """ "6.1" as (6, 1). Raises UsageError for what is no release, or one that is not known."""
    newest = shown(NEWEST)
    try:
        release = release_of(text)
    except ValueError as error:
        raise UsageError(str(error), hint="write its numbers, as in 6.1") from None
    if release > NEWEST:
        raise UsageError(f"bpfheap knows Linux up to {newest}, not {text}", hint=f"say {newest}")
    return release


class Earlier:
    """A kernel with what came after `release` left out: for programs that have to load there, too.
    Its types are those of `kernel`."""

    def __init__(self, kernel: Vmlinux, release: Release) -> None:
        self._kernel = kernel
        self._release = release

    def release(self) -> Release:
        return self._release

    def types(self) -> LazyBtf | None:
        return self._kernel.types()

    def has_types(self) -> bool:
        return self._kernel.has_types()

    def modules(self) -> tuple[LazyBtf, ...]:
        return self._kernel.modules()

    def has_symbol(self, name: str) -> bool | None:
        return self._kernel.has_symbol(name)

    def without_types(self) -> str | None:
        return self._kernel.without_types()

    def config(self, name: str) -> str | None:
        if name == _VERSION:
            major, minor = self._release
            return str(major << 16 | minor << 8)
        return self._kernel.config(name)

    def has_config(self) -> bool:
        return self._kernel.has_config()


def _source(key: str, named: str, base: Path) -> Path | str:
    if named == NONE:
        return NONE
    path = base / named
    try:
        wrong = None if stat.S_ISREG(path.stat().st_mode) else "is no file"
    except (OSError, ValueError) as error:
        wrong = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if wrong is not None:
        what, example = _WHAT[key]
        raise UsageError(
            f"a kernel's {what} {wrong}",
            file=str(path),
            hint=f"name a file, such as {example}, or say {NONE}",
        )
    return path


# -- the project


def _of_project(key: str) -> Path | str | None:
    """What the nearest pyproject.toml with such a key says. Raises UsageError."""
    said = project.said((key,))
    if said is None:
        return None
    file, named = str(said.path), said.values[key]
    if not isinstance(named, str):
        raise UsageError(
            f"[tool.bpfheap] {key} is no text", file=file, hint=f'write {key} = "FILE"'
        )
    try:
        return _source(key, named, said.path.parent)
    except UsageError as error:
        raise UsageError(
            f"[tool.bpfheap] {key} names {error.file}: {error.message}", file=file, hint=error.hint
        ) from None


# -- files


def read_types(path: Path) -> LazyBtf:
    """The types of a kernel, from BTF as it is or an ELF file with a section .BTF. Raises
    UsageError if it cannot be read, BtfError for what is no BTF."""
    try:
        about = path.stat()
        return _read(path, (about.st_dev, about.st_ino, about.st_mtime_ns, about.st_size))
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=str(path)) from None
    except BpfheapError as error:
        raise error.at(str(path)) from None


@lru_cache(maxsize=4)
def _read(path: Path, identity: tuple[int, ...]) -> LazyBtf:
    """`identity` changes with the file's content."""
    return types_in(_bytes_of(path), str(path))


def types_in(data: bytes, file: str, base: LazyBtf | None = None, base_key: bytes = b"") -> LazyBtf:
    """The types of a kernel, or of a module of `base`, from BTF; `base_key` tells bases apart.
    Raises BtfError."""
    reader = open_types(data, file, None if base is None else base.reader)
    key = hashlib.sha256(base_key + data).digest()
    kept = _SHELF.find(key)
    index = None if kept is None else BtfIndex.decode(kept)
    if index is None:
        index = index_of(reader)
        _SHELF.keep(key, index.encode())
    return LazyBtf(reader, index, file, base)


def _modules_of(types: LazyBtf) -> Iterator[LazyBtf]:
    # Names in a module may be the kernel's.
    base_key = hashlib.sha256(types.reader.strings).digest()
    for path in sorted(VMLINUX.parent.iterdir()):
        if path.name == VMLINUX.name:
            continue
        try:
            yield types_in(_bytes_of(path), str(path), types, base_key)
        except (OSError, BtfError):
            continue


def _bytes_of(path: Path) -> bytes:
    with path.open("rb") as file:
        start = file.read(4)
        if start != b"\x7fELF":
            data = start + file.read(_MAX_BTF)
            if len(data) > _MAX_BTF:
                raise BtfError(f"it has more than {_MAX_BTF} bytes, too many for BTF")
            return data
        file.seek(0)
        return _section(file)


def _section(file: io.BufferedReader) -> bytes:
    try:
        section = ELFFile(file).get_section_by_name(".BTF")
        if section is None:
            raise BtfError(
                "an ELF file without BTF", hint="build the kernel with CONFIG_DEBUG_INFO_BTF"
            )
        if section["sh_size"] > _MAX_BTF:
            raise BtfError(f"{section['sh_size']} bytes are too many for BTF")
        data = section.data()
    except BpfheapError:
        raise
    except Exception:  # pyelftools raises what its parsers happen to raise
        raise BtfError("a broken ELF file") from None
    assert isinstance(data, bytes)
    return data


#: What LLVM puts behind names of variables as it optimises the whole kernel does not count.
_SYMBOL: Final = re.compile(r"^[0-9a-f]+ (?:d (\S+?)\.llvm\.\d+|\S (\S+))", re.MULTILINE)


@lru_cache(maxsize=1)
def _symbols() -> frozenset[str]:
    try:
        found = _SYMBOL.findall(KALLSYMS.read_text(errors="replace"))
        return frozenset(short or name for short, name in found)
    except OSError:
        return frozenset()
