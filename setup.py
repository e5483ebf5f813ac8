"""Compiles the verifier's hot modules with mypyc, and the native machine's core; all else is in
pyproject.toml.

Without a C compiler, or with BPFHEAP_PURE set, the verifier's modules run as Python; without one
there is no native machine.
"""

import os
import shutil
import sysconfig
from glob import glob
from pathlib import Path

from mypyc.build import mypycify
from setuptools import Extension, setup

#: One group: they call each other without going through Python.
COMPILED = (
    "domain/word", "domain/tnum", "domain/scalar", "domain/arith", "domain/refine",
    "state/state", "state/layouts", "analysis/cfg", "analysis/liveness", "analysis/loops",
    "paths/widening", "paths/env", "paths/precision", "paths/prune", "paths/unpruned",
    "memory/obligations", "memory/kinds", "memory/ownership", "memory/packet", "memory/stack",
    "memory/access", "calls/meta", "calls/noting", "calls/locks", "calls/calls",
    "instructions/branch", "instructions/pointer", "instructions/transfer", "walk",
)  # fmt: skip


#: Without these there is no native machine; with them, an error in its C is one of the build.
CAN_COMPILE = (
    shutil.which(os.environ.get("CC", "cc").split()[0]) is not None
    and (Path(sysconfig.get_path("include")) / "Python.h").is_file()
)

#: One for all versions of Python: it uses the limited API alone.
CORE = Extension(
    "bpfheap.machine.native._core",
    sorted(glob("src/bpfheap/machine/native/*.c")),
    depends=sorted(glob("src/bpfheap/machine/native/*.h")),
    extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"],
    libraries=["pthread"],
    py_limited_api=True,
    optional=not CAN_COMPILE,
)


def extensions() -> list[object]:
    if os.environ.get("BPFHEAP_PURE"):
        return [CORE]
    found = mypycify(
        [f"src/bpfheap/verifier/{name}.py" for name in COMPILED],
        opt_level="3",
        debug_level="0",
        group_name="bpfheap",
    )
    for extension in found:
        extension.optional = True
        # All calls between them stay within one library. gcc inlines no function that another
        # library could replace. (A list of its own: mypycify gives all of them one.)
        extension.extra_compile_args = [*extension.extra_compile_args, "-fvisibility=hidden"]
    return [*found, CORE]


setup(ext_modules=extensions())
