"""The kernel around programs, on all machines: the same programs do the same there."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import bpfheap
from bpfheap.api.kernel.objects import address_of, type_of
from bpfheap.compile import object_spec
from bpfheap.errors import MachineUnsupported, OutOfMemory, UsageError, Violation
from bpfheap.machine.faults import Fault
from bpfheap.platform.programs import Offer
from bpfheap.runtime.machine import AtCall
from bpfheap.runtime.world import Caller, Space
from bpfheap.spec import ObjectSpec
from bpfheap.vmlinux import NONE, Vmlinux

#: Other tests have no kernel (conftest.py).
SYSTEM = Path("/sys/kernel/btf/vmlinux")

HEAD = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char _license[] SEC("license") = "GPL";
"""

CURRENT = """
struct seen { __u64 pid_tgid, uid_gid, cgroup, ancestor, missing; char comm[16], cut[5]; } seen;

SEC("kprobe/do_unlinkat") int asks(void *ctx)
{
	__builtin_memset(seen.comm, 7, sizeof(seen.comm));
	seen.pid_tgid = bpf_get_current_pid_tgid();
	seen.uid_gid = bpf_get_current_uid_gid();
	seen.cgroup = bpf_get_current_cgroup_id();
	seen.ancestor = bpf_get_current_ancestor_cgroup_id(0);
	seen.missing = bpf_get_current_ancestor_cgroup_id(7);
	bpf_get_current_comm(seen.comm, sizeof(seen.comm));
	bpf_get_current_comm(seen.cut, sizeof(seen.cut));
	return 0;
}
"""

PROBES = """
char bytes[8], text[8];
long answers[4];
__u64 at;
#define READ(name, n) case n: \\
	answers[0] = name(bytes, sizeof(bytes), (void *)at); \\
	answers[1] = name##_str(text, sizeof(text), (void *)at); \\
	break;

SEC("kprobe/do_unlinkat") int copies(__u64 *ctx)
{
	at = ctx[14];
	if (ctx[12])
		bpf_probe_read_kernel(&at, sizeof(at), (void *)ctx[12]);
	__builtin_memset(bytes, 9, sizeof(bytes));
	__builtin_memset(text, 9, sizeof(text));
	switch (ctx[13]) {
	READ(bpf_probe_read, 0)
	READ(bpf_probe_read_kernel, 1)
	READ(bpf_probe_read_user, 2)
	}
	return 0;
}

SEC("kprobe/do_unlinkat") int own(__u64 *ctx)
{
	__u64 here[2] = {3, 4}, copy[2] = {};

	answers[0] = bpf_probe_read_kernel(copy, sizeof(copy), here);
	answers[1] = copy[0] * 10 + copy[1];
	answers[2] = bpf_probe_read_kernel(copy, sizeof(copy), bytes);
	answers[3] = bpf_probe_read_user(copy, sizeof(copy), here);
	return copy[0] == 0;
}
"""

STUBS = """
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, int); __type(value, __u64);
__uint(max_entries, 4); } words SEC(".maps");
long answer;
char raw[12];

SEC("xdp") int looks(struct xdp_md *ctx)
{
	struct bpf_fib_lookup fib = { .family = 2, .ifindex = 5, .tot_len = 60 };

	answer = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	return fib.ifindex;
}

static long each(__u32 i, long *sum)
{
	char to[4] = {};

	*sum += bpf_get_prandom_u32() + i;
	return 0;
}

SEC("tc") int loops(struct __sk_buff *skb)
{
	long sum = 0;

	bpf_loop(3, each, &sum, 0);
	return sum;
}

SEC("tc") int sums(struct __sk_buff *skb)
{
	char text[8] = "abcdefg";

	answer = bpf_csum_diff((void *)text, 8, NULL, 0, 77);
	return 0;
}

SEC("tc") int gets(struct __sk_buff *skb)
{
	int key = 2;
	__u64 *word = bpf_map_lookup_elem(&words, &key);

	answer = word ? *word : -1;
	return 1;
}

SEC("tc") int prints(struct __sk_buff *skb)
{
	bpf_printk("%d", 1);
	answer = bpf_get_hash_recalc(skb);
	bpf_printk("%d", 2);
	return 0;
}
"""

CLOCK = """
__u64 times[3];

SEC("tc") int looks(struct __sk_buff *skb)
{
	times[0] = bpf_ktime_get_ns();
	times[1] = bpf_ktime_get_boot_ns();
	times[2] = bpf_jiffies64();
	return 0;
}
"""

TRACED = """
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";
__u64 seen[8];
char text[16];

/* By typed pointers, and, of what they lead to, by copies. */
static __always_inline void walk(struct task_struct *task)
{
	seen[0] = task->pid;
	seen[1] = task->mm ? task->mm->total_vm : 1;
	seen[2] = task->real_parent->tgid;
	seen[3] = BPF_CORE_READ(task, real_parent, real_parent, pid);
	bpf_probe_read_kernel_str(text, sizeof(text), task->comm);
}

SEC("tp_btf/sched_process_exec") int BPF_PROG(tp_btf, struct task_struct *task)
{
	walk(task);
	return 0;
}

SEC("fentry/wake_up_new_task") int BPF_PROG(fentry, struct task_struct *task)
{
	walk(task);
	return 0;
}

SEC("fexit/do_unlinkat") int BPF_PROG(fexit, int dfd, struct filename *name, long ret)
{
	seen[0] = dfd;
	seen[1] = ret;
	bpf_probe_read_kernel_str(text, sizeof(text), name->name);
	return 0;
}

SEC("lsm/file_open") int BPF_PROG(lsm, struct file *file)
{
	seen[0] = file->f_flags;
	seen[1] = file->f_inode->i_ino;
	return file->f_inode->i_ino == 13 ? -1 : 0;
}

SEC("raw_tp/sched_process_exec") int raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];

	seen[0] = BPF_CORE_READ(task, pid);
	seen[1] = BPF_CORE_READ(task, real_parent, tgid);
	return 0;
}

SEC("kprobe/do_unlinkat") int BPF_KPROBE(kprobe, int dfd, struct filename *name)
{
	seen[0] = dfd;
	bpf_probe_read_kernel_str(text, sizeof(text), BPF_CORE_READ(name, name));
	return 0;
}

SEC("tracepoint/sched/sched_process_exec")
int tracepoint(struct trace_event_raw_sched_process_exec *ctx)
{
	unsigned offset = ctx->__data_loc_filename & 0xffff;

	seen[0] = ctx->pid;
	bpf_probe_read_kernel_str(text, sizeof(text), (void *)ctx + offset);
	return 0;
}

SEC("tp_btf/sched_process_exit") int BPF_PROG(current_task)
{
	struct task_struct *task = bpf_get_current_task_btf();

	seen[0] = task->pid;
	seen[1] = bpf_get_current_pid_tgid();
	seen[2] = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), tgid);
	seen[3] = bpf_get_current_uid_gid();
	bpf_get_current_comm(text, sizeof(text));
	return 0;
}

struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *task) __ksym;
struct task_struct *bpf_task_acquire(struct task_struct *task) __ksym;

SEC("tp_btf/sched_process_exit") int BPF_PROG(finds)
{
	struct task_struct *task = bpf_task_from_pid(5);

	if (!task)
		return 0;
	seen[0] = task->tgid;
	bpf_task_release(task);
	return 0;
}

SEC("lsm.s/file_open") int BPF_PROG(sleeps, struct file *file)
{
	seen[0] = bpf_copy_from_user(text, 4, (void *)file->f_inode->i_ino);
	return 0;
}

struct kept { struct task_struct __kptr *task; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, int); __type(value, struct kept);
__uint(max_entries, 400); } kept_ones SEC(".maps");

SEC("tp_btf/sched_process_exec") int BPF_PROG(keeps, struct task_struct *task)
{
	struct task_struct *mine = bpf_task_acquire(task), *old;
	struct kept *kept, none = {};
	int key = task->pid;

	if (!mine)
		return 0;
	bpf_map_update_elem(&kept_ones, &key, &none, BPF_NOEXIST);
	kept = bpf_map_lookup_elem(&kept_ones, &key);
	if (!kept) {
		bpf_task_release(mine);
		return 0;
	}
	bpf_rcu_read_lock();
	seen[0] = kept->task ? kept->task->pid : 0;
	bpf_rcu_read_unlock();
	old = bpf_kptr_xchg(&kept->task, mine);
	if (old)
		bpf_task_release(old);
	return 0;
}

extern const struct rq runqueues __ksym;

SEC("kprobe/do_unlinkat") int variables(void *ctx)
{
	struct rq *mine = bpf_this_cpu_ptr(&runqueues), *other = bpf_per_cpu_ptr(&runqueues, 1);

	seen[0] = mine->nr_running;
	seen[1] = other ? other->nr_running : 77;
	seen[2] = bpf_per_cpu_ptr(&runqueues, 99) == NULL;
	return 0;
}
"""

TIMER = """
struct value { __u64 count; struct bpf_timer timer; __u64 last; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, int); __type(value, struct value);
__uint(max_entries, 2); } values SEC(".maps");

SEC("tc") int counts(struct __sk_buff *skb)
{
	int key = 0;
	struct value *value = bpf_map_lookup_elem(&values, &key);

	return value ? value->count++ + value->last : 0;
}
"""


Load = Callable[[str], Any]


@pytest.fixture(scope="module")
def spec_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], ObjectSpec]:
    known: dict[str, ObjectSpec] = {}

    def compiled(text: str, head: str = HEAD) -> ObjectSpec:
        if text not in known:
            path = tmp_path_factory.mktemp("around") / "p.bpf.c"
            path.write_text(head + text)
            known[text] = object_spec(path, target=Vmlinux(NONE if head else SYSTEM))
        return known[text]

    return compiled


@pytest.fixture
def bpf(machine: dict[str, Any]) -> Iterator[bpfheap.Runtime]:
    with bpfheap.Runtime(**machine, kernel_btf="none") as rt:
        yield rt


# -- without the types of a kernel


def test_the_current_task(bpf: bpfheap.Runtime, spec_of: Any) -> None:
    obj = bpf.load(spec_of(CURRENT))
    bpf.current = {"pid": 7, "tgid": 6, "uid": 5, "gid": 4, "comm": "somebody", "cgroups": [1, 9]}
    obj.programs["asks"].run()
    seen = obj.maps[".bss"][0].seen
    assert (seen.pid_tgid, seen.uid_gid) == (6 << 32 | 7, 4 << 32 | 5)
    assert (seen.cgroup, seen.ancestor, seen.missing) == (9, 1, 0)
    assert (seen.comm, seen.cut) == (b"somebody", b"some")


def places(bpf: bpfheap.Runtime) -> dict[str, Any]:
    """Texts and bytes, and addresses that lead nowhere."""
    kernel = bpf.kernel
    return {
        "text": kernel.text("abc"),
        "user": kernel.user("abc"),
        "long": kernel.text("abcdefghijkl"),
        "short": kernel.user(b"ab"),
        "cut": kernel.user(b"abcdefgh"),
        "inside": kernel.text("0123456789")._replace(offset=6),
        "behind": kernel.text("0123456")._replace(offset=8),
        "NULL": 0,
        "wild": 0xDEAD_BEEF_0000,
        "low": 8,
        "kernel's": 0xFFFF_FFFF_8000_0000,
    }


FAULT = -errno.EFAULT
WRONG = (FAULT, b"", FAULT, b"")
#: What the kernel does not take for an address of its own (copy_from_kernel_nofault_allowed).
USERS = (-errno.ERANGE, b"", -errno.ERANGE, b"")


@pytest.mark.parametrize("which", range(3), ids=["either", "kernel", "user"])
def test_copies_from_anywhere(bpf: bpfheap.Runtime, spec_of: Any, which: int) -> None:
    obj = bpf.load(spec_of(PROBES), programs=["copies"])
    found = {}
    for name, place in places(bpf).items():
        obj.programs["copies"].run(bpf.kprobe(place, which))
        seen = obj.maps[".bss"][0]
        found[name] = (seen.answers[0], seen.bytes, seen.answers[1], seen.text)
    assert found == {
        # There are 4 bytes, and not 8.
        "text": (FAULT, b"", 4, b"abc") if which != 2 else WRONG,
        "user": (FAULT, b"", 4, b"abc") if which != 1 else USERS,
        "long": (0, b"abcdefgh", 8, b"abcdefg") if which != 2 else WRONG,
        # The text goes on where its memory ends.
        "short": WRONG if which != 1 else USERS,
        "cut": (0, b"abcdefgh", 8, b"abcdefg") if which != 1 else USERS,
        "inside": (FAULT, b"", 5, b"6789") if which != 2 else WRONG,
        "behind": WRONG,
        "NULL": WRONG if which != 1 else USERS,
        "wild": WRONG if which != 1 else USERS,
        "low": WRONG if which != 1 else USERS,
        "kernel's": WRONG,
    }


def test_copies_from_memory_that_was_freed(bpf: bpfheap.Runtime, spec_of: Any) -> None:
    obj = bpf.load(spec_of(PROBES), programs=["copies"])
    machine = bpf.kernel.machine
    gone, leads = bpf.kernel.text("not there"), bpf.kernel.memory(bytes(8), Space.KERNEL)
    machine.block_point(leads.block, 0, gone)
    obj.programs["copies"].run(bpf.kprobe(0, 0, leads))
    assert obj.maps[".bss"][0].text == b"not the"
    machine.block_free(gone.block)
    for which in range(2):
        obj.programs["copies"].run(bpf.kprobe(0, which, leads))
        seen = obj.maps[".bss"][0]
        assert (seen.answers[0], seen.bytes, seen.answers[1], seen.text) == WRONG
        assert seen.at


def test_copies_from_memory_of_the_program(bpf: bpfheap.Runtime, spec_of: Any) -> None:
    obj = bpf.load(spec_of(PROBES), programs=["own"])
    assert obj.programs["own"].run(bpf.kprobe()).retval == 1
    assert list(obj.maps[".bss"][0].answers) == [0, 34, 0, FAULT]


def test_the_clock(bpf: bpfheap.Runtime, spec_of: Any) -> None:
    obj = bpf.load(spec_of(CLOCK))
    bpf.clock.advance(s=1)
    before = bpf.clock.now
    obj.programs["looks"].run(data=bytes(64))
    times = list(obj.maps[".bss"][0].times)
    assert times == [before + 1000, before + 2000, (before + 3000) // 1_000_000]
    bpf.clock.advance(ms=5)
    assert bpf.clock.now == before + 3000 + 5_000_000


def test_a_clock_that_nobody_set_goes(spec_of: Any) -> None:
    pytest.importorskip("bpfheap.machine.native._core")
    with bpfheap.Runtime(machine="native") as bpf:
        obj = bpf.load(spec_of(CLOCK))
        before = bpf.clock.now
        obj.programs["looks"].run(data=bytes(64))
        assert before < obj.maps[".bss"][0].times[0] < bpf.clock.now


def test_a_timer_that_nobody_uses(bpf: bpfheap.Runtime, spec_of: Any) -> None:
    obj = bpf.load(spec_of(TIMER))
    values = obj.maps["values"]
    values[0] = {"count": 5, "last": 7}
    assert obj.programs["counts"].run(data=bytes(64)).retval == 12
    assert (values[0]["count"], values[0]["last"]) == (6, 7)


# -- stubs


def test_a_stub_reads_and_writes(bpf: bpfheap.Runtime, spec_of: Any) -> None:
    seen: list[Any] = []

    @bpf.stub("bpf_fib_lookup")
    def lookup(ctx: Any, params: Any, size: int, flags: int) -> int:
        seen.append((bytes(params)[0], len(params), size, flags))
        params.write((9).to_bytes(4, "little"), 8)
        return -7

    obj = bpf.load(spec_of(STUBS), programs=["looks"])
    assert obj.programs["looks"].run(data=bytes(64)).retval == 9
    assert obj.maps[".bss"][0].answer == -7
    assert seen == [(2, 64, 64, 0)]


def test_memory_of_a_call_that_is_over(machine: dict[str, Any], spec_of: Any) -> None:
    if machine["machine"] == "model":
        pytest.skip("there the memory stays")
    with bpfheap.Runtime(**machine, kernel_btf="none") as bpf:
        kept: list[Any] = []
        bpf.stub("bpf_fib_lookup")(lambda ctx, params, size, flags: kept.append(params))
        obj = bpf.load(spec_of(STUBS), programs=["looks"])
        obj.programs["looks"].run(data=bytes(64))
        with pytest.raises(UsageError, match="bpf_fib_lookup is over"):
            bytes(kept[0])


def test_a_stub_in_a_callback(bpf: bpfheap.Runtime, spec_of: Any) -> None:
    numbers = iter([5, 10, 100])
    bpf.stub("bpf_get_prandom_u32")(lambda: next(numbers))
    obj = bpf.load(spec_of(STUBS), programs=["loops"])
    assert obj.programs["loops"].run(data=bytes(64)).retval == 118


class Own(Exception):
    """One of the test's."""


@pytest.mark.parametrize("error", [Own, KeyboardInterrupt, UsageError])
@pytest.mark.parametrize("program", ["prints", "loops"])
def test_what_a_stub_raises_ends_the_run(
    bpf: bpfheap.Runtime, spec_of: Any, error: type[BaseException], program: str
) -> None:
    calls = []

    def fails(*args: Any) -> int:
        calls.append(args)
        raise error("no")

    bpf.stub("bpf_get_hash_recalc")(fails)
    bpf.stub("bpf_get_prandom_u32")(fails)
    obj = bpf.load(spec_of(STUBS), programs=["prints", "loops"])
    with pytest.raises(error, match="no"):
        obj.programs[program].run(data=bytes(64))
    assert len(calls) == 1
    assert bpf.printk == (["1"] if program == "prints" else [])
    # The runtime goes on.
    bpf.stub("bpf_get_hash_recalc")(lambda skb: 3)
    obj.programs["prints"].run(data=bytes(64))
    assert obj.maps[".bss"][0].answer == 3


def test_a_stub_that_raises_in_an_entry(spec_of: Any) -> None:
    pytest.importorskip("bpfheap.machine.native._core")
    text = """
    SEC("perf_event") int sample(__u64 *ctx) { return bpf_get_prandom_u32() + *ctx; }
    """
    with bpfheap.Runtime(machine="native") as bpf:
        answers: list[Any] = [1, Own("no"), 3, 4, Own("no"), 6, 7]

        def answer() -> Any:
            found = answers.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

        bpf.stub("bpf_get_prandom_u32")(answer)
        sample = bpf.load(spec_of(text)).programs["sample"]
        enter = sample.entry()
        assert enter((10).to_bytes(8, "little")) == 11
        with pytest.raises(Own):
            enter()
        with pytest.raises(Own):
            sample.run_batch(memoryview(bytes(8 * 4)).cast("Q"))
        assert list(sample.run_batch(memoryview(bytes(16)).cast("Q"))) == [6, 7]


def test_calls_in_single_steps(bpf: bpfheap.Runtime, spec_of: Any) -> None:
    bpf.stub("bpf_get_hash_recalc")(lambda skb: 5)
    obj = bpf.load(spec_of(STUBS), programs=["prints"])
    system = bpf.system
    execution = system.start(obj.programs["prints"].fd, data=bytes(64))
    calls = []
    while isinstance(stop := system.step(execution), AtCall):
        calls.append(stop.name)
    assert calls == ["bpf_trace_printk", "bpf_get_hash_recalc", "bpf_trace_printk"]
    assert obj.maps[".bss"][0].answer == 5
    execution = system.start(obj.programs["prints"].fd, data=bytes(64))
    bpf.stub("bpf_get_hash_recalc")(lambda skb: 1 // 0)
    for _ in range(2):
        assert isinstance(system.step(execution), AtCall)
    with pytest.raises(ZeroDivisionError):
        system.step(execution)


def test_a_stub_that_runs_a_program(bpf: bpfheap.Runtime, spec_of: Any) -> None:
    obj: Any = None
    bpf.stub("bpf_get_hash_recalc")(lambda skb: obj.programs["gets"].run(data=bytes(64)).retval)
    obj = bpf.load(spec_of(STUBS), programs=["prints", "gets"])
    obj.maps["words"][2] = 31
    obj.programs["prints"].run(data=bytes(64))
    assert obj.maps[".bss"][0].answer == 1


def test_a_call_that_nothing_performs(bpf: bpfheap.Runtime, spec_of: Any) -> None:
    text = """
    SEC("lirc_mode2") int repeats(unsigned *sample) { return bpf_rc_repeat(sample); }
    """
    with pytest.raises(MachineUnsupported, match="calls bpf_rc_repeat") as seen:
        bpf.load(spec_of(text))
    assert "@bpf.stub('bpf_rc_repeat')" in str(seen.value.hint)


def test_where_a_call_is_made(bpf: bpfheap.Runtime, spec_of: Any) -> None:
    found: list[Any] = []

    def looks(call: Caller, words: Sequence[Any]) -> int:
        found.append((call.kind, call.packet, call.field("ingress_ifindex"), call.field("no")))
        return call.cpus

    bpf.kernel.machine.stubs["bpf_fib_lookup"] = looks
    obj = bpf.load(spec_of(STUBS), programs=["looks"])
    packet = bytes(range(64))
    obj.programs["looks"].run(bpf.xdp(packet, ingress_ifindex=3))
    assert found == [(Offer.XDP, packet, 3, 0)]
    assert obj.maps[".bss"][0].answer == 2


def test_no_such_program_in_a_signal(spec_of: Any) -> None:
    pytest.importorskip("bpfheap.machine.native._core")
    text = """
    SEC("perf_event") int sample(void *ctx) { return bpf_get_current_cgroup_id(); }
    """
    with bpfheap.Runtime(machine="native") as bpf:
        obj = bpf.load(spec_of(text))
        with pytest.raises(UsageError, match="calls bpf_get_current_cgroup_id, which Python"):
            bpf.attach(obj.programs["sample"], signal=10)


def test_an_entry_asks_too(spec_of: Any) -> None:
    pytest.importorskip("bpfheap.machine.native._core")
    with bpfheap.Runtime(machine="native") as bpf:
        obj = bpf.load(spec_of(CURRENT))
        bpf.current.cgroups = [1, 8]
        obj.programs["asks"].entry()()
        assert obj.maps[".bss"][0].seen.cgroup == 8


SAMPLE = """
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, int); __type(value, __u64);
__uint(max_entries, 4); } seen SEC(".maps");

SEC("perf_event") int sample(__u64 *ctx)
{
	int key = 0;
	__u64 *value = bpf_map_lookup_elem(&seen, &key), found = 0;

	if (!value)
		return 0;
	value[0] = bpf_get_current_pid_tgid();
	key = 1;
	value = bpf_map_lookup_elem(&seen, &key);
	/* The stack pointer of what was interrupted: none of ours. */
	if (value)
		*value = bpf_probe_read_kernel(&found, sizeof(found), (void *)ctx[19]);
	return 0;
}
"""


def test_calls_of_the_core_in_a_signal(spec_of: Any) -> None:
    pytest.importorskip("bpfheap.machine.native._core")
    with bpfheap.Runtime(machine="native") as bpf:
        obj = bpf.load(spec_of(SAMPLE))
        bpf.current = {"pid": 3, "tgid": 2}
        with bpf.attach(obj.programs["sample"], signal=signal.SIGUSR1) as attached:
            signal.raise_signal(signal.SIGUSR1)
            assert (attached.runs, attached.missed) == (1, 0)
        assert obj.maps["seen"][0] == 2 << 32 | 3
        assert obj.maps["seen"][1] == -errno.ERANGE & (1 << 64) - 1


WILD = [0, 8, 4096, 0xDEAD_BEEF_0000, 0xFFFF_FFFF_8000_0000, (1 << 64) - 4]


@pytest.mark.parametrize("address", WILD)
def test_a_call_reads_and_writes_no_other_memory(
    machine: dict[str, Any], spec_of: Any, address: int
) -> None:
    if machine["machine"] == "model":
        pytest.skip("numbers are no addresses there")

    def looks(call: Caller, words: Sequence[int]) -> int:
        assert call.text(address, 100, Space.EITHER) is None
        assert call.block(address) is None
        assert not call.probe(words[1], address, 8, Space.EITHER)
        with pytest.raises(Fault):
            call.write(address, bytes(64))
        with pytest.raises(Fault):
            call.read(words[1], 1 << 33)
        with pytest.raises(Fault):
            call.map_id(address)
        call.read(address, 1 << 20)
        return 0

    with bpfheap.Runtime(**machine, kernel_btf="none") as bpf:
        bpf.kernel.machine.stubs["bpf_fib_lookup"] = looks
        obj = bpf.load(spec_of(STUBS), programs=["looks"])
        with pytest.raises(Violation, match="bpf_fib_lookup reads 1048576 bytes") as seen:
            obj.programs["looks"].run(data=bytes(64))
        assert (seen.value.kind, seen.value.line) == ("invalid-access", 15)


def test_addresses_near_blocks(spec_of: Any) -> None:
    """What of blocks, between them and in those that were freed can be copied: by all addresses."""
    pytest.importorskip("bpfheap.machine.native._core")
    with bpfheap.Runtime(machine="native", kernel_btf="none") as bpf:
        obj = bpf.load(spec_of(PROBES), programs=["copies"])
        machine: Any = bpf.kernel.machine
        sizes = [1, 7, 8, 9, 64, 100, 1 << 17, 8]
        blocks = [machine.block_create(f"b{n}", size) for n, size in enumerate(sizes)]
        machine.block_free(blocks[3])
        starts = [machine.blocks.record(block).start for block in blocks]
        enter = obj.programs["copies"].entry()
        for start, size, block in zip(starts, sizes, blocks, strict=True):
            for at in (-64, -9, -8, -1, 0, 1, size - 8, size - 7, size - 1, size, size + 1):
                enter(
                    bytes(13 * 8) + (1).to_bytes(8, "little") + (start + at).to_bytes(8, "little")
                )
                there = block != blocks[3] and at >= 0 and at + 8 <= size
                assert obj.maps[".bss"][0].answers[0] == (0 if there else FAULT), (size, at)


def test_freed_blocks_are_used_again_late(spec_of: Any) -> None:
    pytest.importorskip("bpfheap.machine.native._core")
    with bpfheap.Runtime(machine="native", kernel_btf="none") as bpf:
        machine: Any = bpf.kernel.machine
        before = machine._core.mapped
        first = machine.block_create("first", 100)
        for _ in range(20_000):
            machine.block_free(machine.block_create("more", 100))
        assert machine._core.mapped - before < 1 << 20
        machine.block_write(first, 0, b"here")
        machine.block_free(first)
        with pytest.raises(UsageError, match="first was freed"):
            machine.block_read(first, 0, 4)
        big = machine.block_create("big", 1 << 21)
        assert machine.block_read(big, (1 << 21) - 4, 4) == bytes(4)
        with pytest.raises(UsageError, match="big has 2097152 bytes"):
            machine.block_write(big, (1 << 21) - 3, b"1234")
        with pytest.raises(UsageError, match="there is no block 999999"):
            machine.block_free(999_999)


def test_no_memory_for_blocks() -> None:
    pytest.importorskip("bpfheap.machine.native._core")
    with bpfheap.Runtime(machine="native", memory=1 << 20) as bpf:
        with pytest.raises(OutOfMemory):
            bpf.kernel.memory(bytes(1 << 22), Space.USER)
        bpf.kernel.text("more")


def test_strict_objects_are_the_model_s() -> None:
    pytest.importorskip("bpfheap.machine.native._core")
    with bpfheap.Runtime(machine="native") as bpf:
        bpf.kernel.strict = True
        with pytest.raises(UsageError, match="whether a member was set"):
            bpf.kernel.new("struct bpf_sock")


def test_threads_run_while_objects_come_and_go(spec_of: Any) -> None:
    pytest.importorskip("bpfheap.machine.native._core")
    with bpfheap.Runtime(machine="native", cpus=2, kernel_btf="none") as bpf:
        obj = bpf.load(spec_of(PROBES), programs=["copies"])
        machine: Any = bpf.kernel.machine
        kept = machine.block_create("kept", 8)
        address = machine.blocks.record(kept).start
        row = bytes(13 * 8) + (1).to_bytes(8, "little") + address.to_bytes(8, "little")
        failed: list[BaseException] = []

        def runs() -> None:
            try:
                for _ in range(50):
                    obj.programs["copies"].run_batch(memoryview(row * 200).cast("B", (200, 120)))
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=runs) for _ in range(2)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            made = [machine.block_create("more", size) for size in (16, 400, 1 << 17)]
            for block in made:
                machine.block_free(block)
        assert not failed
        assert obj.maps[".bss"][0].answers[0] == 0


# -- objects of the kernel's types


@pytest.fixture
def typed(machine: dict[str, Any]) -> Iterator[bpfheap.Runtime]:
    if not SYSTEM.exists():
        pytest.skip("there is no BTF of a kernel")
    with bpfheap.Runtime(**machine, cpus=2, kernel_btf=SYSTEM) as rt:
        yield rt


def seen_of(obj: Any) -> tuple[list[int], bytes]:
    value = obj.maps[".bss"][0]
    return list(value.seen), value.text


def family(bpf: bpfheap.Runtime) -> Any:
    old = bpf.kernel.task_struct(pid=1, tgid=1)
    parent = bpf.kernel.task_struct(pid=20, tgid=21, real_parent=old)
    return bpf.kernel.task_struct(pid=42, comm="child", mm={"total_vm": 99}, real_parent=parent)


@pytest.mark.parametrize("program", ["tp_btf", "fentry"])
def test_typed_arguments(typed: bpfheap.Runtime, spec_of: Any, program: str) -> None:
    obj = typed.load(spec_of(TRACED, ""), programs=[program])
    task = family(typed)
    obj.programs[program].run([task])
    assert seen_of(obj) == ([42, 99, 21, 1, 0, 0, 0, 0], b"child")
    task.mm = None
    task.real_parent.tgid = 5
    obj.programs[program].run([task])
    assert seen_of(obj)[0][:3] == [42, 1, 5]
    # Linux reads such with its exception table behind it.
    parent = task.real_parent
    parent.free()
    obj.programs[program].run([task])
    assert seen_of(obj)[0][:4] == [42, 1, 0, 0]
    task.real_parent = 0xDEAD_BEEF_0000
    obj.programs[program].run([task])
    assert seen_of(obj)[0][:4] == [42, 1, 0, 0]


def test_a_context_that_is_made_once(typed: bpfheap.Runtime, spec_of: Any) -> None:
    obj = typed.load(spec_of(TRACED, ""), programs=["tp_btf", "fexit", "raw_tp", "tracepoint"])
    task = family(typed)
    if typed.system.machine.name == "model":
        with pytest.raises(UsageError, match="have no entry"):
            obj.programs["tp_btf"].entry([task])
        return
    again = obj.programs["tp_btf"].entry([task])
    assert (again(), seen_of(obj)[0][:3]) == (0, [42, 99, 21])
    task.pid, task.real_parent.tgid = 43, 6
    assert (again(), seen_of(obj)[0][:3]) == (0, [43, 99, 6])
    # What it is attached to tells the calls which arguments there are.
    name = typed.kernel.filename(name="/etc/x")
    fexit = obj.programs["fexit"].entry(typed.arguments(3, name, ret=-2), cpu=1)
    obj.programs["raw_tp"].entry([task])()
    assert (fexit(), seen_of(obj)[0][:2], seen_of(obj)[1]) == (0, [3, (1 << 64) - 2], b"/etc/x")
    obj.programs["tracepoint"].entry({"filename": "/bin/sh", "pid": 9})()
    assert (seen_of(obj)[0][0], seen_of(obj)[1]) == (9, b"/bin/sh")
    with pytest.raises(UsageError, match="has 3 arguments, and 4 are given"):
        obj.programs["fexit"].entry([1, 2, 3, 4])
    task.free()
    with pytest.raises(UsageError, match="was freed"):
        obj.programs["tp_btf"].entry([task])


def test_results_and_hooks(typed: bpfheap.Runtime, spec_of: Any) -> None:
    obj = typed.load(spec_of(TRACED, ""), programs=["fexit", "lsm"])
    name = typed.kernel.filename(name="/etc/x")
    obj.programs["fexit"].run(typed.arguments(3, name, ret=-2))
    assert seen_of(obj)[0][:2] == [3, (1 << 64) - 2]
    assert seen_of(obj)[1] == b"/etc/x"
    file = typed.kernel.file(f_flags=2, f_inode={"i_ino": 13})
    assert obj.programs["lsm"].run([file]).retval == 0xFFFF_FFFF
    file.f_inode.i_ino = 12
    assert obj.programs["lsm"].run([file]).retval == 0
    assert seen_of(obj)[0][:2] == [2, 12]


def test_a_kfunc_gives_an_object(typed: bpfheap.Runtime, spec_of: Any) -> None:
    tasks = {5: typed.kernel.task_struct(tgid=55)}
    gone: list[Any] = []
    typed.stub("bpf_task_from_pid")(tasks.get)
    typed.stub("bpf_task_release")(gone.append)
    obj = typed.load(spec_of(TRACED, ""), programs=["finds"])
    obj.programs["finds"].run()
    assert seen_of(obj)[0][0] == 55
    assert gone == [tasks[5]]
    del tasks[5]
    obj.programs["finds"].run()
    assert len(gone) == 1


def test_objects_of_the_kernel_in_values(typed: bpfheap.Runtime, spec_of: Any) -> None:
    """They are no allocator's, wherever they lie, and the map lets go of them as they are."""
    obj = typed.load(spec_of(TRACED, ""), programs=["keeps"])
    tasks = [typed.kernel.task_struct(pid=1 + n) for n in range(100)]
    for _ in range(2):
        for task in tasks:
            obj.programs["keeps"].run([task])
    assert seen_of(obj)[0][0] == 100
    kept = obj.maps["kept_ones"]
    assert len(kept) == 100
    assert kept[7] is not None
    kept[7] = {}
    for pid in range(20, 60):
        del kept[pid]
    for task in tasks:
        obj.programs["keeps"].run([task])
    obj.close()
    assert [task.pid for task in tasks] == list(range(1, 101))


def test_a_program_that_may_sleep(typed: bpfheap.Runtime, spec_of: Any) -> None:
    obj = typed.load(spec_of(TRACED, ""), programs=["sleeps"])
    file = typed.kernel.file(f_inode={"i_ino": 12})
    obj.programs["sleeps"].run([file])
    assert seen_of(obj)[0][0] == FAULT & (1 << 64) - 1
    inode = address_of(file.f_inode)
    found = type_of(file.f_inode).find("i_ino")
    assert found is not None
    offset = found.offset
    typed.kernel.machine.block_point(inode.block, inode.offset + offset, typed.kernel.user("abc"))
    obj.programs["sleeps"].run([file])
    assert seen_of(obj) == ([0] * 8, b"abc")


def test_untyped_arguments(typed: bpfheap.Runtime, spec_of: Any) -> None:
    obj = typed.load(spec_of(TRACED, ""), programs=["raw_tp", "kprobe", "tracepoint"])
    obj.programs["raw_tp"].run([family(typed)])
    assert seen_of(obj)[0][:2] == [42, 21]
    obj.programs["kprobe"].run(typed.kprobe(7, {"name": "/tmp/a"}))
    assert (seen_of(obj)[0][0], seen_of(obj)[1]) == (7, b"/tmp/a")
    typed.fire("sched:sched_process_exec", filename="/bin/sh", pid=9)
    assert (seen_of(obj)[0][0], seen_of(obj)[1]) == (9, b"/bin/sh")


def test_the_current_task_is_an_object(typed: bpfheap.Runtime, spec_of: Any) -> None:
    obj = typed.load(spec_of(TRACED, ""), programs=["current_task"])
    typed.current = {"pid": 7, "tgid": 6, "uid": 5, "gid": 4, "comm": "sh"}
    obj.programs["current_task"].run()
    assert seen_of(obj) == ([7, 6 << 32 | 7, 6, 4 << 32 | 5, 0, 0, 0, 0], b"sh")
    task = typed.current.task
    assert task is not None
    task.set(pid=70, cred={"uid": {"val": 50}}, comm="other")
    obj.programs["current_task"].run()
    assert seen_of(obj) == ([70, 6 << 32 | 70, 6, 50, 0, 0, 0, 0], b"other")
    typed.current = family(typed)
    obj.programs["current_task"].run()
    assert seen_of(obj)[0][:3] == [42, 42, 0]


def test_a_current_task_that_is_gone(typed: bpfheap.Runtime, spec_of: Any) -> None:
    obj = typed.load(spec_of(CURRENT))
    typed.current = task = typed.kernel.task_struct()
    task.free()
    with pytest.raises(Violation) as seen:
        obj.programs["asks"].run()
    assert (seen.value.kind, seen.value.line) == ("use-after-free", 11)


def test_variables(typed: bpfheap.Runtime, spec_of: Any) -> None:
    for n, rq in enumerate(typed.kernel.variables["runqueues"]):
        rq.nr_running = 10 + n
    obj = typed.load(spec_of(TRACED, ""), programs=["variables"])
    obj.programs["variables"].run(typed.kprobe())
    assert seen_of(obj)[0][:3] == [10, 11, 1]
    obj.programs["variables"].run(typed.kprobe(), cpu=1)
    assert seen_of(obj)[0][:2] == [11, 11]
