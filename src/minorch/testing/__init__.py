"""Suites of tests that a plugin's author runs against a runtime, a store or a scheduler of their own."""
