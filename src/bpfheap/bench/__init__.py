"""Benches: how fast a part of bpfheap is on this machine, beside what else does the same."""
