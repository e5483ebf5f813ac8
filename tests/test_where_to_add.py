"""What docs/architecture.md says of adding things is true: in a copy of the package, a made-up
helper, map type, program type and policy go into the files that its table names and no others, and
everything takes them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "bpfheap"


class Edit(NamedTuple):
    """`text` goes behind the first line that begins with `after`, or is a new file's."""

    file: str
    after: str | None
    text: str


class Addition(NamedTuple):
    """`kind` is what the table calls it."""

    kind: str
    edits: tuple[Edit, ...]


ADDITIONS = (
    Addition("a helper or kfunc", (
        Edit("platform/calls.py", "HELPERS: tuple", """
    Call("bpf_made_up", 250, (A.SCALAR,), R.INTEGER,
         E.LOCAL, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.OURS),
"""),
        Edit("include/bpfheap.h", "/* output */", """
___bpfheap_helper(250, long, bpf_made_up, __u64 number);
"""),
        Edit("machine/model/calls.py", "CALLS: Mapping", """
    "bpf_made_up": lambda core, args: _number(core, args[0], 1) + 1,
"""),
        Edit("machine/native/calls.c", "/* -- the world around */", """
CALL(bpf_made_up)
{
	(void)run;
	return r[1] + 1;
}
"""),
        Edit("machine/native/calls.c", "#define CALLS(X)", """\
	SAME(X, bpf_made_up)                                                                 \\
"""),
    )),
    Addition("a map type", (
        Edit("platform/maps.py", "MAP_TYPES: tuple", """
    MapType("made_up", 34, S.HASH, H.VALUES, _ELEMENTS, key_size=None, fields=_ALL, sleepable=True,
            flags=_HASH),
"""),
        Edit("include/bpfheap.h", "\tBPF_MAP_TYPE_ARENA", "\tBPF_MAP_TYPE_MADE_UP = 34,\n"),
    )),
    Addition("a map type whose keys lead elsewhere", (
        Edit("platform/maps.py", "class Shape", '    OTHER = "other"\n'),
        Edit("platform/maps.py", "MAP_TYPES: tuple", """
    MapType("other", 35, S.OTHER, H.VALUES, _ELEMENTS, key_size=None, fields=_ALL, sleepable=True,
            flags=_HASH),
"""),
        Edit("include/bpfheap.h", "\tBPF_MAP_TYPE_ARENA", "\tBPF_MAP_TYPE_OTHER = 35,\n"),
        Edit("machine/tables/other.py", None, """
from bpfheap.machine.tables.hash import HashElements


class OtherElements(HashElements):
    pass
"""),
        Edit("machine/tables/__init__.py", "from bpfheap.machine.tables.numbers", """
from bpfheap.machine.tables.other import OtherElements
"""),
        Edit("machine/tables/__init__.py", "TABLES: Mapping", """
    (Shape.OTHER, Holds.VALUES): OtherElements(),
"""),
    )),
    Addition("a program type", (
        Edit("platform/programs/packets.py", "PACKETS: tuple", """
    ProgramType("made_up", 99, (Section("made_up"),), "made_up_md", 8, (
        CtxField("data", 0, 4, CtxKind.PACKET),
        CtxField("data_end", 4, 4, CtxKind.PACKET_END),
    ), sleepable=False, interrupts=False, packet=PacketKind.XDP, caller=Offer.XDP, returns=None,
       test_run=None),
"""),
        Edit("include/bpfheap.h", "/* The context of xdp programs. */", """
struct made_up_md {
	__u32 data;
	__u32 data_end;
};
"""),
    )),
    Addition("a policy", (
        Edit("lifetime/made_up.py", None, """
from dataclasses import dataclass
from typing import ClassVar

from bpfheap.lifetime.policy import Policy


@dataclass(frozen=True, slots=True)
class MadeUp(Policy):
    \"""Never lets an allocator go.\"""

    name: ClassVar[str] = "made-up"
    rule: ClassVar[str] = "keep all"
    thread: ClassVar[str] = "nothing"

    def waits_for(self, allocator, view):
        return ("the end of days",)
"""),
        Edit("lifetime/__init__.py", "from bpfheap.lifetime.live_count", """
from bpfheap.lifetime.made_up import MadeUp
"""),
        Edit("lifetime/__init__.py", "POLICIES: tuple", "    MadeUp,\n"),
    )),
)  # fmt: skip

MAPS = """
#include <bpfheap.h>
struct {
	__uint(type, BPF_MAP_TYPE_%s);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} table SEC(".maps");
SEC("tc") int p(struct __sk_buff *skb)
{
	__u32 key = 1;
	__u64 value = 7, *found;
	bpf_map_update_elem(&table, &key, &value, BPF_ANY);
	found = bpf_map_lookup_elem(&table, &key);
	return found ? *found : 0;
}
"""
PROGRAMS = {
    "map.bpf.c": MAPS % "MADE_UP",
    "shape.bpf.c": MAPS % "OTHER",
    "helper.bpf.c": """
#include <bpfheap.h>
SEC("tc") int p(struct __sk_buff *skb) { return bpf_made_up(41); }
""",
    "program.bpf.c": """
#include <bpfheap.h>
SEC("made_up") int p(struct made_up_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	return data + 1 > end ? 0 : *data;
}
""",
}

#: Runs in the copy.
SCRIPT = """
import bpfheap, sys
from pathlib import Path
from bpfheap.cli import main
from bpfheap.errors import MachineUnsupported
from bpfheap.explore import explore, read_scenario
from bpfheap.explore.scenario import Bounds
from bpfheap.lifetime import POLICIES

assert bpfheap.__file__.startswith(sys.argv[1])

def run(file, machine, **how):
    runtime = bpfheap.Runtime(machine=machine, policy=POLICIES[0].name)
    return runtime.load(file).programs["p"].run(**how).retval

def refused(file, what):
    try:
        run(file, "native")
    except MachineUnsupported as error:
        assert f"{what}, which the native machine does not offer" in str(error), error
    else:
        raise AssertionError(f"{file} was not refused")

assert POLICIES[0].name == "made-up"
assert run("map.bpf.c", "model") == run("map.bpf.c", "native") == 7
assert run("shape.bpf.c", "model") == run("shape.bpf.c", "native") == 7
assert run("helper.bpf.c", "model") == 42
refused("helper.bpf.c", "bpf_made_up")
packet = bytes(range(5, 69))
assert run("program.bpf.c", "model", data=packet) == 5
assert run("program.bpf.c", "native", data=packet) == 5
for file in ("map.bpf.c", "shape.bpf.c", "helper.bpf.c", "program.bpf.c"):
    found = explore(read_scenario((Path(file),)), "made-up")
    assert found.verdict == "clean", found
assert main(["explore", "helper.bpf.c", "--json"]) == 0
"""


def table() -> dict[str, set[str]]:
    """To add -> files, of docs/architecture.md. A folder's new file is "folder/*"."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    (rows,) = re.findall(r"^\| to add \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    found = {}
    for row in rows.splitlines():
        kind, files, *_ = (cell.strip() for cell in row.strip("|").split("|"))
        found[kind] = set(re.findall(r"`([\w/.*]+)`", files))
    return found


def applied(package: Path, edit: Edit) -> None:
    path = package / edit.file
    if edit.after is None:
        assert not path.exists()
        path.write_text(edit.text)
        return
    lines = path.read_text().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if line.startswith(edit.after))
    lines.insert(at if lines[at].startswith("/*") else at + 1, edit.text)
    path.write_text("".join(lines))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy with all additions; the verifier as Python, the native machine's core as it is."""
    copy = tmp_path_factory.mktemp("where") / "bpfheap"
    ignored = shutil.ignore_patterns("*.cpython-*.so", "__pycache__", "corpus")
    shutil.copytree(SOURCE, copy, ignore=ignored)
    for addition in ADDITIONS:
        for edit in addition.edits:
            applied(copy, edit)
    return copy


@pytest.mark.parametrize("addition", ADDITIONS, ids=lambda addition: addition.kind)
def test_the_table_names_the_files(addition: Addition) -> None:
    def named(edit: Edit) -> str:
        return edit.file if edit.after is not None else f"{Path(edit.file).parent}/*"

    assert {named(edit) for edit in addition.edits} == table()[addition.kind]


def test_nothing_else_has_to_be_edited(package: Path, tmp_path: Path) -> None:
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text)
    code = f"import sys\nsys.path.insert(0, {str(package.parent)!r})\n{SCRIPT}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(package)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (explored,) = json.loads(done.stdout)["results"]
    assert explored["policy"] == "made-up"


def test_contributing_walks_through_a_helper() -> None:
    told = (ROOT / "CONTRIBUTING.md").read_text()
    for edit in ADDITIONS[0].edits:
        assert edit.file in told
        assert all(line.strip(" \t\\") in told for line in edit.text.splitlines())


def test_the_native_effect_is_c(package: Path) -> None:
    """What the copy's core would be made of, without making it."""
    compiler = shutil.which("cc") or [sys.executable, "-m", "ziglang", "cc"]
    command = [compiler] if isinstance(compiler, str) else compiler
    source = package / "machine" / "native" / "calls.c"
    command += ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
