"""Machines: memory and execution, and nothing of policies."""
