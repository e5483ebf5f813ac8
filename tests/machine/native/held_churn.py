"""Many objects freed while runs are held, on a core that was built with a sanitizer.

held_churn.py CORE
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import threading
from pathlib import Path

NAME = "bpfheap.machine.native._core"


def use_core(path: str) -> None:
    """Let that file be the native machine's core."""
    loader = importlib.machinery.ExtensionFileLoader(NAME, path)
    spec = importlib.util.spec_from_file_location(NAME, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[NAME] = module


def churn(*, jit: bool) -> None:
    import bpfheap
    from bpfheap.compile import object_spec
    from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID, Done

    source = object_spec(Path(__file__).with_name("held.bpf.c"))
    with bpfheap.Runtime(machine="native", jit=jit, cpus=2) as rt:
        obj = rt.load(source)
        machine = rt.system.machine
        entry = obj.programs["churn"].entry()
        held = machine.start(rt.system.program_of(obj.programs["fill"].fd).id, b"", cpu=1)
        machine.step(held)
        threads = [threading.Thread(target=lambda: [entry() for _ in range(3)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        while not isinstance(machine.step(held, through=True), Done):
            pass
        rt.grace_period()
        # The one that `fill` put into its list.
        assert machine.allocator_stats(GLOBAL_ALLOCATOR_ID).live == 1


if __name__ == "__main__":
    use_core(sys.argv[1])
    for jit in (False, True):
        churn(jit=jit)
    print("done")
