"""Runtimes that are over: closed, poisoned by a run that was broken off, or forked."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import BpfheapError, MapError, OutOfMemory, RuntimeClosed, RuntimePoisoned
from bpfheap.spec import ObjectSpec

pytest.importorskip("bpfheap.machine.native._core", reason="the native core is not built")

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def over() -> ObjectSpec:
    return object_spec(HERE / "over.bpf.c")


@contextmanager
def alarm(after: float = 0.5) -> Iterator[None]:
    """A KeyboardInterrupt."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(program: bpfheap.Program) -> object:
    return program.run()


def enter(program: bpfheap.Program) -> object:
    return program.entry()()


def batch(program: bpfheap.Program) -> object:
    return program.run_batch(memoryview(bytearray(64)).cast("B", (1, 64)))


#: What a runtime is used for after it is over, with its objects.
USES: dict[str, Callable[[bpfheap.Runtime, bpfheap.LoadedObject, ObjectSpec], object]] = {
    "run": lambda rt, obj, spec: obj.programs["take_lock"].run(),
    "entry": lambda rt, obj, spec: obj.programs["take_lock"].entry(),
    "load": lambda rt, obj, spec: rt.load(spec),
    "lookup": lambda rt, obj, spec: obj.maps["guarded"][0],
    "update": lambda rt, obj, spec: obj.maps["numbers"].update(0, 1),
    "length": lambda rt, obj, spec: len(obj.maps["numbers"]),
    "view": lambda rt, obj, spec: obj.maps["numbers"].view(),
    "grace": lambda rt, obj, spec: rt.grace_period(),
    "attach": lambda rt, obj, spec: rt.attach(obj.programs["take_lock"], signal=10),
    "compilation": lambda rt, obj, spec: obj.programs["take_lock"].compilation(),
}


def what_it_raises(use: Callable[[], object]) -> type[BpfheapError] | None:
    try:
        use()
    except BpfheapError as error:
        return type(error)
    return None


def refused(
    rt: bpfheap.Runtime, obj: bpfheap.LoadedObject, spec: ObjectSpec, error: type[BpfheapError]
) -> None:
    for name, use in USES.items():
        assert what_it_raises(lambda use=use: use(rt, obj, spec)) is error, name  # type: ignore[misc]


@pytest.mark.parametrize("how", [run, enter, batch])
@pytest.mark.parametrize("options", [{}, {"jit": False}], ids=["compiled", "interpreted"])
def test_a_budget_that_ends_inside_a_lock(
    over: ObjectSpec, how: Callable[[bpfheap.Program], object], options: dict[str, bool]
) -> None:
    rt = bpfheap.Runtime(machine="native", budget=10_000, **options)  # type: ignore[arg-type]
    obj = rt.load(over)
    entry = obj.programs["take_lock"].entry()
    assert entry() == 7
    with pytest.raises(BpfheapError, match="ran for"):
        how(obj.programs["keep_lock"])
    refused(rt, obj, over, RuntimePoisoned)
    with pytest.raises(RuntimePoisoned, match="broken off"):
        entry()
    assert rt.close() == []
    refused(rt, obj, over, RuntimePoisoned)


@pytest.mark.parametrize("how", [run, enter])
def test_a_ctrl_c_inside_a_lock(over: ObjectSpec, how: Callable[[bpfheap.Program], object]) -> None:
    rt = bpfheap.Runtime(machine="native")
    obj = rt.load(over)
    obj.programs["keep_lock"].compilation()
    with alarm(), pytest.raises(KeyboardInterrupt):
        how(obj.programs["keep_lock"])
    refused(rt, obj, over, RuntimePoisoned)
    rt.close()


def test_a_run_that_waits_for_a_lock_hears_that_it_is_lost(over: ObjectSpec) -> None:
    rt = bpfheap.Runtime(machine="native")
    obj = rt.load(over)
    found: list[BaseException] = []

    def wait() -> None:
        try:
            obj.programs["take_lock"].run()
        except BpfheapError as error:
            found.append(error)

    waiting = threading.Thread(target=wait)
    for program in obj.programs.values():
        program.compilation()
    late = threading.Timer(0.1, waiting.start)
    late.start()
    with alarm(), pytest.raises(KeyboardInterrupt):
        obj.programs["keep_lock"].run()
    late.join()
    waiting.join(60)
    # It came first, or heard of it, whenever it came.
    assert all(isinstance(error, RuntimePoisoned) for error in found)
    assert not waiting.is_alive()
    rt.close()


@pytest.mark.parametrize("machine", ["model", "native"])
def test_a_run_broken_off_without_a_lock_harms_nobody(over: ObjectSpec, machine: str) -> None:
    with bpfheap.Runtime(machine=machine, budget=10_000) as rt:
        obj = rt.load(over)
        with pytest.raises(BpfheapError):
            obj.programs["spin"].run()
        assert obj.programs["take_lock"].run().retval == 7


def test_the_model_machine_is_poisoned_too(over: ObjectSpec) -> None:
    rt = bpfheap.Runtime(budget=10_000)
    obj = rt.load(over)
    with pytest.raises(BpfheapError, match="instructions"):
        obj.programs["keep_lock"].run()
    refused(rt, obj, over, RuntimePoisoned)
    assert rt.close() == []


@pytest.mark.parametrize("machine", ["model", "native"])
def test_nothing_happens_in_a_closed_runtime(over: ObjectSpec, machine: str) -> None:
    rt = bpfheap.Runtime(machine=machine)
    obj = rt.load(over)
    tasks = len(os.listdir("/proc/self/task"))
    assert rt.close() == []
    assert len(os.listdir("/proc/self/task")) == tasks - (machine == "native")
    refused(rt, obj, over, RuntimeClosed)
    assert "closed" in repr(obj.maps["numbers"])
    # What gives something back has nothing to do.
    obj.close()
    obj.programs["spin"].unload()
    assert rt.close() == []


@pytest.mark.parametrize("freed", [True, False], ids=["freed", "closed"])
def test_a_view_keeps_what_it_shows(over: ObjectSpec, freed: bool) -> None:
    rt = bpfheap.Runtime(machine="native")
    obj = rt.load(over)
    numbers = obj.maps["numbers"]
    view = numbers.view()
    part = view[8:16].cast("Q")
    numbers[1] = 42
    del view, numbers
    if freed:
        obj.close()
    else:
        rt.close()
    gc.collect()
    assert part[0] == 42
    part[0] = 43
    assert bytes(part) == (43).to_bytes(8, "little")
    rt.close()


@pytest.mark.parametrize("machine", ["model", "native"])
def test_an_allocation_beyond_the_bound_gives_null(machine: str) -> None:
    with bpfheap.Runtime(machine=machine, memory=1 << 22) as rt:
        programs = rt.load(HERE / "filling.bpf.c").programs
        count = programs["fill"].run().retval
        assert 500 < count < (1 << 22) // 1000
        # What is given back can be had again.
        assert programs["fill"].run().retval == 0
        assert programs["drain"].run().retval == count
        assert programs["fill"].run().retval == count


@pytest.mark.parametrize("machine", ["model", "native"])
def test_a_map_beyond_the_bound_is_an_error(machine: str) -> None:
    with (
        bpfheap.Runtime(machine=machine, memory=1 << 12) as rt,
        pytest.raises(MapError, match="numbers") as caught,
    ):
        rt.load(HERE / "over.bpf.c")
    assert caught.value.errno_name == "ENOMEM"


def test_maps_and_objects_have_a_bound() -> None:
    rt = bpfheap.Runtime(machine="native", memory=1 << 24)
    rt.load(HERE.parents[2] / "examples" / "first.bpf.c")
    (allocator,) = rt.allocators.values()
    with pytest.raises(OutOfMemory, match="memory"):
        allocator.prefill(10_000_000)
    # It was refused before anything was taken.
    assert allocator.stats().memory < 1 << 24
    rt.close()


_FORK = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")
import bpfheap
from bpfheap.errors import RuntimePoisoned
spec, busy = sys.argv[1:]
rt = bpfheap.Runtime(machine="native", cpus=1)
obj = rt.load(spec)
allocated = obj.maps["numbers"]
entry = obj.programs["take_lock"].entry()
attached = None
if busy == "run":
    threading.Thread(target=lambda: obj.programs["spin"].run(), daemon=True).start()
    time.sleep(0.2)
elif busy == "worker":
    from bpfheap.machine.native._core import Core, Heap
    core = Core(1)
    unit = Heap(core).unit(64)
    def churn():
        while True:
            with core.enter() as run:
                run.free_rcu(run.alloc(unit))
    threading.Thread(target=churn, daemon=True).start()
    time.sleep(0.2)
child = os.fork()
if child == 0:
    for use in (obj.programs["take_lock"].run, entry, lambda: rt.load(spec), lambda: allocated[0]):
        try:
            use()
        except RuntimePoisoned as error:
            assert "forked" in str(error), error
        else:
            sys.exit(3)
    if busy == "closes":
        assert rt.close() == []
    # A runtime of its own works.
    with bpfheap.Runtime(machine="native") as own:
        assert own.load(spec).programs["take_lock"].run().retval == 7
    sys.exit(0)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("busy", ["no", "run", "worker", "closes"])
def test_a_fork_is_told_and_ends(busy: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FORK, str(HERE / "over.bpf.c"), busy],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.stdout.strip(), done.stderr) == ("0", "")
