"""Random programs that nobody verified, on a hardened machine: what they are, and how one is run.

As a script, `wild.py interpreted|compiled FIRST COUNT`, it runs programs of so many seeds one after
the other; without numbers, what the verifier refuses of the oracle's cases. It says the seed or the
name before each, and fails if memory outside was written to, or shows in what a program reads. A
program that ends the process is then the one that was said last.

`wild.py both FIRST COUNT` runs half of so many interpreted and half compiled, in processes of a
few thousand each, on all CPUs (`make wild`).
"""

from __future__ import annotations

import ast
import ctypes
import mmap
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import bpfheap
from bpfheap.btf import Btf, Func, Struct
from bpfheap.compile import object_spec
from bpfheap.errors import BpfheapError
from bpfheap.isa import OPS, ControlFlow, Insn, Kind, Op, Uses, assemble, check_structure
from bpfheap.machine import played
from bpfheap.machine.native._core import CALLS
from bpfheap.machine.native.jit import llvm
from bpfheap.machine.native.machine import NativeMachine
from bpfheap.platform.calls import CALL_BY_NAME, Arg, Ret
from bpfheap.runtime.machine import AtCall, Done
from bpfheap.spec import ObjectSpec, ProgramSpec, Ref, RefKind, SubprogSpec
from bpfheap.verifier.facts import CallFacts, Facts

SOURCE: Final = Path(__file__).with_name("wild.bpf.c")
_SECTIONS: Final = ("tc", "xdp", "raw_tp", "syscall", "perf_event")
_PACKETS: Final = ("tc", "xdp")
#: Bytes of the shortest context.
_XDP_MD: Final = 24
_PLAIN: Final = [
    op
    for op in OPS
    if op.kind in (Kind.ALU, Kind.MOV, Kind.NEG, Kind.END)
    or (op.kind in (Kind.LOAD, Kind.STORE_IMM, Kind.STORE_REG, Kind.ATOMIC))
]
_MEMORY: Final = [op for op in _PLAIN if op.kind not in (Kind.ALU, Kind.MOV, Kind.NEG, Kind.END)]
_JUMPS: Final = [op for op in OPS if op.flow in (ControlFlow.JUMP, ControlFlow.BRANCH)]
_CODE: Final = {op.name: op for op in OPS if op.kind is Kind.LDDW}
#: Where they are in struct value.
_FIELDS: Final = {Arg.KPTR_FIELD: 16, Arg.SPIN_LOCK: 32, Arg.LIST_HEAD: 40, Arg.RB_ROOT: 56}
_NEW: Final = frozenset(
    {Ret.NEW_OR_NULL, Ret.PERCPU_NEW_OR_NULL, Ret.RECORD_OR_NULL, Ret.SHARED_OR_NULL,
     Ret.NODE_OR_NULL, Ret.KPTR_OR_NULL, Ret.PEEK_OR_NULL}
)  # fmt: skip
#: What Python performs.
_ASKED: Final = tuple(name for name in played.CALLS if name in CALL_BY_NAME)
_PATTERN: Final = 0xA7
_BUDGET: Final = 3000


class Outside:
    """Memory that no program may reach, and its address."""

    def __init__(self, size: int = 1 << 14) -> None:
        self._memory = mmap.mmap(-1, 1 << 29)
        whole = ctypes.addressof(ctypes.c_ubyte.from_buffer(self._memory))
        # Its lower 32 bits lead to where nothing is in a region that is hardly used.
        at = 0 if whole & 0xFFFFFFFF >= 1 << 28 else 1 << 28
        self._bytes = (ctypes.c_ubyte * size).from_buffer(self._memory, at)
        self._bytes[:] = [_PATTERN] * size
        self.address = ctypes.addressof(self._bytes)
        self._as_it_was = bytes(self._bytes)

    def changed(self) -> bool:
        return bytes(self._bytes) != self._as_it_was


class Maker:
    """Makes one program. `places` are addresses that it may name."""

    def __init__(self, seed: int, obj: ObjectSpec, places: list[int]) -> None:
        self.random = random.Random(seed)
        self.obj = obj
        self.places = places
        self.insns: list[Insn] = []
        self.refs: dict[int, Ref] = {}
        #: Jumps that have no target yet, and references to functions, by slot.
        self.jumps: list[int] = []
        self.to_function: list[int] = []
        btf = obj.btf
        #: Registers that hold what the program allocated, or so it seems.
        self.objects: list[int] = []
        self.types = [n for n, t in enumerate(btf.types) if isinstance(t, Struct) and t.size]
        self.direct = [m.name for m in obj.maps.values() if m.type == 2 and m.max_entries == 1]

    # -- pieces

    def number(self) -> int:
        pick = self.random.random()
        if pick < 0.5:
            return self.random.randint(-16, 64)
        if pick < 0.8:
            return 8 * self.random.randint(-64, 64)
        return self.random.randint(-(1 << 31), (1 << 31) - 1)

    def plain(self, op: Op) -> None:
        values: dict[Uses, int] = {
            Uses.DST: self.random.randint(0, 10),
            Uses.SRC: self.random.randint(0, 10),
            Uses.OFF: self.random.choice((0, 8, -8, -16, 4, self.random.randint(-32768, 32767))),
            Uses.IMM: self.number(),
        }
        chosen = dict(op.select)
        fields = {str(u): chosen.get(u, values[u]) for u in Uses if u in op.uses}
        if op.atomic and self.random.random() < 0.3:
            fields["off"] = self.random.randint(-40, 40)
        self.insns.append(Insn(op.opcode, **fields))

    def wide(self, dst: int, bits: int, ref: Ref | None = None, kind: str = "lddw") -> None:
        op = _CODE[kind]
        if ref is not None:
            self.refs[len(self.insns)] = ref
        low, high = bits & 0xFFFFFFFF, bits >> 32 & 0xFFFFFFFF
        src = dict(op.select).get(Uses.SRC, 0)
        self.insns.append(Insn(op.opcode, dst=dst, src=src, imm=low - (low >> 31 << 32)))
        self.insns.append(Insn(0, imm=0 if ref is not None else high - (high >> 31 << 32)))

    def constant(self, dst: int) -> None:
        if self.random.random() < 0.7:
            place = self.random.choice(self.places) + self.random.choice((0, 8, 64, -8, 4096))
        else:
            place = self.random.choice((0, 1, -1, 1 << 32, 1 << 47, self.random.getrandbits(64)))
        self.wide(dst, place)

    def map(self, dst: int, names: tuple[str, ...] = ()) -> None:
        name = self.random.choice(names or tuple(self.obj.maps))
        self.wide(dst, 0, Ref(RefKind.MAP, name), "map")

    def value(self, dst: int, offset: int | None = None) -> None:
        if offset is None or self.random.random() < 0.1:
            offset = self.random.choice((0, 8, 16, 24, 32, 40, 56, self.random.randint(0, 80)))
        name = self.random.choice(self.direct)
        self.wide(dst, 0, Ref(RefKind.MAP_VALUE, name, offset), "map_value")

    def function(self, dst: int) -> None:
        self.to_function.append(len(self.insns))
        self.wide(dst, 0, Ref(RefKind.FUNC, "sub"), "func")

    def stack(self, dst: int) -> None:
        self.insns.append(Insn(0xBF, dst=dst, src=10))
        self.insns.append(Insn(0x07, dst=dst, imm=-8 * self.random.randint(1, 64)))

    def move(self, dst: int, imm: int) -> None:
        self.insns.append(Insn(0xB7, dst=dst, imm=imm))

    def argument(self, n: int, arg: Arg) -> None:
        if self.random.random() < 0.05:
            return
        kept = self.random.choice(self.objects or [6, 7, 8, 9])
        match arg:
            case Arg.MAP:
                self.map(n)
            case Arg.ALLOCATOR:
                self.map(n, ("heap",))
            case Arg.CONST_SIZE | Arg.CONST_SIZE_OR_ZERO | Arg.ALLOC_SIZE:
                self.move(n, self.random.choice((0, 1, 8, 16, 64, 1 << 20, -1)))
            case Arg.CALLBACK | Arg.LESS:
                self.function(n)
            case Arg.TYPE_ID:
                self.move(n, self.random.choice(self.types))
            case Arg.SCALAR | Arg.ANYTHING:
                self.move(n, self.random.choice((0, 1, 2, 5, 100, self.number())))
            case Arg.SPIN_LOCK | Arg.LIST_HEAD | Arg.RB_ROOT | Arg.KPTR_FIELD:
                if self.random.random() < 0.8:
                    self.value(n, _FIELDS[arg])
                else:
                    self.register(n, kept)
            case Arg.OWNED | Arg.COUNTED | Arg.OWNED_PERCPU | Arg.PERCPU | Arg.OWNED_OR_NULL:
                self.register(n, kept, 0)
            case Arg.LIST_NODE | Arg.RB_NODE | Arg.RB_MEMBER:
                self.register(n, kept)
                if self.random.random() < 0.7:
                    self.insns[-1] = Insn(0x07, dst=n, imm=16 if arg is Arg.LIST_NODE else 40)
            case Arg.RECORD:
                self.register(n, kept, 0)
            case _:
                self.stack(n)

    def register(self, dst: int, src: int, most: int = 10) -> None:
        self.insns.append(Insn(0xBF, dst=dst, src=src))
        if most:
            self.insns.append(Insn(0x07, dst=dst, imm=8 * self.random.randint(0, most)))

    def call(self) -> None:
        row = CALL_BY_NAME[self.random.choice(_ASKED if self.random.random() < 0.2 else CALLS)]
        for n, arg in enumerate(row.args, 1):
            self.argument(n, arg)
        if row.number is None:
            self.refs[len(self.insns)] = Ref(RefKind.KFUNC, row.name)
            self.insns.append(Insn(0x85, src=2))
        else:
            self.insns.append(Insn(0x85, imm=row.number))
        if row.ret in _NEW or self.random.random() < 0.3:
            kept = self.random.randint(6, 9)
            self.insns.append(Insn(0xBF, dst=kept, src=0))
            self.objects = [n for n in self.objects if n != kept]
            if row.ret in _NEW:
                self.objects.append(kept)

    def statement(self) -> None:
        pick = self.random.random()
        if pick < 0.2:
            self.plain(self.random.choice(_PLAIN))
        elif pick < 0.4:
            op = self.random.choice(_MEMORY)
            if self.random.random() < 0.1:
                self.plain(op)
                return
            # Somewhere inside, most of the time.
            base = self.random.randint(1, 5)
            offsets: tuple[int, ...] = (0, 8, 16, 24)
            if pick < 0.34:
                self.random.choice((self.value, self.stack))(base)
            else:
                # What a look-up gave, or a callback its context.
                base = self.random.choice((0, 2, 4))
                offsets = (0, 4, 8, -8, 56, 64, 72, 512)
            self.plain(op)
            insn = self.insns[-1]
            dst, src = (insn.dst, base) if op.kind is Kind.LOAD else (base, insn.src)
            off = self.random.choice(offsets)
            self.insns[-1] = Insn(insn.opcode, dst, src, off, insn.imm)
        elif pick < 0.45:
            self.constant(self.random.randint(0, 5))
        elif pick < 0.55:
            self.value(self.random.randint(0, 9))
        elif pick < 0.6:
            self.map(self.random.randint(0, 9))
        elif pick < 0.7:
            op = self.random.choice(_JUMPS)
            self.jumps.append(len(self.insns))
            self.plain(op)
        elif pick < 0.73:
            self.to_function.append(len(self.insns))
            self.insns.append(Insn(0x85, src=1))
        elif pick < 0.75:
            self.stack(self.random.randint(1, 9))
        else:
            self.call()

    def body(self, most: int) -> None:
        first, jumps = len(self.insns), len(self.jumps)
        for _ in range(self.random.randint(1, most)):
            self.statement()
        self.insns += [Insn(0xB7, dst=0, imm=self.random.randint(0, 1)), Insn(0x95)]
        if self.random.random() < 0.5:
            # What it read comes back.
            self.insns[-2] = Insn(0xBF, dst=0, src=self.random.randint(0, 9))
        starts = [s for s in range(first, len(self.insns)) if not self._second(s)]
        for slot in self.jumps[jumps:]:
            to = self.random.choice(starts) - slot - 1
            insn = self.insns[slot]
            far = insn.opcode == 0x06  # gotol
            self.insns[slot] = Insn(
                insn.opcode, insn.dst, insn.src, 0 if far else to, to if far else insn.imm
            )

    def _second(self, slot: int) -> bool:
        return slot > 0 and self.insns[slot - 1].opcode == 0x18

    def make(self) -> ProgramSpec:
        """A program that is one by its structure."""
        for n in range(10):
            self.random.choice((self.constant, self.value, self.map, self.stack))(n)
        if self.random.random() < 0.5:
            # Keep the context: it leads to the packet.
            self.insns[:0] = [Insn(0xBF, dst=9, src=1)]
            self.refs = {slot + 1: ref for slot, ref in self.refs.items()}
            self.insns += [Insn(0x61, dst=8, src=9, off=4 * self.random.randint(0, 30))]
        self.body(40)
        starts = [0]
        for _ in range(self.random.randint(1, 2)):
            starts.append(len(self.insns))
            self.body(8)
        for slot in self.to_function:
            # Functions that call one another do so for ever, or until there are too many frames.
            target = self.random.choice(starts[1:])
            insn = self.insns[slot]
            if insn.opcode == 0x85:
                self.insns[slot] = Insn(0x85, src=1, imm=target - slot - 1)
            else:
                self.refs[slot] = Ref(RefKind.FUNC, "sub", target=target)
        check_structure(self.insns, self.refs)
        func = next(n for n, t in enumerate(self.obj.btf.types) if isinstance(t, Func))
        ends = [*starts[1:], len(self.insns)]
        subprogs = tuple(
            SubprogSpec(f"sub{s}" if s else "main", s, e, func, s == 0)
            for s, e in zip(starts, ends, strict=True)
        )
        section = self.random.choice(_SECTIONS)
        return ProgramSpec(
            "wild", section, tuple(self.insns), self.refs, subprogs, {}, self.obj.btf, "GPL", "wild"
        )


class World:
    """A hardened machine with maps of all kinds."""

    def __init__(self, obj: ObjectSpec, *, jit: bool, seed: int = 0, budget: int = _BUDGET) -> None:
        self.obj = obj
        self.runtime = bpfheap.Runtime(
            machine="native", hardened=True, jit=jit, budget=budget, seed=seed
        )
        loaded = self.runtime.load(obj)
        machine = self.runtime.system.machine
        assert isinstance(machine, NativeMachine)
        self.machine = machine
        self.maps = {name: self.runtime.system.map_of(m.fd).id for name, m in loaded.maps.items()}
        self.outside = Outside()
        one = None
        if "one" in self.maps:
            one = self.machine._maps.record(self.maps["one"]).map.address(bytes(4))
        #: That of the value which programs name most.
        self.lock = ctypes.c_uint32()
        if one is not None:
            self.lock = ctypes.c_uint32.from_address(one + _FIELDS[Arg.SPIN_LOCK])
        self._next = 1_000_000

    def places(self) -> list[int]:
        """Inside and outside: what programs are for, and what the core keeps."""
        records = [self.machine._maps.record(m).map for m in self.maps.values()]
        inside = [a for r in records if (a := _address(r)) is not None]
        shadows = [a + (1 << 33) for a in inside]
        libc = ctypes.cast(ctypes.CDLL(None).memcpy, ctypes.c_void_p).value or 0
        layouts = [r.layout[0] for r in records if r.layout[0]]
        base = (inside or [0])[0] >> 32 << 32
        return [
            *([self.outside.address] * 4), *(r.pointer for r in records), *inside, *shadows,
            *layouts, libc, id(self), base, base + (1 << 32) - 4, base + (1 << 33), base - 8,
        ]  # fmt: skip

    def make(self, seed: int) -> ProgramSpec:
        return Maker(seed, self.obj, self.places()).make()

    def load(self, spec: ProgramSpec, facts: Facts | None = None) -> int:
        """Without a verdict: what no user can."""
        self._next += 1
        self.machine.program_load(self._next, spec, self.maps, facts)
        return self._next

    def run(self, spec: ProgramSpec, chance: random.Random) -> str:
        """What came of it."""
        try:
            program = self.load(spec, made_up(spec, chance) if chance.random() < 0.5 else None)
        except BpfheapError:
            return "not loaded"
        kept = chance.random() < 0.1
        data = bytes(range(64)) if spec.section in _PACKETS else b""
        try:
            if kept and "programs" in self.maps:
                # The runtime would hold a program that is in a map.
                key = chance.randrange(4).to_bytes(4, "little")
                self.machine.map_update(self.maps["programs"], key, program.to_bytes(4, "little"))
            ctx = bytes(range(_XDP_MD if spec.section == "xdp" else 32))
            execution = self.machine.start(program, ctx, data=data)
            through = chance.random() < 0.8
            while isinstance(stop := self.machine.step(execution, through=through), AtCall):
                if chance.random() < 0.05:
                    return "left in the middle"
            assert isinstance(stop, Done)
            assert stop.retval != int.from_bytes(bytes([_PATTERN] * 8), "little"), "it read outside"
            return "done"
        except BpfheapError as error:
            return type(error).__name__
        finally:
            assert not self.outside.changed(), "it wrote outside"
            if not kept:
                self.machine.program_free(program)
            # The next one need not wait for a lock that this one has made up.
            self.lock.value = 0

    def type_id(self, name: str) -> int:
        found = self.obj.btf.find(name, Struct)
        assert found is not None
        return found

    def look(self, chance: random.Random) -> None:
        """User space looks at everything, and changes some of it."""
        pattern = bytes([_PATTERN] * 8)
        for map_id in self.maps.values():
            record = self.machine._maps.record(map_id)
            try:
                if record.spec.key_size:
                    for key in self.machine.map_keys(map_id):
                        assert pattern not in (self.machine.map_lookup(map_id, key) or b"")
                        self.machine.map_kptrs(map_id, key)
                        if chance.random() < 0.3 and not record.row.pointers:
                            self.machine.map_delete(map_id, key)
                assert not any(pattern in r for r in self.machine.map_drain(map_id))
            except BpfheapError:
                pass
        assert not any("\xa7" * 8 in line for line in self.machine.printk)
        self.machine.printk.clear()
        self.machine.grace_period()


def _address(record: Any) -> int | None:
    if record.layout[0] and not record.stride:
        return None
    return record.address(bytes(4)) if record.layout[2] == 0 and record.layout[0] else None


def made_up(spec: ProgramSpec, chance: random.Random) -> Facts:
    """What a verifier that is wrong may say of a program."""
    length = len(spec.insns)
    calls = {
        slot: CallFacts(None, 0, chance.random() < 0.5, -1, chance.choice((0, 8, 16, 64)))
        for slot in range(length)
    }
    return Facts(
        bytes([1] * length),
        bytes(chance.choices(range(8), k=length)),
        bytes(chance.choices(range(3), k=length)),
        64,
        calls,
        {},
    )


def assembled(code: str, btf: Btf) -> ProgramSpec:
    """A program in assembly; labels whose address is taken begin functions."""
    done = assemble(code, helper_number=lambda name: CALL_BY_NAME[name].number)
    refs = {
        slot: Ref(RefKind(r.kind), r.name, r.offset, done.labels.get(r.name, -1))
        for slot, r in done.refs.items()
    }
    func = next(n for n, t in enumerate(btf.types) if isinstance(t, Func))
    starts = sorted({0, *(r.target for r in refs.values() if r.kind is RefKind.FUNC)})
    ends = [*starts[1:], len(done.insns)]
    subprogs = tuple(
        SubprogSpec(f"sub{s}" if s else "main", s, e, func, s == 0)
        for s, e in zip(starts, ends, strict=True)
    )
    return ProgramSpec("wild", "raw_tp", done.insns, refs, subprogs, {}, btf, "GPL", "wild")


def run_all(first: int, count: int, *, jit: bool) -> dict[str, int]:
    """How often each outcome was."""
    obj = object_spec(SOURCE)
    outcomes: dict[str, int] = {}
    world = None
    for seed in range(first, first + count):
        chance = random.Random(seed)
        if world is None or seed % 200 == 0:
            if world is not None:
                world.machine.close()
            world = World(obj, jit=jit)
        print(seed, flush=True)
        spec = world.make(seed)
        # LLVM's long pipeline takes longer than all the rest.
        effort = llvm.Effort(2, 2) if seed % 4 == 0 else llvm.Effort(0, 0)
        with patch.object(llvm, "effort_for", return_value=effort):
            outcome = world.run(spec, chance)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if seed % 20 == 0:
            world.look(chance)
    return outcomes


def run_refused(*, jit: bool) -> dict[str, int]:
    """The same for what the verifier refuses of the oracle's cases."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "oracle"))
    from oracle_cases import case_files

    outcomes: dict[str, int] = {}
    for file in case_files():
        for case in file.cases:
            if case.ours.accept:
                continue
            print(case.name, flush=True)
            try:
                world = World(replace(case.obj, programs={}), jit=jit)
            except BpfheapError:
                continue
            chance = random.Random(case.name)
            for _ in range(3):
                outcome = world.run(case.program, chance)
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
                world.look(chance)
    return outcomes


#: Programs of a process: what LLVM keeps of each goes with it.
_SHARD: Final = 2500


def run_both(first: int, count: int) -> int:
    """The exit code: 1 if a process failed."""
    began = time.monotonic()
    outcomes: Counter[str] = Counter()
    failed = 0
    shards = [
        (how, str(first + at), str(min(_SHARD, count // 2 - at)))
        for at in range(0, count // 2, _SHARD)
        for how in ("interpreted", "compiled")
    ]

    def run(shard: tuple[str, ...]) -> tuple[tuple[str, ...], subprocess.CompletedProcess[str]]:
        command = [sys.executable, __file__, *shard]
        return shard, subprocess.run(command, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for shard, ran in pool.map(run, shards):
            last = ran.stdout.splitlines()[-1:]
            if ran.returncode:
                failed = 1
                print(f"{' '.join(shard)}: exit code {ran.returncode} after {last}", ran.stderr)
            else:
                outcomes += Counter(ast.literal_eval(last[0]))
            seconds = time.monotonic() - began
            done = outcomes.total()
            print(f"{done} programs, {done / seconds:.0f} a second: {dict(outcomes)}", flush=True)
    return failed


def main() -> None:
    if sys.argv[1] == "both":
        sys.exit(run_both(*(int(n) for n in sys.argv[2:])))
    jit = sys.argv[1] == "compiled"
    first, count = (int(n) for n in sys.argv[2:]) if len(sys.argv) > 2 else (0, 3000)
    # A program that runs on is one that got out, too.
    signal.alarm(120 + count)
    print(run_all(first, count, jit=jit) if len(sys.argv) > 2 else run_refused(jit=jit))


if __name__ == "__main__":
    main()
