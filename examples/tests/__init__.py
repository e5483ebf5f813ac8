"""Tests of programs as people write them; README.md has the list."""
