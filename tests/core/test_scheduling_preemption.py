"""Who has to end so that a more important task fits: what brute force finds, and never more than needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, combinations

import msgspec
import pytest
from hypothesis import given, strategies as st

from minorch.model import Affinity, Port
from minorch.resources import Resources
from minorch.scheduling import Filters, NodeView, TaskView, preemption
from minorch.scheduling.preemption import Preemption, Resident, preempt
from minorch.testing.builders import identity, node, task

Cluster = list[tuple[NodeView, list[Resident]]]
PORTS = (8080, 8081)


def resident(
    name: str, priority: int = 0, since: float = 0, *, job: str = "batch", **asks: float
) -> Resident:
    return Resident(task=task(name, job=job, **asks), priority=priority, since=since)  # type: ignore[arg-type]


def listens(name: str, *ports: int, job: str = "batch", cpu: float = 0) -> TaskView:
    return task(name, job=job, cpu=cpu, ports=[Port(80 + at, host=port) for at, port in enumerate(ports)])


def full(name: str, there: Sequence[Resident], *, index: int = 0, room: Resources | None = None) -> NodeView:
    """A node with as much as the residents have, and some room."""
    capacity = sum((r.task.resources for r in there), room or Resources())
    view = node(name, cpu=0, memory=0, index=index, holds=[r.task for r in there])
    return msgspec.structs.replace(
        view, node=msgspec.structs.replace(view.node, capacity=capacity, max_tasks=1000)
    )


def cluster(*nodes: Sequence[Resident], room: Resources | None = None) -> Cluster:
    return [(full(f"n{at}", there, index=at, room=room), list(there)) for at, there in enumerate(nodes)]


def ask(
    waiting: TaskView, found: Cluster, *, priority: int = 10, filters: Filters | None = None
) -> Preemption | None:
    there = {view.name: residents for view, residents in found}
    nodes = [view for view, _ in found]
    return preempt(waiting, priority, nodes, lambda view: there[view.name], filters or Filters())


def names(answer: Preemption | None) -> tuple[str, list[str]]:
    assert answer is not None
    return answer.node, [victim.task.name for victim in answer.victims]


# -- by hand ------------------------------------------------------------------------------------------


def test_without_nodes_there_is_nothing_to_propose():
    assert ask(task(cpu=1, job="urgent"), []) is None


def test_a_node_that_has_room_needs_no_victims():
    found = cluster([resident("a", cpu=1)], [resident("b", cpu=1)], room=Resources(cpu=1))
    assert names(ask(task(cpu=1, job="urgent"), found[::-1])) == ("n0", [])


@pytest.mark.parametrize("priority", [9, 10, 11])
def test_only_a_lower_priority_gives_way(priority: int):
    answer = ask(task(cpu=1, job="urgent"), cluster([resident("a", priority, cpu=1)]))
    assert (answer is None) == (priority >= 10)


def test_a_job_does_not_displace_its_own():
    found = cluster([resident("a", cpu=1, job="urgent")], [resident("b", cpu=1)])
    assert names(ask(task(cpu=1, job="urgent"), found)) == ("n1", ["b"])


def test_if_the_end_of_all_is_not_enough_none_ends():
    found = cluster([resident("a", cpu=1), resident("b", 20, cpu=3)])
    assert ask(task(cpu=2, job="urgent"), found) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"ready": False},
        {"cordoned": True},
        {"held_for": identity("urgent/other")},
    ],
)
def test_no_eviction_helps_a_node_that_takes_nothing(changed: dict[str, object]):
    there = [resident("a", cpu=1)]
    view = msgspec.structs.replace(full("n0", there), **changed)

    def residents(_: NodeView) -> Sequence[Resident]:
        raise AssertionError("it is not even asked who is there")

    assert preempt(task(cpu=1, job="urgent"), 10, [view], residents, Filters()) is None


@pytest.mark.parametrize(
    "waiting",
    [
        task(cpu=1, job="urgent", runtime="process"),
        task(cpu=1, job="urgent", constraints=["disk == ssd"]),
        task(cpu=5, job="urgent"),
        task(cpu=1, gpu=1, job="urgent"),
    ],
)
def test_no_eviction_helps_a_node_that_is_of_the_wrong_kind(waiting: TaskView):
    assert ask(waiting, cluster([resident("a", cpu=1)])) is None


def test_no_eviction_helps_a_tainted_node():
    there = [resident("a", cpu=1)]
    view = full("n0", there)
    view = msgspec.structs.replace(view, node=msgspec.structs.replace(view.node, taints=["gpu"]))
    assert ask(task(cpu=1, job="urgent"), [(view, there)]) is None


def test_one_large_victim_is_better_than_two_small_ones():
    found = cluster([resident("a", cpu=1), resident("b", cpu=1), resident("c", 5, cpu=2)])
    assert names(ask(task(cpu=2, job="urgent"), found)) == ("n0", ["c"])


def test_the_lowest_highest_priority_goes_before_the_lowest_sum():
    found = cluster(
        [resident("a", 0, cpu=1), resident("b", 3, cpu=1)],
        [resident("c", 2, 1, cpu=1), resident("d", 2, 0, cpu=1)],
    )
    assert names(ask(task(cpu=2, job="urgent"), found)) == ("n1", ["c", "d"])


def test_of_one_highest_priority_the_lowest_sum_is_taken():
    found = cluster(
        [resident("a", 1, cpu=1), resident("b", 2, cpu=1)],
        [resident("c", 2, cpu=1), resident("d", 0, cpu=1)],
    )
    assert names(ask(task(cpu=2, job="urgent"), found)) == ("n1", ["d", "c"])


def test_of_equal_priorities_those_placed_latest_end():
    there = [resident(name, 1, since, cpu=1) for name, since in [("a", 5), ("b", 7), ("c", 6)]]
    assert names(ask(task(cpu=2, job="urgent"), cluster(there))) == ("n0", ["b", "c"])


def test_of_equal_victims_those_on_the_node_of_the_lower_index_end():
    found = cluster([resident("a", cpu=1)], [resident("b", cpu=1)], [resident("c", cpu=1)])
    assert names(ask(task(cpu=1, job="urgent"), found[::-1])) == ("n0", ["a"])


def test_a_node_of_lower_index_wins_although_it_looked_worse_at_first():
    """By cores and memory apart one victim could do on n0, but none has both."""
    both = {"cpu": 2, "memory": 2}
    found = cluster(
        [resident("a", 0, 4, cpu=2), resident("b", 0, 4, memory=2)],
        [resident("c", 0, 9, cpu=1, memory=1), resident("d", 0, 8, cpu=1, memory=1)],
    )
    assert names(ask(task(job="urgent", **both), found)) == ("n1", ["c", "d"])  # type: ignore[arg-type]
    assert names(ask(task(job="urgent", **both), found[:1])) == ("n0", ["b", "a"])  # type: ignore[arg-type]


def test_a_task_that_lacks_a_port_alone_displaces_who_has_it():
    holders = [Resident(task=listens(f"t{port}", port), priority=port % 2, since=0) for port in PORTS]
    found = cluster([*holders, resident("idle")])
    assert names(ask(listens("web", 8081, job="urgent"), found)) == ("n0", ["t8081"])
    assert names(ask(listens("web", *PORTS, job="urgent"), found)) == ("n0", ["t8080", "t8081"])


def test_a_port_that_is_held_by_something_more_important_rules_a_node_out():
    holder = Resident(task=listens("old", 8080), priority=20, since=0)
    assert ask(listens("web", 8080, job="urgent"), cluster([holder, resident("a", cpu=8)])) is None


@pytest.mark.parametrize(("too_many", "expected"), [(0, ["b"]), (1, ["b", "c"]), (2, ["b", "c", "a"])])
def test_a_task_that_lacks_a_slot_alone_displaces_the_least_important(too_many: int, expected: list[str]):
    there = [resident("a", 2), resident("b", 0, cpu=1), resident("c", 1)]
    view = full("n0", there)
    view = msgspec.structs.replace(view, node=msgspec.structs.replace(view.node, max_tasks=3 - too_many))
    assert names(ask(task(job="urgent"), [(view, there)])) == ("n0", expected)


def test_a_node_that_takes_no_tasks_stays_empty():
    there = [resident("a")]
    view = full("n0", there)
    view = msgspec.structs.replace(view, node=msgspec.structs.replace(view.node, max_tasks=0))
    assert ask(task(job="urgent"), [(view, there)]) is None


def test_custom_resources_are_freed_too():
    found = cluster([resident("a", 0, gpu=1), resident("b", 1, gpu=2), resident("c", 0, cpu=9)])
    assert names(ask(task(gpu=1, job="urgent"), found)) == ("n0", ["a"])
    assert names(ask(task(gpu=2, job="urgent"), found)) == ("n0", ["b"])
    assert names(ask(task(gpu=2.5, job="urgent"), found)) == ("n0", ["a", "b"])


def test_what_is_reserved_for_others_than_the_residents_stays():
    there = [resident("a", cpu=1)]
    view = full("n0", there, room=Resources(cpu=2)).with_task(task("leaving", cpu=2))
    assert names(ask(task(cpu=1, job="urgent"), [(view, there)])) == ("n0", ["a"])
    assert ask(task(cpu=2, job="urgent"), [(view, there)]) is None


def shy(name: str, priority: int, since: float) -> Resident:
    """A resident that must be apart from the urgent job."""
    view = task(name, job="batch", cpu=1)
    apart = msgspec.structs.replace(view.task, affinity=[Affinity.apart(job="urgent")])
    view = TaskView(id=view.id, name=name, job_id=view.job_id, job="batch", task=apart)
    return Resident(task=view, priority=priority, since=since)


def test_who_must_be_apart_from_the_task_gives_way():
    found = cluster([resident("a", 0, 9, cpu=1), shy("b", 3, 0)])
    assert names(ask(task(job="urgent"), found)) == ("n0", ["b"])
    assert names(ask(task(job="urgent", cpu=2), found)) == ("n0", ["a", "b"])


def test_a_node_that_looked_as_good_at_first_displaces_nobody():
    found = cluster([resident("a", 0, 10), shy("b", 0, 5)], [resident("c", 0, 9), shy("d", 0, 1)])
    assert names(ask(task(job="urgent"), found)) == ("n0", ["b"])


def test_instances_of_one_task_give_way_from_the_latest():
    first = task("worker", job="batch", cpu=1)
    there = [
        Resident(
            task=msgspec.structs.replace(first, id=identity(str(at)), name=f"worker[{at}]"),
            priority=0,
            since=at,
        )
        for at in range(4)
    ]
    found = cluster(there)
    assert names(ask(task(job="urgent", cpu=2), found)) == ("n0", ["worker[3]", "worker[2]"])


def test_a_proposal_can_be_read():
    many = [resident(f"t{at}", at, cpu=1) for at in range(7)]
    one, all_ = (ask(task("web", cpu=cpu, job="urgent"), cluster(many)) for cpu in (1, 7))
    assert str(one) == "urgent/web on n0 in place of batch/t0 (priority 0)"
    assert str(all_).endswith("batch/t4 (priority 4), 2 more")
    assert str(Preemption(task=task("web"), node="n0", victims=())) == "job/web on n0"


# -- filters of one's own -----------------------------------------------------------------------------


def at_most(**most: int) -> Callable[[TaskView, NodeView], str | None]:
    """At most so many tasks of each of these jobs."""

    def objects(_: TaskView, view: NodeView) -> str | None:
        over = [job for job, count in most.items() if view.job_tasks.get(identity(job), 0) > count]
        return f"too many of {over[0]}" if over else None

    return objects


def test_a_filter_of_ones_own_decides_who_ends():
    there = [resident("a", 5, job="batch"), resident("b", 1, job="noise"), resident("c", 0, job="noise")]
    filters = Filters({"quiet": at_most(noise=1)})
    assert names(ask(task(job="urgent"), cluster(there), filters=filters)) == ("n0", ["c"])
    filters = Filters({"quiet": at_most(noise=0)})
    assert names(ask(task(job="urgent"), cluster(there), filters=filters)) == ("n0", ["c", "b"])


def test_a_filter_of_ones_own_may_refuse_who_would_matter_least():
    there = [resident("a", job="noise", cpu=1), resident("b", 1), resident("c", 2, cpu=1)]
    filters = Filters({"few": at_most(batch=1)})
    assert names(ask(task(cpu=1, job="urgent"), cluster(there), filters=filters)) == ("n0", ["c"])


@pytest.mark.parametrize("steps", [0, 10, 20_000])
def test_a_filter_of_ones_own_is_heard_however_little_is_tried(steps: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preemption, "_MOST_STEPS", steps)
    there = [resident("a", job="noise"), resident("b", 1, job="noise"), resident("c", 2, job="noise")]
    filters = Filters({"quiet": at_most(noise=1)})
    assert names(ask(task(job="urgent"), cluster(there), filters=filters)) == ("n0", ["a", "b"])


def test_a_filter_of_ones_own_that_always_refuses_rules_a_node_out():
    assert ask(task(job="urgent"), cluster([resident("a")]), filters=Filters({"no": lambda *_: "no"})) is None


@pytest.mark.parametrize(
    ("says", "ended"),
    [
        (["busy"], []),
        (["busy", None, "busy", "busy"], ["a"]),
        (["busy", None, None, "busy"], ["a"]),
    ],
)
def test_a_filter_that_changes_its_mind_does_no_harm(says: list[str | None], ended: list[str]):
    answers = iter(says)
    filters = Filters({"moody": lambda *_: next(answers, None)})
    assert names(ask(task(job="urgent"), cluster([resident("a")]), filters=filters)) == ("n0", ended)


# -- against brute force ------------------------------------------------------------------------------

AMOUNTS = st.sampled_from([0, 0, 1, 1, 2, 3, 5])
RESIDENTS = st.builds(
    lambda cpu, memory, gpu, job, port, priority, since: (
        job,
        {"cpu": cpu, "memory": memory, "gpu": gpu},
        port,
        priority,
        since,
    ),
    AMOUNTS,
    AMOUNTS,
    AMOUNTS,
    st.sampled_from(["batch", "batch", "noise", "urgent"]),
    st.sampled_from([None, None, None, *PORTS]),
    st.integers(-1, 4),
    st.integers(0, 4),
)


@st.composite
def clusters(draw: st.DrawFn, most: int = 8) -> Cluster:
    found: Cluster = []
    for index in range(draw(st.integers(1, 4))):
        there: list[Resident] = []
        taken: set[int] = set()
        for at, (job, asks, port, priority, since) in enumerate(draw(st.lists(RESIDENTS, max_size=most))):
            ports = [Port(80, host=port)] if port is not None and port not in taken else []
            taken.update(p.host for p in ports if p.host is not None)
            placed = task(f"t{index}-{at}", job=job, ports=ports, **asks)
            there.append(Resident(task=placed, priority=priority, since=since))
        room = Resources(cpu=draw(st.integers(0, 2)), memory=draw(st.integers(0, 2)), gpu=1)
        view = full(f"n{index}", there, index=index, room=room)
        if draw(st.booleans()):
            view = view.with_task(task("leaving", job="left", cpu=2))  # nobody's to end; it may be too much
        slots = view.tasks + draw(st.integers(-2, 3))
        view = msgspec.structs.replace(view, node=msgspec.structs.replace(view.node, max_tasks=max(0, slots)))
        found.append((view, there))
    return found


WAITING = st.builds(
    lambda cpu, memory, gpu, ports: task(
        "web", job="urgent", cpu=cpu, memory=memory, gpu=gpu, ports=[Port(80, host=port) for port in ports]
    ),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 6),
    st.lists(st.sampled_from(PORTS), max_size=1),
)
OWN = st.sampled_from([None, None, at_most(noise=0), at_most(noise=1, batch=2)])


def may_end(there: Iterable[Resident], priority: int) -> list[Resident]:
    return [r for r in there if r.priority < priority and r.task.job != "urgent"]


def fits(waiting: TaskView, view: NodeView, victims: Iterable[Resident], filters: Filters) -> bool:
    for victim in victims:
        view = view.without_task(victim.task)
    return filters.refusal(waiting, view) is None


def key(view: NodeView, victims: Sequence[Resident]) -> tuple[float, ...]:
    priorities = [victim.priority for victim in victims]
    since = sum(victim.since for victim in victims)
    return (len(victims), max(priorities, default=-99), sum(priorities), -since, view.index)


def by_brute_force(
    waiting: TaskView, found: Cluster, priority: int, filters: Filters
) -> dict[tuple[float, ...], list[set[str]]]:
    """All sets that do, by how much they matter."""
    sets: dict[tuple[float, ...], list[set[str]]] = {}
    for view, there in found:
        lower = may_end(there, priority)
        for victims in chain.from_iterable(combinations(lower, size) for size in range(len(lower) + 1)):
            if fits(waiting, view, victims, filters):
                ids = {victim.task.id for victim in victims}
                sets.setdefault(key(view, victims), []).append(ids)
    return sets


@given(clusters(), WAITING, st.integers(0, 6), OWN)
def test_it_finds_what_brute_force_finds(
    found: Cluster, waiting: TaskView, priority: int, own: Callable[[TaskView, NodeView], str | None] | None
):
    filters = Filters({"own": own} if own else None)
    answer = ask(waiting, found, priority=priority, filters=filters)
    sets = by_brute_force(waiting, found, priority, filters)
    if answer is None:
        assert not sets
        return
    view = next(view for view, _ in found if view.name == answer.node)
    best = min(sets)
    assert key(view, answer.victims) == best
    assert {victim.task.id for victim in answer.victims} in sets[best]


@given(clusters(), WAITING, st.randoms(use_true_random=False))
def test_the_order_of_nodes_and_residents_does_not_matter(found: Cluster, waiting: TaskView, random):
    shuffled = [(view, random.sample(there, len(there))) for view, there in found]
    random.shuffle(shuffled)
    one, other = ask(waiting, found), ask(waiting, shuffled)
    assert (one is None) == (other is None)
    assert one is None or names(one) == names(other)


@pytest.mark.parametrize("limits", [(20_000, 100_000), (30, 100_000), (20_000, 30), (1, 1), (0, 0)])
@given(found=clusters(12), waiting=WAITING, priority=st.integers(0, 6), own=OWN)
def test_however_little_is_tried_no_victim_could_be_left_out(
    limits: tuple[int, int],
    found: Cluster,
    waiting: TaskView,
    priority: int,
    own: Callable[[TaskView, NodeView], str | None] | None,
):
    filters = Filters({"own": own} if own else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preemption, "_MOST_STEPS", limits[0])
        patch.setattr(preemption, "_MOST_STEPS_IN_ALL", limits[1])
        answer = ask(waiting, found, priority=priority, filters=filters)
    if answer is None:
        assert not any(fits(waiting, view, may_end(there, priority), filters) for view, there in found)
        return
    view, there = next((view, there) for view, there in found if view.name == answer.node)
    victims = list(answer.victims)
    assert all(victim in may_end(there, priority) for victim in victims)
    assert fits(waiting, view, victims, filters)
    for victim in victims:
        assert not fits(waiting, view, [other for other in victims if other is not victim], filters)


# -- what it costs ------------------------------------------------------------------------------------


def test_a_node_full_of_small_tasks_is_searched_greedily():
    there = [resident(f"t{at}", at % 3, at, cpu=1) for at in range(300)]
    answer = ask(task(cpu=100, job="urgent"), cluster(there))
    assert answer is not None
    assert {victim.priority for victim in answer.victims} == {0}
    assert len(answer.victims) == 100


def test_a_greedy_search_leaves_out_whom_those_chosen_later_make_needless(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preemption, "_MOST_STEPS", 0)
    there = [
        *(resident(f"cpu{at}", 0, -at, cpu=10) for at in range(2)),
        *(resident(f"memory{at}", 1, -at, memory=10) for at in range(2)),
        resident("both", 2, cpu=7, memory=7),  # frees the most for a start
    ]
    assert names(ask(task(cpu=10, memory=10, job="urgent"), cluster(there))) == ("n0", ["cpu0", "memory0"])


def test_residents_that_are_all_alike_need_no_search(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preemption, "_MOST_STEPS_IN_ALL", 1_000)
    there = [resident(f"t{at}", 0, at, cpu=1) for at in range(100)]
    _, ended = names(ask(task(cpu=50, job="urgent"), cluster(there)))
    assert ended == [f"t{at}" for at in range(99, 49, -1)]


def test_residents_are_not_asked_for_where_a_node_has_room():
    views = [view for view, _ in cluster([resident("a", cpu=1)], room=Resources(cpu=1))]
    asked: list[str] = []

    def residents(view: NodeView) -> Sequence[Resident]:
        asked.append(view.name)
        return []

    assert names(preempt(task(cpu=1, job="urgent"), 10, views, residents, Filters())) == ("n0", [])
    assert not asked
