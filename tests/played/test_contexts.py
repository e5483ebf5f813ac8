"""What programs of each kind are given, made of Python values."""

from __future__ import annotations

import pytest

import bpfheap
from bpfheap.errors import UsageError
from bpfheap.spec import ObjectSpec

Runtime = bpfheap.Runtime


def load(rt: Runtime, spec: ObjectSpec, name: str) -> bpfheap.Program:
    return rt.load(spec, programs=[name]).programs[name]


def test_a_tracepoint(rt: Runtime, spec: ObjectSpec) -> None:
    obj = rt.load(spec, programs=["exec"])
    init = rt.kernel.task_struct(pid=1, tgid=1)
    rt.current = rt.kernel.task_struct(pid=42, tgid=42, comm="sh", real_parent=init)
    result = obj.programs["exec"].run(
        rt.tracepoint("sched:sched_process_exec", filename="/bin/sh", pid=42)
    )
    assert result.retval == 42
    (record,) = obj.maps["events"].drain()
    assert record[:8] == bytes([42, 0, 0, 0, 1, 0, 0, 0])
    assert record[8:24].rstrip(b"\0") == b"sh"
    assert record[24:].rstrip(b"\0") == b"/bin/sh"


def test_a_tracepoint_by_its_fields_alone(rt: Runtime, spec: ObjectSpec) -> None:
    program = load(rt, spec, "exec")
    assert program.run({"filename": "/bin/ls", "pid": 7}).retval == 7


def test_a_system_call(rt: Runtime, spec: ObjectSpec) -> None:
    program = load(rt, spec, "openat")
    given = rt.tracepoint("syscalls:sys_enter_openat", args=[-100, "/etc/passwd", 0])
    result = program.run(given)
    assert result.printk == ["-100 /etc/passwd 12"]
    # A path is memory of user space (ERANGE).
    assert result.retval == -34 & 0xFFFFFFFF


def test_texts_in_a_list(rt: Runtime, spec: ObjectSpec) -> None:
    """Addresses in memory of user space, with NULL behind them."""
    program = load(rt, spec, "execve")
    result = program.run({"args": ["/bin/ls", ["ls", b"-l\0"], None]})
    assert (result.retval, result.printk) == (2, ["ls", "-l"])
    assert program.run({"args": [0, [], 0]}).retval == 0
    assert program.run({"args": [0, ("a", None, 7), 0]}).retval == 1
    # 7 is the address of nothing.
    assert program.run({"args": [0, (7,), 0]}).retval == -2 & 0xFFFFFFFF
    assert program.run({"args": [0, rt.kernel.user(["x", "y", "z"])]}).retval == 3
    with pytest.raises(UsageError, match=r"memory of user space is given as bytes, not as 1\.5"):
        program.run({"args": [0, [1.5]]})


def test_a_function(rt: Runtime, spec: ObjectSpec) -> None:
    enter = load(rt, spec, "unlink_enter")
    assert enter.run([-100, {"name": "/etc/x"}]).printk == ["-100 /etc/x"]
    assert enter.run([-1, rt.kernel.filename(name="y")]).printk == ["-1 y"]
    # An object of zeros.
    assert enter.run().printk == ["0 "]
    leave = load(rt, spec, "unlink_exit")
    assert leave.run(rt.arguments(-100, ret=-2)).printk == ["2 -2 -100 -2"]
    assert leave.run([-100, None, 5]).printk == ["2 5 -100 5"]


def test_a_probe(rt: Runtime, spec: ObjectSpec) -> None:
    program = load(rt, spec, "unlink_probe")
    assert program.run([-100, rt.kernel.filename(name="z")]).printk == ["-100 z"]
    assert program.run(rt.kprobe(3, {"name": "w"}), cookie=77).retval == 77
    assert load(rt, spec, "unlink_return").run(rt.kprobe(ret=-13)).retval == -13 & 0xFFFFFFFF
    with pytest.raises(UsageError, match="has 6 arguments in registers"):
        program.run(list(range(7)))
    with pytest.raises(UsageError, match="no register rip"):
        program.run(rt.kprobe(rip=1))


def test_a_probe_by_names(rt: Runtime, spec: ObjectSpec) -> None:
    program = load(rt, spec, "unlink_probe")
    assert program.run({"name": {"name": "n"}}).printk == ["0 n"]
    assert program.run({"dfd": 4}).printk == ["4 "]
    # Registers have names, too.
    assert program.run({"di": 5}).printk == ["5 "]
    assert load(rt, spec, "unlink_return").run({"ret": -4}).retval == -4 & 0xFFFFFFFF
    assert load(rt, spec, "malloc_probe").run({"di": 6}).retval == 6
    leave = load(rt, spec, "unlink_exit")
    assert leave.run({"dfd": 3, "ret": -2}).printk == ["2 -2 3 -2"]
    for name, message, hint in (
        ("unlink_probe", "do_unlinkat has no argument fd", "dfd, name"),
        ("malloc_probe", "malloc has no argument fd", "registers have its arguments: di, si, "),
    ):
        with pytest.raises(UsageError, match=message) as seen:
            load(rt, spec, name).run({"fd": 1})
        assert hint in str(seen.value.hint)
    with pytest.raises(UsageError, match="do_unlinkat has no argument ret"):
        load(rt, spec, "unlink_enter").run({"ret": 1})


def test_a_probe_of_a_system_call(rt: Runtime, spec: ObjectSpec) -> None:
    assert load(rt, spec, "unlink_call").run(["/tmp/x"]).printk == ["/tmp/x"]


def test_typed_tracepoints_by_names(rt: Runtime, spec: ObjectSpec) -> None:
    program = load(rt, spec, "typed_switch")
    assert program.run({"prev": {"pid": 3}}).retval == 3000
    with pytest.raises(UsageError, match="sched_switch has no argument nxt") as seen:
        program.run({"nxt": None})
    assert seen.value.hint == "preempt, prev, next, prev_state"


def test_static_probes(rt: Runtime, spec: ObjectSpec) -> None:
    obj = rt.load(spec, programs=["static_probe"])
    program = obj.programs["static_probe"]
    # Nobody has attached it yet.
    assert program.run().printk == ["0  0 0"]
    assert program.run([-5, "text", 7]).printk == ["-5 text 7 3"]
    assert program.run(list(range(1, 13))).printk == ["1  3 12"]
    assert rt.fire("usdt", [1])["static_probe"].printk == ["1  0 1"]
    with pytest.raises(UsageError, match="a probe has 6 arguments in registers, not 13"):
        program.run(list(range(13)))
    # Whoever says where they are has the last word.
    places: list[dict[str, int]] = [{"arg_type": 1, "reg_off": 104}, *11 * [{}]]
    obj.maps["__bpf_usdt_specs"][0] = {"arg_cnt": 1, "args": places, "usdt_cookie": 9}
    result = program.run([1, 2])
    assert (result.printk, result.retval) == (["2  0 1"], 9)


def test_raw_and_typed_tracepoints(rt: Runtime, spec: ObjectSpec) -> None:
    one, other = rt.kernel.task_struct(pid=1), rt.kernel.task_struct(pid=2)
    other.real_parent = one
    assert load(rt, spec, "raw_switch").run([0, one, other]).retval == 2
    assert load(rt, spec, "typed_switch").run([True, one, other]).retval == 1001001


def test_what_is_left_out_of_a_probe(rt: Runtime, spec: ObjectSpec) -> None:
    """An object of zeros, as of a function that is traced."""
    program = load(rt, spec, "unlink_seen")
    assert program.run().retval == 1
    assert program.run([5]).retval == 6
    assert program.run([5, None]).retval == 5
    assert rt.fire("kprobe/do_unlinkat")["unlink_seen"].retval == 1
    # Whoever says what is in the registers says all of it.
    assert program.run(rt.kprobe(di=7)).retval == 7


def test_what_is_left_out_of_a_raw_tracepoint(rt: Runtime, spec: ObjectSpec) -> None:
    program = load(rt, spec, "raw_next")
    assert program.run().retval == 0
    assert program.run([0, None]).retval == 0
    assert program.run({"next": {"pid": 5}}).retval == 5
    assert program.run([True, None, {"pid": 6}]).retval == 6
    # NULL cannot be read.
    assert program.run([True, None, None]).retval == 1000
    assert rt.fire("raw_tp/sched_switch")["raw_next"].retval == 0
    assert rt.fire("raw_tp/sched_switch", next={"pid": 7})["raw_next"].retval == 7
    with pytest.raises(UsageError, match="sched_switch has no argument nxt"):
        program.run({"nxt": None})


def test_what_is_left_out_of_a_tracepoint(rt: Runtime, spec: ObjectSpec) -> None:
    obj = rt.load(spec, programs=["exec"])
    assert obj.programs["exec"].run().retval == 0
    assert obj.programs["exec"].run({"pid": 3}).retval == 3
    assert rt.fire("sched:sched_process_exec")["exec"].retval == 0
    # The text is empty, and not what else is at the record's begin.
    assert [record[24] for record in obj.maps["events"].drain()] == [0, 0, 0]


def test_a_record_that_nobody_knows(rt: Runtime, spec: ObjectSpec) -> None:
    program = load(rt, spec, "somewhere")
    assert program.run().retval == 0
    with pytest.raises(UsageError, match="nothing says what the record of some:where is"):
        program.run({"field": 1})


def test_a_hook(rt: Runtime, spec: ObjectSpec) -> None:
    program = load(rt, spec, "open_hook")
    assert program.run([{"f_inode": {"i_ino": 7}}]).retval == 0xFFFFFFFF
    # What the kernel promises to be there is there.
    assert program.run().retval == 0


def test_an_iterator(rt: Runtime, spec: ObjectSpec) -> None:
    program = load(rt, spec, "each_task")
    task = rt.kernel.task_struct(pid=5, comm="cat")
    result = program.run(rt.iterator(task=task))
    assert (result.output, result.written) == ("5 cat\n", b"5 cat\n")
    assert program.run(rt.iterator()).output == ""


def test_what_a_program_says_and_takes(rt: Runtime, spec: ObjectSpec) -> None:
    result = load(rt, spec, "streams").run({"dfd": 4})
    assert (result.stdout, result.stderr) == ("dfd 4\n", "dfd 4\n")
    assert result.instructions is not None
    assert 10 < result.instructions < 60
    assert load(rt, spec, "streams").run().stdout == "dfd 0\n"


def test_a_program_says_no_more_than_there_is_room_for(rt: Runtime, spec: ObjectSpec) -> None:
    result = load(rt, spec, "says_much").run(rt.iterator())
    # Of 8 pages, and of 100,000 bytes.
    assert (len(result.written), len(result.stdout)) == (33 * 990, 101 * 990)


def test_texts_that_are_constants(rt: Runtime, spec: ObjectSpec) -> None:
    """No relocations of data are needed for them, which loaders leave out."""
    result = load(rt, spec, "headline").run(rt.iterator())
    assert (result.output, result.printk) == ("PID NAME\n--\n", ["of many texts one"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2, 3], "has 2 arguments, and 3 are given"),
        (["text", None], "dfd of do_unlinkat is a number"),
        ([0, 1.5], "name of do_unlinkat is a pointer"),
        ([0, {"nome": "x"}], "struct filename has no member nome"),
    ],
)
def test_what_is_none_is_told(rt: Runtime, spec: ObjectSpec, given: object, message: str) -> None:
    program = load(rt, spec, "unlink_enter")
    with pytest.raises(UsageError, match=message):
        program.run(given)


def test_no_packet_is_lost(rt: Runtime, spec: ObjectSpec) -> None:
    traced = load(rt, spec, "unlink_enter")
    for given in ([0], rt.arguments(0)):
        with pytest.raises(UsageError, match="unlink_enter is given data= beside"):
            traced.run(given, data=b"a packet")
    with pytest.raises(UsageError, match="a packet for a program of a type that gets none"):
        traced.run(data=b"a packet")


def test_all_that_is_attached_somewhere(rt: Runtime, spec: ObjectSpec) -> None:
    rt.load(spec, programs=["exec", "unlink_enter", "unlink_probe", "open_hook", "malloc_probe"])
    assert list(rt.fire("sched:sched_process_exec", filename="x", pid=3)) == ["exec"]
    fired = rt.fire("kprobe/do_unlinkat", [4, {"name": "v"}])
    assert {name: result.printk for name, result in fired.items()} == {"unlink_probe": ["4 v"]}
    rt.load(spec, programs=["unlink_return"])
    assert list(rt.fire("kprobe/do_unlinkat")) == ["unlink_probe"]
    assert list(rt.fire("kretprobe/do_unlinkat", rt.kprobe(ret=0))) == ["unlink_return"]
    assert list(rt.fire("lsm/file_open")) == ["open_hook"]
    assert rt.fire("uprobe/libc.so.6:malloc", [64])["malloc_probe"].retval == 64
    with pytest.raises(UsageError, match="no program is attached to kprobe/nothing"):
        rt.fire("kprobe/nothing")


@pytest.mark.parametrize("machine", ["model", "native"])
def test_what_is_left_in_it(spec: ObjectSpec, machine: str) -> None:
    with Runtime(machine=machine) as rt:
        left = load(rt, spec, "marks").run(rt.skb(bytes(64), mark=5, priority=3)).ctx
        assert (left.mark, left.priority, left.cb) == (0x105, 3, [0, 0, 7, 0, 0])
        given = rt.context(user_ip4=1, user_port=2)
        left = load(rt, spec, "elsewhere").run(given).ctx
        assert (left.user_ip4, left.user_port) == (0x0100007F, 2)
        # Of a probe it is the registers, as they were given.
        assert (
            load(rt, spec, "unlink_return").run(rt.kprobe(ret=-2)).ctx[80:88]
            == b"\xfe" + 7 * b"\xff"
        )


def test_a_packet_that_is_seen_whole(rt: Runtime, spec: ObjectSpec) -> None:
    packet = bytes(12) + b"\x08\x00" + bytes(50)
    program = load(rt, spec, "filter")
    assert program.run(rt.skb(packet)).printk == ["0 50 8"]
    result = program.run(rt.skb(packet, whole=True))
    assert (result.printk, result.data) == (["8 64 8"], packet)
    # Where the header is seen anyway, it is there once.
    assert load(rt, spec, "marks").run(rt.skb(packet, whole=True)).data == packet
    with pytest.raises(UsageError, match="a packet of 3 bytes"):
        program.run(rt.skb(b"abc", whole=True))


def test_what_a_packet_says_itself(rt: Runtime, spec: ObjectSpec) -> None:
    program = load(rt, spec, "marks")
    packet = bytes(12) + b"\x08\x00" + bytes(50)
    assert program.run(rt.tc(packet, protocol=8, len=64)).ctx.protocol == 8
    with pytest.raises(UsageError, match="protocol of the packet is 8, not 0") as seen:
        program.run(rt.tc(packet, protocol=0))
    assert seen.value.hint is not None
    with pytest.raises(UsageError, match="len of the packet is 64, not 65"):
        program.run(rt.tc(packet, len=65))
