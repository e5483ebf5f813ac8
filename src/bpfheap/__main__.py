"""`python -m bpfheap` is the command line."""

from __future__ import annotations

import sys

from bpfheap.cli import main

sys.exit(main())
