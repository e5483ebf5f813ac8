"""A model of the native machine's deferred work, in all orders in which its steps can come.

A unit with two slabs and three objects, runs that free them, the end of their heap, and the worker:
what cpu.c, grace.c, slab.c and heap.c do, one atomic operation a step. Memory is as all threads see
it, so what the operations say of its order does not show. Caches, the depot and the table of slabs
are a set of free objects: those that `drain` finds when no run changes them any more. Each fault of
`FAULTS` has to be found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import NamedTuple, Optional

import pytest

COLLECT, RECLAIM, DRAIN, END = range(4)
#: The slab of each object, and how many objects each slab has.
SLAB_OF = (0, 0, 1)
CARVED = (2, 1)
#: Of a slab's count, as in slab_private.h.
BIAS, REMOVED = 100, -1
#: The end of a chain. A slab that is in none has None for its link.
LAST = -1


class Broken(Exception):
    """Something that must not be."""


class Do(NamedTuple):
    """A step to come. It gives those that come in its place; None: it has to wait."""

    step: Callable[[Model, int], Steps]
    of: int = 0


@dataclass(slots=True)
class Model:
    """All values are immutable: a copy has the same ones."""

    faults: frozenset[str]
    #: What is to be done by the worker, who is the first, and by the other threads.
    todo: tuple[tuple[Do, ...], ...] = ()
    # -- cpu.c; items are in lists by their numbers, and marked by bits
    marked: int = 0
    queued: tuple[int, ...] = ()
    deferred: tuple[int, ...] = ()
    waiting: tuple[int, ...] = ()
    wake: int = 0
    #: Runs that are held, by the parity of the phase in which they were.
    holds: tuple[int, ...] = (0, 0)
    phase: int = 0
    #: Under which of them each run is counted.
    index: tuple[int, ...] = (0, 0)
    stop: bool = False
    reading: int = 0  # bits of runs that are going on
    awaited: int = 0  # those that the grace period still waits for
    # -- grace.c, slab.c and heap.c
    closed: bool = False
    free: int = 0  # bits of objects in caches and the depot
    bits: tuple[int, ...] = (0, 0)
    link: tuple[int | None, ...] = (None, None)
    chain: int = LAST
    condemned: int = LAST
    live: tuple[int, ...] = (BIAS, BIAS)
    in_grace: tuple[tuple[int, int], ...] = ()
    condemned_in_grace: int = LAST
    # -- what is so, whoever knows it
    alive: int = 0  # bits of runs that began and did not end, held or not
    given: int = 0  # those that are back
    seen_by: tuple[int, ...] = (0, 0, 0)  # the runs that may still look at an object that goes
    slab_seen_by: tuple[int, ...] = (0, 0)
    mapped: tuple[bool, ...] = (True, True)
    ended: bool = False

    @property
    def held(self) -> int:
        return sum(self.holds)


Steps = Optional[tuple[Do, ...]]  # noqa: UP045 (evaluated by Python 3.11, before Do is there)
values_of = attrgetter(*(field.name for field in fields(Model)))


def put(values: tuple[int, ...], at: int, value: int) -> tuple[int, ...]:
    return (*values[:at], value, *values[at + 1 :])


def touch(m: Model, slab: int = LAST) -> None:
    if m.ended:
        raise Broken("the heap is used after its end")
    if slab != LAST and not m.mapped[slab]:
        raise Broken("a slab is used after it was unmapped")


# -- cpu.c: work items


def post(m: Model, _: int) -> Steps:
    m.wake += 1
    return ()


def enlist(m: Model, item: int, push: Callable[[Model, int], Steps]) -> Steps:
    touch(m)
    if m.marked >> item & 1 and "queued twice" not in m.faults:
        return ()
    m.marked |= 1 << item
    return (Do(push, item), Do(post))


def is_linked(m: Model, item: int) -> bool:
    about_to = any(do == (run_item, item) for do in m.todo[0])
    return item in (*m.queued, *m.deferred, *m.waiting) or about_to


def push_queued(m: Model, item: int) -> Steps:
    if is_linked(m, item):
        raise Broken("an item is in two places")
    m.queued += (item,)
    return ()


def push_deferred(m: Model, item: int) -> Steps:
    if is_linked(m, item):
        raise Broken("an item is in two places")
    m.deferred += (item,)
    return ()


def queue(m: Model, item: int) -> Steps:
    return enlist(m, item, push_queued)


def call_rcu(m: Model, item: int) -> Steps:
    return enlist(m, item, push_deferred)


# -- cpu.c: the worker


def sleep(m: Model, _: int) -> Steps:
    if not m.wake:
        return None
    m.wake -= 1
    return (Do(take_queued), Do(take_deferred), Do(end_pass))


def take_queued(m: Model, _: int) -> Steps:
    taken, m.queued = m.queued, ()
    return tuple(Do(run_item, item) for item in taken)


def run_item(m: Model, item: int) -> Steps:
    if m.ended:
        raise Broken("something is done for a heap after its end")
    m.marked &= ~(1 << item)
    return (Do((collect, reclaim, drain, end_heap)[item]),)


def take_deferred(m: Model, _: int) -> Steps:
    if m.waiting:
        return (Do(begin_grace),)
    m.waiting, m.deferred = m.deferred, ()
    return (Do(flip), Do(begin_grace)) if m.waiting else ()


def flip(m: Model, _: int) -> Steps:
    """Holds are counted apart from here on: those before are waited for."""
    m.phase += 1
    return ()


def begin_grace(m: Model, _: int) -> Steps:
    if m.holds[(m.phase + 1) % 2]:
        return ()
    m.awaited = m.reading
    return (Do(end_grace), Do(run_waiting))


def end_grace(m: Model, _: int) -> Steps:
    return None if m.awaited and "no grace period" not in m.faults else ()


def run_waiting(m: Model, _: int) -> Steps:
    taken, m.waiting = m.waiting, ()
    again = (Do(post),) if m.deferred else ()
    return (*(Do(run_item, item) for item in taken), *again)


def end_pass(m: Model, _: int) -> Steps:
    if not m.stop or m.queued:
        return (Do(sleep),)
    if not m.waiting and not m.deferred:
        return ()
    m.wake += 1
    return (Do(sleep),)


# -- cpu.c: runs


def hold(m: Model, run: int) -> Steps:
    return (Do(hold_at, run * 100 + m.phase),)


def hold_at(m: Model, what: int) -> Steps:
    run, phase = divmod(what, 100)
    m.holds = put(m.holds, phase % 2, m.holds[phase % 2] + 1)
    m.index = put(m.index, run, phase % 2)
    return (Do(hold_check, what),)


def hold_check(m: Model, what: int) -> Steps:
    """If the phase has changed, whoever changed it may not have seen this hold."""
    run, phase = divmod(what, 100)
    if m.phase == phase or "phase looked at once" in m.faults:
        m.alive |= 1 << run
        return ()
    return (Do(unhold_at, run), Do(hold, run))


def unhold(m: Model, run: int) -> Steps:
    m.alive &= ~(1 << run)
    return (Do(unhold_at, run),)


def unhold_at(m: Model, run: int) -> Steps:
    i = m.index[run]
    m.holds = put(m.holds, i, m.holds[i] - 1)
    return () if m.holds[i] else (Do(post),)


def enter(m: Model, run: int) -> Steps:
    m.alive |= 1 << run
    m.reading |= 1 << run
    return ()


def leave(m: Model, run: int) -> Steps:
    """To go on later: it is held."""
    m.reading &= ~(1 << run)
    m.awaited &= ~(1 << run)
    return ()


def end_run(m: Model, run: int) -> Steps:
    m.alive &= ~(1 << run)
    return leave(m, run)


# -- grace.c and slab.c: objects that go


def give(m: Model, n: int) -> None:
    if m.seen_by[n] & m.alive:
        raise Broken("an object is given back while a run may look at it")
    if m.given >> n & 1:
        raise Broken("an object is given back twice")
    touch(m, SLAB_OF[n])
    m.given |= 1 << n


def free_rcu(m: Model, n: int) -> Steps:
    touch(m, SLAB_OF[n])
    m.seen_by = put(m.seen_by, n, m.alive)
    m.bits = put(m.bits, SLAB_OF[n], m.bits[SLAB_OF[n]] | 1 << n)
    return (Do(claim_chain, SLAB_OF[n]), Do(ask_to_collect))


def claim_chain(m: Model, slab: int) -> Steps:
    touch(m, slab)
    if m.link[slab] is not None:
        return ()
    m.link = (*m.link[:slab], LAST, *m.link[slab + 1 :])
    return (Do(push_chain, slab),)


def push_chain(m: Model, slab: int) -> Steps:
    touch(m, slab)
    m.link = (*m.link[:slab], m.chain, *m.link[slab + 1 :])
    m.chain = slab
    return ()


def ask_to_collect(m: Model, _: int) -> Steps:
    touch(m)
    return () if m.marked >> RECLAIM & 1 else (Do(queue, COLLECT),)


def free_now(m: Model, n: int) -> Steps:
    """bh_free: the cache's limits say whether the heap is closed."""
    return (Do(free_closed if m.closed else to_cache, n),)


def to_cache(m: Model, n: int) -> Steps:
    if not m.given >> n & 1:
        give(m, n)
    m.free |= 1 << n
    return ()


def free_closed(m: Model, n: int) -> Steps:
    slab = SLAB_OF[n]
    if not m.given >> n & 1:
        give(m, n)
    touch(m, slab)
    m.live = put(m.live, slab, m.live[slab] - 1)
    return (Do(remove_if_empty, slab),) if m.live[slab] == 0 else ()


def remove_if_empty(m: Model, slab: int) -> Steps:
    touch(m, slab)
    if m.link[slab] is not None and "condemned in the chain" not in m.faults:
        return ()
    return (Do(condemn, slab),)


def condemn(m: Model, slab: int) -> Steps:
    """With the exchange of the count before it: nobody else can have the slab in between."""
    touch(m, slab)
    if m.live[slab] != 0:
        return ()
    m.live = put(m.live, slab, REMOVED)
    m.slab_seen_by = put(m.slab_seen_by, slab, m.alive)
    return (Do(push_condemned, slab), Do(ask_to_collect))


def push_condemned(m: Model, slab: int) -> Steps:
    m.link = (*m.link[:slab], m.condemned, *m.link[slab + 1 :])
    m.condemned = slab
    return ()


# -- grace.c and heap.c: what the worker does


def collect(m: Model, _: int) -> Steps:
    touch(m)
    if m.marked >> RECLAIM & 1 and "collected in a grace period" not in m.faults:
        return ()
    if m.in_grace or m.condemned_in_grace != LAST:
        raise Broken("what is in a grace period is lost")
    first, m.chain = m.chain, LAST
    return (*(() if first == LAST else (Do(unchain, first),)), Do(collect_condemned))


def unchain(m: Model, slab: int) -> Steps:
    touch(m, slab)
    following = m.link[slab]
    if following is None:
        raise Broken("a slab in the chain is not chained")
    rest = () if following == LAST else (Do(unchain, following),)
    if "bits before the chain" in m.faults:
        return (Do(take_bits, slab), Do(unlink, slab), *rest)
    return (Do(unlink, slab), Do(take_bits, slab), *rest)


def unlink(m: Model, slab: int) -> Steps:
    touch(m, slab)
    m.link = (*m.link[:slab], None, *m.link[slab + 1 :])
    return ()


def take_bits(m: Model, slab: int) -> Steps:
    touch(m, slab)
    taken = m.bits[slab]
    m.bits = put(m.bits, slab, 0)
    if not taken:
        return (Do(remove_if_empty, slab),)
    m.in_grace += ((slab, taken),)
    return ()


def collect_condemned(m: Model, _: int) -> Steps:
    m.condemned_in_grace, m.condemned = m.condemned, LAST
    if not m.in_grace and m.condemned_in_grace == LAST:
        return ()
    return (Do(call_rcu, RECLAIM),)


def reclaim(m: Model, _: int) -> Steps:
    touch(m)
    objects = [n for _, bits in m.in_grace for n in range(len(SLAB_OF)) if bits >> n & 1]
    slab, m.in_grace = m.condemned_in_grace, ()
    if "condemned ones at once" in m.faults:
        slab, m.condemned = m.condemned, LAST
    m.condemned_in_grace = LAST
    return (Do(unmap, slab), *(Do(give_back, n) for n in objects), Do(collect_again))


def unmap(m: Model, slab: int) -> Steps:
    if slab == LAST:
        return ()
    touch(m, slab)
    if m.slab_seen_by[slab] & m.alive:
        raise Broken("a slab is unmapped while a run may look at it")
    if any(of == slab and not m.given >> n & 1 for n, of in enumerate(SLAB_OF)):
        raise Broken("a slab is unmapped while something lives in it")
    following = m.link[slab]
    m.mapped = (*m.mapped[:slab], False, *m.mapped[slab + 1 :])
    return (Do(unmap, LAST if following is None else following),)


def give_back(m: Model, n: int) -> Steps:
    give(m, n)
    return (Do(free_closed if m.closed else to_cache, n),)


def collect_again(m: Model, _: int) -> Steps:
    if (m.chain != LAST or m.condemned != LAST) and "not collected again" not in m.faults:
        return (Do(queue, COLLECT),)
    return ()


def drain(m: Model, _: int) -> Steps:
    m.awaited = m.reading
    return (Do(end_grace), Do(drain_caches))


def drain_caches(m: Model, _: int) -> Steps:
    objects = [n for n in range(len(SLAB_OF)) if m.free >> n & 1]
    m.free = 0
    return (
        *(Do(free_closed, n) for n in objects),
        *(Do(count_live, s) for s in range(len(CARVED))),
    )


def count_live(m: Model, slab: int) -> Steps:
    touch(m, slab)
    m.live = put(m.live, slab, m.live[slab] + CARVED[slab] - BIAS)
    return (Do(remove_if_empty, slab),) if m.live[slab] == 0 else ()


def end_heap(m: Model, _: int) -> Steps:
    touch(m)
    if m.marked and "ends too early" not in m.faults:
        return (Do(call_rcu, END),)
    m.mapped = (False, False)
    m.ended = True
    return ()


# -- the end of a heap, and of the core


def close(m: Model, _: int) -> Steps:
    m.closed = True
    return (Do(queue, DRAIN),)


def destroy(m: Model, _: int) -> Steps:
    """Nobody may free after this, but runs may still go on."""
    frees = any(do.step not in BARE for thread in m.todo[1:-1] for do in thread)
    return None if frees else (Do(call_rcu, END),)


def destroy_core(m: Model, _: int) -> Steps:
    if any(m.todo[1:-1]) or m.held:
        return None
    m.stop = True
    m.wake += 1
    return ()


#: What runs do but free.
BARE = (enter, leave, end_run, hold, unhold)


# -- all orders


def check_end(m: Model) -> None:
    """Nobody can go on."""
    if any(m.todo[1:]):
        raise Broken("a thread waits for ever")
    if m.queued or ((m.waiting or m.deferred) and not m.held):
        raise Broken("work is left, and the worker sleeps")
    if m.held:
        return
    if m.given != (1 << len(SLAB_OF)) - 1:
        raise Broken("an object does not come back")
    if m.closed and any(m.mapped):
        raise Broken("a slab is left")
    if m.stop and m.todo[0]:
        raise Broken("the worker does not end")


def after(m: Model, thread: int) -> Model | None:
    """What it is like when that thread has done its next step; None if it has to wait."""
    if not m.todo[thread]:
        return None
    new = Model(*values_of(m))
    (do, *rest) = m.todo[thread]
    new.todo = (*m.todo[:thread], tuple(rest), *m.todo[thread + 1 :])
    steps = do.step(new, do.of)
    if steps is None:
        return None
    new.todo = (*new.todo[:thread], (*steps, *rest), *new.todo[thread + 1 :])
    return new


def explore(first: Model) -> int:
    """Go through all states, depth first; how many there are. Raises Broken, also for a way that
    leads back to itself: then the worker may never come to rest."""
    on_the_way, done = set(), set()
    way = [(values_of(first), iter(range(len(first.todo))), first)]
    on_the_way.add(way[0][0])
    moved = [False]
    while way:
        key, threads, m = way[-1]
        for thread in threads:
            new = after(m, thread)
            if new is None:
                continue
            moved[-1] = True
            values = values_of(new)
            if values in on_the_way:
                raise Broken("the worker does not come to rest")
            if values not in done:
                on_the_way.add(values)
                way.append((values, iter(range(len(new.todo))), new))
                moved.append(False)
                break
        else:
            if not moved[-1]:
                check_end(m)
            on_the_way.discard(key)
            done.add(key)
            way.pop()
            moved.pop()
    return len(done)


def run(n: int, *steps: Do) -> tuple[Do, ...]:
    return (Do(enter, n), *steps, Do(end_run, n))


def rcu(n: int) -> Do:
    return Do(free_rcu, n)


def now(n: int) -> Do:
    return Do(free_now, n)


def model(name: str, *faults: str) -> Model:
    free, *threads = SCRIPTS[name]
    return Model(frozenset(faults), ((Do(sleep),), *threads), free=free, given=free)


IN, OUT, KEPT, GOES = Do(enter, 1), Do(leave, 1), Do(hold, 1), Do(unhold, 1)
CLOSE, DESTROY, DESTROY_CORE = Do(close), Do(destroy), Do(destroy_core)

#: Bits of the objects that are free from the beginning, and what each thread but the worker does.
#: The last one may end the heap and the core.
SCRIPTS: dict[str, tuple[int, *tuple[tuple[Do, ...], ...]]] = {
    "two runs free": (0, run(0, rcu(0), rcu(2)), run(1, rcu(1)), ()),
    "one is held": (0, run(0, rcu(0), rcu(2), rcu(1)), (KEPT, IN, OUT, IN, OUT, GOES), ()),
    "one that frees is held": (
        0,
        (KEPT, IN, rcu(0), OUT, IN, rcu(1), rcu(2), OUT, GOES),
        (DESTROY_CORE,),
    ),
    "one stays held": (0, run(0, rcu(0), rcu(2)), (KEPT, IN, rcu(1), OUT), ()),
    "a heap ends": (0, run(0, rcu(0), rcu(1), rcu(2)), (CLOSE, DESTROY, DESTROY_CORE)),
    "a heap is closed": (4, run(0, rcu(0)), run(1, rcu(1)), (CLOSE,)),
    "a heap ends, and some are freed at once": (
        0,
        run(0, rcu(0), now(2)),
        run(1, now(1)),
        (CLOSE, DESTROY),
    ),
    "a heap ends while one is held": (
        6,
        run(0, rcu(0)),
        (KEPT, GOES),
        (CLOSE, DESTROY),
    ),
}

#: The script with most states, by far.
_LARGEST = "a heap ends while one is held"

#: What the C code must not do, and where that is found.
FAULTS = {
    "queued twice": ("one that frees is held", "an item is in two places"),
    "collected in a grace period": ("one that frees is held", "what is in a grace period is lost"),
    "no grace period": ("two runs free", "an object is given back while a run may look at it"),
    "phase looked at once": (
        "one is held",
        "an object is given back while a run may look at it",
    ),
    "bits before the chain": ("one that frees is held", "an object does not come back"),
    "not collected again": ("two runs free", "an object does not come back"),
    "condemned in the chain": ("a heap is closed", "a slab is left"),
    "condemned ones at once": (
        "a heap ends, and some are freed at once",
        "a slab is unmapped while a run may look at it",
    ),
    "ends too early": ("a heap ends", "something is done for a heap after its end"),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long) if name == _LARGEST else name for name in SCRIPTS],
)
def test_all_orders_of_steps(name: str) -> None:
    assert explore(model(name)) > 100


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str) -> None:
    name, what = FAULTS[fault]
    with pytest.raises(Broken, match=what):
        explore(model(name, fault))
