"""Calls: those whose usual way is a few instructions are written in place, and go into the core
for the rest; all others are calls of the core's own functions. One function for each in INLINE.

The ways written here are those of heap.h, object.c, map.c, ring.c and calls.c of the core.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from bpfheap.isa import Kind
from bpfheap.machine.layout import round_up
from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit.blocks import Ins
from bpfheap.machine.native.jit.body import Body, function_name
from bpfheap.machine.native.jit.source import CannotCompile, MapShape, Site
from bpfheap.platform.calls import CALL_BY_NAME, Arg, Course
from bpfheap.verifier.facts import CallFacts

_M64: Final = (1 << 64) - 1
_NO_FACTS: Final = CallFacts()
#: Who is asked about these has to know where they are.
_ASKED: Final = frozenset({Course.PRINTS, Course.WAITS})


def _error(number: int) -> str:
    return str(-number & _M64)


class _Call:
    """One call: its arguments, what is known of it, and its result."""

    def __init__(self, body: Body, ins: Ins) -> None:
        self.body = body
        self.ins = ins
        facts = body.facts
        self.facts = _NO_FACTS if facts is None else facts.call(ins.slot)

    def number(self, n: int) -> str:
        return self.body.argument(self.ins.slot, n)

    def word(self, n: int) -> str:
        return self.body.let(f"trunc i64 {self.number(n)} to i32")

    def pointer(self, n: int) -> str:
        return self.body.address(self.ins.slot, n, 0)

    @property
    def map(self) -> MapShape | None:
        return self.body.source.shapes.get(self.facts.map or "")

    def here(self) -> str:
        return self.body.field("%run", "bh_run.here")

    def result(self, value: str) -> None:
        self.body.set(0, value)

    def program(self) -> str:
        """The program's id, for those who watch objects."""
        body = self.body
        prog = body.let(f"load ptr, ptr {body.field('%run', 'bh_run.prog')}")
        return body.let(f"load i32, ptr {body.field(prog, 'bh_prog.id')}")

    def cpu(self, bits: int = 64) -> str:
        body = self.body
        cpu = body.known("i32", body.field("%run", "bh_run.cpu"), 4)
        return cpu if bits == 32 else body.let(f"zext i32 {cpu} to i64")


def write(body: Body, ins: Ins) -> None:
    """A call of a helper or kfunc. Raises CannotCompile."""
    if ins.op.kind is Kind.CALL_REG:
        _by_number(body, ins)
        return
    name = body.source.calls[ins.slot]
    call = _Call(body, ins)
    inline = None if name is None else INLINE.get(name)
    if name is None or name not in CALL_BY_NAME:
        raise CannotCompile(f"slot {ins.slot} calls what nobody knows")
    if inline is not None and inline(call):
        return
    _plain(call, name)


def _plain(call: _Call, name: str) -> None:
    """The core's own function, with arguments where the interpreter has them."""
    body, row = call.body, CALL_BY_NAME[name]
    registers = body.field("%run", "bh_run.r")
    for n, arg in enumerate(row.args, 1):
        value = "0" if arg is Arg.UNUSED else call.number(n)
        at = body.let(f"getelementptr i8, ptr {registers}, i64 {8 * n}")
        body.do(f"store i64 {value}, ptr {at}")
    if row.course in _ASKED:
        body.do(f"store i32 {call.ins.slot}, ptr {body.field('%run', 'bh_run.slot')}")
    body.set_any(0, body.call(name, "i64", "ptr %run", f"ptr {registers}"))
    if row.waits:
        body.stop_if_stopped()


def _by_number(body: Body, ins: Ins) -> None:
    """callx, which no verified program has."""
    registers = body.field("%run", "bh_run.r")
    for n in range(1, 6):
        at = body.let(f"getelementptr i8, ptr {registers}, i64 {8 * n}")
        body.do(f"store i64 {body.argument(ins.slot, n)}, ptr {at}")
    number = body.get(ins.insn.dst)
    body.do(f"store i32 {ins.slot}, ptr {body.field('%run', 'bh_run.slot')}")
    body.set_any(0, body.call("bh_call_by_number", "i64", "ptr %run", f"i64 {number}"))
    body.stop_if_stopped()


# -- maps


def _lookup(call: _Call) -> bool:
    shape = call.map
    if shape is None:
        return False
    cpu = call.cpu() if shape.per_cpu else None
    return _look(call, shape, cpu)


def _lookup_percpu(call: _Call) -> bool:
    shape = call.map
    if shape is None or not shape.per_cpu:
        return False
    return _look(call, shape, *_cpu_given(call, 3))


def _cpu_given(call: _Call, n: int) -> tuple[str, str]:
    """The CPU whose number a program gives, and whether there is one; CPU 0 if not."""
    body = call.body
    cpu = call.word(n)
    there = body.let(f"icmp ult i32 {cpu}, {body.source.cpus}")
    safe = body.let(f"select i1 {there}, i32 {cpu}, i32 0")
    return body.let(f"zext i32 {safe} to i64"), there


def _look(call: _Call, shape: MapShape, cpu: str | None, there: str | None = None) -> bool:
    """`cpu`: whose value it is, of a per-CPU map; NULL unless `there`."""
    body = call.body
    if shape.shape == "array":
        found = _array(call, shape, cpu)
    elif shape.shape == "hash" and shape.key_size in (4, 8) and not shape.pointers:
        found = _hash(call, shape)
    elif shape.shape in ("hash", "lru"):
        symbol = body.symbols.memory(shape.symbol, 8)
        found = body.call("bh_map_lookup", "ptr", f"ptr {symbol}", f"ptr {call.pointer(2)}")
    else:
        return False
    if cpu is not None and shape.shape != "array":
        distance = body.let(f"mul i64 {cpu}, {shape.stride}")
        moved = body.let(f"getelementptr i8, ptr {found}, i64 {distance}")
        none = body.let(f"icmp eq ptr {found}, null")
        found = body.let(f"select i1 {none}, ptr null, ptr {moved}")
    return _give(call, found, there)


def _give(call: _Call, found: str, there: str | None) -> bool:
    """That pointer is the call's result; NULL unless `there`."""
    if there is not None:
        found = call.body.let(f"select i1 {there}, ptr {found}, ptr null")
    call.body.set_pointer(0, found)
    return True


def _array(call: _Call, shape: MapShape, cpu: str | None) -> str:
    body = call.body
    index = body.let(f"load i32, ptr {call.pointer(2)}, align 1")
    there = body.let(f"icmp ult i32 {index}, {shape.max_entries}")
    wide = body.let(f"zext i32 {index} to i64")
    distance = body.let(f"mul i64 {wide}, {shape.stride * (body.source.cpus if cpu else 1)}")
    if cpu is not None:
        own = body.let(f"mul i64 {cpu}, {shape.stride}")
        distance = body.let(f"add i64 {distance}, {own}")
    base = body.memory_of(shape)
    value = body.let(f"getelementptr inbounds i8, ptr {base}, i64 {distance}")
    if shape.pointers:
        # Nobody looks where there is none.
        safe = body.let(f"select i1 {there}, ptr {value}, ptr @nothing")
        return body.let(f"load atomic ptr, ptr {safe} acquire, align 8")
    return body.let(f"select i1 {there}, ptr {value}, ptr null")


def _hash(call: _Call, shape: MapShape) -> str:
    """The first element of the bucket, and the core for what comes behind it."""
    body = call.body
    symbol = body.symbols.memory(shape.symbol, 8)
    key_at = call.pointer(2)
    t = f"i{shape.key_size * 8}"
    key = body.let(f"load {t}, ptr {key_at}, align 1")
    seed = body.known("i64", body.field(symbol, "bh_map.seed"))
    if shape.key_size == 4:
        wide = body.let(f"zext i32 {key} to i64")
        mixed = body.let(f"xor i64 {seed}, {wide}")
        product = body.let(f"mul i64 {mixed}, {LAYOUT['BH_HASH_WORD']}")
        hash_ = body.let(f"lshr i64 {product}, 32")
    else:
        begun = body.let(f"xor i64 {seed}, {shape.key_size}")
        mixed = body.let(f"xor i64 {begun}, {key}")
        wide = body.let(f"zext i64 {mixed} to i128")
        product = body.let(f"mul i128 {wide}, {LAYOUT['BH_HASH_LAST']}")
        low = body.let(f"trunc i128 {product} to i64")
        high = body.let(f"trunc i128 {body.let(f'lshr i128 {product}, 64')} to i64")
        hash_ = body.let(f"xor i64 {low}, {high}")
    bucket = body.let(f"and i64 {hash_}, {shape.mask}")
    distance = body.let(f"mul i64 {bucket}, {LAYOUT['bh_bucket']}")
    at = body.let(f"getelementptr i8, ptr {body.memory_of(shape)}, i64 {distance}")
    elem = body.let(f"load atomic ptr, ptr {body.field(at, 'bh_bucket.first')} acquire, align 8")
    number = body.let(f"ptrtoint ptr {elem} to i64")
    marker = body.let(f"trunc i64 {number} to i1")
    some, hit, miss, done = (body.name(stem) for stem in ("some", "hit", "miss", "found"))
    body.branch(marker, miss, some)
    body.label(some)
    there = body.let(f"load {t}, ptr {body.field(elem, 'bh_elem.key')}, align 8")
    body.branch(body.let(f"icmp eq {t} {there}, {key}"), hit, miss)
    body.label(hit)
    value = body.let(f"getelementptr i8, ptr {elem}, i64 {shape.value_at}")
    body.goto(done)
    body.label(miss)
    # What is passed on must not keep the key out of a register on the usual way.
    copy = body.variable(t)
    body.do(f"store {t} {key}, ptr {copy}")
    slow = body.call("bh_map_lookup", "ptr", f"ptr {symbol}", f"ptr {copy}")
    body.goto(done)
    body.label(done)
    return body.let(f"phi ptr [ {value}, %{hit} ], [ {slow}, %{miss} ]")


def _tail_call(call: _Call) -> bool:
    body = call.body
    prog = body.call(
        "bh_tail", "ptr", "ptr %run", f"ptr {call.pointer(2)}", f"i64 {call.number(3)}"
    )
    go, stay = body.name("go"), body.name("stay")
    body.branch(body.let(f"icmp eq ptr {prog}, null"), stay, go)
    body.label(go)
    body.do(f"ret i64 {body.call('bh_run_tail', 'i64', 'ptr %run', f'ptr {prog}')}")
    body.label(stay)
    call.result(_error(errno.ENOENT))
    # The other program may have been left in the middle.
    body.may_stop = True
    return True


# -- callbacks


def _callback(call: _Call, *arguments: str) -> str:
    """Call the function that the call is given: what it gives."""
    body, start = call.body, call.facts.callback
    if start not in body.stops:
        raise CannotCompile(f"slot {call.ins.slot} calls back, and it is not known whom")
    given = ", ".join(["ptr %run", *arguments, *["i64 0"] * (5 - len(arguments))])
    value = body.let(f"call i64 @{function_name(start)}({given})")
    if body.stops[start]:
        body.stop_if_stopped()
    return value


def _loop(call: _Call) -> bool:
    body = call.body
    rounds, ctx, flags = call.word(1), call.number(3), call.number(4)
    outcome = body.variable("i64", "0")
    check, begin, again, more, ends, over, done = (
        body.name(stem) for stem in ("check", "begin", "again", "more", "ends", "over", "done")
    )
    body.do(f"store i64 {_error(errno.EINVAL)}, ptr {outcome}")
    body.branch(body.let(f"icmp eq i64 {flags}, 0"), check, done)
    body.label(check)
    body.do(f"store i64 {_error(errno.E2BIG)}, ptr {outcome}")
    body.branch(body.let(f"icmp ule i32 {rounds}, {LAYOUT['BH_LOOPS']}"), begin, done)
    body.label(begin)
    wide = body.let(f"zext i32 {rounds} to i64")
    # All at once; what a callback that breaks off leaves over goes back.
    body.count(wide)
    round_ = body.variable("i64")
    body.do(f"store i64 0, ptr {round_}")
    body.goto(again)
    body.label(again)
    at = body.let(f"load i64, ptr {round_}")
    body.branch(body.let(f"icmp ult i64 {at}, {wide}"), more, ends)
    body.label(more)
    stop = _callback(call, f"i64 {at}", f"i64 {ctx}")
    body.do(f"store i64 {body.let(f'add nuw i64 {at}, 1')}, ptr {round_}")
    body.branch(body.let(f"icmp eq i64 {stop}, 0"), again, over)
    body.label(over)
    made = body.let(f"load i64, ptr {round_}")
    body.count(body.let(f"sub i64 {made}, {wide}"))
    body.goto(ends)
    body.label(ends)
    body.do(f"store i64 {body.let(f'load i64, ptr {round_}')}, ptr {outcome}")
    body.goto(done)
    body.label(done)
    call.result(body.let(f"load i64, ptr {outcome}"))
    return True


def _for_each(call: _Call) -> bool:
    body = call.body
    map_, ctx, flags = call.pointer(1), call.number(3), call.number(4)
    outcome, rounds = body.variable("i64"), body.variable("i64")
    walk = body.variable(f"[{LAYOUT['bh_walk']} x i8]")
    begin, again, more, ends, done = (
        body.name(stem) for stem in ("begin", "again", "more", "ends", "done")
    )
    body.do(f"store i64 {_error(errno.EINVAL)}, ptr {outcome}")
    body.branch(body.let(f"icmp eq i64 {flags}, 0"), begin, done)
    body.label(begin)
    body.do(f"call void @llvm.memset.p0.i64(ptr {walk}, i8 0, i64 {LAYOUT['bh_walk']}, i1 false)")
    body.do(f"store i64 0, ptr {rounds}")
    stride = body.known("i32", body.field(map_, "bh_map.stride"), 4)
    per_cpu = body.known("i8", body.field(map_, "bh_map.per_cpu"), 1)
    own = body.let(f"mul i32 {stride}, {call.cpu(32)}")
    plain = body.let(f"icmp eq i8 {per_cpu}, 0")
    chosen = body.let(f"select i1 {plain}, i32 0, i32 {own}")
    distance = body.let(f"zext i32 {chosen} to i64")
    number = body.let(f"ptrtoint ptr {map_} to i64")
    body.goto(again)
    body.label(again)
    body.branch(body.call("bh_map_walk", "zeroext i1", f"ptr {map_}", f"ptr {walk}"), more, ends)
    body.label(more)
    body.count("1")
    made = body.let(f"load i64, ptr {rounds}")
    body.do(f"store i64 {body.let(f'add i64 {made}, 1')}, ptr {rounds}")
    key = body.let(f"load i64, ptr {body.field(walk, 'bh_walk.key')}")
    value = body.let(f"load i64, ptr {body.field(walk, 'bh_walk.value')}")
    value = body.let(f"add i64 {value}, {distance}")
    stop = _callback(call, f"i64 {number}", f"i64 {key}", f"i64 {value}", f"i64 {ctx}")
    body.branch(body.let(f"icmp eq i64 {stop}, 0"), again, ends)
    body.label(ends)
    body.do(f"store i64 {body.let(f'load i64, ptr {rounds}')}, ptr {outcome}")
    body.goto(done)
    body.label(done)
    call.result(body.let(f"load i64, ptr {outcome}"))
    return True


def _rbtree_add(call: _Call) -> bool:
    body = call.body
    root, node = call.pointer(1), call.pointer(2)
    node_number = body.let(f"ptrtoint ptr {node} to i64")
    outcome, at = body.variable("i64"), body.variable("ptr")
    free, empty, down, left, right, there, put, refused, done = (
        body.name(stem)
        for stem in (
            "free", "empty", "down", "left", "right", "there", "put", "refused", "done",
        )
    )  # fmt: skip
    body.do(f"store i64 0, ptr {outcome}")
    reserved = body.call("bh_rb_reserve", "zeroext i1", f"ptr {root}", f"ptr {node}")
    body.branch(reserved, free, refused)
    body.label(free)
    top = body.let(f"load ptr, ptr {body.field(root, 'bh_rb_root.node')}")
    body.do(f"store ptr {top}, ptr {at}")
    body.branch(body.let(f"icmp eq ptr {top}, null"), empty, down)
    insert = ("bh_rb_insert", "void", f"ptr {root}", f"ptr {node}")
    body.label(empty)
    body.call(*insert, "ptr null", "i1 0")
    body.goto(done)
    body.label(down)
    parent = body.let(f"load ptr, ptr {at}")
    number = body.let(f"ptrtoint ptr {parent} to i64")
    less = _callback(call, f"i64 {node_number}", f"i64 {number}")
    smaller = body.let(f"icmp ne i64 {less}, 0")
    body.branch(smaller, left, right)
    child = body.variable("ptr")
    for label, side in ((left, "bh_rb_node.left"), (right, "bh_rb_node.right")):
        body.label(label)
        body.do(f"store ptr {body.let(f'load ptr, ptr {body.field(parent, side)}')}, ptr {child}")
        body.goto(there)
    body.label(there)
    next_ = body.let(f"load ptr, ptr {child}")
    body.do(f"store ptr {next_}, ptr {at}")
    body.branch(body.let(f"icmp eq ptr {next_}, null"), put, down)
    body.label(put)
    body.call(*insert, f"ptr {parent}", f"i1 {smaller}")
    body.goto(done)
    body.label(refused)
    body.do(
        f"store i64 {body.call('bh_call_refuse', 'i64', 'ptr %run', f'i64 {node_number}')}, "
        f"ptr {outcome}"
    )
    body.goto(done)
    body.label(done)
    call.result(body.let(f"load i64, ptr {outcome}"))
    return True


# -- objects


def _cache(call: _Call, unit: str) -> str:
    """Of this context: it stays the same as long as the program runs."""
    body = call.body
    caches = body.known("ptr", unit)
    slot = body.known("i32", body.field("%run", "bh_run.cache"), 4)
    wide = body.let(f"zext i32 {slot} to i64")
    distance = body.let(f"mul i64 {wide}, {LAYOUT['bh_cache']}")
    return body.let(f"getelementptr i8, ptr {caches}, i64 {distance}")


def _alloc(call: _Call) -> bool:
    heap = call.facts.map
    return heap is not None and _allocate(call, heap)


def _obj_new(call: _Call) -> bool:
    return _allocate(call, "")


def _allocate(call: _Call, heap: str) -> bool:
    """bh_alloc, and zeros."""
    body = call.body
    site = _site(call, heap)
    if site is None:
        return False
    unit = body.symbols.memory(site.symbol, 8)
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
    object_ = body.let(f"load ptr, ptr {last}")
    _zero(body, object_, site)
    body.goto(out)
    body.label(slow)
    other = body.call("bh_alloc_slow", "ptr", f"ptr {cache}")
    body.branch(body.let(f"icmp eq ptr {other}, null"), out, done)
    body.label(done)
    _zero(body, other, site)
    body.goto(out)
    body.label(out)
    found = body.let(f"phi ptr [ {object_}, %{fast} ], [ null, %{slow} ], [ {other}, %{done} ]")
    body.set_pointer(0, found)
    return True


def _zero(body: Body, object_: str, site: Site) -> None:
    body.do(
        f"call void @llvm.memset.p0.i64(ptr align 8 {object_}, i8 0, i64 {site.size}, i1 false)"
    )


def _site(call: _Call, heap: str) -> Site | None:
    for site in call.body.source.sites:
        if site.heap == heap and site.type_id == call.facts.type_id:
            return site
    return None


def _free(call: _Call) -> bool:
    """bh_free_at, for objects that hold nothing, while nobody watches."""
    body = call.body
    if not call.facts.plain or body.source.watched:
        return False
    object_ = call.pointer(1)
    number = body.let(f"ptrtoint ptr {object_} to i64")
    slab_at = body.let(f"and i64 {number}, {-LAYOUT['BH_SLAB']}")
    slab = body.let(f"inttoptr i64 {slab_at} to ptr")
    unit = body.let(f"load ptr, ptr {body.field(slab, 'bh_slab.unit')}")
    recent_unit = body.let(f"load ptr, ptr {body.field('%run', 'bh_run.recent_unit')}")
    known, fast, slow, done = (body.name(stem) for stem in ("known", "fast", "slow", "freed"))
    body.branch(body.let(f"icmp eq ptr {unit}, {recent_unit}"), known, slow, likely=True)
    body.label(known)
    cache = body.let(f"load ptr, ptr {body.field('%run', 'bh_run.recent')}")
    top_at = body.field(cache, "bh_cache.top")
    top = body.let(f"load atomic ptr, ptr {top_at} monotonic, align 8")
    high_at = body.field(cache, "bh_cache.high")
    high = body.let(f"load atomic ptr, ptr {high_at} monotonic, align 8")
    body.branch(body.let(f"icmp ult ptr {top}, {high}"), fast, slow, likely=True)
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


def _this_cpu(call: _Call) -> bool:
    """Copies begin at multiples of 8."""
    size = call.facts.size
    return size > 0 and _copy(call, call.cpu(), size)


def _any_cpu(call: _Call) -> bool:
    size = call.facts.size
    if not size:
        return False
    cpu, there = _cpu_given(call, 2)
    return _copy(call, cpu, size, there)


def _copy(call: _Call, cpu: str, size: int, there: str | None = None) -> bool:
    """Of a per-CPU object, that of a CPU; NULL unless `there`."""
    body = call.body
    distance = body.let(f"mul i64 {cpu}, {round_up(size)}")
    found = body.let(f"getelementptr i8, ptr {call.pointer(1)}, i64 {distance}")
    return _give(call, found, there)


def _exchange(call: _Call) -> bool:
    body = call.body
    new = body.let(f"inttoptr i64 {call.number(2)} to ptr")
    body.set_pointer(
        0, body.let(f"atomicrmw xchg ptr {call.pointer(1)}, ptr {new} seq_cst, align 8")
    )
    return True


# -- ring buffers


def _reserve(call: _Call) -> bool:
    body, shape = call.body, call.map
    if shape is None or shape.shape != "ring":
        return False
    ring = body.symbols.memory(shape.symbol, 8)
    size, flags = call.number(2), call.number(3)
    begin, again, room, made, full, done = (
        body.name(stem) for stem in ("begin", "again", "room", "made", "full", "reserved")
    )
    header, longest = LAYOUT["BH_RING_HEADER"], LAYOUT["BH_RING_DONE"] - 1
    fits = body.let(f"icmp ule i64 {size}, {longest - header}")
    plain = body.let(f"icmp eq i64 {flags}, 0")
    body.branch(body.let(f"and i1 {fits}, {plain}"), begin, full)
    body.label(begin)
    whole = body.let(f"and i64 {body.let(f'add i64 {size}, {header + 7}')}, -8")
    produced_at = body.field(ring, "bh_map.produced")
    consumed_at = body.field(ring, "bh_map.consumed")
    body.goto(again)
    body.label(again)
    at = body.let(f"load atomic i64, ptr {produced_at} monotonic, align 8")
    end = body.let(f"add i64 {at}, {whole}")
    consumed = body.let(f"load atomic i64, ptr {consumed_at} acquire, align 8")
    taken = body.let(f"sub i64 {end}, {consumed}")
    body.branch(body.let(f"icmp ult i64 {taken}, {shape.max_entries}"), room, full)
    body.label(room)
    pair = body.let(f"cmpxchg weak ptr {produced_at}, i64 {at}, i64 {end} seq_cst seq_cst, align 8")
    body.branch(body.let(f"extractvalue {{ i64, i1 }} {pair}, 1"), made, again)
    body.label(made)
    place = body.let(f"and i64 {at}, {shape.max_entries - 1}")
    head = body.let(f"getelementptr i8, ptr {body.memory_of(shape)}, i64 {place}")
    length = body.let(f"trunc i64 {size} to i32")
    busy = body.let(f"or i32 {length}, {LAYOUT['BH_RING_BUSY']}")
    body.do(f"store atomic i32 {busy}, ptr {head} monotonic, align 8")
    record = body.let(f"getelementptr i8, ptr {head}, i64 {header}")
    body.goto(done)
    body.label(full)
    body.goto(done)
    body.label(done)
    body.set_pointer(0, body.let(f"phi ptr [ {record}, %{made} ], [ null, %{full} ]"))
    return True


def _let_go(bit: str) -> Callable[[_Call], bool]:
    def finish(call: _Call) -> bool:
        body = call.body
        head = body.let(f"getelementptr i8, ptr {call.pointer(1)}, i64 {-LAYOUT['BH_RING_HEADER']}")
        was = body.let(f"load atomic i32, ptr {head} monotonic, align 8")
        length = body.let(f"and i32 {was}, {LAYOUT['BH_RING_BUSY'] - 1}")
        now = body.let(f"or i32 {length}, {LAYOUT[bit]}")
        body.do(f"store atomic i32 {now}, ptr {head} release, align 8")
        call.result("0")
        return True

    return finish


# -- iterators: struct bpf_iter_num_kern


def _iter_new(call: _Call) -> bool:
    body = call.body
    iter_, start, end = call.pointer(1), call.word(2), call.word(3)
    second = body.let(f"getelementptr i8, ptr {iter_}, i64 4")
    outcome = body.variable("i64")
    right, good, done = body.name("right"), body.name("good"), body.name("begun")
    body.do(f"store i32 0, ptr {iter_}, align 4")
    body.do(f"store i32 0, ptr {second}, align 4")
    body.do(f"store i64 {_error(errno.EINVAL)}, ptr {outcome}")
    body.branch(body.let(f"icmp sle i32 {start}, {end}"), right, done)
    body.label(right)
    body.do(f"store i64 {_error(errno.E2BIG)}, ptr {outcome}")
    wide_end = body.let(f"sext i32 {end} to i64")
    wide_start = body.let(f"sext i32 {start} to i64")
    rounds = body.let(f"sub i64 {wide_end}, {wide_start}")
    body.branch(body.let(f"icmp sle i64 {rounds}, {LAYOUT['BH_LOOPS']}"), good, done)
    body.label(good)
    body.count(rounds)
    body.do(f"store i32 {body.let(f'add i32 {start}, -1')}, ptr {iter_}, align 4")
    body.do(f"store i32 {end}, ptr {second}, align 4")
    body.do(f"store i64 0, ptr {outcome}")
    body.goto(done)
    body.label(done)
    call.result(body.let(f"load i64, ptr {outcome}"))
    return True


def _iter_next(call: _Call) -> bool:
    body = call.body
    iter_ = call.pointer(1)
    second = body.let(f"getelementptr i8, ptr {iter_}, i64 4")
    next_ = body.let(f"add i32 {body.let(f'load i32, ptr {iter_}, align 4')}, 1")
    end = body.let(f"load i32, ptr {second}, align 4")
    more, over, done = body.name("more"), body.name("over"), body.name("next")
    body.branch(body.let(f"icmp slt i32 {next_}, {end}"), more, over)
    body.label(more)
    body.do(f"store i32 {next_}, ptr {iter_}, align 4")
    body.goto(done)
    body.label(over)
    body.do(f"store i32 0, ptr {iter_}, align 4")
    body.do(f"store i32 0, ptr {second}, align 4")
    body.goto(done)
    body.label(done)
    body.set_pointer(0, body.let(f"phi ptr [ {iter_}, %{more} ], [ null, %{over} ]"))
    return True


def _iter_destroy(call: _Call) -> bool:
    body = call.body
    body.do(f"store i64 0, ptr {call.pointer(1)}, align 4")
    call.result("0")
    return True


# -- others


def _clock(number: str) -> Callable[[_Call], bool]:
    """A clock of libc's, so of the vDSO's."""

    def read(call: _Call) -> bool:
        body = call.body
        now = body.variable("[2 x i64]")
        body.call("clock_gettime", "i32", f"i32 {LAYOUT[number]}", f"ptr {now}")
        seconds = body.let(f"load i64, ptr {now}")
        rest = body.let(f"load i64, ptr {body.let(f'getelementptr i8, ptr {now}, i64 8')}")
        whole = body.let(f"mul i64 {seconds}, 1000000000")
        call.result(body.let(f"add i64 {whole}, {rest}"))
        return True

    return read


def _cpu(call: _Call) -> bool:
    call.result(call.cpu())
    return True


def _nothing(call: _Call) -> bool:
    call.result("0")
    return True


#: By name. One that gives False leaves the call to the core.
INLINE: Final[dict[str, Callable[[_Call], bool]]] = {
    "bpf_map_lookup_elem": _lookup,
    "bpf_map_lookup_percpu_elem": _lookup_percpu,
    "bpf_tail_call": _tail_call,
    "bpf_loop": _loop,
    "bpf_for_each_map_elem": _for_each,
    "bpf_rbtree_add_impl": _rbtree_add,
    "bpf_mem_alloc": _alloc,
    "bpf_obj_new_impl": _obj_new,
    "unit_free": _free,
    "bpf_obj_drop_impl": _free,
    "bpf_kptr_xchg": _exchange,
    "bpf_ringbuf_reserve": _reserve,
    "bpf_ringbuf_submit": _let_go("BH_RING_DONE"),
    "bpf_ringbuf_discard": _let_go("BH_RING_DISCARD"),
    "bpf_iter_num_new": _iter_new,
    "bpf_iter_num_next": _iter_next,
    "bpf_iter_num_destroy": _iter_destroy,
    "bpf_get_smp_processor_id": _cpu,
    "bpf_this_cpu_ptr": _this_cpu,
    "bpf_per_cpu_ptr": _any_cpu,
    "bpf_ktime_get_ns": _clock("CLOCK_MONOTONIC"),
    "bpf_ktime_get_boot_ns": _clock("CLOCK_BOOTTIME"),
    "bpf_rcu_read_lock": _nothing,
    "bpf_rcu_read_unlock": _nothing,
}
