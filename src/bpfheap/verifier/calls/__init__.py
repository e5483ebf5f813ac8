"""Calls: helpers, kfuncs, global functions and callbacks."""
