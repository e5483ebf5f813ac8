"""For tests of BPF programs: the pytest plugin, and readers of public test data."""
