"""What the kernel holds of one object file: its BTF, maps and programs, each loaded once."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from bpfheap.btf import Btf
from bpfheap.errors import KernelError, UsageError
from bpfheap.kernel.bpf import Attr, Command, Descriptor, Transport, errno_name
from bpfheap.kernel.log import telling_line
from bpfheap.kernel.maps import WITH_PROGRAMS, create_map, update
from bpfheap.kernel.program import SectionDef
from bpfheap.kernel.types import kernel_btf
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec

_LOG_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class LoadedBtf:
    """`btf` is kept so that its id() is not given to another object."""

    btf: Btf
    descriptor: Descriptor
    strings: dict[str, int]


class KernelObject:
    """Loads lazily: a program that uses no map needs none. Close it."""

    def __init__(self, kernel: Transport, obj: ObjectSpec) -> None:
        self.kernel = kernel
        self.obj = obj
        self._btfs: dict[int, LoadedBtf] = {}
        self._maps: dict[tuple[str, SectionDef | None], Descriptor] = {}
        self._programs: dict[int, tuple[ProgramSpec, Descriptor]] = {}

    def close(self) -> None:
        """Close all descriptors; closing twice does nothing."""
        for _, program in self._programs.values():
            program.close()
        for made in self._maps.values():
            made.close()
        for loaded in self._btfs.values():
            loaded.descriptor.close()
        self._programs.clear()
        self._maps.clear()
        self._btfs.clear()

    def btf(self, btf: Btf) -> LoadedBtf | None:
        """None for BTF without types, which the kernel does not take. Raises KernelError if it
        does not take these."""
        if len(btf) == 1:
            return None
        found = self._btfs.get(id(btf))
        if found is None:
            found = self._btfs[id(btf)] = self._load_btf(btf)
        return found

    def _load_btf(self, btf: Btf) -> LoadedBtf:
        programs = self.obj.programs.values()
        form = kernel_btf(
            btf,
            {s.func_id for p in programs for s in p.subprogs if s.func_id and not s.is_global},
            (t for p in programs for line in p.lines.values() for t in (line.file, line.text)),
        )
        size = len(form.data)
        result = self.kernel.call(Attr(Command.BTF_LOAD, btf=form.data, btf_size=size))
        if result >= 0:
            return LoadedBtf(btf, Descriptor(self.kernel, result), form.strings)
        buffer = ctypes.create_string_buffer(_LOG_SIZE)
        again = self.kernel.call(
            Attr(
                Command.BTF_LOAD,
                btf=form.data,
                btf_size=size,
                btf_log_buf=buffer,
                btf_log_size=_LOG_SIZE,
                btf_log_level=1,
            )
        )
        Descriptor(self.kernel, again).close()
        raise _btf_refused(self.obj, -result, buffer.value.decode(errors="replace"), form.last)

    def map(self, name: str, user: SectionDef) -> Descriptor:
        """The map for programs of a section. One that may have programs is the first program's that
        uses it, and programs of other types cannot use it (bpf_prog_map_compatible), so that each
        section has its own.

        Raises UsageError if the object has no such map, else what `create_map` raises.
        """
        spec = self.obj.maps.get(name)
        key = (name, user if spec is not None and spec.type in WITH_PROGRAMS else None)
        found = self._maps.get(key)
        if found is None:
            if spec is None:
                raise UsageError(
                    f"there is no map {name}",
                    file=self.obj.file,
                    hint='define it in SEC(".maps")',
                )
            found = self._create(spec)
            # Known before its inner maps are: they cannot be maps of maps, but a broken spec could.
            self._maps[key] = found
            for slot, inner in enumerate(spec.inner_names if spec.inner is not None else ()):
                if inner is not None:
                    index = slot.to_bytes(max(spec.key_size, 4), "little")
                    update(found, index, self.map(inner, user).number.to_bytes(4, "little"))
        return found

    def _create(self, spec: MapSpec) -> Descriptor:
        loaded = self.btf(spec.btf) if spec.is_typed else None
        btf = loaded.descriptor if loaded is not None else None
        if spec.inner is None:
            return create_map(self.kernel, spec, btf=btf)
        with self._create(spec.inner) as template:
            return create_map(self.kernel, spec, btf=btf, inner=template)

    def program(self, program: ProgramSpec) -> Descriptor | None:
        """The descriptor that `keep` was given; None without one."""
        found = self._programs.get(id(program))
        return found[1] if found is not None else None

    def keep(self, program: ProgramSpec, loaded: Descriptor) -> None:
        self._programs[id(program)] = (program, loaded)


def _btf_refused(obj: ObjectSpec, number: int, log: str, last: int) -> KernelError:
    """The log lists the types up to the one that is wrong, and says nothing if it is none."""
    said = telling_line(log)
    hint = None
    if not said or said.startswith(f"[{last}] "):
        said = errno_name(number)
        hint = (
            "no single type is wrong; a kptr to a struct whose name the kernel's own types have is "
            "one to that type, so give the struct another name"
        )
    return KernelError(
        f"the kernel does not take the BTF: {said}",
        errno_name=errno_name(number),
        log=log,
        file=obj.file,
        hint=hint,
    )
