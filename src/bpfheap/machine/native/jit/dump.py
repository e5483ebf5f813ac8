"""The code of a program beside its C source, for people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from bpfheap.machine.native.jit import ir, llvm
from bpfheap.machine.native.jit.source import Source
from bpfheap.runtime.machine import CodeForm

_LOCATION: Final = re.compile(r"^!(\d+) = !DILocation\(line: (\d+)")
_ATTACHED: Final = re.compile(r", !dbg !(\d+)|,? !(?:prof|invariant\.load|tbaa) !\d+")
_LOC: Final = re.compile(r"^\s*\.loc\s+\d+\s+(\d+)")
#: Sections that hold no code of the program's own.
_SECTION: Final = re.compile(r"^\s*\.(?:section|text)\b(.*)")
_LABEL: Final = re.compile(r"^\.L(?:func_|tmp|debug_|line_|cfi|info_|str|sec|addr|ranges)")


def dump(source: Source, form: CodeForm) -> str:
    """Lines of the C source come before the code that was made of them. Raises CannotCompile."""
    text, _ = ir(source, debug=True)
    effort = llvm.effort_for(len(source.insns))
    module = llvm.optimised(text, effort)
    texts = {where.line: where.text.strip() for where in source.lines.values()}
    if form == "ir":
        lines = _ir(str(module), texts)
    else:
        lines = _asm(llvm.assembly_of(module, effort), texts)
    return "\n".join(lines) + "\n"


def _of_source(line: int, texts: dict[int, str], mark: str) -> str:
    return f"{mark} {line}: {texts.get(line, '')}".rstrip()


def _ir(text: str, texts: dict[int, str]) -> Iterator[str]:
    found = (match for line in text.splitlines() if (match := _LOCATION.match(line)))
    lines = {match[1]: int(match[2]) for match in found}
    last = 0
    inside = False
    for row in text.splitlines():
        if row.startswith("define"):
            inside, last = True, 0
            yield ""
        if not inside:
            continue
        attached = re.search(r"!dbg !(\d+)", row)
        line = lines.get(attached[1], 0) if attached else 0
        if line and line != last and not row.startswith("define"):
            last = line
            yield "  " + _of_source(line, texts, ";")
        shown = re.sub(r" !dbg !\d+", "", row) if row.startswith("define") else row
        yield _ATTACHED.sub("", shown)
        inside = row != "}"


def _asm(text: str, texts: dict[int, str]) -> Iterator[str]:
    last, code = 0, True
    for row in text.splitlines():
        section = _SECTION.match(row)
        if section is not None:
            code = ".text" in row and "debug" not in row
            continue
        loc = _LOC.match(row)
        if loc is not None:
            line = int(loc[1])
            if code and line and line != last:
                last = line
                yield "    " + _of_source(line, texts, "#")
            continue
        label = row.endswith(":") or ": " in row.split("#")[0]
        directive = row.lstrip().startswith(".") and not label
        comment = row.lstrip().startswith("#")
        if code and row.strip() and not (directive or comment or _LABEL.match(row)):
            yield row.split("#")[0].rstrip().expandtabs()
