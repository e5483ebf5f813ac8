"""Reads the cases of the oracle: programs, each with the verdict of Linux.

YAML files are as those of the verifier's own cases (../verifier/case_schema.json), without what is
about our messages. C files have a case in each program, whose function is tagged
`verdict:accept`, or `verdict:reject:` and a part of what the kernel's log then says.

A case on which we differ from Linux on purpose says so: beside our verdict it has the kernel's, as
`kernel: reject` or the tag `kernel:reject:part of the log`, and a `reason` (tag `reason:...`).
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from bpfheap.compile import object_spec
from bpfheap.errors import BpfheapError
from bpfheap.kernel import Kernel
from bpfheap.platform.called import calls_of
from bpfheap.platform.calls import Call
from bpfheap.platform.maps import BY_NAME
from bpfheap.platform.programs import CtxKind, program_type
from bpfheap.spec import ObjectSpec, ProgramSpec

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import SCHEMA, SYSTEM, Types, cases_of, program

FOLDER = Path(__file__).parent / "cases"
#: What the kernel allows, for cases that name no limit of their own.
_LIMIT = 1_000_000

_NO_TYPES = Types({}).build()
_NO_MAPS = ObjectSpec("nothing", _NO_TYPES, {}, {}, kernel=SYSTEM)

_VERDICT = {"enum": ["accept", "reject"]}
_VARIANT: dict[str, Any] = {
    "type": "object",
    "required": ["verdict"],
    "additionalProperties": False,
    "properties": {
        "with": SCHEMA["$defs"]["variant"]["properties"]["with"],
        "section": {"type": "string"},
        "verdict": _VERDICT,
        "kernel": _VERDICT,
        "reason": {"type": "string", "minLength": 1},
        "insns_processed": SCHEMA["$defs"]["variant"]["properties"]["insns_processed"],
    },
    "dependentRequired": {"kernel": ["reason"], "reason": ["kernel"]},
}
ORACLE_SCHEMA = copy.deepcopy(SCHEMA)
ORACLE_SCHEMA["$defs"]["variant"] = _VARIANT
ORACLE_SCHEMA["$defs"]["map"]["properties"]["type"] = {"enum": sorted(BY_NAME)}


class Expected(NamedTuple):
    """A verdict, and what is part of the log if it is a rejection."""

    accept: bool
    message: str = ""


@dataclass(frozen=True)
class OracleCase:
    """`name` tells it from all others. `reason` is why the verdicts differ, "" if they do not.
    `insns_processed`: by us and by the kernel, None where that is no matter."""

    name: str
    obj: ObjectSpec
    program: ProgramSpec
    limit: int
    ours: Expected
    kernel: Expected
    reason: str = ""
    insns_processed: int | None = None


@dataclass(frozen=True)
class CaseFile:
    """`error` is what is wrong with the whole file."""

    name: str
    cases: tuple[OracleCase, ...]
    error: BpfheapError | None = None


@cache
def case_files() -> tuple[CaseFile, ...]:
    """All files. Raises ValueError for cases that say their verdict in a way of their own."""
    return tuple(
        read(path) for path in sorted(FOLDER.iterdir()) if path.name.endswith((".yaml", ".bpf.c"))
    )


def read(path: Path) -> CaseFile:
    """One file. Raises ValueError like `case_files`."""
    try:
        found = _of_yaml(path) if path.suffix == ".yaml" else _of_c(path)
        return CaseFile(path.name, tuple(found))
    except BpfheapError as error:
        return CaseFile(path.name, (), error)


def _of_yaml(path: Path) -> Iterator[OracleCase]:
    for case in cases_of(path, ORACLE_SCHEMA, _LIMIT):
        ours = Expected(case.expected["verdict"] == "accept")
        theirs = Expected(case.expected.get("kernel", case.expected["verdict"]) == "accept")
        reason = case.expected.get("reason", "")
        limit = case.complexity_limit
        obj = replace(case.obj, kernel=SYSTEM)
        insns = case.expected.get("insns_processed")
        yield OracleCase(case.name, obj, case.program, limit, ours, theirs, reason, insns)


def _of_c(path: Path) -> Iterator[OracleCase]:
    obj = object_spec(path, target=SYSTEM)
    for spec in obj.programs.values():
        name = f"{path.name.removesuffix('.bpf.c')}: {spec.name}"
        tags = obj.btf.decl_tags(spec.subprogs[0].func_id)
        yield OracleCase(name, obj, spec, _LIMIT, *expected_of(tags, name))


_TITLE = re.compile(r"(.*?)(?: #(\d+) .*)?", re.DOTALL)


def said_of(name: str, table: Iterable[tuple[str, tuple[int, ...], str]]) -> str | None:
    """What a table says of a case, by what the case is called and the numbers of its variants, none
    for all of them; None if it is not there."""
    parts = _TITLE.fullmatch(name)
    assert parts is not None
    for title, numbers, said in table:
        if title == parts[1] and (not numbers or (parts[2] and int(parts[2]) in numbers)):
            return said
    return None


def needs_types(case: OracleCase) -> bool:
    """Whether it is about objects of the kernel."""
    row = program_type(case.program.section)
    if row is not None and (row.arguments or any(f.kind is CtxKind.KERNEL for f in row.fields)):
        return True
    calls = (call for _, call in calls_of(case.program) if call is not None)
    return case.name.startswith("kernel_") or any(call.takes or call.gives for call in calls)


def lacks(oracle: Kernel, call: Call, section: str) -> bool:
    """Whether the live kernel was built without programs of a section, or without what they may
    call."""
    kfunc = "" if call.number is not None else "kfunc "
    spec = program(f"call {kfunc}{call.name}\nr0 = 1\nexit", _NO_TYPES, section)
    log = oracle.verify(_NO_MAPS, spec, stats=True).log
    return not log or "program of this type cannot use helper" in log or "unknown func" in log


def expected_of(tags: tuple[str, ...], name: str) -> tuple[Expected, Expected, str]:
    """Ours, the kernel's, and the reason if they differ. Raises ValueError."""
    said: dict[str, str] = {}
    for tag in tags:
        key, _, rest = tag.partition(":")
        if key in ("verdict", "kernel", "reason"):
            if key in said:
                raise ValueError(f"{name}: two tags {key}")
            said[key] = rest
    if "verdict" not in said:
        raise ValueError(f"{name}: no tag says the verdict")
    if ("kernel" in said) != ("reason" in said):
        raise ValueError(f"{name}: a verdict of the kernel wants a reason, and the other way round")
    ours = _expected(said["verdict"], name)
    return ours, _expected(said.get("kernel", said["verdict"]), name), said.get("reason", "")


def _expected(text: str, name: str) -> Expected:
    verdict, _, message = text.partition(":")
    if verdict not in ("accept", "reject") or (message and verdict == "accept"):
        raise ValueError(f"{name}: {text!r} is no verdict")
    return Expected(verdict == "accept", message)
