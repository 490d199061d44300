"""Hosts for tests: several machines, each with a Docker Engine, on this one.

    with Hosts(3, tls=True) as hosts:
        hosts.make_swarm()
        with contextlib.closing(hosts[1].client()) as client:  # or minorch's own: host.url, host.certificates
            client.containers.run("busybox", ["true"])
        hosts[1].cut()  # packets vanish; cut(hosts[2]): only those to and from one other
        hosts[1].mend()
        hosts[1].kill_daemon(), hosts[1].start_daemon()  # freeze() and thaw(), stop_daemon(), slow(64)
        hosts[2].power_off(), hosts[2].power_on()

The fixtures are in ``fixtures.py``. What a killed program leaves is removed by the next that makes hosts.
"""

from __future__ import annotations

from tests.hosts.host import Host, Shape
from tests.hosts.hosts import Hosts, sweep, why_not

__all__ = ["Host", "Hosts", "Shape", "sweep", "why_not"]
