"""Cycle after cycle: work is submitted, something breaks, all must come right, and the ledger is asked."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import NamedTuple

import minorch as mo
from minorch.ids import RunKey
from minorch.state.pictures import JobInfo, TaskInfo
from tests.chaos.faults import FAULTS, UNSEEN
from tests.chaos.ledger import Verdict, judge, machine_time
from tests.chaos.load import DOOMED_CODE, ONCE, REPLICAS, SERVICE, batch, doomed, endless, service
from tests.chaos.rig import NODES, Rig, Silent

__all__ = ["Campaign", "Outcome", "order", "table"]

PATIENCE_S = 60.0
_ALIVE_S = 0.3
"""A run that is alive writes a line within this time; on a busy machine it is waited for longer."""
_QUIET_S = 1.0
"""A run that has written nothing for so long is not alive."""

_ENDS = {"doomed": mo.TaskState.FAILED, "endless": mo.TaskState.STOPPED}
"""How tasks must end that do not complete."""


class Outcome(NamedTuple):
    """What one cycle showed."""

    fault: str
    recovered_s: float
    """From the fault to all being right again, with the time that the fault lasted."""
    verdict: Verdict


class Campaign:
    """Cycles on one rig.

    Args:
        rig: what is hurt.
        random: draws when, how long and whom a fault hits.
    """

    def __init__(self, rig: Rig, random: Random) -> None:
        self._rig = rig
        self._random = random
        self._cycle = 0
        self._told: set[str] = set()
        rig.submit(service(rig.mount))
        self._await(self._wrong(since=machine_time(), jobs=()), "the service runs")

    def cycle(self, fault: str) -> Outcome:
        """Submit work, have one fault hit it, wait until all is right, and judge."""
        rig, name = self._rig, f"cycle-{self._cycle}"
        self._cycle += 1
        stubborn = self._random.random() < 0.5
        work = [
            batch(name, rig.mount),
            doomed(f"{name}-doomed", rig.mount),
            endless(f"{name}-endless", rig.mount, stubborn=stubborn),
        ]
        jobs = [rig.submit(job) for job in work]
        time.sleep(
            self._random.choice([0.0, 0.1, 0.2, 0.4, 0.8, 1.5])
        )  # most starts are in the first half second
        early = self._random.random() < 0.5  # the order to stop may meet the fault, or come after it
        if early:
            rig.ask("stop", jobs[2])
        began = machine_time()
        jobs += FAULTS[fault](rig, self._random)
        if not early:
            rig.ask("stop", jobs[2])
        self._await(self._wrong(since=machine_time(), jobs=jobs), f"all is right after {fault!r}")
        recovered_s = machine_time() - began
        infos = [rig.job(job_id) for job_id in (*jobs, SERVICE)]
        tasks = [task for info in infos for task in info.tasks]
        verdict = self._judge(tasks, unseen=fault in UNSEEN)
        for info in infos[:-1]:
            verdict.lost.extend(ill_ended(info))
        for job_id in jobs:
            rig.ask("release", job_id)
        return Outcome(fault, recovered_s, verdict)

    def finish(self) -> list[str]:
        """End the service; returns in words what is wrong then, and what is left."""
        rig = self._rig
        rig.ask("stop", rig.job(SERVICE).id)
        self._await(lambda: () if rig.job(SERVICE).state.terminal else ("it runs",), "the service stops")
        jobs: Sequence[JobInfo] = rig.ask("jobs")
        verdict = self._judge([task for job in jobs for task in job.tasks], unseen=True)
        known = {task.id for job in jobs for task in job.tasks}
        ghosts = [
            f"{run.key} ran, and is no task's"
            for run in rig.ledger.runs.values()
            if run.key.task_id not in known
        ]
        rig.ask("release", rig.job(SERVICE).id)
        return verdict.faults + ghosts + [f"left behind: {words}" for words in rig.left_behind()]

    # -- its parts -------------------------------------------------------------------------------------------

    def _judge(self, tasks: Sequence[TaskInfo], *, unseen: bool) -> Verdict:
        """Without what was told in an earlier cycle; the service is judged in each."""
        rig = self._rig
        verdict = judge(
            rig.ledger.read(), tasks, rig.losses(), unseen=unseen, once=ONCE, forgotten=rig.forgotten()
        )
        fresh = Verdict(*([words for words in words_ if words not in self._told] for words_ in verdict))
        self._told.update(*fresh)
        return fresh

    def _wrong(self, *, since: float, jobs: Iterable[str]) -> Callable[[], Sequence[str]]:
        """What is not right yet, by what is reported and by the ledger: only the service's runs may live."""
        rig = self._rig

        def ask() -> Sequence[str]:
            infos = [rig.job(job_id) for job_id in jobs]
            wrong = [
                f"{info.name} is {info.state}: {_states(info.tasks)}"
                for info in infos
                if not info.state.terminal
            ]
            wrong += [f"node {node} is not ready" for node in set(NODES) - rig.ready_nodes()]
            replicas: Sequence[TaskInfo] = rig.job(SERVICE).tasks
            current = {_key(task) for task in replicas if task.state is mo.TaskState.RUNNING}
            runs, now = rig.ledger.read(), machine_time()
            fresh = {key for key in current if key in runs and runs[key].last > since + _ALIVE_S}
            if len(fresh) < REPLICAS:
                wrong.append(f"{len(fresh)} of {REPLICAS} replicas are there: {_states(replicas)}")
            forgotten = rig.forgotten()
            wrong += [
                f"{run.key} still lives"
                for run in runs.values()
                if run.key not in current | forgotten and _lives(run.last, run.ends, now)
            ]
            return wrong

        return ask

    def _await(self, wrong: Callable[[], Sequence[str]], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while found := wrong():
            if time.monotonic() > deadline:
                words = "\n  ".join(found)
                raise Silent(f"not within {PATIENCE_S:g} s: {what}\n  {words}\n{self.evidence()}")
            time.sleep(0.1)

    def evidence(self) -> str:
        """What may help to understand a failure."""
        lines = []
        with contextlib.suppress(Silent, mo.MinorchError):
            lines += [f"  {event}" for event in self._rig.ask("events")[-40:]]
            lines += [f"  {node.name}: ready {node.ready}, {node.message}" for node in self._rig.ask("nodes")]
        for name in ("manager", *NODES):
            lines.append(f"{name} wrote:\n{self._rig.log_end(name)}")
        for node, engine in self._rig.engines.items():
            with contextlib.suppress(OSError):
                lines += [
                    f"  at {node}: {entry['Names'][0]} {entry['Status']}, {engine.state(entry['Id'])}"
                    for entry in engine.containers()
                ]
        return "\n".join(lines)


def ill_ended(info: JobInfo) -> list[str]:
    """The tasks of a cycle's job that did not end as they must."""
    wrong = []
    for task in info.tasks:
        ended = _ENDS.get(task.name, mo.TaskState.COMPLETED)
        if task.state is not ended:
            how = f"{task.state}: {task.reason} {task.exit_code} {task.message}"
            wrong.append(f"{info.name}/{task.name} should be {ended} and is {how}")
        elif task.name == "doomed" and task.reason is mo.Reason.EXITED and task.exit_code != DOOMED_CODE:
            wrong.append(f"{info.name}/{task.name} is said to have exited with {task.exit_code}")
    return wrong


def order(cycles: int, random: Random) -> list[str]:
    """Which fault hits in which cycle: each as often as the others, in random order."""
    names: list[str] = []
    while len(names) < cycles:
        names += random.sample(sorted(FAULTS), len(FAULTS))
    return names[:cycles]


def table(outcomes: Sequence[Outcome]) -> str:
    """Fault by fault, what came of it."""
    head = f"{'fault':37} {'injected':>8} {'recovered, s':>14} {'worst':>6} "
    head += f"{'lost':>5} {'doubled':>8} {'given up':>9} {'again':>6} {'beyond':>7}"
    lines = [head]
    for fault in FAULTS:
        those = [outcome for outcome in outcomes if outcome.fault == fault]
        if not those:
            continue
        took = [outcome.recovered_s for outcome in those]
        counts = [
            sum(len(outcome.verdict.lost) for outcome in those),
            sum(len(outcome.verdict.doubled) for outcome in those),
            sum(len(outcome.verdict.given_up) for outcome in those),
            sum(len(outcome.verdict.again) for outcome in those),
            sum(len(outcome.verdict.beyond) for outcome in those),
        ]
        lines.append(
            f"{fault:37} {len(those):8} {statistics.median(took):14.1f} {max(took):6.1f} "
            f"{counts[0]:5} {counts[1]:8} {counts[2]:9} {counts[3]:6} {counts[4]:7}"
        )
    return "\n".join(lines)


def _key(task: TaskInfo) -> RunKey:
    return RunKey(task.id, task.attempts[-1].number, task.attempts[-1].run)


def _lives(last: float, ends: Sequence[int], now: float) -> bool:
    return not ends and now - last < _QUIET_S


def _states(tasks: Iterable[TaskInfo]) -> str:
    return ", ".join(
        f"{task.name} {task.state} on {task.node} ({task.message}; {len(task.attempts)} attempts, "
        f"the last is {task.attempts[-1].state if task.attempts else 'none'})"
        for task in tasks
    )
