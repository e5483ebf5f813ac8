"""Programs as machine code: the passes' legal forms, ways in, budgets, memory, the cache."""

from __future__ import annotations

import os
import re
import signal
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import BpfheapError, UsageError
from bpfheap.spec import ObjectSpec

pytest.importorskip("bpfheap.machine.native._core")
pytest.importorskip("llvmlite")

from bpfheap.machine.native import jit
from bpfheap.machine.native.jit import blocks, cache, frames
from bpfheap.machine.native.machine import NativeMachine

HERE = Path(__file__).parent
#: Of this many microseconds of work.
PAIR = struct.Struct("<qq")


@pytest.fixture(scope="module")
def spec() -> ObjectSpec:
    return object_spec(HERE / "compiled.bpf.c")


@pytest.fixture
def rt() -> Iterator[bpfheap.Runtime]:
    with bpfheap.Runtime(machine="native", jit=True) as rt:
        yield rt


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BPFHEAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def machine_of(rt: bpfheap.Runtime) -> NativeMachine:
    machine = rt.system.machine
    assert isinstance(machine, NativeMachine)
    return machine


def source(rt: bpfheap.Runtime, program: bpfheap.Program) -> jit.Source:
    return machine_of(rt).source(rt.system.program_of(program.fd).id)


# -- all ways lead to the same


@pytest.mark.parametrize("way", ["interpreted", "compiled", "entry", "batch"])
def test_every_way_in_does_the_same(spec: ObjectSpec, way: str) -> None:
    with bpfheap.Runtime(machine="native", jit=way != "interpreted") as rt:
        obj = rt.load(spec)
        assert (obj.programs["add"].compilation() is None) == (way == "interpreted")

        def run(name: str, *words: int) -> int:
            ctx = PAIR.pack(*words)
            program = obj.programs[name]
            if way == "entry":
                return program.entry()(ctx)
            if way == "batch":
                return program.run_batch(np.frombuffer(ctx, np.int64).reshape(1, 2))[0]
            return program.run(ctx).retval

        assert run("add", 40, 2) == 42
        assert run("add", -1, 0) == 0xFFFF_FFFF
        for number in range(9):
            assert run("work", number, 0) == 0
        assert dict(obj.maps["counts"]) == {0: 3, 1: 2, 2: 2, 3: 2}
        assert sum(obj.maps["runs"][1]) == 9
        records = [int.from_bytes(record, "little") for record in obj.maps["records"].drain()]
        assert records == list(range(9))
        words = [slot.item.word[3] for slot in obj.maps["slots"].values()]
        assert words == [8, 5, 6, 7]
        assert run("loops", 0, 0) == 2 * 4950 * 1000 + 6 + 9
        assert run("say", 3, -4) == 5
        assert rt.printk == ["3 and -4"]
        assert run("first", 0, 1) == 7
        obj.maps["programs"][1] = obj.programs["second"]
        assert run("first", 0, 1) == 1001


@pytest.mark.parametrize("jit_", [False, True])
def test_each_cpu_has_its_own(spec: ObjectSpec, jit_: bool) -> None:
    with bpfheap.Runtime(machine="native", jit=jit_, cpus=2) as rt:
        where = rt.load(spec, programs=["where"]).programs["where"]
        assert [where.run(cpu=cpu).retval for cpu in (0, 1, 0, 1)] == [1, 11_011, 11_002, 22_022]


@pytest.mark.parametrize("jit_", [False, True])
def test_what_is_a_pointer_on_some_paths(spec: ObjectSpec, jit_: bool) -> None:
    with bpfheap.Runtime(machine="native", jit=jit_) as rt:
        obj = rt.load(spec, programs=["mixed"])
        obj.maps["counts"][1] = 3 << 32 | 9
        mixed = obj.programs["mixed"]
        assert [mixed.run(data=bytes(size)).retval for size in (64, 65)] == [3012, 3009]


def test_interpreted_and_compiled_programs_call_each_other(spec: ObjectSpec) -> None:
    with bpfheap.Runtime(machine="native", jit=True) as rt:
        obj = rt.load(spec)
        machine = machine_of(rt)
        second = machine._programs.records[rt.system.program_of(obj.programs["second"].fd).id]
        second.facts = None
        obj.maps["programs"][1] = obj.programs["second"]
        assert obj.programs["second"].compilation() is None
        assert obj.programs["first"].compilation() is not None
        assert obj.programs["first"].run(PAIR.pack(0, 9)).retval == 1009


# -- the passes


@pytest.fixture
def loops(rt: bpfheap.Runtime, spec: ObjectSpec) -> jit.Source:
    return source(rt, rt.load(spec).programs["loops"])


def test_forms_of_all_programs_are_legal(rt: bpfheap.Runtime, spec: ObjectSpec) -> None:
    for program in rt.load(spec).programs.values():
        made = jit.compiled(source(rt, program), check=True)
        assert made.image.startswith(b"\x7fELF")


def test_what_is_never_reached_is_left_out(rt: bpfheap.Runtime, spec: ObjectSpec) -> None:
    found = source(rt, rt.load(spec).programs["add"])
    assert found.facts is not None
    code = blocks.split(found)
    assert {ins.slot for f in code.functions.values() for ins in f} == {
        slot for slot, seen in enumerate(found.facts.seen) if seen
    }


def test_blocks_that_are_wrong(loops: jit.Source) -> None:
    def broken() -> blocks.Code:
        return blocks.split(loops)

    blocks.check(broken(), loops)
    code = broken()
    entry = code.functions[0]
    gone = next(after for block in entry.blocks.values() for after in block.after if after)
    del entry.blocks[gone]
    with pytest.raises(AssertionError, match=f"goes on to {gone}, which is none"):
        blocks.check(code, loops)
    code = broken()
    code.functions[0].blocks[0].after = ()
    with pytest.raises(AssertionError, match="block 0 goes on to"):
        blocks.check(code, loops)
    code = broken()
    first = next(iter(code.functions[0].blocks.values()))
    last = next(ins for ins in code.functions[0] if ins.op.name == "exit")
    first.body.insert(0, last)
    with pytest.raises(AssertionError, match="ends the block in its middle"):
        blocks.check(code, loops)
    assert loops.facts is not None
    blind = replace(loops, facts=replace(loops.facts, seen=bytes(len(loops.insns))))
    with pytest.raises(AssertionError, match="is never reached"):
        blocks.check(broken(), blind)


def test_frames_that_are_wrong(loops: jit.Source) -> None:
    code = blocks.split(loops)
    found = {start: frames.frame_of(f, loops) for start, f in code.functions.items()}
    frames.check(code, found)
    for regions in (((-16, -8), (-12, 0)), ((-520, 0),), ((-8, 8),), ((-8, -8),)):
        with pytest.raises(AssertionError, match="overlap or leave"):
            frames.check(code, found | {0: frames.StackFrame(regions, {})})


def test_variables_have_memory_of_their_own(rt: bpfheap.Runtime, spec: ObjectSpec) -> None:
    """A key whose address goes into a call, and nothing else: the frame is divided."""
    found = source(rt, rt.load(spec).programs["work"])
    frame = frames.frame_of(blocks.split(found).functions[0], found)
    assert not frame.whole
    assert len(frame.regions) >= 2


def test_loops_are_loops(rt: bpfheap.Runtime, spec: ObjectSpec) -> None:
    """Callbacks, iterators and lookups are written in place: what is left are the core's ways out
    of the usual."""
    text = rt.load(spec).programs["loops"].dump("ir")
    called = set(re.findall(r"call [^@\n]*@([A-Za-z_]+)", text)) - {"llvm"}
    assert called == {"bh_run_count", "bh_map_walk"}


# -- budgets


@pytest.mark.parametrize("jit_", [False, True])
def test_a_budget_ends_what_has_no_end(spec: ObjectSpec, jit_: bool) -> None:
    with bpfheap.Runtime(machine="native", jit=jit_, budget=1_000_000) as rt:
        obj = rt.load(spec)
        assert obj.programs["short_loop"].run(PAIR.pack(1, 0)).retval != 0
        for run in (obj.programs["long_loops"].run, obj.programs["long_loops"].entry()):
            with pytest.raises(BpfheapError, match="without coming to an end"):
                run()


@pytest.mark.parametrize("jit_", [False, True])
def test_a_budget_counts_what_the_verifier_knows_the_end_of(spec: ObjectSpec, jit_: bool) -> None:
    with bpfheap.Runtime(machine="native", jit=jit_, budget=500) as rt:
        program = rt.load(spec).programs["short_loop"]
        with pytest.raises(BpfheapError, match="without coming to an end"):
            program.run()


def test_an_interrupt_ends_a_run(rt: bpfheap.Runtime, spec: ObjectSpec) -> None:
    program = rt.load(spec).programs["long_loops"]
    assert program.compilation() is not None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    late = threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT))

    def interrupted() -> None:
        # Where the machine is busy, it may come before the run has begun.
        late.start()
        program.run()

    with pytest.raises(KeyboardInterrupt):
        interrupted()


# -- ways in


def test_a_batch_has_many_forms(rt: bpfheap.Runtime, spec: ObjectSpec) -> None:
    add = rt.load(spec).programs["add"]
    inputs = np.arange(2000, dtype=np.int64).reshape(-1, 2)
    wanted = inputs.sum(axis=1).tolist()
    assert add.run_batch(inputs).tolist() == wanted
    records = inputs.ravel().view([("a", "<i8"), ("b", "<i8")])
    assert add.run_batch(records).tolist() == wanted
    rows = memoryview(inputs.tobytes()).cast("B", shape=[len(wanted), 16])
    assert np.asarray(add.run_batch(rows)).tolist() == wanted
    assert add.run_batch(inputs[:0]).tolist() == []
    # What is not given is 0.
    assert add.run_batch(inputs[:, :1].copy()).tolist() == inputs[:, 0].tolist()


def test_batches_that_cannot_be(rt: bpfheap.Runtime, spec: ObjectSpec) -> None:
    add = rt.load(spec).programs["add"]
    with pytest.raises(UsageError, match="one after the other"):
        add.run_batch(np.arange(8, dtype=np.int64).reshape(-1, 2).T)
    with pytest.raises(UsageError, match="a context has at most 65535 bytes, not 80000"):
        add.run_batch(np.zeros((2, 10_000), np.int64))
    with pytest.raises(UsageError, match="a context has at most 65535 bytes"):
        add.entry()(bytes(70_000))
    with pytest.raises(UsageError, match="no more"):
        add.entry()(b"", b"")


def test_an_entry_ends_with_its_program(spec: ObjectSpec) -> None:
    with bpfheap.Runtime(machine="native", jit=True) as rt:
        obj = rt.load(spec)
        entry = obj.programs["add"].entry(cpu=1)
        assert entry(PAIR.pack(1, 2)) == 3
        obj.programs["add"].unload()
        with pytest.raises(UsageError, match="was unloaded"):
            entry(PAIR.pack(1, 2))


def test_an_entry_ends_while_others_run(spec: ObjectSpec) -> None:
    """Threads are in the program when it goes: each run ends, or says so."""
    with bpfheap.Runtime(machine="native", jit=True, grace="manual") as rt:
        obj = rt.load(spec)
        program = obj.programs["work"]
        inputs = np.zeros((20_000, 2), np.int64)
        told: list[str] = []

        def run() -> None:
            try:
                while True:
                    program.run_batch(inputs)
            except UsageError as error:
                told.append(error.message)

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        while obj.maps["runs"][1] == [0, 0]:
            pass
        obj.close()
        rt.grace_period()
        for thread in threads:
            thread.join()
        assert len(told) == 3
        assert all("was unloaded" in message for message in told)


def test_programs_without_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "packet.bpf.c"
    path.write_text(
        '#include <bpfheap.h>\nSEC("xdp") int f(struct xdp_md *ctx) { return 2; }\n'
        'char LICENSE[] SEC("license") = "GPL";\n'
    )
    with bpfheap.Runtime(machine="native", jit=True) as rt:
        program = rt.load(path).programs["f"]
        with pytest.raises(UsageError, match="gets a packet"):
            program.entry()
        assert program.run(data=bytes(64)).retval == 2
    with bpfheap.Runtime() as rt, pytest.raises(UsageError, match="have no entry"):
        rt.load(path).programs["f"].entry()


def test_signals_interrupt_compiled_programs(rt: bpfheap.Runtime) -> None:
    """At random points of compiled code, other compiled code allocates and frees."""
    obj = rt.load(HERE / "sample.bpf.c")
    work, sample = obj.programs["work"], obj.programs["sample"]
    with rt.attach(sample, signal=signal.SIGUSR2, hz=5_000) as attached:
        for program in (work, sample):
            made = program.compilation()
            assert made is not None
            assert not made.why
            assert len(repr(made)) < 500, "for people"
        while attached.runs < 300:
            assert work.run().retval == 0
    found = rt.system.machine.allocator_types(0)
    assert sum(found.values()) == sum(s.item is not None for s in obj.maps["slots"].values())


# -- memory


def writable_and_executable() -> set[str]:
    pages = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    return {page[0] for page in pages if "w" in page[1] and "x" in page[1]}


def test_no_page_is_writable_and_executable(rt: bpfheap.Runtime, spec: ObjectSpec) -> None:
    # The interpreter's libraries may have one, as for what C calls back.
    before = writable_and_executable()
    programs = rt.load(spec).programs
    for program in programs.values():
        assert program.compilation() is not None
    assert programs["work"].run(PAIR.pack(1, 2)).retval == 0
    assert writable_and_executable() <= before


# -- the cache


def test_code_is_kept(own_cache: Path, spec: ObjectSpec) -> None:
    for cached in (False, True):
        with bpfheap.Runtime(machine="native", jit=True) as rt:
            program = rt.load(spec).programs["add"]
            assert program.run(PAIR.pack(4, 5)).retval == 9
            made = program.compilation()
            assert made is not None
            assert made.cached == cached
    assert len(list(own_cache.iterdir())) == 1


def test_what_differs_is_not_taken(rt: bpfheap.Runtime, spec: ObjectSpec) -> None:
    programs = rt.load(spec).programs
    sources = [source(rt, program) for program in programs.values()]
    sources += [replace(sources[0], counted=True), replace(sources[0], watched=True)]
    sources += [replace(sources[0], cpus=7)]
    keys = [cache.key(one) for one in sources]
    assert len(set(keys)) == len(keys)
    assert cache.key(source(rt, programs["add"])) == keys[0]


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _another(path: Path) -> None:
    path.write_bytes(b"\x7fELF" + bytes(5000))


def _changed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _of_another_program(path: Path) -> None:
    data = path.read_bytes()
    head = data.index(b"\n") + 1
    path.write_bytes(data[:head] + bytes(32) + data[head + 32 :])


def _writable(path: Path) -> None:
    path.chmod(0o666)


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "spoil",
    [_truncated, _empty, _another, _changed, _of_another_program, _writable, _a_folder],
)
def test_spoilt_files_are_not_used(own_cache: Path, spec: ObjectSpec, spoil: object) -> None:
    assert callable(spoil)
    for turn in range(2):
        with bpfheap.Runtime(machine="native", jit=True) as rt:
            program = rt.load(spec).programs["add"]
            assert program.run(PAIR.pack(20, 22)).retval == 42
            made = program.compilation()
            assert made is not None
            assert not made.cached
        if not turn:
            (path,) = own_cache.iterdir()
            spoil(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_of_others_are_not_used(own_cache: Path, rt: bpfheap.Runtime) -> None:
    obj = rt.load(HERE / "compiled.bpf.c")
    found = source(rt, obj.programs["add"])
    jit.compile_for(found)
    assert jit.compile_for(found).cached
    (path,) = own_cache.iterdir()
    os.chown(path, 1000, 1000)
    assert not jit.compile_for(found).cached


def test_a_cache_that_cannot_be(monkeypatch: pytest.MonkeyPatch, spec: ObjectSpec) -> None:
    for where in ("/proc/nowhere", "/dev/null/x", ""):
        monkeypatch.setenv("BPFHEAP_CACHE", where)
        with bpfheap.Runtime(machine="native", jit=True) as rt:
            assert rt.load(spec).programs["add"].run(PAIR.pack(1, 1)).retval == 2


# -- what people see


def test_code_is_shown_beside_its_source(rt: bpfheap.Runtime, spec: ObjectSpec) -> None:
    program = rt.load(spec).programs["work"]
    for text, mark in ((program.dump("asm"), "#"), (program.dump("ir"), ";")):
        assert re.search(rf"^ +{mark} \d+: \*run \+= 1;$", text, re.MULTILINE)
        assert "debug" not in text
        assert "xchg" in text


def test_there_is_nothing_to_show(spec: ObjectSpec) -> None:
    with bpfheap.Runtime() as rt, pytest.raises(UsageError, match="compiles nothing"):
        rt.load(spec).programs["add"].dump()


def test_a_model_compiles_nothing() -> None:
    with pytest.raises(UsageError, match="compiles nothing"):
        bpfheap.Runtime(jit=True)
