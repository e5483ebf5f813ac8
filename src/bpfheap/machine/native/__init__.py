"""The native machine: heaps, maps and programs in C."""
