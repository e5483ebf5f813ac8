"""The client on a kernel: the live one, or that of --oracle."""

from __future__ import annotations

import errno
import io
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bpfheap.btf import Btf
from bpfheap.compile import object_spec
from bpfheap.errors import KernelError, KernelUnsupported, UsageError
from bpfheap.isa import assemble
from bpfheap.kernel import Kernel, available
from bpfheap.kernel.load import _KEPT
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec, Ref, RefKind, SubprogSpec
from bpfheap.verifier import verify
from linux_versions import skip_below

SOURCE = """
#include <bpfheap.h>
char LICENSE[] SEC("license") = "GPL";
const volatile int constant = 21;
int counter = 5;
static volatile int zeroes[4];

struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 5000); } ring SEC(".maps");
struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
	__type(key, __u32); __type(value, __u64);
} one SEC(".maps"), two SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 2); __type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [1] = &two } };
int target(struct __sk_buff *ctx);
struct {
	__uint(type, 3); __uint(max_entries, 2); __type(key, __u32);
	__array(values, int (struct __sk_buff *));
} jumps SEC(".maps") = { .values = { [1] = (void *)&target } };
static long (*tail_call)(void *ctx, void *map, __u32 index) = (void *)12;

static __noinline int add(int a, int b) { barrier_var(a); return a + b; }

SEC("tc") int data(struct __sk_buff *ctx)
{
	counter++;
	zeroes[1] += 2;
	return add(constant, counter) + zeroes[1];
}
SEC("tc") int maps(struct __sk_buff *ctx)
{
	__u32 key = 1, none = 0;
	__u64 value = 9, *found;
	void *map = bpf_map_lookup_elem(&outer, &key);

	if (!map || bpf_map_lookup_elem(&outer, &none))
		return 1;
	bpf_map_update_elem(&two, &none, &value, 0);
	found = bpf_map_lookup_elem(map, &none);
	bpf_ringbuf_output(&ring, &value, 8, 0);
	return found ? *found : 2;
}
SEC("tc") int target(struct __sk_buff *ctx) { return 77; }
SEC("tc") int jump(struct __sk_buff *ctx) { tail_call(ctx, &jumps, 1); return 1; }
SEC("xdp") int other_jump(struct xdp_md *ctx) { tail_call(ctx, &jumps, 0); return 2; }
SEC("tc") int bad(struct __sk_buff *ctx)
{
	__u32 key = bpf_get_prandom_u32();
	__u64 *found = bpf_map_lookup_elem(&one, &key);

	return *found;
}
SEC("xdp") int pass(struct xdp_md *ctx) { return 2; }
SEC("syscall") int sum(int *ctx) { return ctx[0] + ctx[1]; }
SEC("tracepoint/x/y") int traced(void *ctx) { return 0; }
"""


@pytest.fixture(scope="module")
def obj(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    path = tmp_path_factory.mktemp("live") / "live.bpf.c"
    path.write_text(SOURCE)
    return object_spec(path)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def plain(code: str, *, section: str = "tc", maps: tuple[MapSpec, ...] = ()) -> ObjectSpec:
    """An object without types, with one program."""
    done = assemble(code)
    refs = {slot: Ref(RefKind(s.kind), s.name, s.offset) for slot, s in done.refs.items()}
    subs = (SubprogSpec("p", 0, len(done.insns), 0, True),)
    program = ProgramSpec("p", section, done.insns, refs, subs, {}, Btf.EMPTY, "GPL", "x.o")
    return ObjectSpec("x.o", Btf.EMPTY, {m.name: m for m in maps}, {"p": program}, "GPL")


def test_verdicts_without_and_with_a_log(kernel: Kernel, obj: ObjectSpec) -> None:
    good = kernel.verify(obj, obj.programs["data"])
    assert (good.accepted, good.errno, good.log, good.message) == (True, 0, "", "")
    assert good.insns_processed is None
    assert good.ns > 0
    bad = kernel.verify(obj, obj.programs["bad"])
    assert (bad.accepted, bad.errno, bad.log, bad.message) == (False, errno.EACCES, "", "")
    told = kernel.verify(obj, obj.programs["bad"], log=True)
    assert told.message == "R0 invalid mem access 'map_value_or_null'"
    assert "; return *found;" in told.log
    short = kernel.verify(obj, obj.programs["bad"], stats=True)
    assert short.message == told.message
    assert len(short.log) < len(told.log)
    assert short.insns_processed == told.insns_processed
    assert told.insns_processed is not None
    assert told.insns_processed > 5


def test_the_order_of_programs_does_not_matter(kernel: Kernel, obj: ObjectSpec) -> None:
    """An array of programs belongs to the type of whoever came first."""
    names = ["jump", "other_jump", "jump"]
    assert [kernel.verify(obj, obj.programs[n]).accepted for n in names] == [True] * 3


def test_programs_run_on_their_data(obj: ObjectSpec, kernel: Kernel) -> None:
    with Kernel(kernel.transport) as own:
        assert own.test_run(obj, obj.programs["data"]).retval == 21 + 6 + 2
        assert own.test_run(obj, obj.programs["data"], repeat=4).retval == 21 + 10 + 10
        assert own.test_run(obj, obj.programs["maps"]).retval == 9
        assert own.test_run(obj, obj.programs["jump"]).retval == 77


def test_packets_and_contexts(kernel: Kernel, obj: ObjectSpec) -> None:
    packet = bytes(range(64))
    passed = kernel.test_run(obj, obj.programs["pass"], packet, repeat=10)
    assert passed.retval == 2
    assert passed.data_out == packet
    numbers = (5).to_bytes(4, "little") + (6).to_bytes(4, "little")
    assert kernel.test_run(obj, obj.programs["sum"], ctx=numbers, repeat=2)[:2] == (11, b"")


def test_what_cannot_run_is_refused(kernel: Kernel, obj: ObjectSpec) -> None:
    with pytest.raises(KernelError, match=r"does not run traced.*ENOTSUPP.*packets"):
        kernel.test_run(obj, obj.programs["traced"])
    with pytest.raises(KernelError, match="rejects bad: R0 invalid mem access") as caught:
        kernel.test_run(obj, obj.programs["bad"])
    assert caught.value.errno_name == "EACCES"
    assert "processed" in caught.value.log
    with pytest.raises(KernelError, match="EINVAL"):
        kernel.test_run(obj, obj.programs["pass"], b"short")


def test_nothing_stays_open(obj: ObjectSpec, live: Kernel) -> None:
    before = descriptors()
    with Kernel() as own:
        for program in obj.programs.values():
            own.verify(obj, program, stats=True)
        own.test_run(obj, obj.programs["jump"])
        assert descriptors() > before
    assert descriptors() == before
    own.close()
    own = Kernel()
    own.verify(obj, obj.programs["maps"])
    del own
    assert descriptors() == before


def test_few_objects_are_kept(obj: ObjectSpec, live: Kernel) -> None:
    with Kernel() as own:
        copies = [replace(obj) for _ in range(_KEPT + 1)]
        counts = []
        for copy in copies:
            assert own.verify(copy, copy.programs["maps"]).accepted
            counts.append(descriptors())
        assert counts[-1] == counts[-2] > counts[0]
        assert own.verify(copies[0], copies[0].programs["maps"]).accepted


def test_an_object_without_types(kernel: Kernel) -> None:
    hash_map = MapSpec("h", 1, 4, 8, 1, Btf.EMPTY)
    code = "r1 = map[name:h] ll\n r0 = 0\n exit"
    made = plain(code, maps=(hash_map,))
    assert kernel.verify(made, made.programs["p"]).accepted
    with pytest.raises(UsageError, match="there is no map h"):
        kernel.verify(missing := plain(code), missing.programs["p"])


WITHOUT_BTF = """
#include <bpfheap.h>
char LICENSE[] SEC("license") = "GPL";
struct def { __u32 type, key, value, entries, flags, inner_map_idx, numa_node; };
struct def SEC("maps") counts = { BPF_MAP_TYPE_HASH, 4, 8, 10, BPF_F_NO_PREALLOC };
struct def SEC("maps") outer = { BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 0, 8 };
static __noinline int read(long *p) { return *p; }
__noinline int read_too(long *p) { return *p; }
static long visit(__u32 i, void *ctx) { return 0; }
static void *find(void *map) { __u32 key = 0; return bpf_map_lookup_elem(map, &key); }

SEC("tc") int calls(void *ctx) { long *v = find(&counts); return v ? read(v) + read_too(v) : 0; }
SEC("tc") int nested(void *ctx)
{
	void *map = find(&outer);
	long *v = map ? find(map) : NULL;
	return v ? *v : 0;
}
SEC("tc") int beyond(void *ctx) { long *v = find(&counts); return v ? v[1] : 0; }
SEC("tc") int loop(void *ctx) { return bpf_loop(3, visit, NULL, 0); }
SEC("tc") int lock(void *ctx)
{
	void *v = find(&counts);
	if (v) {
		bpf_spin_lock(v);
		bpf_spin_unlock(v);
	}
	return 0;
}
SEC("tc") int kptr(void *ctx) { void *v = find(&counts); return v && bpf_kptr_xchg(v, NULL); }
"""


def test_what_was_compiled_without_types(kernel: Kernel, tmp_path: Path) -> None:
    """Verdicts and first lines are those of the verifier."""
    skip_below(kernel, (6, 12))
    path = tmp_path / "without.bpf.c"
    path.write_text(WITHOUT_BTF)
    obj = object_spec(path, cflags="-g0")
    for program in obj.programs.values():
        verdict, said = verify(obj, program), kernel.verify(obj, program, log=True)
        assert said.accepted == (verdict.error is None), program.name
        if verdict.error is not None and program.name != "beyond":
            assert verdict.error.message in said.log, program.name
    refused = {n for n, p in obj.programs.items() if verify(obj, p).error is not None}
    assert refused == {"beyond", "loop", "lock", "kptr"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (MapSpec("m", 1, 0, 8, 1, Btf.EMPTY), "hash map m .*: EINVAL"),
        (MapSpec("m", 12, 4, 4, 1, Btf.EMPTY), "array_of_maps map m .*: EBADF|EINVAL"),
        (MapSpec("m", 999, 4, 4, 1, Btf.EMPTY), "type 999 map m"),
        (MapSpec("m", 1, 1 << 40, 8, 1, Btf.EMPTY), "does not fit"),
    ],
)
def test_impossible_maps_are_refused(kernel: Kernel, spec: MapSpec, message: str) -> None:
    made = plain("r1 = map[name:m] ll\n r0 = 0\n exit", maps=(spec,))
    with pytest.raises(KernelError, match=message):
        kernel.verify(made, made.programs["p"])


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(MapSpec("m", 4, 0, 0, 0, Btf.EMPTY), id="perf_event_array"),
        pytest.param(MapSpec("m", 27, 4, 8, 5000, Btf.EMPTY), id="ringbuf"),
        pytest.param(MapSpec("m", 31, 0, 0, 24, Btf.EMPTY), id="user_ringbuf"),
    ],
)
def test_what_loaders_set_of_maps(kernel: Kernel, spec: MapSpec) -> None:
    made = plain("r1 = map[name:m] ll\n r0 = 0\n exit", maps=(spec,))
    assert kernel.verify(made, made.programs["p"]).accepted


def test_a_map_without_a_number_of_entries(kernel: Kernel) -> None:
    made = plain("r1 = map[name:m] ll\n r0 = 0\n exit", maps=(MapSpec("m", 1, 4, 4, 0, Btf.EMPTY),))
    with pytest.raises(KernelError) as caught:
        kernel.verify(made, made.programs["p"])
    assert caught.value.hint == "if the loader sets the number of entries: --map m=ENTRIES"


def test_a_name_of_the_kernels_own(kernel: Kernel, tmp_path: Path) -> None:
    skip_below(kernel, (6, 12))
    path = tmp_path / "collision.bpf.c"
    path.write_text(
        "#include <bpfheap.h>\nstruct dentry { int x; };\nstruct v { struct dentry __kptr *p; };\n"
        "struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32);\n"
        '__type(value, struct v); } m SEC(".maps");\nchar LICENSE[] SEC("license") = "GPL";\n'
        'SEC("tc") int p(void *ctx) { __u32 k = 0; return !bpf_map_lookup_elem(&m, &k); }\n'
        "struct dentry d;\n"
    )
    made = object_spec(path)
    with pytest.raises(KernelError, match="give the struct another name"):
        kernel.verify(made, made.programs["p"])


def test_where_it_is_not_allowed(monkeypatch: pytest.MonkeyPatch, obj: ObjectSpec) -> None:
    available.cache_clear()
    monkeypatch.setattr("bpfheap.kernel.live._call", lambda attr: -errno.EPERM)
    try:
        assert available() == "bpf(2) is not allowed here: EPERM"
        with pytest.raises(KernelError, match="not allowed here: EPERM"):
            Kernel()
    finally:
        available.cache_clear()


def test_a_failure_of_the_machine_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, live: Kernel
) -> None:
    made = plain("r0 = 0\n exit")
    monkeypatch.setattr("bpfheap.kernel.live._call", lambda attr: -errno.EMFILE)
    with pytest.raises(KernelError, match="program p could not be loaded: EMFILE"):
        live.verify(made, made.programs["p"])


def test_a_failure_of_the_second_load_is_none_either(
    monkeypatch: pytest.MonkeyPatch, live: Kernel
) -> None:
    """The load that would say why a program was refused."""
    made = plain("r0 = r7\n exit")
    results = iter([-errno.EINVAL, -errno.ENOMEM])
    monkeypatch.setattr("bpfheap.kernel.live._call", lambda attr: next(results))
    with pytest.raises(KernelError, match="program p could not be loaded: ENOMEM"):
        live.verify(made, made.programs["p"], stats=True)


def test_a_log_that_is_too_long_changes_no_verdict(
    monkeypatch: pytest.MonkeyPatch, live: Kernel
) -> None:
    made = plain("r0 = 0\n exit")
    results = iter([0, -errno.ENOSPC])
    monkeypatch.setattr("bpfheap.kernel.live._call", lambda attr: next(results))
    monkeypatch.setattr("bpfheap.kernel.load.Descriptor", lambda *_: io.BytesIO())
    assert live.verify(made, made.programs["p"], log=True).accepted


def test_ksyms_that_are_variables(kernel: Kernel) -> None:
    made = plain("r1 = 0\n r0 = 0\n exit")
    spec = made.programs["p"]
    wide = assemble("r1 = 0 ll\n r0 = 0\n exit").insns
    bad = replace(spec, insns=wide, refs={0: Ref(RefKind.KSYM, "no_such_variable")})
    with pytest.raises(KernelUnsupported, match="no variable no_such_variable"):
        kernel.verify(made, bad)
