"""Chooses how a run computes, so that what it learns stays as its author wrote it: `performance: auto`."""
