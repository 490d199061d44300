"""Hosts for tests: several machines, each with a Docker Engine, on this one.

``from tests.hosts import Hosts, Shape``; the fixtures are in ``tests/hosts/fixtures.py``.
"""

from __future__ import annotations

from tests.hosts.host import Host, Shape
from tests.hosts.hosts import Hosts, sweep, why_not

__all__ = ["Host", "Hosts", "Shape", "sweep", "why_not"]
