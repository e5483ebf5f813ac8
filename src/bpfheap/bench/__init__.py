"""Benches: how fast a part of bpfheap is on this machine, beside others that do the same."""
