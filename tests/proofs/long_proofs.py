"""Proofs that take too long to run with all tests: `make proofs` runs them."""

from __future__ import annotations

import os

import pytest

long = pytest.mark.skipif("BPFHEAP_PROOFS" not in os.environ, reason="only with `make proofs`")
