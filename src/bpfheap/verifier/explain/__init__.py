"""Logs and explanations for people: where values came from, and which way a path took."""
