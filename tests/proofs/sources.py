"""The verifier's number modules once more, from their sources, on other numbers.

The functions proved are those that run: the same files, with `min`, `max` and the comparisons of
`word` replaced, which is where numbers that stand for many would have to say which one is lesser.

`tighten` is one long function for the sake of speed; a proof takes it in parts. So calls of `cut`
are put into it, which get its ten variables and may give back others: before and after the loop
and after each `if` in it.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import bpfheap.verifier.domain

#: What `tighten` computes with; its parameters.
COMPONENTS = (
    "v", "m", "smin", "smax", "umin", "umax", "s32_min", "s32_max", "u32_min", "u32_max",
)  # fmt: skip
_CUT = "{0} = cut({0})".format(", ".join(COMPONENTS))
_FOLDER = Path(bpfheap.verifier.domain.__file__).parent
_PACKAGE = "bpfheap.verifier.domain."
MODULES = ("word", "tnum", "scalar", "arith", "refine")


class Sources:
    """One copy of the modules. `replaced` has new builtins and functions of `word`, by name."""

    word: Any
    tnum: Any
    scalar: Any
    arith: Any
    refine: Any

    def __init__(
        self, replaced: Mapping[str, Callable[..., Any]], cut: Callable[..., Any] | None = None
    ) -> None:
        self._loaded: dict[str, ModuleType] = {}
        self._builtins = {**vars(builtins), "__import__": self._import}
        self._builtins.update(
            (name, new) for name, new in replaced.items() if hasattr(builtins, name)
        )
        for name in MODULES:
            module = ModuleType(_PACKAGE + name)
            module.__dict__["__builtins__"] = self._builtins
            path = _FOLDER / f"{name}.py"
            tree = ast.parse(path.read_text())
            if name == "scalar" and cut is not None:
                _with_cuts(tree)
                module.__dict__["cut"] = cut
            exec(compile(tree, path, "exec"), module.__dict__)
            if name == "word":
                vars(module).update((n, new) for n, new in replaced.items() if n in vars(module))
            self._loaded[_PACKAGE + name] = module
            setattr(self, name, module)

    def _import(self, name: str, *rest: Any) -> ModuleType:
        return self._loaded.get(name) or builtins.__import__(name, *rest)


def _with_cuts(scalar: ast.Module) -> None:
    (tighten,) = (
        node for node in scalar.body if isinstance(node, ast.FunctionDef) and node.name == "tighten"
    )
    (loop,) = (node for node in tighten.body if isinstance(node, ast.For))
    assert [a.arg for a in tighten.args.args] == list(COMPONENTS)
    parts: list[ast.stmt] = []
    for statement in loop.body:
        parts.append(statement)
        if isinstance(statement, ast.If):
            parts += ast.parse(_CUT).body
    loop.body = parts
    at = tighten.body.index(loop)
    tighten.body[at : at + 1] = [*ast.parse(_CUT).body, loop, *ast.parse(_CUT).body]
    ast.fix_missing_locations(scalar)
