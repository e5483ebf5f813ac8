"""Write docs/policies.md: the results of every policy in every scenario of examples/.

    python tools/policies_page.py [--states N] [--only SCENARIO]... [OUT]

The page does not depend on the machine that it is written on: if it changes, a policy, a scenario
or the explorer changed.
"""

from __future__ import annotations

import argparse
import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bpfheap.cli.histories import count, replay_command, step_lines
from bpfheap.cli.live import LiveLines
from bpfheap.explore import Result, Scenario, VerdictKind, explore_all, read_scenario
from bpfheap.explore.matrix import Matrix, Row, Shows, shows
from bpfheap.lifetime import POLICIES, Policy

ROOT = Path(__file__).parents[1]

HEAD = """# The policies, and what became of them

<!-- Written by tools/policies_page.py (`make docs/policies.md`); changes made here get lost. -->

A policy decides how long an allocator lives whose map is gone. Each scheme that the mailing-list
thread brought up is one, and `bpfheap explore` visited **every order** in which the programs of the
scenarios below can be loaded, run, preempted, unloaded and freed, within the bounds given there.
So "yes" is a proof within those bounds, and "no" comes with a shortest history.

    make docs/policies.md       # explores all of it again and writes this page

"""

COLUMNS = """
- **sound**: no order leads to a use-after-free, a double free or a leak. *Vacuous* means that the
  policy let in no program that stores anything, so there was nothing to get wrong. *Open* means
  that a search ended at its bound on states, without a violation until then.
- **order-dependent refusals**: scenarios with a program that is let in in one order and refused in
  another.
- **field reuse**: whether a field can take objects of another allocator after the first one's end.
- **two allocators in a field**: whether two programs that fill one field from different allocators
  are let in together.
- **inner maps**: the verdict where maps come and go inside a map of maps.
- **retention**: for how many steps of a history an allocator outlives both its map and its last
  object, and how many do so at a time.
- **asks for**: what a program's author has to write for it.
"""


def page(scenarios: Sequence[Scenario], results: Sequence[Result]) -> str:
    """The whole text. Raises what compiling and verifying the scenarios' files raises."""
    shown = {scenario.name: shows(scenario) for scenario in scenarios}
    matrix = Matrix(results, shown)
    parts = [HEAD, "## Side by side\n\n", matrix.markdown(), COLUMNS, "\n## The scenarios\n\n"]
    parts += scenario_table(scenarios)
    parts.append("\nA bound that is not named is one: a run for each load, a load, a creation.\n")
    rows = {row.policy: row for row in matrix.rows}
    for policy in POLICIES:
        if policy.name in rows:
            own = [result for result in results if result.policy == policy.name]
            parts += section(policy, rows[policy.name], own, shown)
    return "".join(parts)


def scenario_table(scenarios: Iterable[Scenario]) -> Iterator[str]:
    yield "| scenario | shows | bounds |\n| --- | --- | --- |\n"
    for scenario in scenarios:
        link = f"[{scenario.name}](../examples/{scenario.name})"
        about = scenario.about or title(scenario)
        yield f"| {link} | {about} | {bounds_text(scenario)} |\n"


def title(scenario: Scenario) -> str:
    """What the README of a scenario calls it."""
    first = (ROOT / "examples" / scenario.name / "README.md").read_text().partition("\n")[0]
    return sentence(first.removeprefix("# "))


def bounds_text(scenario: Scenario) -> str:
    """The bounds that are not one."""
    named = []
    for name, value in scenario.bounds.to_json().items():
        if value is True:
            named.append(name)
        elif value is not None and value is not False and value > 1:
            named.append(f"{value:,} {name}")
    return ", ".join(named) or "—"


def section(
    policy: type[Policy], row: Row, results: Sequence[Result], shown: dict[str, Shows]
) -> Iterator[str]:
    """What a policy is, what was said of it, and what was found."""
    yield f"\n## {policy.name}\n\n{described(policy)}\n\n"
    yield f"**Said in the thread:** {sentence(policy.thread)}\n\n"
    if policy.asks is not None:
        yield f"**Asks for:** {sentence(policy.asks)}\n\n"
    yield "**Found:**\n\n"
    for line in findings(row, results):
        yield f"- {line}\n"
    if row.counterexample is not None:
        yield from shortest(row)


def described(policy: type[Policy]) -> str:
    """The class's own words, as Markdown."""
    paragraphs = re.split(r"\n\s*\n", inspect.getdoc(policy) or policy.rule)
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def findings(row: Row, results: Sequence[Result]) -> Iterator[str]:
    """One line for each thing worth telling, the worst first."""
    for result in results:
        for breach in result.breaches:
            after = count(len(breach.history.steps), "step")
            yield f"`{result.scenario}` breaks it: {breach.kind} after {after}. {breach.message}"
    clean = [r.scenario for r in results if r.verdict is VerdictKind.CLEAN]
    proved = [name for name in clean if name not in row.vacuous]
    if proved:
        yield f"Safe in every order of {names(proved)}."
    if row.vacuous:
        yield f"Nothing to be proved in {names(row.vacuous)}: no program that stores is let in."
    if row.open:
        yield f"Not visited to the end: {names(row.open)}."
    for result in results:
        for finding in result.findings:
            after = count(len(finding.history.steps), "step")
            yield f"`{result.scenario}`, {finding.kind} after {after}: {finding.text}"
    if not row.immortal and row.retention.steps:
        kept = row.retention
        yield (
            f"At most {count(kept.allocators, 'allocator')} at a time without a map and without "
            f"objects, for at most {count(kept.steps, 'step')}."
        )


def names(found: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in found)


def shortest(row: Row) -> Iterator[str]:
    """The history that breaks a policy, and how to play it again."""
    found = row.counterexample
    assert found is not None
    yield f"\nThe shortest history of all, in `{found.scenario}`:\n\n```text\n"
    for number, step in enumerate(found.breach.history.steps, 1):
        for line in step_lines(number, step):
            yield f"{line}\n"
    yield f"```\n\n```sh\n{replay_command(found.breach.history.replay)}\n```\n"


def read_all(only: Sequence[str], states: int | None) -> list[Scenario]:
    """The scenarios of examples/, by name. Paths are relative, since they go into the page."""
    folders = sorted({path.parent for path in Path("examples").glob("*/*.bpf.c")})
    return [read_scenario([f], states=states) for f in folders if not only or f.name in only]


def explored(scenarios: Sequence[Scenario]) -> list[Result]:
    tasks = [(scenario, policy.name) for scenario in scenarios for policy in POLICIES]
    labels = [f"{name} in {scenario.name}" for scenario, name in tasks]
    jobs = len(os.sched_getaffinity(0))
    results = []
    with LiveLines(labels, jobs) as live:
        for number, result in explore_all(tasks, jobs=jobs, progress=live.progress):
            results.append(result)
            live.done(number)
    return results


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the page of all policies.")
    parser.add_argument("out", nargs="?", default="docs/policies.md", metavar="OUT")
    parser.add_argument("--only", action="append", default=[], metavar="SCENARIO")
    parser.add_argument("--states", type=int, metavar="N", help="stop each search after N states")
    given = parser.parse_args(argv)
    os.chdir(ROOT)
    scenarios = read_all(given.only, given.states)
    text = page(scenarios, explored(scenarios))
    Path(given.out).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
