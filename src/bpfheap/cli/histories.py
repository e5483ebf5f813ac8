"""Histories as lines of text: steps, the object's life, where it ended."""

from __future__ import annotations

import shlex
from pathlib import PurePath

from bpfheap.explore import HistoryStep
from bpfheap.report import numbered


def step_lines(number: int, step: HistoryStep) -> list[str]:
    """A step of a history: the action, the sentences about it, and its source line."""
    first, *others = step.sentences or ("",)
    lines = [f"{number:3}. {step.action}{': ' if first else ''}{first}"]
    lines += [f"     {sentence}" for sentence in others]
    if step.text:
        lines.append(f"     > {step.text}{_place(step)}")
    return lines


def _place(step: HistoryStep) -> str:
    """File and line in parentheses, unless a sentence names them already."""
    if step.file is None or step.line is None:
        return ""
    at = f"{PurePath(step.file).name}:{step.line}"
    return "" if any(at in sentence for sentence in step.sentences) else f"  ({at})"


def life_lines(life: tuple[str, ...]) -> list[str]:
    """The life of the object that a violation is about; nothing if it is not known."""
    return ["the object's life:", *numbered(life)] if life else []


def replay_command(trace: str) -> str:
    """The shell command that plays a history again."""
    return f"bpfheap replay {shlex.quote(trace)}"


def count(number: int, what: str, plural: str = "s") -> str:
    """`1 step`, `1,234 steps`, `2 searches`."""
    return f"{number:,} {what}{'' if number == 1 else plural}"
