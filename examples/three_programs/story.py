"""The three programs of the thread, in its order, under two policies.

P1 moves objects from M1 to M2, P3 frees what it finds in M2, and both are loaded before P2, the
one program that names the allocator. When P1 and P2 are gone, does anything still know that M2
holds an object of that allocator?

Run it: python examples/three_programs/story.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

import bpfheap
from bpfheap.errors import Violation
from bpfheap.report import numbered

HERE = Path(__file__).parent
OUT = Console(highlight=False, soft_wrap=True)


def until_p3_is_alone(rt: bpfheap.Runtime) -> bpfheap.LoadedObject:
    """Load P1, P3, P2; run P2, P1; unload P2, P1. Gives P3, which alone holds M2 then."""
    p1 = rt.load(HERE / "p1.bpf.c")
    p3 = rt.load(HERE / "p3.bpf.c")
    p2 = rt.load(HERE / "p2.bpf.c")
    p2.programs["p2"].run()
    p1.programs["p1"].run()
    p2.close()
    p1.close()
    return p3


def p3_frees(rt: bpfheap.Runtime) -> None:
    """P3 takes the object out of M2 and frees it."""
    p3 = until_p3_is_alone(rt)
    p3.programs["p3"].run()
    p3.close()


def m2_goes(rt: bpfheap.Runtime) -> None:
    """P3 never runs: it is unloaded, and M2 is freed with the object in it."""
    until_p3_is_alone(rt).close()


VARIANTS: tuple[tuple[str, Callable[[bpfheap.Runtime], None]], ...] = (
    ("P3 runs and frees the object", p3_frees),
    ("M2 is freed with the object in it", m2_goes),
)


def why() -> str:
    """What the policy missed, from the flows that the verifier found in P1."""
    ((_, verdict),) = bpfheap.check(HERE / "p1.bpf.c")
    move = next(flow for flow in verdict.flows if flow.kind == "move")
    return (
        f"why: p1 was loaded before p2. When its move {move.source} -> {move.field} was verified "
        f"({move.line}), no allocator was known for {move.source} yet, so m2 took no reference to "
        "ma, and nothing made up for it when p2 came with the store."
    )


def tell(policy: str, title: str, variant: Callable[[bpfheap.Runtime], None]) -> str:
    """Play one variant, print its history and give its end: a violation's kind, or "clean"."""
    OUT.rule(Text(f"{policy}: {title}"), align="left")
    rt = bpfheap.Runtime(policy=policy)
    seen = None
    try:
        variant(rt)
    except Violation as violation:
        seen = violation
    for line in numbered(rt.history):
        OUT.print(Text(line, style="dim" if line.lstrip().startswith(">") else ""))
    if seen is not None:
        OUT.print(Text(f"\n{seen.kind}: {seen}", style="bold red"))
        OUT.print(Text("the object's life:"))
        for line in numbered(seen.life):
            OUT.print(Text(line, style="dim" if line.lstrip().startswith(">") else ""))
        OUT.print(Text(why()))
        end = seen.kind
    elif "ma" in rt.allocators:
        OUT.print(Text("\nno memory error, but allocator ma is still there", style="bold yellow"))
        end = "immortal-allocator"
    else:
        OUT.print(Text("\nclean: allocator ma went with its last object", style="bold green"))
        end = "clean"
    OUT.print()
    return end


def main() -> int:
    """Exit code 0 if the thread was right about both policies."""
    as_told = True
    for policy, expected in (("used-allocators", "use-after-free"), ("live-count", "clean")):
        for title, variant in VARIANTS:
            as_told &= tell(policy, title, variant) == expected
    if not as_told:
        OUT.print(Text("This is not what the thread predicted.", style="bold red"))
    return 0 if as_told else 1


if __name__ == "__main__":
    sys.exit(main())
