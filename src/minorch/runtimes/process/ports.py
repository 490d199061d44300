"""Where a process listens. Nothing stands between it and the machine, so it has to be told.

Each ``Port`` is given a port of the machine: the one it names, or a free one.  The process finds it in
``MINORCH_PORT_<container>`` (for UDP ``MINORCH_PORT_<container>_UDP``), and the first one in ``PORT``
too, which many programs obey.  In a container the same variables may be absent, so
``int(os.environ.get("MINORCH_PORT_80", 80))`` is right in both.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Mapping, Sequence

from minorch.errors import StartFailed
from minorch.model import Port

__all__ = ["Ports", "port_variables"]


class Ports:
    """Hands out free ports, none twice while its run lasts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: dict[tuple[str, int], int] = {}

    def take(self, wanted: Sequence[Port]) -> Mapping[str, str]:
        """Return where each one is reached: ``{"80/tcp": "127.0.0.1:40123"}``.

        Raises:
            StartFailed: a port that was asked for is taken (reason ``port_taken``).
        """
        taken: dict[str, str] = {}
        try:
            for port in wanted:
                taken[f"{port.container}/{port.protocol}"] = self._take_one(port)
        except StartFailed:
            self.give_back(taken)
            raise
        return taken

    def _take_one(self, port: Port) -> str:
        for _ in range(64):
            number = _probe(port)
            with self._lock:
                if (port.protocol, number) not in self._given:
                    self._given[port.protocol, number] = port.container
                    host = f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip
                    return f"{host}:{number}"
            if port.host is not None:
                break
        raise StartFailed(
            f"port {port.host or ''} of {port.host_ip} is taken by another task", reason="port_taken"
        )

    def adopt(self, ports: Mapping[str, str]) -> None:
        """Remember those of a run that an earlier process started."""
        with self._lock:
            for inside, reached in ports.items():
                container, _, protocol = inside.partition("/")
                self._given[protocol, int(reached.rpartition(":")[2])] = int(container)

    def give_back(self, ports: Mapping[str, str]) -> None:
        """Forget those of a run that has ended."""
        with self._lock:
            for inside, reached in ports.items():
                self._given.pop((inside.partition("/")[2], int(reached.rpartition(":")[2])), None)


def _probe(port: Port) -> int:
    """A number that could be bound a moment ago. The process binds it later, so another may be faster."""
    family = socket.AF_INET6 if ":" in port.host_ip else socket.AF_INET
    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    with contextlib.closing(socket.socket(family, kind)) as trial:
        if port.host is not None and port.protocol == "tcp":
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not refused by old connections
        try:
            trial.bind((port.host_ip, port.host or 0))
        except OSError as error:
            where = f"port {port.host or port.container}/{port.protocol} at {port.host_ip}"
            if error.errno == errno.EADDRINUSE:
                raise StartFailed(f"{where} is taken", reason="port_taken") from None
            raise StartFailed(f"{where} cannot be used: {error.strerror or error}") from None
        return int(trial.getsockname()[1])


def port_variables(ports: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that tell a process where to listen."""
    variables: dict[str, str] = {}
    for inside, reached in ports.items():
        container, _, protocol = inside.partition("/")
        number = reached.rpartition(":")[2]
        variables.setdefault("PORT", number)
        variables[f"MINORCH_PORT_{container}{'_UDP' if protocol == 'udp' else ''}"] = number
    return variables
