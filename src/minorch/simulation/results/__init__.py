"""What became of it all: the ledger that is written on the way, and the figures that are worked out of it."""
