from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from bpfheap.platform.linux import HELPER_NAMES

if TYPE_CHECKING:
    from cli_harness import Cli

pytest_plugins = ["cli_harness"]

EXAMPLES = Path(__file__).parents[2] / "examples"

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
OR_NULL = {"type": ["string", "null"]}
SCHEMA = {
    "type": "object",
    "required": ["programs"],
    "properties": {
        "programs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    "file",
                    "section",
                    "name",
                    "verdict",
                    "insns_processed",
                    "states",
                    "flows",
                    "error",
                    "missing",
                    "notes",
                ],
                "properties": {
                    "file": TEXT,
                    "section": TEXT,
                    "name": TEXT,
                    "verdict": {"enum": ["accept", "reject", "unsupported"]},
                    "insns_processed": COUNT,
                    "states": COUNT,
                    "flows": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["kind", "source", "field"],
                            "properties": {
                                "kind": {"enum": ["alloc", "store", "move", "take", "free"]},
                                "source": OR_NULL,
                                "field": OR_NULL,
                            },
                        },
                    },
                    "missing": {"type": "array", "items": TEXT},
                    "notes": {"type": "array", "items": TEXT},
                    "error": {
                        "type": ["object", "null"],
                        "required": ["message", "detail", "file", "line", "insn", "hint"],
                    },
                },
            },
        }
    },
}

REJECTED = """
#include <bpfheap.h>
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
         __type(key, __u32); __type(value, __u64); } numbers SEC(".maps");
SEC("tc") int unchecked(void *ctx)
{
    __u64 *number = bpf_map_lookup_elem(&numbers, &(__u32){ bpf_get_prandom_u32() });
    return *number;
}
SEC("tc") int fine(void *ctx) { return 7; }
"""


@pytest.fixture(scope="module")
def rejected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rejected") / "rejected.bpf.c"
    path.write_text(REJECTED)
    return path


def test_json_of_the_three_programs(cli: Cli) -> None:
    result = cli("check", *sorted((EXAMPLES / "three_programs").glob("*.bpf.c")), "--json")
    assert result.code == 0
    jsonschema.validate(result.json, SCHEMA)
    programs = {p["name"]: p for p in result.json["programs"]}
    assert list(programs) == ["p1", "p2", "p3"]
    assert all(p["verdict"] == "accept" and p["error"] is None for p in programs.values())
    assert all(p["insns_processed"] > 0 for p in programs.values())

    def flows(name: str) -> set[tuple[str, str | None, str | None]]:
        return {(f["kind"], f["source"], f["field"]) for f in programs[name]["flows"]}

    assert ("move", "m1.ptr", "m2.ptr") in {(k, _low(s), _low(f)) for k, s, f in flows("p1")}
    assert ("alloc", "ma", None) in flows("p2")
    assert ("free", None, "m2.ptr") in {(k, s, _low(f)) for k, s, f in flows("p3")}


def _low(name: str | None) -> str | None:
    return None if name is None else name.lower()


def test_a_program_in_words(cli: Cli, first: Path) -> None:
    result = cli("check", first)
    assert result.code == 0
    head, *flows = result.out.splitlines()
    assert head.startswith(f"accept first ({first}, ")
    assert "instructions processed" in head
    assert flows[0].split() == ["flow", "source", "field", "line"]
    assert [row.split()[0] for row in flows[1:]].count("alloc") == 1


def test_a_rejection_in_words(cli: Cli, rejected: Path) -> None:
    result = cli("check", rejected)
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[0].startswith(f"reject unchecked ({rejected}, tc): ")
    assert f"{rejected}:8: " in lines[1]
    assert lines[1].endswith(" R0 invalid mem access 'map_value_or_null'")
    assert lines[2].strip() == "(check it for NULL first: if (!p) return 0;)"
    assert lines[3].split("|") == ["        8 ", "     return *number;"]
    assert lines[4].index("^") == lines[3].index("*number")
    assert "instruction" in lines[4]
    assert "register r" in lines[4]
    assert lines[5] == "    how it came about:"
    assert lines[6].startswith("        r0 came from bpf_map_lookup_elem (map numbers) at line 7 ")
    assert lines[6].endswith(" and was not checked for NULL")
    assert lines[7] == "    the path to it:"
    assert lines[-2] == "        line 8: return *number;"
    assert lines[-1].startswith("accept fine (")


def test_a_rejection_in_json(cli: Cli, rejected: Path) -> None:
    result = cli("check", rejected, "--json")
    assert result.code == 1
    jsonschema.validate(result.json, SCHEMA)
    unchecked, fine = result.json["programs"]
    assert (unchecked["verdict"], fine["verdict"]) == ("reject", "accept")
    error = unchecked["error"]
    assert (error["file"], error["line"]) == (str(rejected), 8)
    assert "return *number" in error["source"]
    assert error["message"] == "R0 invalid mem access 'map_value_or_null'"
    assert error["detail"] is None
    assert error["hint"]
    assert error["source"][error["column"] - 1 :].startswith("*number")
    assert len(error["history"]) == 1
    assert error["path"][-1] == {
        "file": str(rejected),
        "line": 8,
        "insn": error["insn"],
        "text": "return *number;",
        "went": None,
        "depth": 0,
    }


def test_one_program_only(cli: Cli, rejected: Path) -> None:
    assert [p["name"] for p in cli("check", rejected, "-p", "fine", "--json").json["programs"]] == [
        "fine"
    ]
    assert cli("check", rejected, "--program", "fine").code == 0
    missing = cli("check", rejected, "-p", "other")
    assert missing.code == 2
    assert "there is no program other (there are fine, unchecked)" in missing.err


def test_explain_annotates_the_source(cli: Cli, rejected: Path) -> None:
    result = cli("check", rejected, "--explain", "-p", "unchecked")
    assert result.code == 1
    lines = [line.expandtabs() for line in result.out.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("    7 | "))
    shown = lines[start:]
    assert "      |     r0: pointer to a value of numbers, or NULL" in shown
    at = next(i for i, line in enumerate(shown) if line.startswith("    8 | "))
    caret = next(line for line in shown[at:] if "^" in line)
    assert caret.index("^") == shown[at].index("*number")
    assert "R0 invalid mem access" in caret
    assert any("check it for NULL" in line for line in shown[at:])


def test_explain_is_as_the_docs_show(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (EXAMPLES.parent / "docs" / "errors.md").read_text()
    monkeypatch.chdir(EXAMPLES.parent / "tests" / "verifier" / "golden")
    result = cli("check", "--explain", "null.bpf.c", "-p", "looked_up_again")
    lines = result.out.expandtabs().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("   88 | "))
    last = next(i for i, line in enumerate(lines) if line.startswith("   93 | "))
    assert all(f"\n    {line}\n" in page for line in lines[first:last])


def test_explain_shows_lines_between(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "gap.bpf.c"
    source.write_text(
        '#include <bpfheap.h>\nSEC("tc") int gap(struct __sk_buff *skb)\n{\n'
        "    int n = skb->len;\n    /* a comment */\n    if (n > 5)\n        n = 5;\n"
        + "    /* many */\n" * 9
        + "    return n;\n}\n"
    )
    result = cli("check", source, "--explain")
    assert result.code == 0
    assert "    5 |     /* a comment */" in result.out
    assert "      ⋮" in result.out
    assert "many" not in result.out
    source.write_text("/* not what was compiled */\n")
    assert cli("check", source).code == 1


def test_explain_without_the_source_file(cli: Cli, first: Path, tmp_path: Path) -> None:
    """The lines that matter are in the object itself."""
    result = cli("check", first, "--explain")
    assert result.code == 0
    assert "bpf_mem_alloc(&ma, type_id_local(struct foo));" in result.out
    assert "r0: pointer to an owned struct foo, or NULL" in result.out


def test_explain_in_json(cli: Cli, rejected: Path) -> None:
    programs = cli("check", rejected, "--explain", "--json").json["programs"]
    assert "lines" not in cli("check", rejected, "--json").json["programs"][0]
    lines = {line["line"]: line for line in programs[0]["lines"]}
    assert lines[8]["text"].strip() == "return *number;"
    assert lines[7]["knows"]["r0"] == ["pointer to a value of numbers, or NULL"]
    assert all(line["more"] == {} for line in lines.values())
    assert {line["line"] for line in programs[1]["lines"]} == {10}


def test_the_log_has_two_levels(cli: Cli, rejected: Path) -> None:
    full = cli("check", rejected, "--log", "--json").json["programs"][1]["log"].splitlines()
    assert full[0] == "0: R1=ctx() R10=fp0"
    assert full[-1].startswith("processed 2 insns (limit 1000000) total_states ")
    short = cli("check", rejected, "--log", "--log-level", "1", "--json").json["programs"]
    assert short[1]["log"].splitlines() == full[-1:]
    assert "R0 invalid mem access" in short[0]["log"]
    assert cli("check", rejected, "--log", "--log-level", "3").code == 2


def test_verbose_adds_the_log(cli: Cli, first: Path) -> None:
    quiet, verbose = cli("check", first), cli("check", first, "-v")
    assert verbose.code == 0
    assert verbose.out.startswith(quiet.out)
    assert "processed" in verbose.out.removeprefix(quiet.out)
    assert "log" not in cli("check", first, "--json").json["programs"][0]
    assert cli("check", first, "--json", "-v").json["programs"][0]["log"]


def test_folder(cli: Cli, tmp_path: Path, first: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "b.o").write_bytes(first.read_bytes())
    found = [p["file"] for p in cli("check", tmp_path, first, "--json").json["programs"]]
    assert found == [str(tmp_path / "b.o"), str(first)]


def test_object_beside_its_source_is_not_checked_twice(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "x.bpf.c"
    source.write_text('#include <bpfheap.h>\nSEC("tc") int x(void *ctx) { return 0; }\n')
    for built in ("x.o", "x.bpf.o"):
        (tmp_path / built).write_bytes(b"stale")
    found = cli("check", tmp_path, "--json")
    assert [p["file"] for p in found.json["programs"]] == [str(source)]


def test_clangs_diagnostics_come_untouched(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "typo.bpf.c"
    source.write_text("int x = ;\n")
    result = cli("check", source, "--json")
    assert result.code == 1
    assert f"{source}:1:9: error: expected expression\n" in result.err
    assert result.json["programs"] == []
    assert result.json["errors"][0]["type"] == "CompileError"


def test_one_broken_file_does_not_hide_the_others(cli: Cli, tmp_path: Path, first: Path) -> None:
    broken = tmp_path / "broken.o"
    broken.write_bytes(b"no object")
    result = cli("check", broken, first, "--json")
    assert result.code == 1
    assert [p["name"] for p in result.json["programs"]] == ["first"]
    assert [e["file"] for e in result.json["errors"]] == [str(broken)]


def test_missing_file_and_empty_folder(cli: Cli, tmp_path: Path) -> None:
    missing = cli("check", tmp_path / "missing.bpf.c")
    assert missing.code == 2
    assert "missing.bpf.c: " in missing.err
    empty = cli("check", tmp_path)
    assert empty.code == 2
    assert "no BPF program in this folder" in empty.err


def test_names_from_files_cannot_drive_the_terminal(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "\x1b[2Jevil.o"
    path.write_bytes(b"no object")
    result = cli("check", path)
    assert result.code == 1
    assert "\x1b" not in result.err
    assert "\\x1b[2Jevil.o" in result.err


NOT_KNOWN = """
#include <bpfheap.h>
struct { __uint(type, BPF_MAP_TYPE_STRUCT_OPS); __uint(max_entries, 1);
         __type(key, __u64); __type(value, __u64); } routes SEC(".maps");
static long (*bpf_later)(void) = (void *)212;
SEC("tc") int unknown(struct __sk_buff *skb)
{
    __u64 key = skb->len;
    if (bpf_later() == 3)
        return 0;
    return bpf_map_lookup_elem(&routes, &key) != NULL;
}
SEC("tc") int fine(void *ctx) { return 7; }
"""
FAULTY = """
extern int nowhere;
SEC("xdp") int unlinked(void *ctx) { return nowhere; }
"""
MISSING = ["bpf_later#212", "STRUCT_OPS"]


@pytest.fixture(autouse=True)
def _one_helper_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that Linux 6.18 has none is unknown."""
    monkeypatch.setitem(HELPER_NAMES, 212, "bpf_later")


@pytest.fixture(scope="module")
def not_known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("not_known") / "not_known.bpf.c"
    path.write_text(NOT_KNOWN)
    return path


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faulty") / "faulty.bpf.c"
    path.write_text(NOT_KNOWN + FAULTY)
    return path


def test_an_unsupported_program_in_words(cli: Cli, not_known: Path) -> None:
    result = cli("check", not_known)
    assert result.code == 4
    assert result.err == ""
    lines = result.out.splitlines()
    assert lines[0].startswith(f"unsupported unknown ({not_known}, tc): ")
    assert lines[1] == (
        f"    {not_known}:9: bpfheap does not know helper bpf_later#212 "
        "(Linux may; that is no fault of the program)"
    )
    assert lines[4:] == ["    missing:", *(f"        {name}" for name in MISSING), lines[-1]]
    assert lines[-1].startswith("accept fine (")


def test_an_unsupported_program_in_json(cli: Cli, not_known: Path) -> None:
    result = cli("check", not_known, "--json")
    assert result.code == 4
    jsonschema.validate(result.json, SCHEMA)
    unknown, fine = result.json["programs"]
    assert (unknown["verdict"], fine["verdict"]) == ("unsupported", "accept")
    assert (unknown["missing"], fine["missing"]) == (MISSING, [])
    assert unknown["error"]["type"] == "Unsupported"
    assert unknown["error"]["missing"] == MISSING
    assert unknown["error"]["line"] == 9
    assert unknown["flows"] == []


def test_exit_codes_of_several(cli: Cli, not_known: Path, rejected: Path, first: Path) -> None:
    """A rejection says more than that something is not known."""
    assert cli("check", not_known, "-p", "fine").code == 0
    assert cli("check", first, not_known).code == 4
    assert cli("check", not_known, rejected).code == 1
    assert cli("check", rejected, not_known).code == 1


def test_a_faulty_program_does_not_hide_its_file(cli: Cli, faulty: Path) -> None:
    result = cli("check", faulty, "--json")
    assert result.code == 1
    jsonschema.validate(result.json, SCHEMA)
    verdicts = {p["name"]: p["verdict"] for p in result.json["programs"]}
    assert verdicts == {"unknown": "unsupported", "fine": "accept", "unlinked": "reject"}
    error = result.json["programs"][-1]["error"]
    assert "nowhere is used, but never defined" in error["message"]
    assert (error["file"], error["line"]) == (str(faulty), 16)
    told = cli("check", faulty).out
    assert f"reject unlinked ({faulty}, xdp): " in told
    assert f"    {faulty}:16: nowhere is used, but never defined" in told
    assert cli("check", faulty, "-p", "fine", "--explain", "--log").code == 0
    assert cli("check", faulty, "-p", "unlinked", "--explain", "--log").code == 1
    assert cli("check", faulty, "-p", "unknown", "--explain", "--log").code == 4


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file without programs."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "library.bpf.c").write_text("int help(int a) { return a + 1; }\n")
    return folder


@pytest.mark.parametrize("named", ["file", "folder", "file beside others"])
def test_no_programs_is_no_silent_pass(cli: Cli, empty: Path, first: Path, named: str) -> None:
    library = empty / "library.bpf.c"
    given = {"file": [library], "folder": [empty], "file beside others": [first, library]}[named]
    result = cli("check", *given)
    assert result.code == 1
    assert f"{empty if named == 'folder' else library}: no programs (programs are" in result.err
    document = cli("check", *given, "--json")
    assert document.code == 1
    assert [e["type"] for e in document.json["errors"]] == ["NoPrograms"]


def test_a_folder_may_have_files_without_programs(
    cli: Cli, empty: Path, first: Path, tmp_path: Path
) -> None:
    (tmp_path / "library.bpf.c").write_bytes((empty / "library.bpf.c").read_bytes())
    result = cli("check", tmp_path)
    assert result.code == 0
    assert f"{tmp_path / 'library.bpf.c'}: no programs" in result.out
    assert "accept first (" in result.out
    assert "no programs" not in cli("check", tmp_path, "-p", "first").out


def test_help_tells_the_exit_codes(cli: Cli) -> None:
    told = " ".join(cli("check", "--help").out.replace("│", " ").split())
    assert "else 4 if a program is unsupported" in told
    assert "4 a program needs what bpfheap does not know" in " ".join(
        cli("--help").out.replace("│", " ").split()
    )
