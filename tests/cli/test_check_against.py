"""`bpfheap check --against`: a kernel's verdicts beside ours."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfheap.btf import Func, FuncProto, Int, LazyBtf, Struct
from bpfheap.btf.raw import encode_types
from bpfheap.btf.types import Member
from bpfheap.errors import KernelUnavailable
from bpfheap.kernel import Kernel, Transport, opened
from bpfheap.kernel.bpf import Attr, Command
from bpfheap.platform.linux import HELPER_NAMES
from built_btf import built

if TYPE_CHECKING:
    from cli_harness import Cli

pytest_plugins = ["cli_harness"]

#: Programs by what Linux says of them: "no" is refused.
SOURCE = """
#include <bpfheap.h>
struct task { int pid; } __attribute__((preserve_access_index));
SEC("tc") int fine(void *ctx) { return 7; }
SEC("tc") int no_fine(void *ctx) { return 7; }
SEC("tc") int bad(int *ctx) { return ctx[-9]; }
SEC("tc") int no_bad(int *ctx) { return ctx[-9]; }
SEC("fentry/there") int traced(void *ctx) { return 0; }
SEC("fentry/there") int no_traced(void *ctx) { return 0; }
SEC("fentry/gone") int moved(void *ctx) { return 0; }
static long (*later)(void *) = (void *)212;
SEC("tc") int unknown(void *ctx) { return later(ctx); }
SEC("tc") int no_unknown(void *ctx) { return later(ctx); }
SEC("tc") int offset(void *ctx)
{
	return __builtin_preserve_field_info(((struct task *)0)->pid, 0);
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(autouse=True)
def _one_helper_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that Linux 6.18 has none is unknown."""
    monkeypatch.setitem(HELPER_NAMES, 212, "bpf_later")


class Fake(Transport):
    """A kernel that refuses programs by their names."""

    release = "6.1.0-fake"
    cpus = 1

    def call(self, attr: Attr) -> int:
        if attr.command is not Command.PROG_LOAD:
            return 3
        refused = b"no_" in attr.raw
        log = b"0: (b7) r0 = 7\n" + b"R0 is no\n" * refused + b"processed 2 insns (limit 9)\n"
        if "log_buf" in attr.memory:
            attr.memory["log_buf"].value = log
        return -errno.EACCES if refused else 3

    def close_descriptor(self, number: int) -> None:
        assert number == 3

    def close(self) -> None:
        pass

    def types(self) -> LazyBtf:
        btf = built(
            Int("int", 4, 1, 0, 32),
            FuncProto(0, ()),
            Func("there", 2, 1),
            Struct("task", 44, (Member("pid", 1, 40 * 8),)),
        )
        return LazyBtf.parse(encode_types(btf.types))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "a.bpf.c"
    made.write_text(SOURCE)
    return made


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr("bpfheap.cli.check.opened", lambda name: made)
    return made


@pytest.mark.parametrize(
    ("program", "ours", "theirs", "code"),
    [
        ("fine", "accept", "accept by Linux 6.1.0-fake: 2 instructions processed", 0),
        (
            "no_fine",
            "accept",
            "reject by Linux 6.1.0-fake: 2 instructions processed, R0 is no (differs)",
            5,
        ),
        ("bad", "reject", "accept by Linux 6.1.0-fake: 2 instructions processed (differs)", 5),
        ("no_bad", "reject", "reject by Linux 6.1.0-fake: 2 instructions processed, R0 is no", 1),
        ("traced", "accept", "accept by Linux 6.1.0-fake: 2 instructions processed", 0),
        (
            "no_traced",
            "accept",
            "reject by Linux 6.1.0-fake: 2 instructions processed, R0 is no (differs)",
            5,
        ),
        ("unknown", "unsupported", "accept by Linux 6.1.0-fake: 2 instructions processed", 4),
        (
            "no_unknown",
            "unsupported",
            "reject by Linux 6.1.0-fake: 2 instructions processed, R0 is no (differs)",
            5,
        ),
        (
            "moved",
            "reject",
            "reject by Linux 6.1.0-fake: the kernel has no gone to attach moved to",
            1,
        ),
    ],
)
def test_both_verdicts(
    cli: Cli, fake: Fake, path: Path, program: str, ours: str, theirs: str, code: int
) -> None:
    result = cli("check", path, "--against", "kernel", "-p", program)
    head, below = result.out.splitlines()[:2]
    assert head.startswith(f"{ours} {program} ")
    assert below == theirs
    assert result.code == code
    differ = "the verdicts on 1 of 1 programs differ"
    assert (result.out.splitlines()[-1] == differ) == (code == 5)


def test_as_json(cli: Cli, fake: Fake, path: Path) -> None:
    result = cli("check", path, "--against", "kernel", "--json", "--log")
    assert result.code == 5
    found = {program["name"]: program["kernel"] for program in result.json["programs"]}
    log = found["no_fine"].pop("log")
    assert log.splitlines()[1] == "R0 is no"
    assert found["no_fine"] == {
        "release": "6.1.0-fake",
        "verdict": "reject",
        "message": "R0 is no",
        "errno": "EACCES",
        "insns_processed": 2,
        "differs": True,
    }
    assert [found["traced"][key] for key in ("verdict", "errno", "differs")] == [
        "accept",
        None,
        False,
    ]
    assert found["moved"]["errno"] == "ENOTSUPP"
    assert "log" not in cli("check", path, "--against", "kernel", "--json").out


def test_both_logs(cli: Cli, fake: Fake, path: Path) -> None:
    out = cli("check", path, "--against", "kernel", "--log", "-p", "fine").out
    ours, theirs = out.split("the log of Linux 6.1.0-fake:\n")
    assert "R1=ctx()" in ours
    assert theirs.startswith("0: (b7) r0 = 7\nprocessed 2 insns")


def test_a_load_that_never_came_to_the_verifier(
    cli: Cli, fake: Fake, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(attr: Attr) -> int:
        return -errno.EPERM if attr.command is Command.PROG_LOAD else 3

    monkeypatch.setattr(fake, "call", call)
    result = cli("check", path, "--against", "kernel", "-p", "traced")
    assert result.code == 0
    assert result.out.splitlines()[1:] == [
        "no verdict by Linux 6.1.0-fake: EPERM, before its verifier looked at it",
        "the kernel has no verdict on 1 of 1 programs",
    ]
    document = cli("check", path, "--against", "kernel", "-p", "traced", "--json").json
    assert document["against"] == {"programs": 1, "differ": 0, "no_verdict": 1}
    said = document["programs"][0]["kernel"]
    assert (said["verdict"], said["errno"], said["differs"]) == (None, "EPERM", False)


SIZED = """
#include <bpfheap.h>
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u32); }
	later SEC(".maps");
SEC("tc") int looks(void *ctx)
{
	__u32 key = 0;

	return !bpf_map_lookup_elem(&later, &key);
}
"""


@pytest.mark.parametrize(
    ("refused", "kind"), [(lambda n: n == 0, "no verdict"), (lambda n: True, "reject")]
)
def test_a_map_that_its_loader_sizes(
    cli: Cli,
    fake: Fake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: Callable[[int], bool],
    kind: str,
) -> None:
    (tmp_path / "sized.bpf.c").write_text(SIZED)
    call = fake.call

    def sized(attr: Attr) -> int:
        if attr.command is Command.MAP_CREATE:
            entries = int.from_bytes(attr.raw[12:16], "little")
            return -errno.EINVAL if refused(entries) else 3
        return call(attr)

    monkeypatch.setattr(fake, "call", sized)
    options = ("check", tmp_path / "sized.bpf.c", "--against", "kernel")
    result = cli(*options)
    line = result.out.splitlines()[1]
    assert line.startswith(f"{kind} by Linux 6.1.0-fake: the kernel does not create the hash map ")
    assert result.code == (0 if kind == "no verdict" else 5)
    if kind == "no verdict":
        assert line.endswith("(if the loader sets the number of entries: --map later=ENTRIES)")
        result = cli(*options, "--map", "later=1")
        assert result.out.splitlines()[1].startswith("accept by Linux")


def test_a_map_that_may_not_be_made(
    cli: Cli, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sized.bpf.c").write_text(SIZED)
    call = fake.call
    monkeypatch.setattr(
        fake, "call", lambda a: -errno.EPERM if a.command is Command.MAP_CREATE else call(a)
    )
    result = cli("check", tmp_path / "sized.bpf.c", "--against", "kernel")
    assert result.out.splitlines()[1].startswith("no verdict by Linux 6.1.0-fake: the kernel does ")


def test_files_are_for_the_kernel_that_is_asked(cli: Cli, fake: Fake, path: Path) -> None:
    def offset(*options: str) -> bool:
        out = cli("check", path, "--against", "vm:x", "-p", "offset", "--log", *options).out
        return "= 40" in out

    assert offset()
    assert not offset("--kernel-btf", "none")


def test_a_kernel_that_cannot_be_asked(
    cli: Cli, fake: Fake, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(attr: Attr) -> int:
        raise KernelUnavailable("the virtual machine ended: why", file="vmlinuz")

    monkeypatch.setattr(fake, "call", gone)
    result = cli("check", path, path, "--against", "vm:vmlinuz")
    assert result.code == 1
    assert result.err == "vmlinuz: the virtual machine ended: why\n"


def test_names_that_are_none(cli: Cli, path: Path) -> None:
    result = cli("check", path, "--against", "linux")
    assert result.code == 2
    assert "'linux' names no kernel (write kernel|vm:VMLINUZ)" in result.err
    result = cli("check", path, "--against", f"vm:{path}")
    assert result.code == 2
    assert f"{path}: is no kernel for x86-64 (name a file such as /boot/vmlinuz-*)" in result.err


def test_a_real_one(
    cli: Cli,
    kernel: Kernel,
    path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The live one, or that of --oracle, which has booted already."""

    def again(name: str) -> Transport:
        return kernel.transport if name == named else opened(name)

    named = request.config.getoption("--oracle")
    monkeypatch.setattr("bpfheap.cli.check.opened", again)
    monkeypatch.setattr(kernel.transport, "close", lambda: None)
    result = cli("check", path, "--against", named, "--json", "--kernel-btf", "none")
    said = {program["name"]: program["kernel"] for program in result.json["programs"]}
    assert said["fine"]["verdict"] == said["no_fine"]["verdict"] == "accept"
    assert said["bad"]["verdict"] == "reject"
    assert said["bad"]["message"].startswith("invalid bpf_context access off=-36 size=4")


def test_a_real_one_and_a_map_without_a_size(cli: Cli, live: Kernel, tmp_path: Path) -> None:
    (tmp_path / "sized.bpf.c").write_text(SIZED)
    options = ("check", tmp_path / "sized.bpf.c", "--against", "kernel", "--json")
    (program,) = cli(*options).json["programs"]
    assert program["kernel"]["verdict"] is None
    assert program["kernel"]["errno"] == "EINVAL"
    (program,) = cli(*options, "--map", "later=4").json["programs"]
    assert program["kernel"]["verdict"] == "accept"
