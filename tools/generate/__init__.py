"""Generators of committed files; CI runs each with `--check` and fails on any difference."""
