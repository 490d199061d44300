"""Figures of this machine, through psutil."""

from __future__ import annotations

import os
import threading
import time
from typing import Final

import msgspec

from minorch.model import NodeStats

__all__ = ["Gauge"]

_FRESH_S: Final = 0.5


class Gauge:
    """Measures this machine for all workers on it, so that they share one look at its counters.

    Args:
        disk_path: where the disk is looked at.
    """

    def __init__(self, disk_path: str = "/") -> None:
        self._disk_path = disk_path
        self._lock = threading.Lock()
        self._busy_s = self._all_s = 0.0
        self._percent = 0.0
        self._latest: NodeStats | None = None

    def measure(self, *, tasks: int) -> NodeStats | None:
        """The machine's figures, at most half a second old; None where the operating system does not tell.

        Args:
            tasks: how many tasks the worker has running.
        """
        with self._lock:
            if self._latest is None or time.time() - self._latest.sampled_at > _FRESH_S:
                self._latest = self._look()
            return None if self._latest is None else msgspec.structs.replace(self._latest, tasks=tasks)

    def _look(self) -> NodeStats | None:
        import psutil  # 20 ms that only those pay who run workers

        try:
            memory = psutil.virtual_memory()
            disk = psutil.disk_usage(self._disk_path)
            times = psutil.cpu_times()
            load_1m = os.getloadavg()[0]
        except (OSError, psutil.Error):
            return None
        everything = sum(times[:8])  # what comes after is counted in user and nice already
        busy = everything - times.idle - getattr(times, "iowait", 0.0)
        if everything > self._all_s:
            self._percent = 100 * (busy - self._busy_s) / (everything - self._all_s)
        self._busy_s, self._all_s = busy, everything
        return NodeStats(
            sampled_at=time.time(),
            cpu_percent=min(100.0, max(0.0, self._percent)),
            load_1m=load_1m,
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk_used=disk.used,
            disk_total=disk.total,
            tasks=0,
        )
