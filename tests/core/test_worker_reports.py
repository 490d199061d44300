"""What a report tells, and what waits for the next one where all of it would be too much."""

from __future__ import annotations

import random

import pytest

from minorch.contracts import RunStatus
from minorch.errors import SpecError
from minorch.ids import RunKey
from minorch.messages import Assign, Assignment, Report, encode
from minorch.model import Node, RestartPolicy, Task, TaskStats
from minorch.states import Reason
from minorch.worker import Listed, ListRuns, Sampled, Seen, Start, Worker, WorkerConfig

IDS = [f"{number:032x}" for number in range(1, 8)]
NOW = 1000.0


class Played:
    """A worker whose manager and runtime are the test; each of its tasks ends with a long message."""

    def __init__(self, most_bytes: int) -> None:
        config = WorkerConfig(max_message_bytes=most_bytes, max_starting=len(IDS))
        self.worker = Worker(
            Node("n"), cluster_id="c" * 32, incarnation="i", random=random.Random(1), now=NOW, config=config
        )
        (listing,) = [a for a in self.worker.settle(NOW).actions if isinstance(a, ListRuns)]
        self.worker.observe(Listed(asked=listing.asked, statuses=()), NOW)
        self.revision, self.heard, self.now = 0, 0, NOW
        self.reports: list[Report] = []
        self.settle()

    def settle(self) -> Report | None:
        step = self.worker.settle(self.now)
        if step.report is not None:
            self.reports.append(step.report)
        for action in step.actions:
            if isinstance(action, Start):
                self.worker.observe(Seen(status=RunStatus(key=action.launch.key, phase="running")), self.now)
        return step.report

    def say(self, *entries: Assignment, heard: int | None = None) -> Report | None:
        """Have the manager say something, by which the worker knows what was heard; return the report."""
        base = self.revision
        self.revision += bool(entries)
        self.heard = self.reports[-1].sequence if heard is None else heard
        self.worker.receive(
            Assign(
                cluster_id="c" * 32,
                worker="n",
                epoch=1,
                incarnation="i",
                revision=self.revision,
                base=base or None,
                entries=entries,
                heard=self.heard,
                lease_s=60.0,
            ),
            self.now,
        )
        return self.settle()

    def begin(self) -> None:
        """Have them all run; of that the manager has not heard."""
        task, policy = Task("t", command=["x"]), RestartPolicy.never()
        self.say(*(Assignment(task_id=i, attempt=1, desired="run", task=task, restart=policy) for i in IDS))
        self.settle()

    def run_all(self) -> None:
        """Have them all run, and the manager know."""
        self.begin()
        while self.say() is not None:
            pass

    def change(self, task_id: str, number: int) -> None:
        status = RunStatus(key=RunKey(task_id, 1, 1), phase="running", handle=f"called {number}")
        self.worker.observe(Seen(status=status), self.now)

    def end(self, *task_ids: str) -> None:
        for task_id in task_ids:
            words = "no more than so many words, " * 30
            status = RunStatus(
                key=RunKey(task_id, 1, 1), phase="exited", exit_code=1, reason=Reason.EXITED, message=words
            )
            self.worker.observe(Seen(status=status), self.now)


def told(report: Report | None) -> list[str]:
    assert report is not None
    return [one.task_id for one in report.observed]


def ended(report: Report | None) -> list[str]:
    assert report is not None
    return [one.task_id for one in report.observed if one.state.terminal]


def test_what_does_not_fit_follows_when_the_first_was_heard():
    played = Played(20_000)
    played.run_all()
    played.end(*IDS)
    parts = [played.settle()]
    while (report := played.say()) is not None and report.observed:
        parts.append(report)
    assert [ended(part) for part in parts] == [IDS[:3], IDS[3:6], IDS[6:]]
    assert all(len(encode(part)) <= 20_000 for part in parts if part is not None)


def test_what_was_lost_is_told_again_and_the_rest_waits():
    played = Played(20_000)
    played.run_all()
    played.end(*IDS)
    first = played.settle()
    assert played.say(heard=played.heard) is None, "an answer that confirms nothing starts no other report"
    played.now += 3.0
    assert told(played.settle()) == told(first) == IDS[:3]
    assert told(played.say()) == IDS[3:6]


def test_one_that_changes_all_the_time_does_not_keep_the_others_from_their_turn():
    played = Played(1)
    played.run_all()
    played.change(IDS[0], 0)
    played.settle()
    played.end(IDS[6])
    reports = []
    for number in range(1, 4):
        played.change(IDS[0], number)
        reports.append(told(played.say()))
    assert [IDS[6]] in reports
    assert [IDS[0]] in reports


def test_what_has_changed_last_is_told_last():
    played = Played(20_000)
    played.begin()
    assert told(played.reports[-1]) == IDS
    played.end(*IDS[:3])
    assert told(played.settle()) == [*IDS[3:], *IDS[:2]]
    assert told(played.say()) == [IDS[2]]
    assert played.say() is None


def test_one_that_is_too_large_alone_is_told_alone():
    played = Played(1)
    played.run_all()
    played.end(*IDS[:3])
    assert [told(played.settle()), told(played.say()), told(played.say())] == [[one] for one in IDS[:3]]


def test_all_of_it_is_one_report_where_there_is_room():
    played = Played(2**25)
    played.run_all()
    played.end(*IDS)
    assert ended(played.settle()) == IDS


@pytest.mark.parametrize(("most_bytes", "each"), [(1200, 2), (2**25, 5), (100, 0)])
def test_figures_take_what_room_there_is_and_the_next_report_tells_the_others(most_bytes: int, each: int):
    played = Played(most_bytes)
    stats = TaskStats(sampled_at=NOW, cpu_s=0.5, memory=2**20, pids=1)
    keys = [RunKey(task_id, 1, 1) for task_id in IDS[:5]]
    played.worker.observe(Sampled(node=None, tasks=dict.fromkeys(keys, stats)), NOW)
    seen: list[str] = []
    for _ in range(3):
        played.now += 3.0
        report = played.settle()
        assert report is not None
        assert len(report.task_stats) <= each
        seen += [task_id for task_id, _ in report.task_stats]
    assert seen == (IDS[:5] if each else [])


@pytest.mark.parametrize("most_bytes", [0, 2**25 + 1, 1.5])
def test_room_for_nothing_or_for_more_than_is_read_is_refused(most_bytes: int):
    with pytest.raises(SpecError, match="max_message_bytes"):
        WorkerConfig(max_message_bytes=most_bytes)
