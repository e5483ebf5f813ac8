"""The native heap by itself: what is allocated, counted and given back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bpfheap.errors import UsageError

pytest.importorskip(
    "bpfheap.machine.native._core", reason="the native core is not built: no C compiler"
)
from bpfheap.machine.native._core import Core, Heap, Run, Unit

LEVELS = 4
SLAB = 1 << 16


def allocated(run: Run, unit: Unit, n: int) -> list[int]:
    """So many objects, fewer if there are no more."""
    found = (run.alloc(unit) for _ in range(n))
    return [address for address in found if address is not None]


@pytest.fixture
def core() -> Iterator[Core]:
    made = Core(2)
    yield made
    assert left_mapped(made) == 0


def left_mapped(core: Core) -> int:
    """Bytes that are still mapped when the worker has done what it was asked for."""
    core.barrier()
    return core.mapped


def counts(of: Unit | Heap) -> tuple[int, int]:
    stats = of.stats()
    return stats["live"], stats["slabs"]


@pytest.mark.parametrize(
    ("asked", "size"),
    [(0, 16), (1, 16), (16, 16), (17, 24), (32, 32), (4096, 4096), (70000, 70000)],
)
def test_sizes(core: Core, asked: int, size: int) -> None:
    unit = Heap(core).unit(asked)
    assert unit.size == size
    with core.enter() as run:
        objects = sorted(allocated(run, unit, 50))
        assert all(b - a >= size for a, b in pairwise(objects))
        # The slab's beginning, from which everything follows, is within reach of each.
        assert all(address % SLAB > 0 for address in objects)
        for address in objects:
            run.free(address)
    assert unit.stats()["live"] == 0


def test_what_was_freed_last_comes_first(core: Core) -> None:
    unit = Heap(core).unit(32)
    with core.enter() as run:
        first, second = allocated(run, unit, 2)
        run.free(first)
        run.free(second)
        assert allocated(run, unit, 2) == [second, first]
        run.free(first)
        run.free(second)


def test_a_heap_that_is_closed(core: Core) -> None:
    heap = Heap(core)
    small, large = heap.unit(32), heap.unit(1000)
    with core.enter() as run:
        kept = [a for unit in (small, large) for a in allocated(run, unit, 3000)]
        for address in kept[5:]:
            run.free(address)
    heap.close()
    core.barrier()
    # At once only the slab of the five is left.
    assert counts(heap) == (5, 1)
    with core.enter() as run:
        assert run.alloc(small) is None
        for address in kept[1:5]:
            run.free(address)
        assert counts(heap) == (1, 1)
        run.free_rcu(kept[0])
    core.barrier()
    assert counts(heap) == (0, 0)
    heap.close()
    core.barrier()


def test_a_grace_period(core: Core) -> None:
    unit = Heap(core).unit(64)
    reading, done = threading.Event(), threading.Event()

    def read() -> None:
        with core.enter(1):
            reading.set()
            done.wait()

    reader = threading.Thread(target=read)
    reader.start()
    reading.wait()
    with core.enter(0) as run:
        retired = set(allocated(run, unit, 500))
        for address in retired:
            run.free_rcu(address)
        assert counts(unit)[0] == 0
        # The reader may still look at them: they are not reused.
        fresh = set(allocated(run, unit, 2000))
        assert not fresh & retired
    done.set()
    reader.join()
    core.barrier()
    with core.enter(0) as run:
        again = set(allocated(run, unit, 500))
        assert again & retired
        for address in fresh | again:
            run.free(address)


@pytest.mark.parametrize("n", [1, 47, 48, 49, 100, 1000])
def test_prefill_is_a_promise(core: Core, n: int) -> None:
    """Of each context of each CPU, without any memory to be had, again and again."""
    unit = Heap(core).unit(32)
    unit.prefill(n)
    core.fail_at(1)
    for cpu in range(core.cpus):
        with core.enter(cpu) as one, core.enter() as two, core.enter() as three:
            assert [r.level for r in (one, two, three)] == [0, 1, 2]
            for _ in range(3):
                for run in (one, two, three):
                    objects = allocated(run, unit, n)
                    assert len(objects) == n
                    for address in objects:
                        run.free(address)
    core.fail_at(0)


def test_prefill_is_all_or_nothing(core: Core) -> None:
    unit = Heap(core, bytes=2 * SLAB).unit(1024)
    with pytest.raises(MemoryError):
        unit.prefill(1000)
    assert unit.stats()["live"] == 0
    unit.prefill(10)


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_a_limit_on_objects(core: Core, limit: int) -> None:
    unit = Heap(core, objects=limit).unit(32)
    with core.enter() as run:
        objects = allocated(run, unit, limit)
        assert len(objects) == limit
        assert run.alloc(unit) is None
        assert unit.stats()["failures"] == 1
        run.free(objects.pop())
        assert run.alloc(unit) is not None


def test_a_limit_on_bytes(core: Core) -> None:
    heap = Heap(core, bytes=3 * SLAB)
    unit = heap.unit(4096)
    with core.enter() as run:
        assert len(allocated(run, unit, 100)) == 3 * 15
    assert heap.stats()["bytes"] == 3 * SLAB


def test_contexts_that_cannot_map_find_what_the_worker_left(core: Core) -> None:
    unit = Heap(core).unit(32)
    with core.enter(), core.enter() as run:
        # Above level 0 there is nothing yet, but somebody was asked.
        assert run.alloc(unit) is None
    core.barrier()
    with core.enter(), core.enter() as run:
        assert run.alloc(unit) is not None


def test_runs_nest_so_deep_and_no_deeper(core: Core) -> None:
    with core.enter(1) as run, core.enter(0) as two, core.enter() as three, core.enter() as four:
        assert [r.cpu for r in (run, two, three, four)] == [1] * 4
        with pytest.raises(UsageError, match="no deeper"), core.enter():
            pass
    with core.enter(0) as run:
        assert (run.cpu, run.level) == (0, 0)


def test_threads_wait_for_a_cpu() -> None:
    core = Core(1)
    unit = Heap(core).unit(32)
    seen: list[int] = []

    def work() -> None:
        for _ in range(200):
            with core.enter() as run:
                seen.append(run.cpu)
                run.free(*allocated(run, unit, 1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [0] * 800
    assert counts(unit) == (0, 1)


def test_no_mapping_is_lost_when_one_fails() -> None:
    """Each one in turn: either all goes well, or the caller hears of it and nothing is kept."""
    core = Core(1)
    for n in range(1, 30):
        core.fail_at(n)
        try:
            assert [Heap(core).unit(size).size for size in (32, 5000)] == [32, 5000]
        except MemoryError:
            assert n < 5
        core.fail_at(0)
        assert left_mapped(core) == 0
    for n in range(1, 12):
        heap = Heap(core)
        units = [heap.unit(size) for size in (32, 5000, 200_000)]
        core.fail_at(n)
        with core.enter() as run:
            objects = [a for unit in units for a in allocated(run, unit, 40)]
            for address in objects:
                run.free(address)
        core.fail_at(0)
        assert heap.stats()["live"] == 0
        assert heap.stats()["failures"] == 120 - len(objects)
        del heap, units
        assert left_mapped(core) == 0


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Core(0), ValueError),
        (lambda: Core(257), ValueError),
        (lambda: Core(1).enter(1), ValueError),
        (lambda: Heap(Core(1)).unit(1 << 31), ValueError),
        (lambda: Heap(None), TypeError),  # type: ignore[arg-type]
        (lambda: Core(1).enter().alloc(Heap(Core(1)).unit(8)), RuntimeError),
    ],
)
def test_misuse(make: Callable[[], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


class HeapMachine(RuleBasedStateMachine):
    """Allocations and frees on both CPUs and three levels beside a set of addresses."""

    @initialize(size=st.sampled_from([16, 32, 264, 3000]))
    def begin(self, size: int) -> None:
        self.core = Core(2)
        self.heap = Heap(self.core)
        self.unit = self.heap.unit(size)
        self.live: list[int] = []
        self.ranges: set[int] = set()
        self.closed = False

    @rule(cpu=st.integers(0, 1), level=st.booleans(), n=st.integers(1, 150))
    def allocate(self, cpu: int, level: bool, n: int) -> None:
        with self.core.enter(cpu) as run:
            addresses = []
            if level:
                with self.core.enter() as inner:
                    addresses = allocated(inner, self.unit, n)
            # What the worker had not brought in time; how much that is, nobody knows.
            addresses += allocated(run, self.unit, n - len(addresses))
        assert len(addresses) == (0 if self.closed else n)
        assert len(set(addresses)) == len(addresses)
        assert not set(addresses) & set(self.live)
        self.live += addresses

    @precondition(lambda self: self.live)
    @rule(cpu=st.integers(0, 1), data=st.data(), later=st.booleans())
    def free(self, cpu: int, data: st.DataObject, later: bool) -> None:
        first = data.draw(st.integers(0, len(self.live) - 1))
        going, self.live = self.live[first:], self.live[:first]
        with self.core.enter(cpu) as run:
            for address in going:
                (run.free_rcu if later else run.free)(address)

    @rule()
    def wait(self) -> None:
        self.core.barrier()

    @rule(n=st.integers(1, 70))
    def prefill(self, n: int) -> None:
        if self.closed:
            with pytest.raises(MemoryError):
                self.unit.prefill(n)
        else:
            self.unit.prefill(n)

    @rule()
    def close(self) -> None:
        self.heap.close()
        self.closed = True

    @invariant()
    def counts_are_exact(self) -> None:
        stats = self.heap.stats()
        assert stats["live"] == len(self.live)
        if self.closed:
            self.core.barrier()
            slabs = {address & -SLAB for address in self.live}
            assert self.heap.stats()["slabs"] == len(slabs)

    def teardown(self) -> None:
        del self.heap, self.unit
        assert left_mapped(self.core) == 0


HeapMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestHeapMachine = HeapMachine.TestCase
