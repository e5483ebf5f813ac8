"""Compiles the verifier's hot modules with mypyc; all else is in pyproject.toml.

Without a C compiler, or with BPFHEAP_PURE set, the same modules run as Python.
"""

import os

from mypyc.build import mypycify
from setuptools import setup

#: One group: they call each other without going through Python.
COMPILED = (
    "access", "arith", "branch", "env", "liveness", "pointer", "precision", "program", "prune",
    "refine", "scalar", "stack", "state", "tnum", "transfer", "walk", "word",
)  # fmt: skip


def extensions() -> list[object]:
    if os.environ.get("BPFHEAP_PURE"):
        return []
    found = mypycify(
        [f"src/bpfheap/verifier/{name}.py" for name in COMPILED],
        opt_level="3",
        debug_level="0",
        group_name="bpfheap",
    )
    for extension in found:
        extension.optional = True
    return list(found)


setup(ext_modules=extensions())
