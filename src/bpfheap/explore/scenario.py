"""What is explored: files, and how far to go. A folder may say more in its scenario.toml."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from bpfheap.compile import CompileOptions, object_spec
from bpfheap.errors import UsageError
from bpfheap.sources import expand
from bpfheap.spec import ObjectSpec
from bpfheap.vmlinux import Vmlinux

#: A kernel's types and configuration, as Vmlinux is given them.
KernelFiles: TypeAlias = tuple[str | None, str | None]

_FILE = "scenario.toml"
#: Each more multiplies the states; with this many nothing would ever end.
_MOST = {"cpus": 16}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far an exploration goes.

    `runs`: of a program each time it is loaded. `cpus`: programs that run at once. `loads`: of
    each program; `creates`: of each map, at least as often as programs are loaded. `objects`: that
    an allocator owns at most; further allocations fail (None: no limit). `nmi`: a program may
    interrupt another one on its CPU. `one_process`: user space is one process, which closes all
    descriptors of maps at once, when it exits. `states`: stop after so many (None: go on).
    """

    runs: int = 1
    cpus: int = 2
    loads: int = 1
    creates: int = 1
    objects: int | None = None
    nmi: bool = False
    one_process: bool = False
    states: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


#: The bounds that are true or false.
FLAGS = frozenset(f.name for f in fields(Bounds) if f.type == "bool")


class Insert(NamedTuple):
    """User space may put the map `inner` into slot `key` of `outer`, and take out what is there,
    once each."""

    outer: str
    key: int
    inner: str


@dataclass(frozen=True)
class Scenario:
    """Files and bounds. `paths` are as they were given. `pins` are maps that user space may pin;
    `about` is a sentence on what the scenario shows; `compiling` is how sources are compiled."""

    name: str
    paths: tuple[Path, ...]
    files: tuple[Path, ...]
    bounds: Bounds = Bounds()
    pins: tuple[str, ...] = ()
    inserts: tuple[Insert, ...] = ()
    about: str = ""
    compiling: CompileOptions = CompileOptions()
    #: The kernel that the files are for, as Vmlinux is given it.
    kernel: KernelFiles = (None, None)

    @property
    def objects(self) -> tuple[ObjectSpec, ...]:
        """What the files say. Raises what compiling and reading them raises."""
        return self.compiled(None)

    def compiled(self, macro: str | None) -> tuple[ObjectSpec, ...]:
        """What the sources say with a macro defined; objects say what they say."""
        defined = CompileOptions(define=() if macro is None else (macro,))
        return _specs(self.files, defined.over(self.compiling), self.kernel)


@functools.lru_cache(maxsize=64)
def _specs(
    files: tuple[Path, ...], options: CompileOptions, kernel: KernelFiles
) -> tuple[ObjectSpec, ...]:
    target = Vmlinux(*kernel)
    return tuple(object_spec(path, options, target=target) for path in files)


def read_scenario(
    paths: Sequence[Path],
    compiling: CompileOptions = CompileOptions(),
    *,
    kernel: KernelFiles = (None, None),
    **bounds: int | bool | None,
) -> Scenario:
    """A scenario of one folder, or of the files given. `bounds` are those of Bounds to use
    whatever the folder says; None leaves it as it is. `kernel` is what Vmlinux is given.

    Raises UsageError for what cannot be opened, and for a scenario.toml with anything else in it
    than there can be.
    """
    files = tuple(expand(paths))
    only = paths[0] if len(paths) == 1 and paths[0].is_dir() else None
    name = only.resolve().name if only is not None else "+".join(f.stem for f in files)
    found = Scenario(
        name.replace(".bpf", ""), tuple(paths), files, compiling=compiling, kernel=kernel
    )
    if only is not None and (only / _FILE).exists():
        found = _with_file(found, only / _FILE)
    given = {key: value for key, value in bounds.items() if value is not None}
    return replace(found, bounds=_bounds(found.bounds, given, None))


def _with_file(scenario: Scenario, path: Path) -> Scenario:
    try:
        said = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=str(path)) from None
    except RecursionError:
        raise UsageError("is nested too deeply", file=str(path)) from None
    except ValueError as error:
        # Not only TOMLDecodeError: also bytes that are no text, and numbers of too many digits.
        raise UsageError(f"is no TOML: {error}", file=str(path)) from None
    for key in said:
        if key not in _KEYS:
            raise UsageError(
                f"there is no key {key!r}", file=str(path), hint=f"keys are {', '.join(_KEYS)}"
            )
    for key, take in _KEYS.items():
        if key in said:
            scenario = take(scenario, said[key], path)
    return scenario


def _about(scenario: Scenario, value: Any, path: Path) -> Scenario:
    if not isinstance(value, str):
        raise UsageError(f"about is a sentence, not {value!r}", file=str(path))
    return replace(scenario, about=value)


def _read_bounds(scenario: Scenario, value: Any, path: Path) -> Scenario:
    if not isinstance(value, dict):
        raise UsageError(f"bounds is a table, not {value!r}", file=str(path))
    return replace(scenario, bounds=_bounds(scenario.bounds, value, path))


def _bounds(known: Bounds, given: Mapping[str, Any], path: Path | None) -> Bounds:
    file = None if path is None else str(path)
    names = [f.name for f in fields(Bounds)]
    for name, value in given.items():
        if name not in names:
            hint = f"bounds are {', '.join(names)}"
            raise UsageError(f"there is no bound {name!r}", file=file, hint=hint)
        flag = name in FLAGS
        fits = isinstance(value, bool) if flag else type(value) is int and value >= 1
        most = _MOST.get(name)
        if not fits or (most is not None and value > most):
            what = "true or false" if flag else "a number from 1"
            what += "" if most is None else f" to {most}"
            raise UsageError(f"the bound {name} is {what}, not {value!r}", file=file)
    return replace(known, **given)


def _pins(scenario: Scenario, value: Any, path: Path) -> Scenario:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise UsageError(f"pins are names of maps, not {value!r}", file=str(path))
    for name in value:
        _check_map(scenario, name, path)
    return replace(scenario, pins=tuple(value))


def _inserts(scenario: Scenario, value: Any, path: Path) -> Scenario:
    found = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict) or item.keys() != {"outer", "key", "inner"}:
            raise UsageError(f"an insert has outer, key and inner, not {item!r}", file=str(path))
        for name in (item["outer"], item["inner"]):
            _check_map(scenario, name, path)
        if type(item["key"]) is not int or not 0 <= item["key"] < 1 << 32:
            raise UsageError(f"a key is a number from 0, not {item['key']!r}", file=str(path))
        outers = [m for obj in scenario.objects for m in obj.maps.values() if m.inner is not None]
        if all(m.name != item["outer"] for m in outers):
            raise UsageError(f"{item['outer']} is no map of maps", file=str(path))
        found.append(Insert(item["outer"], item["key"], item["inner"]))
    return replace(scenario, inserts=tuple(found))


def _check_map(scenario: Scenario, name: object, path: Path) -> None:
    known = dict.fromkeys(m for obj in scenario.objects for m in obj.maps)
    if not isinstance(name, str) or name not in known:
        raise UsageError(
            f"there is no map {name!r}", file=str(path), hint=f"there are {', '.join(known)}"
        )


_KEYS: Mapping[str, Callable[[Scenario, Any, Path], Scenario]] = {
    "about": _about,
    "bounds": _read_bounds,
    "pins": _pins,
    "insert": _inserts,
}
