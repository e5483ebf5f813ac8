"""Objects of the kernel that a test makes up, and what programs see of them."""

from __future__ import annotations

import pytest

import bpfheap
from bpfheap.errors import UsageError, Violation
from bpfheap.spec import ObjectSpec

Runtime = bpfheap.Runtime
SYSTEM = "/sys/kernel/btf/vmlinux"


def test_members(rt: Runtime, spec: ObjectSpec) -> None:
    init = rt.kernel.task_struct(pid=1, comm="init")
    task = rt.kernel.task_struct(pid=42, comm="sh", real_parent=init, mm=None)
    assert (task.pid, task.comm, task.mm, task.real_parent) == (42, b"sh", None, init)
    assert task.real_parent.comm == b"init"
    assert init.real_parent == init
    task.set(**{"se.vruntime": 5}, exit_code=-1)
    assert (task["se.vruntime"], task.se.vruntime, task.exit_code) == (5, 5, -1)
    task.cred = {"uid": {"val": 1000}}
    assert task.cred.uid.val == 1000
    assert "pid" in dir(task)


def test_pointers_to_texts(rt: Runtime, spec: ObjectSpec) -> None:
    name = rt.kernel.filename(name="/tmp/x")
    assert name.name == b"/tmp/x"
    name.name = None
    assert name.name is None


def test_bitfields(rt: Runtime, spec: ObjectSpec) -> None:
    task = rt.kernel.task_struct(in_execve=1)
    assert task.in_execve == 1
    assert task.in_iowait == 0
    task.in_iowait = 1
    task.in_execve = 0
    assert (task.in_execve, task.in_iowait) == (0, 1)
    with pytest.raises(UsageError, match="does not fit the 1 bits"):
        task.in_execve = 2


def test_lists_and_trees(rt: Runtime, spec: ObjectSpec) -> None:
    parent = rt.kernel.task_struct(pid=1)
    children = [rt.kernel.task_struct(pid=n) for n in (2, 3, 4)]
    rt.kernel.link(parent.children, children, "sibling")
    at = parent.children.next
    seen = []
    while at != parent.children:
        seen.append(at)
        at = at.next
    assert seen == [child.sibling for child in children]
    assert parent.children.prev == children[-1].sibling
    root = rt.kernel.new("struct rb_root")
    rt.kernel.tree(root, children, "se.run_node")
    assert root.rb_node == children[1]["se.run_node"]
    assert root.rb_node.rb_left == children[0].se.run_node


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"pidd": 1}, "struct task_struct has no member pidd"),
        ({"pid": "x"}, "task_struct.pid is an integer"),
        ({"pid": 1 << 40}, "does not fit the 32 bits"),
        ({"comm": "x" * 17}, "has 16 bytes, and 17 are given"),
        ({"real_parent": 1.5}, "is a pointer"),
        ({"se": 3}, "takes a mapping"),
    ],
)
def test_what_does_not_fit(
    rt: Runtime, spec: ObjectSpec, members: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        rt.kernel.task_struct(**members)


def test_types_that_are_not_there(rt: Runtime, spec: ObjectSpec) -> None:
    with pytest.raises(UsageError, match="there is no type nothing_of_that_name"):
        rt.kernel.nothing_of_that_name()
    with (
        pytest.raises(UsageError, match="object of another runtime"),
        Runtime(kernel_btf=SYSTEM) as other,
    ):
        rt.kernel.task_struct(real_parent=other.kernel.task_struct())


def test_on_the_native_machine(spec: ObjectSpec) -> None:
    with Runtime(machine="native", kernel_btf=SYSTEM) as rt:
        task = rt.kernel.task_struct(pid=4, comm="sh")
        task.real_parent = task
        assert (task.pid, task.comm, task.real_parent.pid) == (4, b"sh", 4)
        rt.kernel.strict = True
        with pytest.raises(UsageError, match="does not see whether a member was set"):
            rt.kernel.task_struct()


def test_a_freed_object(rt: Runtime, spec: ObjectSpec) -> None:
    program = rt.load(spec, programs=["typed_switch"]).programs["typed_switch"]
    one, other = rt.kernel.task_struct(pid=1), rt.kernel.task_struct(pid=2)
    one.free()
    with pytest.raises(UsageError, match="was freed"):
        program.run([False, one, other])
    other.real_parent.free()
    with pytest.raises(UsageError, match="was freed"):
        _ = other.pid


def test_strictly(rt: Runtime, spec: ObjectSpec) -> None:
    program = rt.load(spec, programs=["typed_switch"]).programs["typed_switch"]
    rt.kernel.strict = True
    one, other = rt.kernel.task_struct(pid=1), rt.kernel.task_struct(pid=2)
    other.real_parent = one
    assert program.run([False, one, other]).retval == 1001
    with pytest.raises(Violation, match="read of pid of struct task_struct#") as seen:
        program.run([False, rt.kernel.task_struct(tgid=1), other])
    assert seen.value.kind == "not-set"
    assert seen.value.line is not None


def test_variables(rt: Runtime, spec: ObjectSpec) -> None:
    program = rt.load(spec, programs=["variables"]).programs["variables"]
    assert program.run([0, 0]).retval == 0
    rt.kernel.variables["runqueues"][1].nr_running = 3
    assert program.run([0, 0]).retval == 3
    with pytest.raises(UsageError, match="the kernel has no variable"):
        rt.kernel.variables["not_there"]


def test_references(rt: Runtime, spec: ObjectSpec) -> None:
    obj = rt.load(spec, programs=["store_task", "find_task"])
    find, store = obj.programs["find_task"], obj.programs["store_task"]
    assert find.run().retval == 0
    one, other = rt.kernel.task_struct(pid=42), rt.kernel.task_struct(pid=43)
    assert find.run().retval == 42
    assert store.run([one, 0]).retval == 0
    assert store.run([other, 0]).retval == 42
    assert store.run([one, 0]).retval == 43


def test_reading_what_is_nowhere(rt: Runtime, spec: ObjectSpec) -> None:
    wild = rt.load(spec, programs=["wild"]).programs["wild"]
    assert wild.run([0]).retval == 1
    assert wild.run([0x1234]).retval == 1
    assert wild.run([rt.kernel.user("in user space")]).retval == 1
    assert wild.run([rt.kernel.text("")]).retval == 1  # too short
    assert wild.run([rt.kernel.text("\0" * 8)]).retval == 0
    task = rt.kernel.task_struct()
    assert wild.run([task]).retval == 0
    gone = rt.kernel.filename(name="gone")
    pointer = rt.kernel.new("struct dentry", d_fsdata=gone).d_fsdata
    gone.free()
    with pytest.raises(UsageError, match="was freed"):
        wild.run([pointer])
