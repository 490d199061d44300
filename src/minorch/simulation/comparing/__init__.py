"""Schedulers side by side: many runs, in several processes, and which differences are more than chance."""
