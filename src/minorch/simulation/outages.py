"""Has nodes crash and be cut off in a simulation, and come back, at times drawn from the seed."""

from __future__ import annotations

import random
from functools import partial
from math import inf

from minorch.simulation.driver.cluster import SimulatedCluster, WorkerProcess
from minorch.simulation.faults import Faults
from minorch.simulation.results.result import Fault
from minorch.simulation.world import SimulatedWorld

__all__ = ["Outages"]

_MOST_TOLD = 100_000
"""So many are remembered for the result; all of them happen."""


class Outages:
    """Lets nodes crash and be cut off, each by dice of its own.

    Args:
        cluster: whose nodes.
        world: where links are cut.
        faults: how often, and for how long.
        seed: what is drawn is drawn from it and the node's name.
    """

    def __init__(self, cluster: SimulatedCluster, world: SimulatedWorld, faults: Faults, seed: int) -> None:
        self._cluster = cluster
        self._world = world
        self._faults = faults
        self._origin = cluster.now
        self.crashes = self.cuts = 0
        self._told: list[tuple[str, str, float, float]] = []
        for worker in cluster.workers.values():
            if faults.crash_every_s != inf:
                dice = random.Random(f"{seed}/crash/{worker.name}")
                cluster.agenda.after(
                    dice.expovariate(1 / faults.crash_every_s), partial(self._crash, worker, dice)
                )
            if faults.cut_every_s != inf:
                dice = random.Random(f"{seed}/cut/{worker.name}")
                cluster.agenda.after(
                    dice.expovariate(1 / faults.cut_every_s), partial(self._cut, worker, dice)
                )

    def so_far(self) -> tuple[Fault, ...]:
        """What went wrong until now."""
        now_s = self._cluster.now - self._origin
        return tuple(
            Fault(kind=kind, node=node, began_s=began_s, ended_s=ended_s if ended_s <= now_s else None)
            for kind, node, began_s, ended_s in self._told
        )

    def _note(self, kind: str, node: str, lasts_s: float) -> None:
        began_s = self._cluster.now - self._origin
        if len(self._told) < _MOST_TOLD:
            self._told.append((kind, node, began_s, began_s + lasts_s))

    def _crash(self, worker: WorkerProcess, dice: random.Random) -> None:
        agenda, faults = self._cluster.agenda, self._faults
        lasts_s = dice.expovariate(1 / faults.repair_s)
        self.crashes += 1
        self._note("crash", worker.name, lasts_s)
        worker.engine.go_down(runs_end=True)
        worker.crash()

        def repaired() -> None:
            worker.engine.come_up()
            worker.start()
            agenda.after(dice.expovariate(1 / faults.crash_every_s), partial(self._crash, worker, dice))

        agenda.after(lasts_s, repaired)

    def _cut(self, worker: WorkerProcess, dice: random.Random) -> None:
        agenda, faults = self._cluster.agenda, self._faults
        lasts_s = dice.expovariate(1 / faults.cut_s)
        self.cuts += 1
        self._note("cut", worker.name, lasts_s)
        self._world.cut.add(worker.name)

        def mended() -> None:
            self._world.cut.discard(worker.name)
            agenda.after(dice.expovariate(1 / faults.cut_every_s), partial(self._cut, worker, dice))

        agenda.after(lasts_s, mended)
