"""Measurements, each by a command of its own; docs/benchmarks.md holds the figures."""
