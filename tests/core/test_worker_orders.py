"""Which orders a worker takes."""

from __future__ import annotations

import random

from minorch.messages import Assign, Assignment
from minorch.model import Node, RestartPolicy, Task
from minorch.worker import Listed, ListRuns, Start, Worker

CLUSTER = "c" * 32
TASK = "a" * 32
NOW = 1000.0


def worker(incarnation: str = "first", *, listed: bool = True) -> Worker:
    made = Worker(Node("n"), cluster_id=CLUSTER, incarnation=incarnation, random=random.Random(1), now=NOW)
    if listed:
        (listing,) = [a for a in made.settle(NOW).actions if isinstance(a, ListRuns)]
        made.observe(Listed(asked=listing.asked, statuses=()), NOW)
        made.settle(NOW)
    return made


def run(task_id: str = TASK, attempt: int = 1) -> Assignment:
    return Assignment(
        task_id=task_id,
        attempt=attempt,
        desired="run",
        task=Task("t", command=["x"]),
        restart=RestartPolicy.never(),
    )


def assign(*entries: Assignment, revision: int = 1, **fields: object) -> Assign:
    given = {"cluster_id": CLUSTER, "worker": "n", "epoch": 1, "incarnation": "first", **fields}
    return Assign(revision=revision, entries=entries, **given)  # type: ignore[arg-type]


def starts(made: Worker) -> list[Start]:
    return [action for action in made.settle(NOW).actions if isinstance(action, Start)]


def test_an_order_for_an_earlier_incarnation_starts_nothing():
    made = worker("second")
    made.receive(assign(run()), NOW)
    assert starts(made) == []
    made.receive(assign(run(), incarnation="second"), NOW)
    assert len(starts(made)) == 1
