"""Every kind of register as every argument of helpers and kfuncs: our verdict is Linux's."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import Types, program, section_for

from bpfheap.kernel import Kernel
from bpfheap.platform.calls import HELPERS, KFUNCS, Arg, Call, Ret
from bpfheap.platform.maps import BY_NAME, MapFlag
from bpfheap.spec import MapSpec, ObjectSpec
from bpfheap.verifier import verify

TYPES = Types(
    {
        "foo": {"var": "int", "other": "int"},
        "val": {"a": "u64", "b": "u64", "ptr": "struct foo __kptr *"},
    }
)
U32, FOO, VAL = (TYPES.id_of(name) for name in ("u32", "struct foo", "struct val"))
BTF = TYPES.build()


def _map(name: str, kind: str, key: int, value: int, entries: int, flags: int = 0) -> MapSpec:
    key_size, value_size = (BTF.size_of(t) if t else 0 for t in (key, value))
    number = BY_NAME[kind].number
    return MapSpec(name, number, key_size, value_size, entries, BTF, flags, key, value)


MAPS = {
    "hash": _map("hash", "hash", U32, VAL, 4),
    "array": _map("array", "array", U32, VAL, 4),
    "counters": _map("counters", "percpu_hash", U32, VAL, 4),
    "ring": _map("ring", "ringbuf", 0, 0, 4096),
    "progs": _map("progs", "prog_array", U32, U32, 4),
    "events": _map("events", "perf_event_array", U32, U32, 4),
    "stacks": _map("stacks", "stack_trace", U32, VAL, 4),
    "trie": _map("trie", "lpm_trie", FOO, FOO, 4, MapFlag.NO_PREALLOC),
    "queue": _map("queue", "queue", 0, FOO, 4),
    "stack": _map("stack", "stack", 0, FOO, 4),
    "filter": _map("filter", "bloom_filter", 0, FOO, 4),
    "devices": _map("devices", "devmap", U32, U32, 4),
    "named": _map("named", "devmap_hash", U32, U32, 4),
    "cpus": _map("cpus", "cpumap", U32, U32, 1),
    "xsks": _map("xsks", "xskmap", U32, U32, 4),
    "cgroups": _map("cgroups", "cgroup_array", U32, U32, 4),
}
OBJ = ObjectSpec("arguments", BTF, MAPS, {})

_BEGIN = """
r6 = r1
*(u64 *)(r10 -8) = 0
*(u64 *)(r10 -16) = 0
*(u64 *)(r10 -24) = 0
r2 = r10
r2 += -8
r1 = map[name:hash] ll
call bpf_map_lookup_elem
if r0 == 0 goto out
r8 = r0
"""
_PACKET = """
r7 = *(u32 *)(r6 +{data})
r1 = *(u32 *)(r6 +{end})
*(u64 *)(r10 -56) = r1
r2 = r7
r2 += 24
if r2 > r1 goto out
"""
_RECORD = """
r1 = map[name:ring] ll
r2 = 24
r3 = 0
call bpf_ringbuf_reserve
r9 = r0
"""
_OBJECT = """
r1 = $foo
r2 = 0
call kfunc bpf_obj_new_impl
r9 = r0
"""
_SUB = "sub: r0 = 0\nexit"
_SURE = "if r9 == 0 goto out\n"
_DROP_PERCPU = "if r9 == 0 goto out\nr1 = r9\nr2 = 0\ncall kfunc bpf_percpu_obj_drop_impl\n"
_SUBMIT = "if r9 == 0 goto out\nr1 = r9\nr2 = 0\ncall bpf_ringbuf_submit\n"
_DROP = "if r9 == 0 goto out\nr1 = r9\nr2 = 0\ncall kfunc bpf_obj_drop_impl\n"

#: By name: what comes before the call, what makes argument {n}, and what comes after the call.
_REGISTERS: dict[str, tuple[str, str, str]] = {
    "stack": ("", "r{n} = r10\nr{n} += -24", ""),
    "stack, beyond": ("", "r{n} = r10\nr{n} += -4", ""),
    "stack, above": ("", "r{n} = r10", ""),
    "context": ("", "r{n} = r6", ""),
    "hash map": ("", "r{n} = map[name:hash] ll", ""),
    "array map": ("", "r{n} = map[name:array] ll", ""),
    "per-CPU map": ("", "r{n} = map[name:counters] ll", ""),
    "ring buffer": ("", "r{n} = map[name:ring] ll", ""),
    "program array": ("", "r{n} = map[name:progs] ll", ""),
    "perf events": ("", "r{n} = map[name:events] ll", ""),
    "stacks": ("", "r{n} = map[name:stacks] ll", ""),
    "trie": ("", "r{n} = map[name:trie] ll", ""),
    "queue": ("", "r{n} = map[name:queue] ll", ""),
    "queue, the last first": ("", "r{n} = map[name:stack] ll", ""),
    "filter": ("", "r{n} = map[name:filter] ll", ""),
    "devices": ("", "r{n} = map[name:devices] ll", ""),
    "devices by name": ("", "r{n} = map[name:named] ll", ""),
    "CPUs": ("", "r{n} = map[name:cpus] ll", ""),
    "sockets": ("", "r{n} = map[name:xsks] ll", ""),
    "cgroups": ("", "r{n} = map[name:cgroups] ll", ""),
    "map value": ("", "r{n} = r8", ""),
    "map value, further on": ("", "r{n} = r8\nr{n} += 8", ""),
    "kptr field": ("", "r{n} = r8\nr{n} += 16", ""),
    "packet": (_PACKET, "r{n} = r7", ""),
    "packet, beyond": (_PACKET, "r{n} = r7\nr{n} += 20", ""),
    "packet's end": (_PACKET, "r{n} = *(u64 *)(r10 -56)", ""),
    "record": (_RECORD + _SURE, "r{n} = r9", ""),
    "record, submitted later": (_RECORD + _SURE, "r{n} = r9", _SUBMIT),
    "record, further on": (_RECORD + _SURE, "r{n} = r9\nr{n} += 8", _SUBMIT),
    "record or NULL": (_RECORD, "r{n} = r9", _SUBMIT),
    "object": (_OBJECT + _SURE, "r{n} = r9", ""),
    "object, dropped later": (_OBJECT + _SURE, "r{n} = r9", _DROP),
    "object, its second member": (_OBJECT + _SURE, "r{n} = r9\nr{n} += 4", _DROP),
    "object or NULL": (_OBJECT, "r{n} = r9", _DROP),
    "function": ("", "r{n} = func[name:sub] ll", ""),
    "0": ("", "r{n} = 0", ""),
    "1": ("", "r{n} = 1", ""),
    "24": ("", "r{n} = 24", ""),
    "25": ("", "r{n} = 25", ""),
    "-1": ("", "r{n} = -1", ""),
    "up to 15": ("", "r{n} = *(u32 *)(r6 +0)\nr{n} &= 15", ""),
    "any number": ("", "r{n} = *(u32 *)(r6 +0)", ""),
    "a struct's id": ("", "r{n} = $foo", ""),
    "nothing": ("", "", ""),
}

#: A register for each argument that makes a call right.
_RIGHT: dict[Arg, str] = {
    Arg.ANYTHING: "0",
    Arg.SCALAR: "1",
    Arg.COUNT: "1",
    Arg.CONST_SIZE: "1",
    Arg.CONST_SIZE_OR_ZERO: "1",
    Arg.MAP_KEY: "stack",
    Arg.MAP_VALUE: "stack",
    Arg.UNINIT_VALUE: "stack",
    Arg.MEM: "stack",
    Arg.MEM_OR_NULL: "stack",
    Arg.UNINIT_MEM: "stack",
    Arg.CTX: "context",
    Arg.ALLOC_SIZE: "24",
    Arg.RECORD: "record",
    Arg.KPTR_FIELD: "kptr field",
    Arg.OWNED_OR_NULL: "0",
    Arg.OWNED: "object",
    Arg.TYPE_ID: "a struct's id",
    Arg.CALLBACK: "function",
    Arg.CALLBACK_CTX: "stack",
    Arg.UNCHECKED: "0",
    Arg.UNUSED: "0",
}
_CALLS = [
    call
    for call in (*HELPERS, *KFUNCS)
    if call.args and all(arg in _RIGHT or arg is Arg.MAP for arg in call.args) and not call.ours
]
#: What a look-up finds there is an object of the kernel's (struct xdp_sock): there are none.
_KERNELS = {("bpf_map_lookup_elem", ("sockets", "stack"))}
#: What is to be done with a result that is owned.
_AFTER = {
    Ret.KPTR_OR_NULL: "r9 = r0\n" + _DROP,
    Ret.NEW_OR_NULL: "r9 = r0\n" + _DROP,
    Ret.PERCPU_NEW_OR_NULL: "r9 = r0\n" + _DROP_PERCPU,
    Ret.RECORD_OR_NULL: "r9 = r0\n" + _SUBMIT,
}


def _code(call: Call, registers: list[str], section: str) -> str:
    before, made, after = "", "", ""
    for n, name in enumerate(registers, 1):
        first, this, last = _REGISTERS[name]
        before += first if first not in before else ""
        made += this.format(n=n) + "\n"
        after += last if last not in after else ""
    where = {"data": 0, "end": 4} if section == "xdp" else {"data": 76, "end": 80}
    kfunc = "" if call.number is not None else "kfunc "
    result = _AFTER.get(call.ret, "") if not after else ""
    code = f"{_BEGIN}{before.format(**where)}{made}call {kfunc}{call.name}\n{result}{after}"
    code += "out: r0 = 0\nexit\n" + (_SUB if "function" in registers else "")
    return code.replace("$foo", str(TYPES.id_of("struct foo")))


def _map_for(call: Call) -> str:
    special = {
        "event": "perf events",
        "stack": "stacks",
        "output": "ring buffer",
        "tail_call": "program array",
        "lookup_percpu": "per-CPU map",
        "push": "queue",
        "pop": "queue",
        "peek": "queue",
        "cgroup": "cgroups",
        "redirect": "devices",
    }
    return special.get(call.map_op or "", "hash map")


def _section(call: Call) -> str:
    return "syscall" if call.sleepable else section_for(call)


@pytest.mark.parametrize("call", _CALLS, ids=lambda call: call.name)
def test_every_argument(call: Call, oracle: Kernel) -> None:
    section = _section(call)
    right = [_map_for(call) if arg is Arg.MAP else _RIGHT[arg] for arg in call.args]
    tried = {tuple(right)}
    for at, name in product(range(len(right)), _REGISTERS):
        if section in ("tc", "xdp") or not name.startswith("packet"):
            tried.add((*right[:at], name, *right[at + 1 :]))
    if section == "raw_tracepoint":
        # Linux has no objects there, which is no matter of the call.
        tried = {names for names in tried if not any(n.startswith("object") for n in names)}
    differ, accepted = [], 0
    for registers in sorted(tried):
        spec = program(_code(call, list(registers), section), BTF, section)
        ours = verify(OBJ, spec)
        linux = oracle.verify(OBJ, spec, stats=True)
        accepted += linux.accepted
        if (call.name, registers) in _KERNELS:
            assert linux.accepted > ours.accepted
        elif ours.accepted != linux.accepted:
            who = f"we accept, Linux: {linux.message or linux.errno}"
            if linux.accepted:
                who = f"Linux accepts, we: {ours.error}"
            differ.append(f"{call.name}({'; '.join(registers)}): {who}")
    assert not differ, "\n".join(differ)
    assert accepted
