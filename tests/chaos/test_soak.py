"""Short forms of the soak, and that what piles up is seen."""

from __future__ import annotations

import pytest

from minorch.manager import ManagerConfig
from minorch.runtimes.docker import DockerRuntime
from tests.chaos.soak import Sample, grown, left_on, play, run_containers
from tools import engine


def samples(*descriptors: int) -> list[Sample]:
    return [Sample(50 * at, count, 5, 40.0) for at, count in enumerate(descriptors, 1)]


def test_what_goes_up_and_down_has_not_grown():
    assert grown(samples(9, 9, 8, 12, 11, 12, 10, 12, 11, 12, 9, 12), 200) == []


def test_what_grows_before_it_has_settled_is_not_held_against_it():
    assert grown(samples(1, 5, 9, 12, 12, 12, 12, 12, 12, 12, 12), 200) == []


def test_a_leak_of_one_descriptor_in_a_hundred_tasks_is_seen():
    assert grown(samples(*[10 + at // 2 for at in range(20)]), 200) == [
        "descriptors: 13 at most at first, 18 at least in the end"
    ]


def test_memory_that_grows_beyond_its_bound_is_seen():
    heavy = [Sample(50 * at, 9, 5, 40.0 + at) for at in range(1, 21)]
    assert grown(heavy, 200, most_rss_mib=10.0) == []
    assert len(grown(heavy, 200, most_rss_mib=9.9)) == 1


def test_too_few_samples_are_no_proof():
    with pytest.raises(ValueError, match="too few samples"):
        grown(samples(*range(8)), 200)


def test_a_manager_holds_no_more_after_thousands_of_tasks_than_its_retention_says():
    config = ManagerConfig(keep_runs=10, keep_tasks=400, max_events=200)
    assert grown(play(16, 200, 10, config, lambda words: None), 800) == []


def test_without_retention_it_would_be_seen():
    config = ManagerConfig(keep_runs=10, keep_tasks=100_000, max_events=200)
    assert grown(play(16, 200, 10, config, lambda words: None), 800)[0].startswith("rows:")


def test_a_cluster_holds_no_more_after_some_containers_and_leaves_none_behind(engine_url: str, busybox: str):
    runtime = DockerRuntime(engine_url)
    try:
        taken, cluster_id = run_containers(runtime, 20, lambda words: None, every=2)
    finally:
        runtime.close()
    assert grown(taken, 4) == []
    assert left_on(engine.socket_of(engine_url), cluster_id) == []
