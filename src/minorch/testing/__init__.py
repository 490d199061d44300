"""For authors of plugins: the suites of tests that the built-in runtimes, stores and schedulers pass.

Each suite is a class of pytest tests in a module of its own; subclass it in your tests and say how
your object is made.  These modules import pytest; nothing else in minorch does, nor does it import them.
"""
