"""Calls that the verifier knows and the model machine does not yet."""

AWAITED = frozenset({"bpf_copy_from_user"})
