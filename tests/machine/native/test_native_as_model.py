"""The model machine's own tests, on the native machine: all that say what programs and maps do, and
nothing of what the model alone can see (memory errors, lives, states, the order of keys)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("bpfheap.machine.native._core")
sys.path.insert(0, str(Path(__file__).parents[1] / "model"))
