"""Benchmarks: each compares minorch with something else in one run and prints the ratio."""
