"""What tests/ and examples/ have in common; pyproject.toml has the rest."""

from time_limit import pytest_runtest_protocol  # noqa: F401 -- a hook
