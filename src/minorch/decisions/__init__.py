"""Decisions that need nothing but their arguments: whether to restart, whether it is healthy."""
