"""What `bpfheap run` puts around a program: its context by fields, the current task, objects of the
kernel from a file, and Python functions in place of calls."""

from __future__ import annotations

import runpy
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

import bpfheap
from bpfheap.errors import BpfheapError, UsageError
from bpfheap.runtime.settings import read_value

_CTX = "ctx."
_PANEL = "The kernel around the program"

CurrentFacts = Annotated[
    str | None,
    typer.Option(
        "--current",
        metavar="FACT=VALUE,...",
        help="The task that runs: pid, tgid, uid, gid, comm.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
ObjectFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--kernel-object",
        metavar="FILE.toml",
        help="Objects of the kernel, a table each, whose `type` is a struct; @NAME leads to "
        "another one, also in --set ctx.FIELD=@NAME; `current` names the task that runs.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
StubFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--stub",
        metavar="FILE.py",
        help="Python functions in place of helpers and kfuncs: @bpf.stub(NAME) above each.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]


def split_context(settings: list[str] | None) -> tuple[list[str], dict[str, Any]]:
    """What --set says of constants, and of fields of the context ("ctx.FIELD")."""
    constants: list[str] = []
    fields: dict[str, Any] = {}
    for setting in settings or []:
        name, equals, text = setting.partition("=")
        if equals and name.startswith(_CTX) and name != _CTX:
            fields[name.removeprefix(_CTX)] = read_value(text)
        else:
            constants.append(setting)
    return constants, fields


class Surroundings:
    """What is made up for a runtime."""

    def __init__(self, rt: bpfheap.Runtime) -> None:
        self._rt = rt
        self._objects: dict[str, Any] = {}

    def set_current(self, facts: str | None) -> None:
        """`facts` as "pid=42,comm=sh". Raises UsageError."""
        for fact in facts.split(",") if facts else ():
            name, equals, text = fact.partition("=")
            if not equals:
                raise UsageError(f"--current {fact} says nothing", hint="write --current pid=42")
            value: Any = text if name.strip() == "comm" else read_value(text)
            self._rt.current = {name.strip(): value}

    def read_stubs(self, files: list[Path] | None) -> None:
        """Run files of Python that define stubs, with `bpf` as the runtime."""
        for file in files or ():
            if not file.is_file():
                raise UsageError("no such file", file=str(file))
            try:
                runpy.run_path(str(file), {"bpf": self._rt})
            except BpfheapError:
                raise
            except Exception as error:
                raise UsageError(f"{type(error).__name__}: {error}", file=str(file)) from error

    def read_objects(self, files: list[Path] | None) -> None:
        """Make the objects that files describe. Raises UsageError."""
        for file in files or ():
            try:
                said = tomllib.loads(file.read_text())
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                raise UsageError(f"cannot be read: {error}", file=str(file)) from None
            try:
                self._make(said)
            except UsageError as error:
                raise error.at(str(file)) from None

    def _make(self, said: Mapping[str, Any]) -> None:
        tables = {name: dict(table) for name, table in said.items() if isinstance(table, Mapping)}
        for name, table in tables.items():
            if not isinstance(table.get("type"), str):
                raise UsageError(f"[{name}] has no type", hint='write type = "task_struct"')
            self._objects[name] = self._rt.kernel.new(table.pop("type"))
        # They may lead to one another.
        for name, table in tables.items():
            self._objects[name].set(**{path: self.value(v) for path, v in table.items()})
        for name, value in said.items():
            if name == "current":
                self._rt.current = self.value(value if str(value)[:1] == "@" else f"@{value}")
            elif name not in tables:
                raise UsageError(f"{name} is no table", hint="a file has tables, and `current`")

    def value(self, said: Any) -> Any:
        """What a value of a file or of --set stands for: "@NAME" for an object."""
        if isinstance(said, str) and said.startswith("@"):
            found = self._objects.get(said[1:])
            if found is None:
                there = ", ".join(self._objects) or "none"
                raise UsageError(f"there is no object {said[1:]}", hint=f"there is {there}")
            return found
        if isinstance(said, Mapping):
            return {name: self.value(one) for name, one in said.items()}
        if isinstance(said, list):
            return [self.value(one) for one in said]
        return said
