"""What runs while things break: tasks that complete, that fail at first or for good, or run for ever."""

from __future__ import annotations

import minorch as mo
from tests.chaos.ledger import SAY
from tools import engine

__all__ = ["DOOMED_CODE", "ONCE", "REPLICAS", "SERVICE", "TICK_S", "batch", "doomed", "endless", "service"]

REPLICAS = 2
SERVICE = "service"
TICK_S = 0.2
DOOMED_CODE = 3
ONCE = ("once",)
"""The names of tasks that must begin once at most."""
_AGAIN = mo.RestartPolicy(mode="on-failure", attempts=None, backoff_s=0.2, max_backoff_s=1.0)
_ALWAYS = mo.RestartPolicy(mode="always", attempts=None, backoff_s=0.2, max_backoff_s=1.0)
_TICKING = f"for _i in $(seq $1); do sleep {TICK_S}; say tick; done; say end=0"


def _task(name: str, script: str, mount: mo.Mount, *words: str, **fields: object) -> mo.Task:
    fields = {"restart": _AGAIN, "stop_grace_s": 1.0, "pull": "never", **fields}
    return mo.Task(
        name,
        image=engine.IMAGE,
        command=["sh", "-c", SAY + script, "sh", *words],
        networks=["none"],
        mounts=[mount],
        resources=mo.Resources(cpu=0.1),
        **fields,  # type: ignore[arg-type]
    )


def batch(name: str, mount: mo.Mount) -> mo.Job:
    """Tasks that are to complete, whatever happens; one takes a second, one fails at its first run.

    One must begin once at most, each time that its job tries it.
    """
    stumbles = 'if [ "$MINORCH_ATTEMPT.$MINORCH_RUN" = 1.1 ]; then say end=5; exit 5; fi; say end=0'
    tasks = [
        _task("once", "say end=0", mount, on_lost="hold", restart=mo.RestartPolicy.never()),
        _task("short", "say end=0", mount),
        _task("long", _TICKING, mount, "6"),
        _task("stumbling", stumbles, mount),
    ]
    return mo.Job(name, tasks, retries=50)


def endless(name: str, mount: mo.Mount, *, stubborn: bool) -> mo.Job:
    """A task that runs until it is stopped, or even until it is killed.

    It does not exit with 0 then: an engine that is shut down in order tells its containers to end as well,
    and one that calls that a success has completed.
    """
    trap = "trap '' TERM" if stubborn else "trap 'say end=7; exit 7' TERM"
    script = f"{trap}; while :; do sleep {TICK_S}; say tick; done"
    return mo.Job(name, [_task("endless", script, mount)], retries=50)


def doomed(name: str, mount: mo.Mount) -> mo.Job:
    """A task that fails, and is not tried again."""
    script = f"say end={DOOMED_CODE}; exit {DOOMED_CODE}"
    return mo.Job(name, [_task("doomed", script, mount, restart=mo.RestartPolicy.never())])


def service(mount: mo.Mount) -> mo.Job:
    """Replicas that are to run for ever, and are checked."""
    check = mo.HealthCheck.exec(["true"], interval_s=1.0, timeout_s=2.0, threshold=2)
    script = f"while sleep {TICK_S}; do say tick; done"
    return mo.Job(
        SERVICE,
        [_task("replica", script, mount, replicas=REPLICAS, restart=_ALWAYS, health=check)],
        kind="service",
        retries=1_000_000,
    )
