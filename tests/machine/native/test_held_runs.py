"""What is freed while runs are held, and that no wait of the native machine outlasts Ctrl-C."""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import BpfheapError, MapError, UsageError
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID, Done
from bpfheap.spec import ObjectSpec

pytest.importorskip("bpfheap.machine.native._core")
from bpfheap.machine.native._core import Core, Heap
from bpfheap.machine.native.machine import NativeMachine

#: Seconds until the signal; whoever waits has begun to by then.
SOON = 0.2
#: Objects of each kind that `churn` makes and frees; there are three kinds, and one holds another.
EACH = 2000
F_LOCK = 4


@pytest.fixture(scope="module")
def held() -> ObjectSpec:
    return object_spec(Path(__file__).with_name("held.bpf.c"))


@pytest.fixture(params=[False, True], ids=["interpreted", "compiled"])
def rt(request: pytest.FixtureRequest) -> Iterator[bpfheap.Runtime]:
    with bpfheap.Runtime(machine="native", jit=request.param, cpus=2) as made:
        yield made


def live(rt: bpfheap.Runtime) -> int:
    return rt.system.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).live


@contextmanager
def held_run(rt: bpfheap.Runtime, program: bpfheap.Program) -> Iterator[None]:
    """A run that has begun and is stopped before its first call; afterwards it goes on."""
    machine = rt.system.machine
    execution = machine.start(rt.system.program_of(program.fd).id, b"", cpu=1)
    machine.step(execution)
    yield
    while not isinstance(machine.step(execution, through=True), Done):
        pass


def test_what_is_freed_while_a_run_is_held_waits_for_it(
    rt: bpfheap.Runtime, held: ObjectSpec
) -> None:
    obj = rt.load(held)
    churn = obj.programs["churn"].entry(cpu=0)
    with held_run(rt, obj.programs["fill"]):
        for _ in range(3):
            assert churn() == 0
        rt.system.machine.grace_period()
        stats = rt.system.machine.allocator_stats(GLOBAL_ALLOCATOR_ID)
        assert stats.live == 0
        # The holders themselves do not wait: they have neither a count nor copies.
        assert stats.cached >= 3 * 3 * EACH
    rt.grace_period()
    memory = rt.system.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).memory
    for _ in range(3):
        assert churn() == 0
    # It is used again, now that nobody is held.
    assert rt.system.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).memory == memory
    assert live(rt) == 1


def test_runs_that_are_held_one_after_the_other_keep_nothing_for_ever(
    rt: bpfheap.Runtime, held: ObjectSpec
) -> None:
    """There is always one, but each comes to an end."""
    obj = rt.load(held)
    churn = obj.programs["churn"].entry(cpu=0)
    machine = rt.system.machine
    memory: list[int] = []
    with ExitStack() as last:
        last.enter_context(held_run(rt, obj.programs["count"]))
        for _ in range(12):
            following = ExitStack()
            following.enter_context(held_run(rt, obj.programs["count"]))
            assert churn() == 0
            last.close()
            last.push(following)
            machine.grace_period()
            memory.append(machine.allocator_stats(GLOBAL_ALLOCATOR_ID).memory)
    # If nothing was reclaimed, it would be twelve times as much.
    assert memory[-1] < 6 * memory[0]


def test_threads_free_while_runs_are_held(rt: bpfheap.Runtime, held: ObjectSpec) -> None:
    obj = rt.load(held)
    churn = obj.programs["churn"]
    entry = churn.entry()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for n in range(4):
                assert churn.run().retval == 0 if n % 2 else entry() == 0
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    with held_run(rt, obj.programs["fill"]):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    rt.grace_period()
    assert live(rt) == 1


def test_the_objects_of_one_long_run(rt: bpfheap.Runtime, held: ObjectSpec) -> None:
    """The run itself is held while it goes on."""
    obj = rt.load(held)
    for _ in range(5):
        assert obj.programs["churn"].run().retval == 0
    assert live(rt) == 0


# -- signals


class Interrupted(Exception):
    """What the signal handler raises, as that of SIGINT raises KeyboardInterrupt."""


@contextmanager
def interruption() -> Iterator[None]:
    def handler(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, SOON)
    try:
        with pytest.raises(Interrupted):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def somebody_runs(core: Core) -> Iterator[None]:
    """Another thread is in a run on CPU 0, and does not come to an end."""
    begun, over = threading.Event(), threading.Event()

    def run() -> None:
        with core.enter(0):
            begun.set()
            over.wait()

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


def enter(core: Core) -> None:
    with core.enter(0):
        pass


@pytest.mark.parametrize("wait", [Core.barrier, Core.synchronize, enter])
def test_waits_for_runs_end_with_a_signal(wait: Callable[[Core], None]) -> None:
    core = Core(2)
    heap = Heap(core)
    unit = heap.unit(32)
    with core.enter() as run:
        address = run.alloc(unit)
        assert address is not None
    with somebody_runs(core):
        with core.enter(1) as run:
            run.free_rcu(address)
        with interruption():
            wait(core)
    # Nothing was lost by that.
    core.barrier()
    heap.close()
    core.barrier()
    assert heap.stats()["slabs"] == 0


def test_a_run_does_not_wait_for_itself() -> None:
    core = Core(2)
    with core.enter():
        for wait in (core.barrier, core.synchronize):
            with pytest.raises(UsageError, match="own end"):
                wait()


def test_prefill_while_the_heap_is_closed() -> None:
    """Either it is in time, or it hears of it; nothing is left."""
    core = Core(2)
    for _ in range(50):
        heap = Heap(core)
        unit = heap.unit(64)
        closer = threading.Thread(target=heap.close)
        closer.start()
        with suppress(MemoryError):
            unit.prefill(3000)
        closer.join()
        core.barrier()
        assert (heap.stats()["live"], heap.stats()["slabs"]) == (0, 0)
        del heap, unit
    core.barrier()
    assert core.mapped == 0


def test_a_heap_goes_while_somebody_runs() -> None:
    """Nobody has to wait for the end of a heap: the worker does."""
    core = Core(2)
    heap = Heap(core)
    with somebody_runs(core):
        with core.enter(1) as run:
            address = run.alloc(heap.unit(32))
            assert address is not None
            run.free(address)
        heap.close()
        del heap
        assert core.mapped > 0
    core.barrier()
    assert core.mapped == 0


@contextmanager
def lock_kept(rt: bpfheap.Runtime, obj: bpfheap.Object) -> Iterator[None]:
    """Somebody holds the lock of the only value, and does not give it back."""
    machine = rt.system.machine
    assert isinstance(machine, NativeMachine)
    at = machine._maps.records[obj.maps["slots"].id].map.address(bytes(4))
    assert at is not None
    lock = ctypes.c_uint32.from_address(at)
    lock.value = 1
    try:
        yield
    finally:
        lock.value = 0


def run_count(obj: bpfheap.Object) -> None:
    obj.programs["count"].run()


def entry_count(obj: bpfheap.Object) -> None:
    obj.programs["count"].entry()()


def batch_count(obj: bpfheap.Object) -> None:
    obj.programs["count"].run_batch(memoryview(bytes(8)).cast("Q"))


def run_update(obj: bpfheap.Object) -> None:
    obj.programs["update_locked"].run()


def update(obj: bpfheap.Object) -> None:
    obj.maps["slots"].update(0, bytes(32), flags=F_LOCK)


def batch(obj: bpfheap.Object) -> None:
    slots = obj.maps["slots"]
    slots.update_batch(bytes(4), bytes(32), flags=F_LOCK)


@pytest.mark.parametrize("wait", [run_count, entry_count, batch_count, run_update, update, batch])
def test_waits_for_a_lock_end_with_a_signal(
    rt: bpfheap.Runtime, held: ObjectSpec, wait: Callable[[bpfheap.Object], None]
) -> None:
    obj = rt.load(held)
    obj.programs["fill"].run()
    with lock_kept(rt, obj), interruption():
        wait(obj)
    # And all goes on when the lock is free.
    obj.programs["fill"].run()
    assert live(rt) >= 1


def test_the_end_of_a_map_waits_for_a_lock_until_a_signal(
    rt: bpfheap.Runtime, held: ObjectSpec
) -> None:
    obj = rt.load(held)
    obj.programs["fill"].run()
    with lock_kept(rt, obj), interruption():
        obj.close()
    rt.grace_period()
    assert live(rt) == 0
    with pytest.raises((MapError, bpfheap.errors.UsageError)):
        obj.maps["slots"].update(0, bytes(32))


def test_an_exception_that_is_kept_holds_nothing(held: ObjectSpec) -> None:
    with bpfheap.Runtime(machine="native", jit=False, budget=1000) as rt:
        obj = rt.load(held)
        kept: list[BaseException] = []
        memory: list[int] = []
        for _ in range(20):
            with pytest.raises(BpfheapError) as broken_off:
                obj.programs["churn"].run()
            kept.append(broken_off.value)
            # After an error no grace period passes by itself.
            rt.grace_period()
            memory.append(rt.system.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).memory)
        assert live(rt) == 0
        # If each run was still held, there would be megabytes.
        assert memory[-1] - memory[0] < 1 << 20


def test_many_attachments_are_detached_once(held: ObjectSpec) -> None:
    with bpfheap.Runtime(machine="native", jit=False) as rt:
        obj = rt.load(held)
        for _ in range(20):
            attached = rt.attach(obj.programs["sample"], signal=signal.SIGUSR2)
            threads = [threading.Thread(target=attached._probe.detach) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            attached.detach()
