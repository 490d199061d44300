"""A scheduler for minorch: the cheapest node first, by its price label."""

from minorch_cheapest.scheduler import Cheapest

__all__ = ["Cheapest"]
