"""Several managers, one of which hangs, is cut off, or is none: which is asked, and which is believed."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable

import pytest

from minorch.contracts import Launch, RunStatus
from minorch.errors import EngineUnavailable, UsageError
from minorch.runtimes.swarm import Swarm
from minorch.testing.runtime_contract import eventually
from tests.runtimes.swarm.conftest import OWNER
from tests.runtimes.swarm.played import PlayedSwarm, node_id

FIRST = node_id(1)


def test_a_manager_that_hangs_costs_one_time_out_and_is_not_asked_first_again(
    played: PlayedSwarm, swarm: Swarm
) -> None:
    swarm.link.poll.fresh()
    played.modes[0] = "hangs"
    began = time.monotonic()
    assert swarm.link.poll.fresh().manager == played.urls[1]
    assert time.monotonic() - began < 5
    asked = len(played.asked[0])
    for _ in range(5):
        swarm.link.poll.fresh()
    assert [call for call in played.asked[0][asked:] if call == "GET /tasks"] == []


def test_a_manager_without_a_leader_is_passed_over(played: PlayedSwarm, swarm: Swarm) -> None:
    played.modes[0] = "leaderless"
    assert swarm.link.poll.fresh().manager == played.urls[1]


def test_where_no_manager_has_a_leader_nothing_is_known_and_each_says_why(
    played: PlayedSwarm, swarm: Swarm
) -> None:
    played.modes[:] = ["leaderless"] * 3
    with pytest.raises(EngineUnavailable, match="has no leader to ask") as caught:
        swarm.link.poll.fresh()
    assert all(url in str(caught.value) for url in played.urls)


def test_a_stale_leader_is_refused_once_another_tells_of_a_later_time(
    played: PlayedSwarm, swarm: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minorch.runtimes.swarm.managers._CROSS_S", 0.0)
    assert swarm.link.poll.fresh().manager == played.urls[0]
    played.cut_off(0)
    played.change_node(3, state="down")
    seen = eventually(lambda: _believed(swarm, played.urls[1:]), within_s=5)
    assert seen == "down"


def _believed(swarm: Swarm, urls: list[str]) -> str:
    snapshot = swarm.link.poll.fresh()
    return snapshot.nodes[node_id(3)].state if snapshot.manager in urls else ""


def test_a_stale_leader_is_not_asked_again_when_it_is_the_only_one_that_answers(
    played: PlayedSwarm, swarm: Swarm
) -> None:
    swarm.link.poll.fresh()
    played.cut_off(0)
    played.change_node(3, state="down")
    played.modes[0] = "leaderless"
    assert swarm.link.poll.fresh().nodes[node_id(3)].state == "down"
    played.modes[:] = ["stale", "leaderless", "leaderless"]
    with pytest.raises(EngineUnavailable, match="tells of an earlier time than another did"):
        swarm.link.poll.fresh()


def test_a_swarm_that_was_restored_from_a_backup_is_believed_after_a_while(
    played: PlayedSwarm, swarm: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    swarm.link.poll.fresh()
    for node in played.nodes.values():
        node["Version"] = {"Index": 2}
    with pytest.raises(EngineUnavailable):
        swarm.link.poll.fresh()
    monkeypatch.setattr("minorch.runtimes.swarm.managers._FORGIVEN_S", 0.0)
    assert len(swarm.link.poll.fresh().nodes) == 3


def test_a_start_goes_on_with_another_manager(
    played: PlayedSwarm, swarm: Swarm, launch: Callable[..., Launch]
) -> None:
    runtime, one = swarm.runtime(FIRST), launch()
    played.modes[0] = "leaderless"
    told: list[RunStatus] = []
    thread = threading.Thread(target=lambda: told.append(runtime.start(one)))
    thread.start()
    eventually(lambda: played.services)
    played.move(one.key.name, "running")
    thread.join(5)
    assert [status.phase for status in told] == ["running"]
    assert len(played.services) == 1


def test_a_worker_s_address_is_told_with_where_the_managers_are(played: PlayedSwarm) -> None:
    played.modes[:] = ["worker"] * 3
    swarm = Swarm(played.urls[:1], timeout_s=1)
    try:
        with pytest.raises(EngineUnavailable, match=r"is a worker of its Swarm.*managers are at 10\.0\.0\.1"):
            swarm.link.poll.fresh()
        with pytest.raises(EngineUnavailable, match="is a worker of its Swarm"):
            swarm.link.managers.check_addresses()
    finally:
        swarm.close()


def test_an_engine_that_is_in_no_swarm_is_told_with_what_to_do(played: PlayedSwarm) -> None:
    played.modes[:] = ["inactive"] * 3
    swarm = Swarm(played.urls[:1], timeout_s=1)
    try:
        with pytest.raises(EngineUnavailable, match="is in no Swarm: docker swarm init"):
            swarm.link.poll.fresh()
    finally:
        swarm.close()


def test_one_wrong_address_among_right_ones_is_told_and_passed_over(
    played: PlayedSwarm, swarm: Swarm, caplog: pytest.LogCaptureFixture
) -> None:
    played.modes[0] = "worker"
    with caplog.at_level(logging.WARNING, "minorch.runtimes.swarm"):
        swarm.link.managers.check_addresses()
    assert "is a worker of its Swarm" in caplog.text
    assert swarm.link.poll.fresh().manager == played.urls[1]


def test_a_node_that_left_the_swarm_has_an_error_of_its_own(played: PlayedSwarm, swarm: Swarm) -> None:
    runtime = swarm.runtime(FIRST)
    del played.nodes[FIRST]
    with pytest.raises(EngineUnavailable, match="is not in the Swarm any more"):
        runtime.list_runs(OWNER)


def test_a_manager_that_is_named_twice_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="named twice"):
        Swarm(["tcp://a:2376", "tcp://a:2376"])
    with pytest.raises(UsageError, match="list of"):
        Swarm("tcp://a:2376")


def test_many_questions_share_one_look(played: PlayedSwarm, swarm: Swarm) -> None:
    swarm.link.poll.fresh()
    before = len(played.asked[0])
    threads = [threading.Thread(target=swarm.link.poll.fresh) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    looks = [call for call in played.asked[0][before:] if call == "GET /tasks"]
    assert len(looks) <= 5


def test_however_long_nobody_answers_the_next_look_comes_no_later(played: PlayedSwarm) -> None:
    with contextlib.closing(Swarm(played.urls, timeout_s=0.5, poll_s=0.01)) as swarm:
        poll = swarm.link.poll
        poll.watched()
        poll.fresh()
        played.modes = ["leaderless"] * 3
        failed = itertools.count()
        number = poll.wait_round(-1, 10.0)[0]
        while next(failed) < 20:  # were each pause longer than the one before, this would take hours
            before, (number, _, error) = number, poll.wait_round(number, 10.0)
            assert number > before
        assert error is not None
        played.modes = ["leads"] * 3
        assert poll.fresh().nodes
        poll.unwatched()
