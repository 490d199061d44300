"""The built-in strategies pass the suite that plugin authors are given, and the suite finds what is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest

from minorch.schedulers import EPVM, BinPack, LeastLoaded, RandomChoice, RoundRobin, Spread
from minorch.scheduling import ClusterView, FunctionScheduler, NodeView, Scheduler, TaskView
from minorch.testing.scheduler_contract import SchedulerContract


class TestRoundRobin(SchedulerContract):
    def make_scheduler(self) -> Scheduler:
        return RoundRobin()


class TestLeastLoaded(SchedulerContract):
    def make_scheduler(self) -> Scheduler:
        return LeastLoaded()


class TestEPVM(SchedulerContract):
    def make_scheduler(self) -> Scheduler:
        return EPVM()


class TestEPVMWithThePapersTerms(SchedulerContract):
    def make_scheduler(self) -> Scheduler:
        return EPVM(terms="paper")


class TestBinPack(SchedulerContract):
    def make_scheduler(self) -> Scheduler:
        return BinPack()


class TestSpread(SchedulerContract):
    def make_scheduler(self) -> Scheduler:
        return Spread()


class TestRandomChoice(SchedulerContract):
    def make_scheduler(self) -> Scheduler:
        return RandomChoice()


class TestFunctionScheduler(SchedulerContract):
    def make_scheduler(self) -> Scheduler:
        return FunctionScheduler(lambda _task, node: node.tasks)


class TestTheBaseClass(SchedulerContract):
    def make_scheduler(self) -> Scheduler:
        return Scheduler()


# -- the suite itself ----------------------------------------------------------------------------------------


class NotANumber(Scheduler):
    def cost(self, task: TaskView, node: NodeView) -> float:
        return 1.0 if node.tasks else float("nan")


class DividesByZero(Scheduler):
    def cost(self, task: TaskView, node: NodeView) -> float:
        return node.reserved.memory / node.capacity.memory


class WantsNodes(Scheduler):
    def begin(self, cluster: ClusterView) -> None:
        self.first = cluster.nodes[0]


class MadeUp(Scheduler):
    def pick(self, task: TaskView, nodes: Sequence[NodeView], costs: Sequence[float]) -> NodeView:
        return nodes[0].with_task(task)


class Counts(Scheduler):
    """Keeps state outside of its object, which no second one starts from."""

    turn = itertools.count()

    def cost(self, task: TaskView, node: NodeView) -> float:
        return next(self.turn)


class Scribbles(Scheduler):
    def cost(self, task: TaskView, node: NodeView) -> float:
        assert isinstance(node.job_tasks, dict)
        node.job_tasks["scribble"] = 1
        return 0.0


class FixedSize(Scheduler):
    """Takes note of the cluster's size once."""

    def __init__(self) -> None:
        self.costs: list[float] = []

    def begin(self, cluster: ClusterView) -> None:
        self.costs = self.costs or [0.0] * len(cluster.nodes)

    def cost(self, task: TaskView, node: NodeView) -> float:
        return self.costs[node.index]


class PromisesNode(Scheduler):
    depends_on = "node"


class ByJob(PromisesNode):
    def cost(self, task: TaskView, node: NodeView) -> float:
        return node.job_tasks.get(task.job_id, 0)


class ByName(PromisesNode):
    def cost(self, task: TaskView, node: NodeView) -> float:
        return len(task.name)


class ByNeighbours(PromisesNode):
    def begin(self, cluster: ClusterView) -> None:
        self.total = sum(node.tasks for node in cluster.nodes)

    def cost(self, task: TaskView, node: NodeView) -> float:
        return node.tasks / (self.total or 1)


class ByPlacements(PromisesNode):
    count = 0

    def cost(self, task: TaskView, node: NodeView) -> float:
        return self.count

    def placed(self, task: TaskView, node: NodeView) -> None:
        self.count += 1


class Normalises(PromisesNode):
    def score(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[float]:
        return [node.tasks / (1 + sum(view.tasks for view in nodes)) for node in nodes]


class ByOtherJobs(Scheduler):
    depends_on = "job"

    def cost(self, task: TaskView, node: NodeView) -> float:
        return sum(hash(job) for job in node.job_tasks)


class PicksTheLast(PromisesNode):
    def pick(self, task: TaskView, nodes: Sequence[NodeView], costs: Sequence[float]) -> NodeView:
        return nodes[-1]


class LooksAtTwo(PromisesNode):
    def candidates(self, task: TaskView, nodes: Sequence[NodeView]) -> Sequence[NodeView]:
        return nodes[:2]


class Vague(Scheduler):
    depends_on = "everything"  # type: ignore[assignment]  # the slip that the suite is to find


def is_a_scheduler(suite: SchedulerContract) -> None:
    suite.test_it_is_a_scheduler_and_says_what_its_costs_depend_on()


def picks(suite: SchedulerContract) -> None:
    suite.test_it_picks_one_of_the_nodes_it_is_offered_at_a_finite_cost()


def places(suite: SchedulerContract) -> None:
    suite.test_every_task_is_placed_unless_it_fits_nowhere()


def repeats(suite: SchedulerContract) -> None:
    suite.test_the_same_views_and_seed_give_the_same_plan()


def looks_only(suite: SchedulerContract) -> None:
    suite.test_it_changes_no_view()


def needs_no_nodes(suite: SchedulerContract) -> None:
    suite.test_without_nodes_every_task_waits()


def divides_by_nothing(suite: SchedulerContract) -> None:
    suite.test_tasks_that_ask_for_nothing_go_to_nodes_that_have_nothing()


def goes_on(suite: SchedulerContract) -> None:
    suite.test_nodes_may_come_and_go_between_plans()


def keeps_its_promise(suite: SchedulerContract) -> None:
    suite.test_costs_depend_only_on_what_it_says()


def can_be_indexed(suite: SchedulerContract) -> None:
    suite.test_with_such_a_promise_the_cheapest_node_of_all_is_picked()


@pytest.mark.parametrize(
    ("strategy", "check"),
    [
        (Vague, is_a_scheduler),
        (object, is_a_scheduler),
        (NotANumber, picks),
        (NotANumber, divides_by_nothing),
        (DividesByZero, places),
        (DividesByZero, divides_by_nothing),
        (WantsNodes, needs_no_nodes),
        (MadeUp, picks),
        (MadeUp, places),
        (Counts, repeats),
        (Scribbles, looks_only),
        (FixedSize, goes_on),
        (ByJob, keeps_its_promise),
        (ByName, keeps_its_promise),
        (ByNeighbours, keeps_its_promise),
        (ByPlacements, keeps_its_promise),
        (Normalises, keeps_its_promise),
        (ByOtherJobs, keeps_its_promise),
        (PicksTheLast, can_be_indexed),
        (LooksAtTwo, can_be_indexed),
    ],
)
def test_the_suite_finds_a_strategy_that_breaks_the_contract(
    strategy: Callable[[], Scheduler], check: Callable[[SchedulerContract], None]
):
    class Suite(SchedulerContract):
        def make_scheduler(self) -> Scheduler:
            return strategy()

    with pytest.raises((AssertionError, ZeroDivisionError, IndexError)):
        check(Suite())


def test_the_suite_needs_a_strategy():
    with pytest.raises(NotImplementedError):
        SchedulerContract().make_scheduler()
