"""A world whose maps and programs come from C, for the model machine."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from bpfheap.compile import object_spec
from bpfheap.errors import Violation
from bpfheap.machine.model import ModelMachine
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID, AtCall, Context, Done
from bpfheap.spec import ObjectSpec, ProgramSpec


def compiled(folder: Path, source: str) -> ObjectSpec:
    path = folder / "test.bpf.c"
    path.write_text(f'#include <bpfheap.h>\n{source}\nchar LICENSE[] SEC("license") = "GPL";\n')
    return object_spec(path)


class CWorld:
    """All maps of an object, empty, and its programs, by name. Nothing is verified."""

    def __init__(self, spec: ObjectSpec, **options: Any) -> None:
        self.spec = spec
        self.machine = ModelMachine(**options)
        self.maps: dict[str, int] = {}
        self.programs: dict[str, int] = {}
        for n, (name, made) in enumerate(spec.maps.items(), 1):
            self.machine.map_create(n, made, None, {})
            self.maps[name] = n
        for n, program in enumerate(spec.programs.values(), 200):
            self._load(n, program)

    def _load(self, number: int, program: ProgramSpec) -> None:
        self.machine.program_load(number, program, self.maps)
        self.programs[program.name] = number

    def start(self, name: str, cpu: int = 0, ctx: bytes = b"") -> int:
        return self.machine.start(self.programs[name], ctx, cpu=cpu, context=Context.TASK)

    def finish(self, execution: int) -> int:
        while not isinstance(stop := self.machine.step(execution), Done):
            pass
        return stop.retval

    def run(self, name: str, ctx: bytes = b"", cpu: int = 0) -> int:
        return self.finish(self.start(name, cpu, ctx))

    def step_to(self, execution: int, call: str) -> None:
        """On until the execution stands before that call."""
        while isinstance(stop := self.machine.step(execution), AtCall):
            if stop.name == call:
                return
        raise AssertionError(f"never came to {call}")

    def fails(self, name: str, ctx: bytes = b"") -> tuple[str, str]:
        """The violation that a program ends in: its kind and message."""
        try:
            found = self.run(name, ctx)
        except Violation as seen:
            return seen.kind, seen.message
        raise AssertionError(f"{name} returned {found}")

    def live(self) -> int:
        """Objects that anybody still owns."""
        return self.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).live

    def free(self, name: str) -> None:
        """As when the last user of a map is gone."""
        map_id = self.maps.pop(name)
        while not self.machine.map_free_step(map_id):
            pass

    def free_all(self) -> None:
        self.machine.grace_period()
        for name in tuple(self.maps):
            self.free(name)


def skb(length: int) -> bytes:
    """A context whose `len` is that."""
    return struct.pack("<I", length)
