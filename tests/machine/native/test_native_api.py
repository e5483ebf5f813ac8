"""What the native machine has beyond others: signals, memory to look at, many elements at once."""

from __future__ import annotations

import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import MapError, UsageError
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID
from bpfheap.runtime.world import Space
from bpfheap.spec import ObjectSpec

pytest.importorskip("bpfheap.machine.native._core")

from bpfheap.machine.native.machine import NativeMachine

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def sample() -> ObjectSpec:
    return object_spec(HERE / "sample.bpf.c")


@pytest.fixture
def rt() -> Iterator[bpfheap.Runtime]:
    with bpfheap.Runtime(machine="native") as rt:
        yield rt


def live(rt: bpfheap.Runtime) -> int:
    return rt.system.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).live


def test_a_signal_runs_a_program(rt: bpfheap.Runtime, sample: ObjectSpec) -> None:
    obj = rt.load(sample)
    with rt.attach(obj.programs["sample"], signal=signal.SIGUSR1) as attached:
        for _ in range(100):
            signal.raise_signal(signal.SIGUSR1)
        assert (attached.runs, attached.missed) == (100, 0)
        assert attached.retval in range(3)
        # What was interrupted is code of this process.
        assert obj.maps["seen"][1] > 4096
    assert obj.maps["seen"][0] == 100
    assert live(rt) == sum(slot.item is not None for slot in obj.maps["slots"].values())


def test_a_program_stays_while_it_is_attached(rt: bpfheap.Runtime, sample: ObjectSpec) -> None:
    obj = rt.load(sample)
    attached = rt.attach(obj.programs["sample"], signal=signal.SIGUSR1)
    obj.close()
    signal.raise_signal(signal.SIGUSR1)
    assert attached.runs == 1
    attached.detach()
    attached.detach()
    assert attached.runs == 1
    assert rt.system.programs == {}
    assert live(rt) == 0


def test_a_signal_does_again_what_it_did(rt: bpfheap.Runtime, sample: ObjectSpec) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        with rt.attach(rt.load(sample).programs["sample"], signal=signal.SIGUSR1):
            signal.raise_signal(signal.SIGUSR1)
        assert heard == []
        signal.raise_signal(signal.SIGUSR1)
        assert heard == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_what_cannot_be_attached(rt: bpfheap.Runtime, sample: ObjectSpec) -> None:
    obj = rt.load(sample)
    with pytest.raises(UsageError, match="cannot run in a signal"):
        rt.attach(obj.programs["work"], signal=signal.SIGUSR1)
    with pytest.raises(UsageError, match="signal 9 cannot run program sample"):
        rt.attach(obj.programs["sample"], signal=signal.SIGKILL)
    with pytest.raises(UsageError, match="a signal cannot be 1000"):
        rt.attach(obj.programs["sample"], signal=1000)
    with (
        rt.attach(obj.programs["sample"], signal=signal.SIGUSR1),
        pytest.raises(UsageError, match="busy"),
    ):
        rt.attach(obj.programs["sample"], signal=signal.SIGUSR1)
    with bpfheap.Runtime() as model, pytest.raises(UsageError, match="on the model machine"):
        model.attach(model.load(sample).programs["sample"], signal=signal.SIGUSR1)


def test_signals_interrupt_runs(rt: bpfheap.Runtime, sample: ObjectSpec) -> None:
    """The timer's signals come wherever they come: nothing is lost."""
    obj = rt.load(sample)
    with rt.attach(obj.programs["sample"], signal=signal.SIGALRM, hz=5000) as attached:
        threads = [
            threading.Thread(target=lambda: obj.programs["work"].run(repeat=2000)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        while not attached.runs:
            obj.programs["work"].run()
    held = sum(slot.item is not None for slot in obj.maps["slots"].values())
    # What was put into an element that another run had deleted is there until it is used again.
    assert live(rt) >= held
    for key in tuple(obj.maps["slots"]):
        del obj.maps["slots"][key]
    assert live(rt) <= sample.maps["slots"].max_entries
    obj.close()
    rt.grace_period()
    assert live(rt) == 0


def test_threads_share_a_runtime(sample: ObjectSpec) -> None:
    """Programs run at the same time; loads, updates and grace periods come in between."""
    with bpfheap.Runtime(machine="native", cpus=2) as rt:
        obj = rt.load(sample)
        failed: list[BaseException] = []

        def run() -> None:
            try:
                for _ in range(300):
                    assert obj.programs["work"].run().retval == 0
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            obj.maps["slots"][40] = {}
            rt.grace_period()
            del obj.maps["slots"][40]
        for thread in threads:
            thread.join()
        assert failed == []
        assert rt.system.running == {}
        assert rt.system.machine.executions() == frozenset()
        assert rt.close() == []
        assert live(rt) == 0


ASKS = """
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
    __type(key, __u32); __type(value, __u64); } numbers SEC(".maps");
SEC("raw_tp") int asks(void *ctx) { return bpf_get_current_cgroup_id(); }
"""


def in_threads(*todo: Callable[[], object]) -> list[BaseException]:
    """What these raise that are done again and again for a while, all at the same time."""
    raised: list[BaseException] = []
    until = time.monotonic() + 0.5

    def again(do: Callable[[], object]) -> None:
        try:
            while time.monotonic() < until:
                do()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=again, args=(do,), daemon=True) for do in todo]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "threads wait for one another"
    return raised


@pytest.fixture
def asks(tmp_path: Path) -> Path:
    path = tmp_path / "asks.bpf.c"
    path.write_text(f"#include <bpfheap.h>\n{ASKS}")
    return path


def test_a_grace_period_waits_for_no_run_that_wants_the_lock(asks: Path) -> None:
    """A stub asks the runtime, while another thread has that, and lets time pass."""
    with bpfheap.Runtime(machine="native", cpus=4) as rt:

        @rt.stub("bpf_get_current_cgroup_id")
        def number() -> int:
            return int(obj.maps["numbers"][0])

        obj = rt.load(asks)
        obj.maps["numbers"][0] = 5
        program = obj.programs["asks"]
        entry = program.entry()
        assert in_threads(entry, entry, program.run) == []
        assert entry() == 5


def test_a_run_that_is_waited_for_does_not_wait_for_ever(asks: Path) -> None:
    """The other thread has the runtime, and waits for the only CPU."""
    with bpfheap.Runtime(machine="native", cpus=1) as rt:

        @rt.stub("bpf_get_current_cgroup_id")
        def number() -> int:
            time.sleep(0.001)
            return int(obj.maps["numbers"][0])

        obj = rt.load(asks)
        numbers = obj.maps["numbers"]
        raised = in_threads(obj.programs["asks"].entry(), lambda: numbers[0])
        assert [type(error) for error in raised] == [UsageError]
        assert "waits for this run" in str(raised[0])


def test_objects_of_a_type_while_others_are_made(rt: bpfheap.Runtime) -> None:
    machine = rt.system.machine
    assert isinstance(machine, NativeMachine)

    class Of:
        @property
        def name(self) -> str:
            """Another thread comes in between, as it may anywhere."""
            if len(made) < 3:
                made.append(blocks.create("another", 8, Space.KERNEL, None))
            return "struct one"

        def member(self, path: str) -> tuple[int, int] | None:
            return None

        def place(self, offset: int) -> str:
            return ""

    made: list[int] = []
    blocks = machine.blocks
    one = blocks.create("one", 8, Space.KERNEL, Of())
    assert blocks.of_type("struct one") == [one]


def test_an_array_in_place(rt: bpfheap.Runtime, sample: ObjectSpec) -> None:
    obj = rt.load(sample)
    values = np.frombuffer(obj.maps["seen"].view(), dtype=np.int64)
    assert values.tolist() == [0, 0, 0, 0]
    obj.maps["seen"][2] = 7
    values[3] = 8
    assert values.tolist() == [0, 0, 7, 8]
    assert obj.maps["seen"][3] == 8
    with pytest.raises(UsageError, match="only arrays of plain values"):
        obj.maps["slots"].view()
    with bpfheap.Runtime() as model, pytest.raises(UsageError, match="on the model machine"):
        model.load(sample).maps["seen"].view()


def test_many_elements_at_once(rt: bpfheap.Runtime, sample: ObjectSpec) -> None:
    slots = rt.load(sample).maps["slots"]
    keys = np.arange(10, dtype=np.uint32)
    values = np.zeros((10, 2), dtype=np.int64)
    values[:, 1] = np.arange(10) * 3
    slots.update_batch(keys, values)
    assert len(slots) == 10
    assert [slots[int(k)].count for k in keys] == [3 * int(k) for k in keys]
    found = np.frombuffer(slots.lookup_batch(keys[::-1].copy()), dtype=np.int64)
    assert found.reshape(10, 2)[:, 1].tolist() == [27 - 3 * n for n in range(10)]
    slots.delete_batch(keys[:4])
    assert sorted(slots) == [4, 5, 6, 7, 8, 9]
    with pytest.raises(MapError, match="ENOENT") as seen:
        slots.lookup_batch(struct.pack("<3I", 5, 0, 6))
    assert seen.value.hint is not None
    assert "number 2" in seen.value.hint
    with pytest.raises(MapError, match="EEXIST"):
        slots.update_batch(keys, values, flags=1)
    assert sorted(slots) == list(range(10))
    with pytest.raises(UsageError, match="there must be as many of each"):
        slots.update_batch(keys, values[:3])


def test_elements_are_an_allocators_memory() -> None:
    with bpfheap.Runtime(machine="native") as rt:
        obj = rt.load(HERE / "elements.bpf.c")
        allocator = rt.allocators["ma"]
        empty = allocator.stats()
        for key in range(500):
            obj.maps["one"][key] = {}
            obj.maps["two"][key] = key
        assert allocator.stats().memory > empty.memory
        # Elements are memory, and no objects.
        assert allocator.stats().live == 0
        assert obj.programs["fill"].run().retval == 0
        assert allocator.types() == {"foo": 1, "bar": 1}
        assert allocator.stats().live == 2
        obj.programs["fill"].unload()
        obj.maps["ma"].close()
        # Its map is gone, and elements come and go as before.
        obj.maps["one"][1000] = {}
        assert len(obj.maps["one"]) == 501
        del obj.maps["one"][1]
        # Nothing of it lives any more but the memory of elements.
        assert len(obj.maps["two"]) == 500
        assert rt.close() == []
