"""Every kind of register as every argument of helpers and kfuncs: our verdict is Linux's."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import pytest
from later import is_refused_later
from oracle_cases import lacks

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import SYSTEM, Types, placed, program, section_for, section_of

from bpfheap.errors import BpfheapError
from bpfheap.kernel import Kernel
from bpfheap.platform.calls import CALL_BY_NAME, HELPERS, KFUNCS, Arg, Call, Ret
from bpfheap.platform.kfuncs import Kfunc
from bpfheap.platform.maps import BY_NAME, MapFlag
from bpfheap.platform.programs import (
    PROGRAM_TYPES,
    CtxKind,
    Offer,
    ProgramType,
    program_type,
)
from bpfheap.spec import MapSpec, ObjectSpec
from bpfheap.verifier import verify

TYPES = Types(
    {
        "foo": {"var": "int", "other": "int"},
        "val": {"a": "u64", "b": "u64", "ptr": "struct foo __kptr *"},
    }
)
U32, U64, FOO, VAL = (TYPES.id_of(name) for name in ("u32", "u64", "struct foo", "struct val"))
BTF = TYPES.build()


def _map(name: str, kind: str, key: int, value: int, entries: int, flags: int = 0) -> MapSpec:
    key_size, value_size = (BTF.size_of(t) if t else 0 for t in (key, value))
    number = BY_NAME[kind].number
    return MapSpec(name, number, key_size, value_size, entries, BTF, flags, key, value)


#: As the compiler makes it for constants.
_TEXT = MapSpec("text", BY_NAME["array"].number, 4, 8, 1, BTF, data=b"%d%%\0\0\0\0", readonly=True)
MAPS = {
    "hash": _map("hash", "hash", U32, VAL, 4),
    "array": _map("array", "array", U32, VAL, 4),
    "counters": _map("counters", "percpu_hash", U32, VAL, 4),
    "ring": _map("ring", "ringbuf", 0, 0, 4096),
    "sent": _map("sent", "user_ringbuf", 0, 0, 4096),
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
    "socks": _map("socks", "sockmap", U32, U32, 4),
    "named_socks": _map("named_socks", "sockhash", U32, U32, 4),
    "ports": _map("ports", "reuseport_sockarray", U32, U32, 4),
    "storage": _map("storage", "cgroup_storage", U64, VAL, 0),
    "copies": _map("copies", "percpu_cgroup_storage", U64, VAL, 0),
    "text": _TEXT,
}
OBJ = ObjectSpec("arguments", BTF, MAPS, {}, kernel=SYSTEM)

BEGIN = """
r6 = r1
call bpf_get_prandom_u32
*(u64 *)(r10 -64) = r0
*(u64 *)(r10 -8) = 0
*(u64 *)(r10 -16) = 0
*(u64 *)(r10 -24) = 0
*(u64 *)(r10 -32) = 0
*(u64 *)(r10 -40) = 0
r2 = r10
r2 += -8
r1 = map[name:hash] ll
call bpf_map_lookup_elem
if r0 == 0 goto out
r8 = r0
"""
_PACKET = """
r7 = *(u{width} *)(r6 +{data})
r1 = *(u{width} *)(r6 +{end})
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
_DYNPTR = """
r1 = r8
r2 = 16
r3 = 0
r4 = r10
r4 += -136
call bpf_dynptr_from_mem
"""
_RESERVED = """
r1 = map[name:ring] ll
r2 = 24
r3 = 0
r4 = r10
r4 += -152
call bpf_ringbuf_reserve_dynptr
"""
_OBJECT = """
r1 = $foo
r2 = 0
call kfunc bpf_obj_new_impl
r9 = r0
"""
_SOCKET = """
r9 = *(u64 *)(r6 +{sk})
*(u64 *)(r10 -72) = r9
"""
_LOOKUP = """
*(u64 *)(r10 -104) = 0
*(u64 *)(r10 -96) = 0
r1 = r6
r2 = r10
r2 += -104
r3 = 12
r4 = 0
r5 = 0
call bpf_{found}
*(u64 *)(r10 -72) = r0
"""
_OF_SOCKET = """
r1 = r9
call bpf_{made}
if r0 == 0 goto out
*(u64 *)(r10 -72) = r0
"""
_TASK = """
call bpf_get_current_task_btf
*(u64 *)(r10 -72) = r0
"""
_WALKED = f"{_TASK}r0 = *(u64 *)(r0 +@task_struct.last_wakee)\n*(u64 *)(r10 -72) = r0\n"
_FOUND = "if r0 == 0 goto out\n"
SUB = "sub: r0 = 0\nexit"
_SURE = "if r9 == 0 goto out\n"
_DROP_PERCPU = "if r9 == 0 goto out\nr1 = r9\nr2 = 0\ncall kfunc bpf_percpu_obj_drop_impl\n"
_SUBMIT = "if r9 == 0 goto out\nr1 = r9\nr2 = 0\ncall bpf_ringbuf_submit\n"
_DROP = "if r9 == 0 goto out\nr1 = r9\nr2 = 0\ncall kfunc bpf_obj_drop_impl\n"
_SUBMIT_DYNPTR = "r1 = r10\nr1 += {at}\nr2 = 0\ncall bpf_ringbuf_submit_dynptr\n"
_RELEASE = "r1 = *(u64 *)(r10 -72)\ncall bpf_sk_release\n"

#: By name: what comes before the call, what makes argument {n}, and what comes after the call.
REGISTERS: dict[str, tuple[str, str, str]] = {
    "stack": ("", "r{n} = r10\nr{n} += -24", ""),
    "stack, 40 bytes": ("", "r{n} = r10\nr{n} += -40", ""),
    "stack, not aligned": ("", "r{n} = r10\nr{n} += -22", ""),
    "stack, beyond": ("", "r{n} = r10\nr{n} += -4", ""),
    "stack, above": ("", "r{n} = r10", ""),
    "context": ("", "r{n} = r6", ""),
    "hash map": ("", "r{n} = map[name:hash] ll", ""),
    "array map": ("", "r{n} = map[name:array] ll", ""),
    "per-CPU map": ("", "r{n} = map[name:counters] ll", ""),
    "ring buffer": ("", "r{n} = map[name:ring] ll", ""),
    "ring buffer of user space": ("", "r{n} = map[name:sent] ll", ""),
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
    "sockets of AF_XDP": ("", "r{n} = map[name:xsks] ll", ""),
    "sockets": ("", "r{n} = map[name:socks] ll", ""),
    "sockets by name": ("", "r{n} = map[name:named_socks] ll", ""),
    "sockets of a port": ("", "r{n} = map[name:ports] ll", ""),
    "storage": ("", "r{n} = map[name:storage] ll", ""),
    "storage for each CPU": ("", "r{n} = map[name:copies] ll", ""),
    "cgroups": ("", "r{n} = map[name:cgroups] ll", ""),
    "text": ("", "r{n} = map[name:text][0]+0 ll", ""),
    "text, at its end": ("", "r{n} = map[name:text][0]+7 ll", ""),
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
    "dynptr": (_DYNPTR, "r{n} = r10\nr{n} += -136", ""),
    "dynptr, its second half": (_DYNPTR, "r{n} = r10\nr{n} += -128", ""),
    "dynptr of a record": (_RESERVED, "r{n} = r10\nr{n} += -152", ""),
    "dynptr of a record, submitted later": (
        _RESERVED,
        "r{n} = r10\nr{n} += -152",
        _SUBMIT_DYNPTR.format(at=-152),
    ),
    "object": (_OBJECT + _SURE, "r{n} = r9", ""),
    "object, dropped later": (_OBJECT + _SURE, "r{n} = r9", _DROP),
    "object, its second member": (_OBJECT + _SURE, "r{n} = r9\nr{n} += 4", _DROP),
    "object or NULL": (_OBJECT, "r{n} = r9", _DROP),
    "socket": (_SOCKET + _SURE, "r{n} = *(u64 *)(r10 -72)", ""),
    "socket or NULL": (_SOCKET, "r{n} = *(u64 *)(r10 -72)", ""),
    "socket, found": (
        _LOOKUP.replace("{found}", "sk_lookup_tcp") + _FOUND,
        "r{n} = *(u64 *)(r10 -72)",
        "",
    ),
    "socket, released later": (
        _LOOKUP.replace("{found}", "sk_lookup_udp") + _FOUND,
        "r{n} = *(u64 *)(r10 -72)",
        _RELEASE,
    ),
    "common socket, released later": (
        _LOOKUP.replace("{found}", "skc_lookup_tcp") + _FOUND,
        "r{n} = *(u64 *)(r10 -72)",
        _RELEASE,
    ),
    "socket, found or NULL": (
        _LOOKUP.replace("{found}", "sk_lookup_tcp"),
        "r{n} = *(u64 *)(r10 -72)",
        "",
    ),
    "full socket": (
        _SOCKET + _SURE + _OF_SOCKET.replace("{made}", "sk_fullsock"),
        "r{n} = *(u64 *)(r10 -72)",
        "",
    ),
    "TCP socket": (
        _SOCKET + _SURE + _OF_SOCKET.replace("{made}", "tcp_sock"),
        "r{n} = *(u64 *)(r10 -72)",
        "",
    ),
    "task": (_TASK, "r{n} = *(u64 *)(r10 -72)", ""),
    "task, a member of it": (
        _TASK,
        "r{n} = *(u64 *)(r10 -72)\nr{n} += @task_struct.comm",
        "",
    ),
    "task, an untrusted one": (_WALKED, "r{n} = *(u64 *)(r10 -72)", ""),
    "function": ("", "r{n} = func[name:sub] ll", ""),
    "0": ("", "r{n} = 0", ""),
    "1": ("", "r{n} = 1", ""),
    "8": ("", "r{n} = 8", ""),
    "24": ("", "r{n} = 24", ""),
    "25": ("", "r{n} = 25", ""),
    "-1": ("", "r{n} = -1", ""),
    "up to 15": ("", "r{n} = *(u32 *)(r10 -64)\nr{n} &= 15", ""),
    "any number": ("", "r{n} = *(u32 *)(r10 -64)", ""),
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
    Arg.UNINIT_MEM_OR_NULL: "stack",
    Arg.INT: "stack",
    Arg.LONG: "stack",
    Arg.IPV4_HEADER: "stack",
    Arg.IPV6_HEADER: "stack, 40 bytes",
    Arg.TCP_HEADER: "stack",
    Arg.CONST_STRING: "text",
    Arg.FORMAT: "text",
    Arg.CTX_OR_NULL: "context",
    # Nothing is right.
    Arg.KERNEL: "0",
    Arg.KERNEL_OR_NULL: "0",
    Arg.SOCK_COMMON: "socket",
    Arg.FULL_SOCK_OR_NULL: "0",
    Arg.ANY_SOCK: "socket",
    Arg.ANY_SOCK_OR_NULL: "0",
    Arg.RELEASED_SOCK: "socket, found",
    Arg.ZERO: "0",
    Arg.CTX: "context",
    Arg.ALLOC_SIZE: "24",
    Arg.RECORD: "record",
    Arg.DYNPTR: "dynptr",
    Arg.NEW_DYNPTR: "stack",
    Arg.OWNED_DYNPTR: "dynptr of a record",
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
#: What is to be done with a result that is owned.
_AFTER = {
    Ret.KPTR_OR_NULL: "r9 = r0\n" + _DROP,
    Ret.NEW_OR_NULL: "r9 = r0\n" + _DROP,
    Ret.PERCPU_NEW_OR_NULL: "r9 = r0\n" + _DROP_PERCPU,
    Ret.RECORD_OR_NULL: "r9 = r0\n" + _SUBMIT,
    Ret.FOUND_SOCK_OR_NULL: "if r0 == 0 goto out\nr1 = r0\ncall bpf_sk_release\n",
    Ret.FOUND_COMMON_OR_NULL: "if r0 == 0 goto out\nr1 = r0\ncall bpf_sk_release\n",
}


def _code(
    call: Call, registers: tuple[str, ...], row: ProgramType, before: str = "", after: str = ""
) -> str:
    first, made, owed = "", "", ""
    for n, name in enumerate(registers, 1):
        needed, this, last = REGISTERS[name]
        first += needed if needed not in first else ""
        made += this.format(n=n) + "\n"
        owed += last if last not in owed else ""
    kfunc = "" if call.number is not None else "kfunc "
    result = _AFTER.get(call.ret, "") if not owed else ""
    if call.makes is not None and call.makes.owned and registers[-1] == "stack":
        result += _SUBMIT_DYNPTR.format(at=-24)
    code = f"{BEGIN}{filled(first + before, row)}{made}call {kfunc}{call.name}\n"
    code += after + result + owed
    # No result is one that a program of each type may give.
    code += f"out: r0 = {1 if row.returns == (1, 1) else 0}\nexit\n"
    code += SUB if "function" in registers else ""
    return placed(code.replace("$foo", str(TYPES.id_of("struct foo"))))


def filled(text: str, row: ProgramType) -> str:
    """With the places where the context has the packet and its socket."""
    places = {field.name: field.offset for field in reversed(row.fields)}
    data = next((field for field in row.fields if field.kind is CtxKind.PACKET), None)
    if data is not None:
        end = next(field for field in row.fields if field.kind is CtxKind.PACKET_END)
        places |= {"data": data.offset, "end": end.offset, "width": 8 * data.size}
    for name in ("data", "end", "width", "sk"):
        text = text.replace(f"{{{name}}}", str(places.get(name)))
    return text


def _map_for(call: Call) -> str:
    special = {
        "event": "perf events",
        "stack": "stacks",
        "output": "ring buffer",
        "drain": "ring buffer of user space",
        "tail_call": "program array",
        "lookup_percpu": "per-CPU map",
        "push": "queue",
        "pop": "queue",
        "peek": "queue",
        "cgroup": "cgroups",
        "redirect": "devices",
        "socket_at": "sockets",
        "socket_of": "sockets by name",
        "select": "sockets of a port",
        "storage": "storage",
    }
    return special.get(call.map_op or "", "hash map")


def _right(call: Call, row: ProgramType) -> tuple[str, ...]:
    args = call.args_in(row.caller)
    return tuple(_map_for(call) if arg is Arg.MAP else _RIGHT[arg] for arg in args)


def row_of(section: str) -> ProgramType:
    row = program_type(section)
    assert row is not None
    return row


#: Maps that belong to the first program that uses them, and to others with the same storage.
_BELONGING = {"program array", "devices", "devices by name", "CPUs"}


#: What has to be called for a register.
_MADE = {"full socket": "bpf_sk_fullsock", "TCP socket": "bpf_tcp_sock"}
_NEEDED = _MADE | {
    "socket, found": "bpf_sk_lookup_tcp",
    "socket, found or NULL": "bpf_sk_lookup_tcp",
    "socket, released later": "bpf_sk_lookup_udp",
    "common socket, released later": "bpf_skc_lookup_tcp",
    "task": "bpf_get_current_task_btf",
    "task, a member of it": "bpf_get_current_task_btf",
    "task, an untrusted one": "bpf_get_current_task_btf",
}


def fits(row: ProgramType, registers: tuple[str, ...]) -> bool:
    """Whether programs of that type can have all of them, which is no matter of the call."""
    if _BELONGING.intersection(registers) and any("storage" in name for name in registers):
        return False
    packet = any(field.kind is CtxKind.PACKET for field in row.fields)
    socket = any(field.name == "sk" for field in row.fields)
    calls = {name for name, needed in _NEEDED.items() if row.has(CALL_BY_NAME[needed].offer)}
    return not any(
        (name.startswith("packet") and not packet)
        or (name in ("socket", "socket or NULL", *_MADE) and not socket)
        or (name in _NEEDED and name not in calls)
        or (name.startswith("object") and not row.objects)
        for name in registers
    )


#: Each call in a program of a usual type, and where its arguments are others.
_PLACES = [
    (call, section)
    for call in _CALLS
    for section in dict.fromkeys((
        "syscall" if call.sleepable else section_for(call),
        *(section_for(call, among=offer) for offer, _ in call.other_args),
    ))
    if not row_of(section).kernel_types
]  # fmt: skip


#: What bpfheap says of memory that is no object with owners, of a mask of the kernel's own, and of
#: a CPU that there is not.
_TOLD_ALONE = (" counts owners: pass ", " changes the mask: copy it ", " is the number of a CPU, ")


def is_hole(call: Call | Kfunc, registers: tuple[str, ...], error: BpfheapError | None) -> bool:
    """Does Linux accept what is not safe, which bpfheap tells? That what may be NULL is memory
    though the function does not look, or an object that was found by walking, or memory an object
    of the kernel, or any number a CPU."""
    if any(said in str(error) for said in _TOLD_ALONE):
        return True
    unlooked = {
        n
        for n, name in enumerate(registers, 1)
        if (name.endswith("or NULL") or name in ("0", "task, an untrusted one"))
        and n not in call.checks_null
    }
    return any(f"does not check R{n} " in str(error) for n in unlooked)


@pytest.mark.parametrize(("call", "section"), _PLACES, ids=lambda it: getattr(it, "name", it))
def test_every_argument(call: Call, section: str, oracle: Kernel) -> None:
    if lacks(oracle, call, section):
        pytest.skip(f"this kernel has no {call.name} in {section} programs")
    row = row_of(section)
    right = _right(call, row)
    tried = {right}
    for at, name in product(range(len(right)), REGISTERS):
        tried.add((*right[:at], name, *right[at + 1 :]))
    differ, accepted = [], 0
    for registers in sorted(names for names in tried if fits(row, names)):
        spec = program(_code(call, registers, row), BTF, section)
        ours = verify(OBJ, spec)
        linux = oracle.verify(OBJ, spec, stats=True)
        accepted += linux.accepted
        if ours.accepted != linux.accepted:
            if linux.accepted and is_hole(call, registers, ours.error):
                continue
            who = f"we accept, Linux: {linux.message or linux.errno}"
            if linux.accepted:
                who = f"Linux accepts, we: {ours.error}"
            differ.append(f"{call.name}({'; '.join(registers)}): {who}")
    assert not differ, "\n".join(differ)
    # What an object of the kernel would have to be for, or to be released after.
    assert accepted or call.gives or _OBJECTS & set(call.args_in(row.caller))


_OBJECTS = {
    Arg.KERNEL, Arg.KERNEL_OR_NULL, Arg.ANY_SOCK, Arg.RELEASED_SOCK,
}  # fmt: skip
_MEMORY = {arg for arg, register in _RIGHT.items() if register.startswith("stack")}


@pytest.mark.parametrize(
    "row",
    {row.name: row for row in PROGRAM_TYPES if not row.kernel_types}.values(),
    ids=lambda row: row.name,
)
def test_packets_as_memory(row: ProgramType, oracle: Kernel) -> None:
    """For every call that programs of a type have."""
    if not fits(row, ("packet",)):
        pytest.skip(f"{row.name} programs see no packet")
    section, differ = section_of(row), []
    for call in _CALLS:
        if not row.has(call.offer) or lacks(oracle, call, section):
            continue
        right = _right(call, row)
        for at, arg in enumerate(call.args_in(row.caller)):
            registers = (*right[:at], "packet", *right[at + 1 :])
            if arg not in _MEMORY or not fits(row, registers):
                continue
            spec = program(_code(call, registers, row), BTF, section)
            ours, linux = verify(OBJ, spec), oracle.verify(OBJ, spec, stats=True)
            if ours.accepted != linux.accepted:
                why = ours.error or linux.message or linux.errno
                differ.append(f"{call.name}({'; '.join(registers)}): {why}")
    assert not differ, "\n".join(differ)


#: By what is looked at: what comes before a call that is right, and after it.
_AROUND = {
    "the packet after it": (_PACKET, "r0 = *(u8 *)(r7 +0)\n"),
    "in an RCU section": ("call kfunc bpf_rcu_read_lock\n", "call kfunc bpf_rcu_read_unlock\n"),
    "its result": ("", "r0 &= 7\nr1 = r10\nr1 += -48\nr1 += r0\n*(u8 *)(r1 +0) = 1\n"),
}


#: Helpers that sleep, and of which Linux 6.18 does not know it.
_SLEEP_IN_LINUX = {"bpf_sys_bpf", "bpf_sys_close", "bpf_btf_find_by_name_kind"}


@pytest.mark.parametrize("caller", Offer, ids=lambda caller: caller.name.lower())
def test_every_right_call(caller: Offer, oracle: Kernel) -> None:
    """In programs of each kind."""
    section = next((section_of(row) for row in PROGRAM_TYPES if row.caller is caller), "")
    if caller in Offer.OPS | Offer.DUMMY_OPS:
        pytest.skip("which struct a function is of, its section does not say")
    row = row_of(section)
    if row.kernel_types:
        pytest.skip("what the kernel's types describe is not known")
    differ = []
    for call in _CALLS:
        if not row.has(call.offer) or lacks(oracle, call, section):
            continue
        for what, (before, after) in _AROUND.items():
            right = _right(call, row)
            if not fits(row, (*right, "packet") if before == _PACKET else right):
                continue
            code = _code(call, right, row, before, after)
            spec = program(code, BTF, section)
            ours, linux = verify(OBJ, spec), oracle.verify(OBJ, spec, stats=True)
            if not linux.accepted and is_refused_later(oracle, linux):
                continue
            if what == "in an RCU section" and call.name in _SLEEP_IN_LINUX:
                assert not ours.accepted
                continue
            if ours.accepted != linux.accepted:
                differ.append(f"{call.name}, {what}: {ours.error or linux.message or linux.errno}")
    assert not differ, "\n".join(differ)
