"""Is one program safe, and which flows does it have? Knows no other program and no policy.

The hot modules are compiled by mypyc where a C compiler was at hand (setup.py names them). With
BPFHEAP_PURE in the environment they run as Python all the same.
"""

import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader

if os.environ.get("BPFHEAP_PURE"):
    # Imports of this folder and those in it see sources only.
    for _root in __path__:
        for _folder in (_root, *(entry.path for entry in os.scandir(_root) if entry.is_dir())):
            sys.path_importer_cache[_folder] = FileFinder(
                _folder, (SourceFileLoader, SOURCE_SUFFIXES)
            )

from bpfheap.verifier.flows import GLOBAL_ALLOCATOR, Field, Flow, FlowKind, Holder
from bpfheap.verifier.verdict import Options, Verdict, VerdictKind
from bpfheap.verifier.walk import verify

__all__ = [
    "GLOBAL_ALLOCATOR",
    "Field",
    "Flow",
    "FlowKind",
    "Holder",
    "Options",
    "Verdict",
    "VerdictKind",
    "verify",
]
