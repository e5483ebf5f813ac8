"""The layer order, read from the imports of the source itself.

Every top-level module of the package has a row in LAYERS; a row imports rows above it and itself,
never those below. The formats know each other even less: FORMATS says who may import whom. Inside
the verifier, ROOMS has the order. No modules of the package import each other in a circle, not even
for their types.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "bpfheap"
ARCHITECTURE = Path(__file__).parents[1] / "docs" / "architecture.md"

#: Top to bottom. "" is the package itself, whose lazy names are those of the API.
LAYERS: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "formats",
        frozenset(
            {
                "errors",
                "events",
                "host",
                "isa",
                "btf",
                "spec",
                "elf",
                "compile",
                "platform",
                "sources",
                "kept",
                "project",
                "kconfig",
                "vmlinux",
            }
        ),
    ),
    ("kernel", frozenset({"kernel"})),
    ("verifier", frozenset({"verifier"})),
    ("lifetime", frozenset({"lifetime"})),
    ("runtime", frozenset({"runtime"})),
    ("machine", frozenset({"machine"})),
    ("api", frozenset({"api", ""})),
    ("explore", frozenset({"explore", "fuzz", "bench"})),
    ("tools", frozenset({"cli", "report", "testing", "__main__"})),
)

#: What a module of the formats row may import of that row, besides itself.
FORMATS: Mapping[str, frozenset[str]] = {
    "errors": frozenset(),
    "events": frozenset(),
    "host": frozenset({"errors"}),
    "isa": frozenset({"errors"}),
    "btf": frozenset({"errors"}),
    "spec": frozenset({"errors", "btf", "isa"}),
    "platform": frozenset({"errors", "isa", "spec"}),
    "sources": frozenset({"errors"}),
    "kept": frozenset(),
    "project": frozenset({"errors"}),
    "kconfig": frozenset({"errors"}),
    "vmlinux": frozenset({"errors", "btf", "kept", "kconfig", "platform", "project"}),
    "elf": frozenset({"errors", "isa", "btf", "spec", "platform"}),
    "compile": frozenset({"errors", "host", "kept", "project", "btf", "spec", "elf", "vmlinux"}),
}

#: Layers above its own that a module must not import all the same: the live kernel is what the
#: verifier and the runtime are compared with, so they cannot be made of it; a machine knows no
#: policy, so that one machine can judge them all.
FORBIDDEN: Mapping[str, frozenset[str]] = {
    "verifier": frozenset({"kernel"}),
    "lifetime": frozenset({"kernel"}),
    "runtime": frozenset({"kernel"}),
    "machine": frozenset({"lifetime"}),
}

#: The folders and modules of the verifier, top to bottom as in LAYERS.
ROOMS: tuple[frozenset[str], ...] = (
    frozenset({"facts", "flows", "reject"}),
    frozenset({"domain"}),
    frozenset({"state"}),
    frozenset({"hints", "verdict"}),
    frozenset({"analysis"}),
    frozenset({"paths"}),
    frozenset({"memory"}),
    frozenset({"calls"}),
    frozenset({"instructions"}),
    frozenset({"explain"}),
    frozenset({"walk"}),
    frozenset({""}),
)


def modules(package: Path) -> dict[str, Path]:
    """Module name ("" and "isa.insn") -> file."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source: str, module: str, *, is_package: bool, known: frozenset[str]) -> Iterator[str]:
    """The project's modules that a module imports, wherever in it the import stands; `module` and
    the names given are without "bpfheap." in front. `import_module("bpfheap.x")` counts."""
    here = module.split(".") if module else []
    folder = here if is_package else here[:-1]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                targets = [alias.name for alias in names]
            case ast.ImportFrom(module=base, names=names, level=level):
                if level:
                    up = folder[: len(folder) - (level - 1)]
                    base = ".".join(["bpfheap", *up, *([base] if base else [])])
                # `from bpfheap import isa` names a module, `from bpfheap import Runtime` does not.
                targets = [
                    f"{base}.{a.name}" if f"{base}.{a.name}" in known else str(base) for a in names
                ]
            case ast.Call(args=[ast.Constant(value=str(name)), *_], func=func) if ast.unparse(
                func
            ).rpartition(".")[2] in {"import_module", "__import__"}:
                targets = [name]
            case _:
                continue
        for target in targets:
            root, _, rest = target.partition(".")
            if root == "bpfheap":
                yield rest


def wrong(module: str, imported: str) -> str | None:
    """Why `module` must not import `imported`, None if it may."""
    rank = {name: i for i, (_, names) in enumerate(LAYERS) for name in names}
    own, other = module.partition(".")[0], imported.partition(".")[0]
    for name in (own, other):
        if name not in rank:
            return f"{name} has no layer yet: place it in LAYERS"
    if rank[other] > rank[own]:
        return f"{module or 'bpfheap'} imports {imported}, of a layer below its own"
    not_allowed = own in FORMATS and other not in FORMATS[own]
    if own != other and (not_allowed or other in FORBIDDEN.get(own, ())):
        return f"{module} imports {imported}, which it must not know"
    if own == other == "verifier":
        return wrong_room(module, imported)
    return None


def wrong_room(module: str, imported: str) -> str | None:
    """The same for two modules of the verifier."""
    rank = {name: i for i, names in enumerate(ROOMS) for name in names}
    own, other = (f"{name}..".split(".")[1] for name in (module, imported))
    for name in (own, other):
        if name not in rank:
            return f"verifier.{name} has no room yet: place it in ROOMS"
    if rank[other] > rank[own]:
        return f"{module} imports {imported}, of a room below its own"
    return None


def graph(package: Path) -> dict[str, list[str]]:
    """Module -> what it imports of the package, wherever the import stands."""
    found = modules(package)
    known = frozenset(f"bpfheap.{name}" for name in found)
    return {
        module: list(
            imports(path.read_text(), module, is_package=path.name == "__init__.py", known=known)
        )
        for module, path in found.items()
    }


def broken(package: Path) -> list[str]:
    """All sentences about imports that break the order."""
    problems = []
    for module, targets in graph(package).items():
        own = ".".join(module.split(".")[: 2 if module.startswith("verifier.") else 1])
        for target in [own, *targets]:
            why = wrong(module, target)
            if why is not None and why not in problems:
                problems.append(why)
    return problems


def includes(core: Path) -> dict[str, list[str]]:
    """The same for files in C: a source and its headers are one, with the name of the source."""
    edges: dict[str, list[str]] = {}
    for path in sorted(core.glob("*.[ch]")):
        name = path.stem.removesuffix("_private")
        named = re.findall(r'^#include "(\w+?)(?:_private)?\.h"', path.read_text(), re.MULTILINE)
        edges.setdefault(name, []).extend(other for other in named if other != name)
    return edges


def circles(edges: Mapping[str, list[str]]) -> set[frozenset[str]]:
    """The groups each of whose members reaches all of its group."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        todo = [start]
        while todo:
            for target in edges.get(todo.pop(), []):
                if target not in found:
                    found.add(target)
                    todo.append(target)
        return found

    reach = {module: reached(module) for module in edges}
    return {
        frozenset(other for other in reach[module] if module in reach.get(other, ()))
        for module in edges
        if module in reach[module]
    }


def test_layers_keep_their_order() -> None:
    assert broken(PACKAGE) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(graph(PACKAGE)) == set()


def test_files_of_the_core_are_in_layers() -> None:
    edges = includes(PACKAGE / "machine" / "native")
    assert set(edges) >= {"cpu", "heap", "map", "run", "module"}
    assert circles(edges) == set()


def test_every_placed_module_exists() -> None:
    there = {name.partition(".")[0] for name in modules(PACKAGE)}
    placed = frozenset().union(*(names for _, names in LAYERS))
    assert placed - there == set()
    assert set(FORMATS) == LAYERS[0][1]
    rooms = {f"{name}..".split(".")[1] for name in modules(PACKAGE) if name.startswith("verifier")}
    assert frozenset().union(*ROOMS) == rooms


def test_the_documentation_has_the_layers() -> None:
    """docs/architecture.md names every module, in this order."""
    table = ARCHITECTURE.read_text().partition("|---|---|---|---|\n")[2].partition("\n\n")[0]
    rows = [re.findall(r"`(\w+)[/.]", line.split("|")[2]) for line in table.splitlines()]
    rank = {name: i for i, (_, names) in enumerate(LAYERS) for name in names if name}
    named = [rank[name] for row in rows for name in row]
    assert {name for row in rows for name in row} == set(rank)
    assert named == sorted(named)


@pytest.mark.parametrize(
    ("file", "source", "message"),
    [
        ("isa/insn.py", "from bpfheap.spec import Ref", "isa.insn imports spec, which"),
        ("isa/insn.py", "from bpfheap import spec", "isa.insn imports spec, which"),
        ("errors.py", "import bpfheap.isa.ops", "errors imports isa.ops, which"),
        ("errors.py", "from . import isa", "errors imports isa, which"),
        ("verifier/walk.py", "from ..lifetime.facts import View", "verifier.walk imports lifetime"),
        ("verifier/__init__.py", "from .. import lifetime", "verifier imports lifetime"),
        ("verifier/domain/x.py", "from ..state import S", "verifier.domain.x imports verifier.st"),
        ("verifier/walk.py", "from bpfheap import verifier", "verifier.walk imports verifier, of"),
        ("verifier/domain/x.py", "from bpfheap.verifier import walk", "imports verifier.walk, of"),
        ("verifier/newcomer.py", "", "verifier.newcomer has no room yet"),
        ("verifier/newroom/x.py", "", "verifier.newroom has no room yet"),
        ("lifetime/x.py", "def f():\n    import bpfheap.runtime", "lifetime.x imports runtime"),
        ("runtime/x.py", "from bpfheap.machine.model import M", "runtime.x imports machine.model"),
        ("kernel/x.py", "import bpfheap.verifier", "kernel.x imports verifier"),
        ("verifier/walk.py", "import bpfheap.kernel", "verifier.walk imports kernel, which"),
        ("machine/x.py", "from bpfheap.lifetime.facts import V", "machine.x imports lifetime"),
        ("machine/x.py", "from bpfheap import Runtime", "machine.x imports "),
        ("machine/x.py", "i.import_module('bpfheap.api')", "machine.x imports api"),
        ("api/x.py", "from bpfheap.cli import main", "api.x imports cli"),
        ("newcomer.py", "", "newcomer has no layer yet"),
        ("newcomer/deep.py", "", "newcomer has no layer yet"),
    ],
)
def test_a_wrong_import_is_caught(tmp_path: Path, file: str, source: str, message: str) -> None:
    for name in ("", "isa", "verifier", "verifier/domain", "lifetime", "runtime", "machine/model"):
        (tmp_path / name).mkdir(exist_ok=True, parents=True)
        (tmp_path / name / "__init__.py").touch()
    for name in ("spec", "api", "errors", "verifier/walk"):
        (tmp_path / f"{name}.py").touch()
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    problems = broken(tmp_path)
    assert len(problems) == 1
    assert message in problems[0]


def test_a_right_import_passes(tmp_path: Path) -> None:
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "x.py").write_text("import bpfheap\nimport os\nfrom ..errors import E\n")
    (tmp_path / "elf").mkdir()
    (tmp_path / "elf" / "x.py").write_text("from bpfheap.btf import Btf\nfrom .y import Z\n")
    assert broken(tmp_path) == []


@pytest.mark.parametrize(
    "back", ["from .. import api", "if TYPE_CHECKING:\n    import bpfheap.api"]
)
def test_a_circle_is_found(tmp_path: Path, back: str) -> None:
    (tmp_path / "btf").mkdir()
    (tmp_path / "api.py").write_text("from bpfheap.spec import Spec\n")
    (tmp_path / "spec.py").write_text("from bpfheap.btf.x import X\n")
    (tmp_path / "btf" / "x.py").write_text("import os\n")
    assert circles(graph(tmp_path)) == set()
    (tmp_path / "btf" / "x.py").write_text(f"{back}\n")
    assert circles(graph(tmp_path)) == {frozenset({"api", "spec", "btf.x"})}


def test_a_circle_of_includes_is_found(tmp_path: Path) -> None:
    for name, text in (
        ("a.c", '#include "a.h"\n#include <stdio.h>\n'), ("a.h", '#include "b.h"\n'),
        ("b.h", '#include "c_private.h"\n'), ("c_private.h", "int x;\n"),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
    assert circles(includes(tmp_path)) == set()
    (tmp_path / "c.c").write_text('#include "a.h"\n')
    assert circles(includes(tmp_path)) == {frozenset("abc")}
