"""Whatever happened before, index and scan place the same; no node is given too much; gangs stay whole."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import msgspec
import pytest

from minorch.model import Affinity, Port, SpreadOver, Task
from minorch.resources import Resources
from minorch.schedulers import EPVM, BinPack, LeastLoaded, RandomChoice, RoundRobin, Spread
from minorch.scheduling import Board, ClusterView, FunctionScheduler, NodeView, Scheduler, TaskView, make_plan
from minorch.scheduling.filters import refusal, selects
from minorch.scheduling.preemption import Resident
from minorch.state.shape import TaskGroup, group_of, shape_of
from minorch.testing.builders import node, stats

JOBS = ["red", "blue", "green"]
NAMES = ["web", "cache", "db"]

STRATEGIES: dict[str, Callable[[], Scheduler]] = {
    "first": Scheduler,
    "least-loaded": LeastLoaded,
    "bin-pack": BinPack,
    "spread": Spread,
    "epvm": EPVM,
    "epvm-paper": lambda: EPVM(terms="paper"),
    "round-robin": RoundRobin,
    "random": RandomChoice,
    "sample": lambda: BinPack(sample=2),
    "function": lambda: FunctionScheduler(lambda task, there: there.tasks % 3),
}


class _Job:
    """A job as the tables keep it: what its tasks are to others, and their shapes."""

    def __init__(self, draw: random.Random, job_id: str, name: str, specs: Sequence[Task]) -> None:
        self.id, self.name, self.specs = job_id, name, specs
        social = any(spec.affinity or spec.spread_over for spec in specs)
        self.groups = [group_of(spec, job_id=job_id, job=name) for spec in specs]
        self.shapes = [shape_of(spec, job_id=job_id if social else None) for spec in specs]
        self.priority = draw.choice([0, 0, 5])


class History:
    """What happens to a cluster, as drawn from a seed, played on two boards at once."""

    def __init__(self, seed: int, make: Callable[[], Scheduler]) -> None:
        self.draw = random.Random(seed)
        self.boards = (Board(indexed=True), Board(indexed=False))
        self.schedulers = (make(), make())
        self.randoms = (random.Random(seed), random.Random(seed))
        shared = [self._spec(name, social=self.draw.random() < 0.3) for name in NAMES]
        own = [self._spec(name) for name in NAMES]
        self.jobs = [_Job(self.draw, job, job, self.draw.choice([shared, shared, own])) for job in JOBS]
        self.waiting: list[TaskView] = []
        self.placed: dict[str, tuple[TaskView, int]] = {}
        self.turn = 0
        self.order = 0
        self.preempting = self.draw.random() < 0.5
        self.gangs: dict[str, int] = {}

    @property
    def board(self) -> Board:
        return self.boards[0]

    def go(self, turns: int = 40) -> None:
        for _ in range(3):
            self._join()
        for self.turn in range(turns):
            self._happen()
            self._plan()

    # -- what happens -------------------------------------------------------------------------

    def _happen(self) -> None:
        draw = self.draw
        match draw.choice(["submit"] * 5 + ["end"] * 4 + ["join", "look", "look", "look", "hold", "stop"]):
            case "submit":
                self._submit()
            case "end" if self.placed:
                for task_id in draw.sample(sorted(self.placed), min(len(self.placed), draw.choice([1, 3]))):
                    task, at = self.placed.pop(task_id)
                    self._update(self.board.nodes[at].without_task(task))
            case "join" if len(self.board.nodes) < 8:
                self._join()
            case "hold" if self.waiting:
                self._keep(draw.choice(self.waiting), draw.choice(self.board.nodes))
            case "stop" if self.waiting:
                self.waiting.remove(draw.choice(self.waiting))
            case _:
                self._look(draw.choice(self.board.nodes))

    def _update(self, view: NodeView) -> None:
        for board in self.boards:
            board.update(view)

    def _join(self) -> None:
        at = len(self.board.nodes)
        self._update(msgspec.structs.replace(self._machine(f"n{at}"), index=at))

    def _machine(self, name: str) -> NodeView:
        draw = self.draw
        labels = {"zone": draw.choice("ab")} if draw.random() < 0.8 else {}
        return node(
            name,
            cpu=draw.choice([0, 1, 4, 8]),
            memory=draw.choice([0, "1GiB", "8GiB"]),
            gpu=draw.choice([0, 0, 2]),
            labels=labels,
            taints=draw.choice([(), (), ("slow",)]),
            max_tasks=draw.choice([0, 2, 5, 100]),
        )

    def _look(self, view: NodeView) -> None:
        """A node fails, returns, is cordoned or measured, or says something else of itself."""
        draw = self.draw
        change: dict[str, object] = {
            "ready": {"ready": not view.ready},
            "cordoned": {"cordoned": not view.cordoned},
            "stats": {"stats": stats(cpu=draw.random())},
            "node": {"node": self._machine(view.name).node},
            "released": {"held_for": ""},
        }[draw.choice(["ready", "cordoned", "stats", "node", "released"])]
        self._update(msgspec.structs.replace(view, **change))

    def _keep(self, task: TaskView, view: NodeView) -> None:
        if task.gang or task.kept_node >= 0 or view.held_for:
            return
        self._update(msgspec.structs.replace(view, held_for=task.id))
        self.waiting[self.waiting.index(task)] = msgspec.structs.replace(task, kept_node=view.index)

    # -- tasks --------------------------------------------------------------------------------

    def _spec(self, name: str, *, social: bool = True) -> Task:
        draw = self.draw

        def maybe(share: float, value: object, other: object = ()) -> object:
            return value if draw.random() < share else other

        about: dict[str, object] = draw.choice(
            [
                {"job": draw.choice(JOBS)},
                {"task": draw.choice(NAMES)},
                {"labels": {"tier": draw.choice("xy")}},
                {},
            ]
        )
        make = draw.choice([Affinity.near, Affinity.apart, Affinity.apart])
        affinity = make(
            topology=draw.choice(["node", "node", "zone"]), weight=draw.choice([None, 5]), **about
        )
        return Task(
            name,
            command=["x"],
            resources=Resources(
                cpu=draw.choice([0, 0.5, 1, 4]),
                memory=draw.choice([0, "1GiB"]),
                gpu=draw.choice([0, 0, 0, 1]),
            ),
            labels=maybe(0.5, {"tier": draw.choice("xy")}, {}),  # type: ignore[arg-type]
            affinity=maybe(0.4 * social, [affinity]),  # type: ignore[arg-type]
            spread_over=maybe(
                0.2 * social, [SpreadOver(draw.choice(["zone", "node"]), weight=draw.choice([None, 3]))]
            ),  # type: ignore[arg-type]
            preferences=maybe(0.2, {"zone == a": 2, "node.name == n1": 1}, {}),  # type: ignore[arg-type]
            constraints=maybe(0.2, [draw.choice(["zone == a", "zone != a", "node.name in n0, n2"])]),  # type: ignore[arg-type]
            tolerations=maybe(0.5, ["slow"]),  # type: ignore[arg-type]
            ports=maybe(0.2, [Port(80, host=draw.choice([8080, 9090]))]),  # type: ignore[arg-type]
        )

    def _submit(self) -> None:
        draw = self.draw
        if draw.random() < 0.2:
            name = f"gang-{self.order}"
            job = _Job(draw, name, draw.choice([name, *JOBS]), [self._spec(name) for name in NAMES])
            members = [draw.randrange(len(NAMES)) for _ in range(draw.randint(2, 4))]
            self.gangs[job.id] = len(members)
            self.waiting += [self._view(job, at, gang=job.id) for at in members]
        else:
            job, at = draw.choice(self.jobs), draw.randrange(len(NAMES))
            self.waiting += [self._view(job, at) for _ in range(draw.choice([1, 1, 3]))]

    def _view(self, job: _Job, at: int, gang: str = "") -> TaskView:
        self.order += 1
        avoid = [view.name for view in self.board.nodes if self.draw.random() < 0.1]
        return TaskView(
            id=f"{self.order:032x}",
            name=job.specs[at].name,
            job_id=job.id,
            job=job.name,
            task=job.specs[at],
            priority=job.priority,
            submitted_at=float(self.turn),
            order=self.order,
            gang=gang,
            group=job.groups[at],
            shape=job.shapes[at],
            avoid=frozenset(avoid),
        )

    # -- plans --------------------------------------------------------------------------------

    def _lines(self) -> list[list[TaskView]]:
        """The waiting tasks as the manager gives them to a plan."""
        lines: dict[object, list[TaskView]] = {}
        for task in sorted(self.waiting, key=lambda task: task.order):
            kept = task.id if task.kept_node >= 0 else None
            lines.setdefault((task.gang or task.shape, task.priority, kept), []).append(task)
        return list(lines.values())

    def _residents(self, view: NodeView) -> list[Resident]:
        return [
            Resident(task=task, priority=task.priority, since=float(task.order))
            for task, at in self.placed.values()
            if at == view.index
        ]

    def _plan(self) -> None:
        before = list(self.board.nodes)
        plans = [
            make_plan(
                ClusterView(nodes=board.nodes, now=float(self.turn), random=source),
                self._lines(),
                scheduler,
                board=board,
                ageing_s=3.0,
                residents=self._residents if self.preempting else None,
            )
            for board, scheduler, source in zip(self.boards, self.schedulers, self.randoms, strict=True)
        ]
        told = [
            (
                [(p.task.id, p.node, p.cost) for p in plan.placements],
                [task.id for task in plan.waiting],
                [str(preemption) for preemption in plan.preemptions],
                dict(plan.broken),
            )
            for plan in plans
        ]
        assert told[0] == told[1], f"turn {self.turn}"
        assert not plans[0].broken
        views = {view.name: view for view in before}
        begun: dict[str, int] = {}
        waiting = {task.id: task for task in self.waiting}
        for placement in plans[0].placements:
            task, view = placement.task, views[placement.node]
            assert refusal(task, view) is None, (self.turn, task, view)
            views[placement.node] = view.with_task(task)
            begun[task.gang] = begun.get(task.gang, 0) + 1
            self.placed[task.id] = (task, view.index)
            del waiting[task.id]
            if task.kept_node >= 0:
                self._update(msgspec.structs.replace(self.board.nodes[task.kept_node], held_for=""))
        for gang, count in begun.items():
            left = [task.id for task in waiting.values() if task.gang == gang]
            assert not gang or not left, f"{count} of gang {gang}, without {left}"
        self.waiting = list(waiting.values())
        for preemption in plans[0].preemptions:
            at = self.board.named(preemption.node).index
            task = waiting[preemption.task.id]
            self.waiting[self.waiting.index(task)] = msgspec.structs.replace(task, kept_node=at)
            for victim in preemption.victims:
                del self.placed[victim.task.id]
                self._update(self.board.nodes[at].without_task(victim.task))
        self._check_apart()

    def _check_apart(self) -> None:
        for view in self.board.nodes:
            tasks = [task for task, at in self.placed.values() if at == view.index]
            groups: dict[TaskGroup, int] = {}
            for task in tasks:
                groups[task.group] = groups.get(task.group, 0) + 1
            assert view.groups == groups
            assert view.tasks == len(tasks)
            for group, count in groups.items():
                for wish in group.apart:
                    for other in groups:
                        if wish.topology == "node" and (other is not group or count > 1):
                            assert not selects(wish, group.job_id, other), (view.name, group, other)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("tens", range(4))
def test_index_and_scan_place_the_same_and_no_rule_is_broken(strategy: str, tens: int):
    for seed in range(10 * tens, 10 * tens + 10):
        try:
            History(seed, STRATEGIES[strategy]).go()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


@pytest.mark.parametrize("indexed", [True, False])
def test_whom_another_must_be_apart_from_does_not_speak_for_its_shape(indexed: bool):
    board = Board([node("a")], indexed=indexed)

    def place(job: str, **fields: object) -> list[str]:
        spec = Task("task", command=["x"], **fields)  # type: ignore[arg-type]
        task = TaskView(id=job, name="task", job_id=job, job=job, task=spec)
        cluster = ClusterView(nodes=board.nodes, now=0.0, random=random.Random(0))
        plan = make_plan(cluster, [[task]], BinPack(), board=board)
        for placement in plan.placements:
            if job == "web":
                board.update(board.named(placement.node).without_task(task))
        return [placement.node for placement in plan.placements]

    ports = [Port(80, host=8080)]
    assert place("web", ports=ports) == ["a"]
    assert place("picky", affinity=[Affinity.apart(job="web")]) == ["a"]
    assert place("web", ports=ports) == []
    assert place("db", ports=ports) == ["a"]
