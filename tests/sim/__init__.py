"""Whole clusters in a hostile world, in virtual time: real managers and workers, and everything goes wrong.

``python -m tests.sim`` runs many seeds, ``--replay`` one of them with its story.
"""
