"""What every strategy must do, as tests: subclass :class:`SchedulerContract` and give it your strategy.

::

    class TestMyScheduler(SchedulerContract):
        def make_scheduler(self):
            return MyScheduler()

Needs pytest and hypothesis.  The built-in strategies pass the same tests.  Each begins with an awkward
cluster, so that what usually goes wrong is found for certain.  Then Hypothesis draws clusters of up to six
nodes, some of them full, lost, without stats or without any capacity, and tasks of two jobs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

import msgspec
from hypothesis import HealthCheck, Phase, example, given, settings, strategies as st

from minorch.errors import PluginError
from minorch.resources import Resources
from minorch.scheduling import Board, ClusterView, NodeView, Plan, Scheduler, TaskView, make_plan
from minorch.scheduling.filters import refusal
from minorch.scheduling.plan import ask
from minorch.testing import builders

__all__ = ["SchedulerContract"]

_Views = TypeVar("_Views")

_JOBS: Final = ("red", "blue")
_MEMORY: Final[list[int | str]] = [0, 1, "64MiB", "8GiB", "100TiB"]
_DISK: Final[list[int | str]] = [0, "1TiB"]


def _some_node(random: Random) -> NodeView:
    """A node of some size, used to some extent."""
    capacity = Resources(
        cpu=random.choice([0, 0.1, 1, 4, 64]),
        memory=random.choice(_MEMORY),
        disk=random.choice(_DISK),
        gpu=random.choice([0, 0, 2]),
    )
    quarters = random.randrange(5)
    own = {builders.identity(job): random.randrange(1, 3) for job in _JOBS if random.random() < 0.5}
    max_tasks = random.choice([100, 100, 1_000_000, 4, 0])
    measured = builders.stats(cpu=random.random(), memory=random.random(), disk=random.random())
    return builders.node(
        "node",
        cpu=capacity.cpu,
        memory=capacity.memory,
        disk=capacity.disk,
        gpu=capacity.custom.get("gpu", 0),
        reserved=Resources.of(
            capacity.cpu_millis * quarters // 4,
            capacity.memory * quarters // 4,
            capacity.disk * quarters // 4,
            {name: amount * quarters // 4 for name, amount in capacity.custom_millis.items() if quarters},
        ),
        tasks=min(max_tasks, sum(own.values())),
        job_tasks=own,
        stats=random.choice([None, measured]),
        ready=random.random() < 0.8,
        cordoned=random.random() < 0.2,
        max_tasks=max_tasks,
    )


# Drawn from a stock, because to draw each figure by itself takes Hypothesis ten times as long.
_node: Final = st.sampled_from([builders.node("node"), *(_some_node(Random(at)) for at in range(300))])
_task: Final = st.sampled_from(
    [
        builders.task(cpu=cpu, memory=memory, disk=disk, gpu=gpu, job=job)
        for cpu in (0, 0.001, 0.5, 1, 4)
        for memory in (0, 1, "64MiB", "1GiB")
        for disk in (0, "1GiB")
        for gpu in (0, 1)
        for job in _JOBS
    ]
)


def _named(nodes: Sequence[NodeView], seed: int = 0) -> ClusterView:
    """The nodes as a cluster, each with a name of its own, and nothing shared with the stock."""
    return builders.cluster(
        [
            msgspec.structs.replace(
                view,
                node=msgspec.structs.replace(view.node, name=f"n{at}"),
                job_tasks=dict(view.job_tasks),
            )
            for at, view in enumerate(nodes)
        ],
        seed=seed,
    )


def _in_turn(tasks: Sequence[TaskView]) -> list[list[TaskView]]:
    """The tasks as groups of one, each with an id and a turn of its own."""
    return [
        [msgspec.structs.replace(task, id=builders.identity(f"{at}"), name=f"task[{at}]", order=at)]
        for at, task in enumerate(tasks)
    ]


_clusters: Final = st.builds(_named, st.lists(_node, min_size=1, max_size=6), seed=st.integers(0, 99))
_groups: Final = st.lists(_task, min_size=1, max_size=8).map(_in_turn)

# What usually goes wrong, and is tried first, so that it is found for certain and not by luck.
_RED, _BLUE = (builders.identity(job) for job in _JOBS)
_AWKWARD: Final = [
    builders.node("nothing", cpu=0, memory=0),
    builders.node("old", tasks=3, job_tasks={_RED: 2, _BLUE: 1}, reserved=Resources(cpu=3, memory="4GiB")),
    builders.node("measured", stats=builders.stats(cpu=0.9, memory=0.5, disk=0.1)),
    builders.node("full", tasks=1, max_tasks=1, job_tasks={_BLUE: 1}, reserved=Resources(cpu=4)),
    builders.node("lost", ready=False),
    builders.node("roomy", cpu=64, memory="8GiB", gpu=2, tasks=1, job_tasks={_RED: 1}),
]
_PLAIN: Final = [builders.node("plain") for _ in _AWKWARD]
_TASKS: Final = [
    *(builders.task(job=job) for job in _JOBS),
    builders.task(cpu=1, memory="1GiB", job="red"),
    builders.task(gpu=1, job="blue"),
    builders.task(cpu=999, job="red"),
]

_examples: Final = settings(
    deadline=None,
    max_examples=50,
    phases=[phase for phase in Phase if phase is not Phase.explain],  # which takes longer than all others
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)


_Step = tuple[str, int, TaskView, NodeView]
"""What happens, to the how-manieth node or placement, with which task, with which new look of the node."""

_step: Final = st.tuples(
    st.sampled_from(["place", "place", "place", "end", "change", "join"]), st.integers(0, 99), _task, _node
)
_histories: Final = st.lists(_step, min_size=1, max_size=20)
_LONG_HISTORY: Final = [
    (what, 7 * at, _TASKS[at % len(_TASKS)], _AWKWARD[at % len(_AWKWARD)])
    for at, what in enumerate(["place", "place", "end", "place", "change", "place", "join", "place"] * 6)
]


def _replay(scheduler: Scheduler, board: Board, history: Sequence[_Step]) -> list[tuple[str, str, float]]:
    """Play a history on a board and return what was placed where, at what cost."""
    random = Random(0)
    decisions: list[tuple[str, str, float]] = []
    placed: list[tuple[TaskView, int]] = []
    for turn, (what, which, task, look) in enumerate(history):
        if what == "place":
            name = f"t{turn}"
            named = msgspec.structs.replace(task, id=builders.identity(name), name=name, order=turn)
            view = ClusterView(nodes=board.nodes, now=float(turn), random=random)
            plan = _sound(make_plan(view, [[named]], scheduler, board=board))
            decisions += _decisions(plan)
            placed += [(named, board.named(placement.node).index) for placement in plan.placements]
        elif what == "end" and placed:
            ended, at = placed.pop(which % len(placed))
            board.update(board.nodes[at].without_task(ended))
        elif what in ("change", "join"):
            at = len(board.nodes) if what == "join" else which % len(board.nodes)
            name = f"n{at}"
            placed = [(task, there) for task, there in placed if there != at]  # it is as new
            node = msgspec.structs.replace(look.node, name=name)
            board.update(msgspec.structs.replace(look, index=at, node=node, job_tasks=dict(look.job_tasks)))
    return decisions


def _first_difference(one: Sequence[object], other: Sequence[object]) -> str:
    for at, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return f"they part at decision {at}: {mine} by index, {theirs} by scan"
    return f"{len(one)} decisions by index, {len(other)} by scan"


class SchedulerContract:
    """The tests; pytest finds them in your subclass, if its name begins with ``Test``."""

    def make_scheduler(self) -> Scheduler:
        """Return a new strategy, made with the same options each time."""
        raise NotImplementedError

    def test_it_is_a_scheduler_and_says_what_its_costs_depend_on(self) -> None:
        """It derives from ``minorch.Scheduler``; ``depends_on`` is one of the three words."""
        scheduler = self.make_scheduler()
        assert isinstance(scheduler, Scheduler), f"{scheduler!r} is no minorch.Scheduler"
        known = ("node", "job", "anything")
        assert scheduler.depends_on in known, f"depends_on is {scheduler.depends_on!r}, none of {known}"

    @_examples
    @given(cluster=_clusters, task=_task)
    @example(cluster=_named(_AWKWARD), task=_TASKS[0])
    def test_it_picks_one_of_the_nodes_it_is_offered_at_a_finite_cost(
        self, cluster: ClusterView, task: TaskView
    ) -> None:
        """Whatever the nodes look like."""
        cluster, task = _own((cluster, task))
        cluster = _named([*cluster.nodes, builders.node("roomy", disk="1TiB", gpu=1)])
        offered = [view for view in cluster.nodes if refusal(task, view) is None]
        scheduler = self.make_scheduler()
        scheduler.begin(cluster)
        try:
            node, cost = ask(scheduler, task, offered)
        except PluginError as error:
            raise AssertionError(str(error)) from error
        assert any(node is view for view in offered)
        assert math.isfinite(cost)

    @_examples
    @given(cluster=_clusters, groups=_groups)
    @example(cluster=_named(_AWKWARD), groups=_in_turn(_TASKS))
    def test_every_task_is_placed_unless_it_fits_nowhere(
        self, cluster: ClusterView, groups: list[list[TaskView]]
    ) -> None:
        """No task is spoilt by the strategy."""
        cluster, groups = _own((cluster, groups))
        plan = self._plan(cluster, groups)
        known = {placement.task.id for placement in plan.placements} | plan.blocked.keys()
        assert known == {task.id for group in groups for task in group}

    @_examples
    @given(cluster=_clusters, groups=_groups)
    @example(cluster=_named(_AWKWARD), groups=_in_turn(_TASKS))
    def test_no_node_is_given_more_than_it_holds(
        self, cluster: ClusterView, groups: list[list[TaskView]]
    ) -> None:
        """Placed one after the other, each task still fits."""
        cluster, groups = _own((cluster, groups))
        views = {view.name: view for view in cluster.nodes}
        for placement in self._plan(cluster, groups).placements:
            objection = refusal(placement.task, views[placement.node])
            assert objection is None, f"{placement.node} cannot take {placement.task.name}: {objection}"
            views[placement.node] = views[placement.node].with_task(placement.task)

    @_examples
    @given(nodes=st.lists(_node, min_size=1, max_size=6), groups=_groups, seed=st.integers(0, 99))
    @example(nodes=_AWKWARD, groups=_in_turn(_TASKS), seed=0)
    def test_the_same_views_and_seed_give_the_same_plan(
        self, nodes: list[NodeView], groups: list[list[TaskView]], seed: int
    ) -> None:
        """From two strategies made alike, so there is no clock and no chance but the view's."""
        nodes, groups = _own((nodes, groups))
        one, other = (self._plan(_named(nodes, seed), groups) for _ in range(2))
        assert _decisions(one) == _decisions(other)

    @_examples
    @given(cluster=_clusters, groups=_groups)
    @example(cluster=_named(_AWKWARD), groups=_in_turn(_TASKS))
    def test_it_changes_no_view(self, cluster: ClusterView, groups: list[list[TaskView]]) -> None:
        """Neither the nodes nor the tasks, nor anything in them."""
        cluster, groups = _own((cluster, groups))
        views = [*cluster.nodes, *(task for group in groups for task in group)]
        before = [msgspec.structs.astuple(copy.deepcopy(view)) for view in views]
        self._plan(cluster, groups)
        assert [msgspec.structs.astuple(view) for view in views] == before

    def test_a_single_node_gets_everything_that_fits(self) -> None:
        """Also what asks for nothing."""
        tasks = [builders.task(), builders.task(cpu=1, memory="1GiB")]
        plan = self._plan(_named([builders.node("only")]), _in_turn(tasks))
        assert [placement.node for placement in plan.placements] == ["n0", "n0"]

    def test_tasks_that_ask_for_nothing_go_to_nodes_that_have_nothing(self) -> None:
        """A dimension of which a node has nothing divides by nothing."""
        nodes = [builders.node("none", cpu=0, memory=0) for _ in range(3)]
        plan = self._plan(_named(nodes), _in_turn([builders.task()] * 3))
        assert len(plan.placements) == 3

    def test_without_nodes_every_task_waits(self) -> None:
        """And nothing raises, also not a beginning without nodes."""
        self.make_scheduler().begin(_named([]))
        plan = self._plan(_named([]), _in_turn([builders.task()]))
        assert not plan.placements
        assert len(plan.blocked) == 1

    @_examples
    @given(turns=st.lists(st.tuples(_clusters, _groups), min_size=2, max_size=4))
    @example(
        turns=[(_named(_PLAIN[:2]), _in_turn(_TASKS)), (_named(_AWKWARD), _in_turn(_TASKS)), (_named([]), [])]
    )
    def test_nodes_may_come_and_go_between_plans(
        self, turns: list[tuple[ClusterView, list[list[TaskView]]]]
    ) -> None:
        """One strategy makes plan after plan for clusters of different size."""
        scheduler = self.make_scheduler()
        for cluster, groups in _own(turns):
            _sound(make_plan(cluster, groups, scheduler))
        for size in (1, 8, 2):
            cluster = _named([builders.node("roomy")] * size)
            _sound(make_plan(cluster, _in_turn([builders.task()] * 2), scheduler))

    @_examples
    @given(
        cluster=_clusters,
        others=st.lists(_node, min_size=6, max_size=6),
        task=_task,
        at=st.integers(0, 5),
    )
    @example(cluster=_named(_AWKWARD), others=_PLAIN, task=_TASKS[0], at=1)
    def test_costs_depend_only_on_what_it_says(
        self, cluster: ClusterView, others: list[NodeView], task: TaskView, at: int
    ) -> None:
        """With ``node`` or ``job``: not on other nodes, other jobs, the task's name, other candidates."""
        cluster, others, task = _own((cluster, others, task))
        scheduler = self.make_scheduler()
        if scheduler.depends_on == "anything":
            return
        own_job = scheduler.depends_on == "job"
        node = cluster.nodes[at % len(cluster.nodes)]
        scheduler.begin(cluster)
        cost = _cost(scheduler, task, node)
        together = scheduler.score(task, cluster.nodes)[node.index]
        assert together == cost, f"{cost!r} alone but {together!r} beside the other nodes"

        twin = msgspec.structs.replace(task, id=builders.identity("twin"), name="its-twin", order=9)
        if not own_job:
            twin = msgspec.structs.replace(twin, job_id=builders.identity("green"), job="green")
        assert _cost(scheduler, twin, node) == cost, "another task of the same shape costs something else"

        moved = msgspec.structs.replace(
            node, index=node.index + 7, node=msgspec.structs.replace(node.node, name="another")
        )
        assert _cost(scheduler, task, moved) == cost, "it depends on the node's name or index"

        renamed = msgspec.structs.replace(node, job_tasks=_renamed(node, task.job_id if own_job else None))
        assert _cost(scheduler, task, renamed) == cost, "it depends on which other jobs the node has tasks of"

        changed = [
            view if view is node else _with_job(other, view, task.job_id) if own_job else other
            for view, other in zip(cluster.nodes, others, strict=False)
        ]
        elsewhere, generation = _named(changed), scheduler.generation
        scheduler.begin(elsewhere)
        for view in elsewhere.nodes:
            if view.index != node.index:
                stranger = builders.task("stranger", job="green")
                scheduler.placed(stranger, view.with_task(stranger))
        if scheduler.generation != generation:  # it says that what it gave before does not hold any more
            return
        after = _cost(scheduler, task, elsewhere.nodes[node.index])
        assert after == cost, f"{cost!r}, but {after!r} when only other nodes differ"

    @_examples
    @given(cluster=_clusters, task=_task, at=st.integers(0, 5))
    @example(cluster=_named(_AWKWARD), task=_TASKS[0], at=0)
    def test_a_cost_is_the_sum_of_its_parts(self, cluster: ClusterView, task: TaskView, at: int) -> None:
        """What people are told when they ask why; they ask a copy, so that a question changes nothing."""
        cluster, task = _own((cluster, task))
        scheduler = copy.deepcopy(self.make_scheduler())
        scheduler.begin(cluster)
        node = cluster.nodes[at % len(cluster.nodes)]
        parts, cost = scheduler.parts(task, node), _cost(scheduler, task, node)
        assert all(isinstance(name, str) for name in parts), f"the names of {parts!r} are not all text"
        total = math.fsum(parts.values())
        assert math.isclose(total, cost, rel_tol=1e-6, abs_tol=1e-6), f"{cost!r}, but its parts are {parts!r}"

    @_examples
    @given(cluster=_clusters, task=_task)
    @example(cluster=_named(_AWKWARD), task=_TASKS[0])
    def test_with_such_a_promise_the_cheapest_node_of_all_is_picked(
        self, cluster: ClusterView, task: TaskView
    ) -> None:
        """With ``node`` or ``job``: an index may answer instead, so candidates and pick stay the default."""
        cluster, task = _own((cluster, task))
        scheduler = self.make_scheduler()
        if scheduler.depends_on == "anything":
            return
        scheduler.begin(cluster)
        assert list(scheduler.candidates(task, cluster.nodes)) == list(cluster.nodes), "some are left out"
        costs = scheduler.score(task, cluster.nodes)
        chosen = scheduler.pick(task, cluster.nodes, costs)
        cheapest = min(cluster.nodes, key=lambda view: (costs[view.index], view.index))
        assert chosen is cheapest, f"{chosen.name} was picked, but {cheapest.name} is the cheapest"

    @_examples
    @given(nodes=st.lists(_node, min_size=1, max_size=6), history=_histories)
    @example(nodes=_AWKWARD, history=_LONG_HISTORY)
    def test_an_index_and_a_scan_place_the_same(
        self, nodes: list[NodeView], history: Sequence[_Step]
    ) -> None:
        """Whatever happened before: tasks end, nodes fill, change, fail and join.

        A promise in ``depends_on`` that is not kept shows here, as does a ``generation`` that is not raised.
        """
        nodes = _own(nodes)
        indexed = _replay(self.make_scheduler(), Board(_named(nodes).nodes), history)
        scanned = _replay(self.make_scheduler(), Board(_named(nodes).nodes, indexed=False), history)
        assert indexed == scanned, _first_difference(indexed, scanned)

    def _plan(self, cluster: ClusterView, groups: list[list[TaskView]]) -> Plan:
        """A plan by a new strategy, which must not have broken its contract."""
        return _sound(make_plan(cluster, groups, self.make_scheduler()))


def _own(views: _Views) -> _Views:
    """A copy: the examples tried first serve many strategies, and one may change what it is given."""
    return copy.deepcopy(views)


def _sound(plan: Plan) -> Plan:
    assert not plan.broken, "\n".join(plan.broken.values())
    return plan


def _decisions(plan: Plan) -> list[tuple[str, str, float]]:
    return [(placement.task.id, placement.node, placement.cost) for placement in plan.placements]


def _cost(scheduler: Scheduler, task: TaskView, node: NodeView) -> float:
    return scheduler.score(task, [node])[0]


def _renamed(node: NodeView, kept: str | None) -> dict[str, int]:
    """The node's tasks by job, under other names for all jobs but one."""
    return {
        job if job == kept else builders.identity(f"not {job}"): count
        for job, count in node.job_tasks.items()
    }


def _with_job(node: NodeView, like: NodeView, job: str) -> NodeView:
    """The node with as many tasks of one job as another has."""
    jobs = {name: count for name, count in node.job_tasks.items() if name != job}
    if job in like.job_tasks:
        jobs[job] = like.job_tasks[job]
    return msgspec.structs.replace(node, job_tasks=jobs)
