"""Objects, as cache.h and object.c have them, and the copies of per-CPU objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bpfheap.machine.layout import round_up
from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit.body import Body
from bpfheap.machine.native.jit.calls.call import CallSite, Inline
from bpfheap.machine.native.jit.source import Site


def _cache(call: CallSite, unit: str) -> str:
    """The unit's cache for this CPU and level; a program stays on both as long as it runs."""
    body = call.body
    caches = body.known("ptr", unit)
    slot = body.known("i32", body.field("%run", "bh_run.cache"), 4)
    wide = body.let(f"zext i32 {slot} to i64")
    distance = body.let(f"mul i64 {wide}, {LAYOUT['bh_cache']}")
    return body.let(f"getelementptr i8, ptr {caches}, i64 {distance}")


def _alloc(call: CallSite) -> bool:
    heap = call.facts.map
    return heap is not None and _allocate(call, heap)


def _obj_new(call: CallSite) -> bool:
    return _allocate(call, "")


def _allocate(call: CallSite, heap: str) -> bool:
    """bh_alloc, and zeros."""
    body = call.body
    site = _site(call, heap)
    if site is None:
        return False
    unit = body.symbols.unit(site)
    if not site.plain:
        made = body.call(
            "bh_object_new", "ptr", f"ptr {call.here()}", f"ptr {unit}", f"i32 {call.program()}"
        )
        body.set_pointer(0, made)
        return True
    cache = _cache(call, unit)
    fast, slow, done, out = (body.name(stem) for stem in ("fast", "slow", "made", "out"))
    top_at = body.field(cache, "bh_cache.top")
    top = body.let(f"load atomic ptr, ptr {top_at} monotonic, align 8")
    low_at = body.field(cache, "bh_cache.low")
    low = body.let(f"load atomic ptr, ptr {low_at} monotonic, align 8")
    body.branch(body.let(f"icmp ugt ptr {top}, {low}"), fast, slow, likely=True)
    body.label(fast)
    last = body.let(f"getelementptr i8, ptr {top}, i64 -8")
    body.do(f"store atomic ptr {last}, ptr {top_at} monotonic, align 8")
    object_ = _begin(body, body.let(f"load ptr, ptr {last}"), cache, site)
    body.goto(out)
    body.label(slow)
    other = body.call("bh_alloc_slow", "ptr", f"ptr {cache}")
    body.branch(body.let(f"icmp eq ptr {other}, null"), out, done)
    body.label(done)
    other = _begin(body, other, cache, site)
    body.goto(out)
    body.label(out)
    found = body.let(f"phi ptr [ {object_}, %{fast} ], [ null, %{slow} ], [ {other}, %{done} ]")
    body.set_pointer(0, found)
    return True


def _begin(body: Body, object_: str, cache: str, site: Site) -> str:
    """Zeros for what the heap gave; where the program has it."""
    if body.source.hardened:
        object_ = body.let(f"getelementptr i8, ptr {object_}, i64 {-LAYOUT['BH_SHADOW']}")
        life = _life(body, body.let(f"ptrtoint ptr {object_} to i64"))
        number = body.let(
            f"load atomic i32, ptr {body.field(cache, 'bh_cache.life')} monotonic, align 4"
        )
        body.do(f"store atomic i32 {number}, ptr {life} release, align 4")
    body.do(
        f"call void @llvm.memset.p0.i64(ptr align 8 {object_}, i8 0, i64 {site.size}, i1 false)"
    )
    return object_


def _life(body: Body, number: str) -> str:
    """Where the core notes what begins at an address of the region."""
    low = body.let(f"and i64 {number}, {0xFFFFFFFF}")
    place = body.let(f"add i64 {body.let(f'lshr i64 {low}, 1')}, {LAYOUT['BH_LIFE']}")
    return body.let(f"getelementptr i8, ptr %region, i64 {place}")


def _own_life(body: Body, unit: str) -> str:
    """What objects live under that this context may free without more ado: bh_unit_life."""
    slot = body.known("i32", body.field("%run", "bh_run.cache"), 4)
    first = body.let(f"getelementptr i8, ptr {unit}, i64 {LAYOUT['BH_UNIT_LIFE']}")
    return body.let(f"add i32 {body.known('i32', first, 4)}, {slot}")


def _site(call: CallSite, heap: str) -> Site | None:
    for site in call.body.source.sites:
        if site.heap == heap and site.type_id == call.facts.type_id:
            return site
    return None


def _room(body: Body, cache: str, room: str, full: str) -> tuple[str, str]:
    """Go where a cache has room for one more object, or has not: its top, and where that is."""
    top_at = body.field(cache, "bh_cache.top")
    top = body.let(f"load atomic ptr, ptr {top_at} monotonic, align 8")
    high_at = body.field(cache, "bh_cache.high")
    high = body.let(f"load atomic ptr, ptr {high_at} monotonic, align 8")
    body.branch(body.let(f"icmp ult ptr {top}, {high}"), room, full, likely=True)
    return top, top_at


def _free(call: CallSite) -> bool:
    """bh_free_at, for objects that hold nothing, while nobody watches."""
    body = call.body
    if not call.facts.plain or body.source.watched:
        return False
    if body.source.hardened:
        return _free_inside(call)
    object_ = call.pointer(1)
    number = body.let(f"ptrtoint ptr {object_} to i64")
    slab_at = body.let(f"and i64 {number}, {-LAYOUT['BH_SLAB']}")
    slab = body.let(f"inttoptr i64 {slab_at} to ptr")
    unit = body.let(f"load ptr, ptr {body.field(slab, 'bh_slab.unit')}")
    recent_unit = body.let(f"load ptr, ptr {body.field('%run', 'bh_run.recent_unit')}")
    known, fast, slow, done = (body.name(stem) for stem in ("known", "fast", "slow", "freed"))
    body.branch(body.let(f"icmp eq ptr {unit}, {recent_unit}"), known, slow, likely=True)
    body.label(known)
    recent = body.let(f"load ptr, ptr {body.field('%run', 'bh_run.recent')}")
    top, top_at = _room(body, recent, fast, slow)
    body.label(fast)
    body.do(f"store ptr {object_}, ptr {top}")
    above = body.let(f"getelementptr i8, ptr {top}, i64 8")
    body.do(f"store atomic ptr {above}, ptr {top_at} monotonic, align 8")
    body.goto(done)
    body.label(slow)
    body.call(
        "bh_object_drop", "void", f"ptr {call.here()}", f"ptr {object_}", f"i32 {call.program()}"
    )
    body.goto(done)
    body.label(done)
    call.result("0")
    return True


def _free_inside(call: CallSite) -> bool:
    """The same for a hardened program: what it names must live, be of this context, and of a type
    that the program allocates and that owns nothing. The core looks at all else."""
    body = call.body
    size = round_up(call.facts.size)
    site = next((s for s in body.source.sites if s.bare and s.size == size), None)
    if site is None:
        return False
    number = call.number(1)
    inside, lives, fast, slow, done = (
        body.name(stem) for stem in ("inside", "lives", "fast", "slow", "freed")
    )
    region = body.let("ptrtoint ptr %region to i64")
    distance = body.let(f"sub i64 {number}, {region}")
    other = body.let(f"and i64 {distance}, {~0xFFFFFFF8}")
    body.branch(body.let(f"icmp eq i64 {other}, 0"), inside, slow, likely=True)
    body.label(inside)
    life = _life(body, distance)
    unit = body.symbols.unit(site)
    state = body.let(f"load atomic i32, ptr {life} acquire, align 4")
    body.branch(body.let(f"icmp eq i32 {state}, {_own_life(body, unit)}"), lives, slow, likely=True)
    body.label(lives)
    top, top_at = _room(body, _cache(call, unit), fast, slow)
    body.label(fast)
    body.do(f"store atomic i32 {LAYOUT['BH_FREE']}, ptr {life} monotonic, align 4")
    object_ = body.let(f"add i64 {number}, {LAYOUT['BH_SHADOW']}")
    body.do(f"store i64 {object_}, ptr {top}")
    above = body.let(f"getelementptr i8, ptr {top}, i64 8")
    body.do(f"store atomic ptr {above}, ptr {top_at} monotonic, align 8")
    body.set(0, "0")
    body.goto(done)
    body.label(slow)
    call.checked(str(body.source.calls[call.ins.slot]))
    body.goto(done)
    body.label(done)
    return True


def _this_cpu(call: CallSite) -> bool:
    """Copies begin at multiples of 8. Those of the kernel's variables the core finds."""
    size = 0 if call.body.source.variables else call.facts.size
    return size > 0 and _copy(call, call.cpu(), size)


def _any_cpu(call: CallSite) -> bool:
    size = 0 if call.body.source.variables else call.facts.size
    if not size:
        return False
    cpu, there = call.given_cpu(2)
    return _copy(call, cpu, size, there)


def _copy(call: CallSite, cpu: str, size: int, there: str | None = None) -> bool:
    """Of a per-CPU object, that of a CPU; NULL unless `there`."""
    body = call.body
    distance = body.let(f"mul i64 {cpu}, {round_up(size)}")
    found = body.let(f"getelementptr i8, ptr {call.pointer(1)}, i64 {distance}")
    return call.give_pointer(found, there)


def _exchange(call: CallSite) -> bool:
    body = call.body
    new = body.let(f"inttoptr i64 {call.number(2)} to ptr")
    body.set_pointer(
        0, body.let(f"atomicrmw xchg ptr {call.pointer(1, 8, 8)}, ptr {new} seq_cst, align 8")
    )
    return True


INLINE: Final[Mapping[str, Inline]] = {
    "bpf_mem_alloc": _alloc,
    "bpf_obj_new_impl": _obj_new,
    "unit_free": _free,
    "bpf_obj_drop_impl": _free,
    "bpf_kptr_xchg": _exchange,
    "bpf_this_cpu_ptr": _this_cpu,
    "bpf_per_cpu_ptr": _any_cpu,
}
