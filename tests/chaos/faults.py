"""What is done to a cluster. Each fault lasts for a while, and is undone before the function returns."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

from tests.chaos.load import batch
from tests.chaos.member import ENGINE_S, LEASE_S
from tests.chaos.rig import NODES, Rig, Silent

__all__ = ["FAULTS", "UNSEEN", "Fault"]

Fault = Callable[[Rig, Random], Sequence[str]]
"""Returns the ids of jobs that it had submitted while it was at it."""


def _engine_killed(node: str) -> Fault:
    def fault(rig: Rig, draw: Random) -> Sequence[str]:
        engine = rig.engines[node]
        engine.kill()
        time.sleep(draw.choice([0.0, 0.5, 2.0]))
        engine.start()
        return ()

    return fault


def engine_restarted(rig: Rig, draw: Random) -> Sequence[str]:
    """As an upgrade does: told to end, and started again. Without live-restore it stops what runs."""
    engine = rig.engines[draw.choice(NODES)]
    engine.terminate()
    engine.start()
    return ()


def engine_frozen(rig: Rig, draw: Random) -> Sequence[str]:
    """For longer than a call may take."""
    engine = rig.engines[draw.choice(NODES)]
    engine.freeze()
    time.sleep(ENGINE_S + draw.uniform(0.0, 1.5))
    engine.thaw()
    return ()


def engine_cut_off(rig: Rig, draw: Random) -> Sequence[str]:
    """Nothing gets to the engine, and nobody is told."""
    hole = rig.holes[draw.choice(NODES)]
    hole.swallow("silent")
    time.sleep(draw.uniform(1.0, ENGINE_S + 1.0))
    hole.heal()
    return ()


def answers_lost(rig: Rig, draw: Random) -> Sequence[str]:
    """The engine does what it is asked, and its answers are lost; also those to the question what it did."""
    hole = rig.holes[draw.choice(NODES)]
    hole.swallow("deaf")
    time.sleep(draw.choice([draw.uniform(0.5, ENGINE_S), 2 * ENGINE_S + 0.5]))
    hole.heal()
    return ()


def engine_wedged(rig: Rig, draw: Random) -> Sequence[str]:
    """It answers what it is asked, and hangs at whatever it is to do."""
    hole = rig.holes[draw.choice(NODES)]
    hole.swallow("wedged")
    time.sleep(draw.choice([1.0, ENGINE_S + 0.5, 2 * ENGINE_S + 0.5]))
    hole.heal()
    return ()


def disk_full(rig: Rig, draw: Random) -> Sequence[str]:
    """No byte is free where the engine keeps its containers."""
    engine = rig.engines[draw.choice(NODES)]
    engine.fill()
    time.sleep(draw.uniform(1.0, 3.0))
    engine.unfill()
    return ()


def manager_killed(rig: Rig, draw: Random) -> Sequence[str]:
    """And started again on its file, soon or after the workers' leases have run out."""
    assert rig.manager is not None
    rig.manager.kill()
    time.sleep(draw.choice([0.0, 0.5, LEASE_S + 1.0]))
    rig.start_manager()
    return ()


def manager_killed_while_told(rig: Rig, draw: Random) -> Sequence[str]:
    """While it takes a job in; who submitted that asks afterwards, and does it again where it must."""
    assert rig.manager is not None
    victim = rig.manager
    killer = threading.Timer(draw.uniform(0.0, 0.03), victim.kill)
    killer.start()
    name = f"told-{draw.getrandbits(32):08x}"
    told: list[str] = []
    with contextlib.suppress(Silent):
        told.append(str(rig.ask("submit", batch(name, rig.mount))))
    killer.join()
    rig.start_manager()
    known = [str(info.id) for info in rig.ask("jobs") if info.name == name]
    if told and known != told:
        raise Silent(f"the job {name} was accepted as {told}, and the next manager knows {known}")
    return known or [rig.submit(batch(name, rig.mount))]


def worker_killed(rig: Rig, draw: Random) -> Sequence[str]:
    """And started again at once: what runs is found and goes on."""
    node = draw.choice(NODES)
    rig.workers[node].kill()
    time.sleep(draw.choice([0.0, 0.5]))
    rig.start_worker(node)
    return ()


def worker_away(rig: Rig, draw: Random) -> Sequence[str]:
    """Killed, and back only when the manager has given its node up."""
    node = draw.choice(NODES)
    rig.workers[node].kill()
    time.sleep(LEASE_S + draw.uniform(0.5, 1.5))
    rig.start_worker(node)
    return ()


def worker_frozen(rig: Rig, draw: Random) -> Sequence[str]:
    """For longer than its lease; when it goes on it does not know that it was away."""
    worker = rig.workers[draw.choice(NODES)]
    worker.freeze()
    time.sleep(LEASE_S + draw.uniform(0.5, 1.5))
    worker.thaw()
    return ()


def containers_paused(rig: Rig, draw: Random) -> Sequence[str]:
    """For a while; a check may find out and have a container replaced, or it goes on as if nothing were.

    Where one is killed and unpaused at once, Engine 20.10 may hang over it for ever; then it is restarted.
    """
    chosen = _some(rig, draw)
    for node, container_id in chosen:
        rig.engines[node].do("POST", container_id, "/pause")
    time.sleep(draw.choice([0.5, 4.0]))
    for node, container_id in chosen:
        if not rig.engines[node].do("POST", container_id, "/unpause"):
            rig.engines[node].kill()
            rig.engines[node].start()
    return ()


def _some(rig: Rig, draw: Random) -> list[tuple[str, str]]:
    """Two containers that run, if there are so many: nodes and ids."""
    running = [
        (node, entry["Id"]) for node in NODES for entry in rig.engines[node].containers(status=["running"])
    ]
    return draw.sample(running, min(2, len(running)))


def _from_outside(method: str, action: str) -> Fault:
    def fault(rig: Rig, draw: Random) -> Sequence[str]:
        for node, container_id in _some(rig, draw):
            rig.engines[node].do(method, container_id, action)
        return ()

    return fault


FAULTS: Final[Mapping[str, Fault]] = {
    "engine killed, live-restore on": _engine_killed("kept"),
    "engine killed, live-restore off": _engine_killed("ended"),
    "engine restarted in order": engine_restarted,
    "engine frozen": engine_frozen,
    "engine cut off": engine_cut_off,
    "engine's answers lost": answers_lost,
    "engine wedged": engine_wedged,
    "engine's disk full": disk_full,
    "manager killed": manager_killed,
    "manager killed over a new job": manager_killed_while_told,
    "worker killed": worker_killed,
    "worker killed, back after its lease": worker_away,
    "worker frozen past its lease": worker_frozen,
    "containers killed": _from_outside("POST", "/kill"),
    "containers removed": _from_outside("DELETE", "?force=1"),
    "containers paused": containers_paused,
}
"""By the names under which the table has them."""

UNSEEN: Final = frozenset(
    {
        "engine killed, live-restore off",
        # Measured without minorch: of 28 containers that ended around such a kill, 3 had exit code 255
        # afterwards although they had ended well, and 1 was said never to have been started; of 182 whose
        # start an engine that was killed or told to end did not answer, 1 had run and was said not to have.
        "engine killed, live-restore on",
        "engine restarted in order",
        "containers killed",
        "containers removed",
        "containers paused",  # only where the engine has to be restarted
    }
)
"""Those that may hit a container between its last word and its end, or take away how it ended, or that it
began."""
