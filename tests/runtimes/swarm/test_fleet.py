"""What a cluster is told of a Swarm's nodes as they come, go, and are drained."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minorch.contracts import Fleet, Member
from minorch.errors import EngineUnavailable, UsageError
from minorch.runtimes.swarm import Swarm
from minorch.testing.runtime_contract import eventually
from tests.runtimes.swarm.played import PlayedSwarm, node_id


class Told:
    """What a watch told, in short."""

    def __init__(self) -> None:
        self.members: list[Member] = []

    def __call__(self, member: Member) -> None:
        self.members.append(member)

    @property
    def words(self) -> list[tuple[str, str]]:
        return [(one.node.name, "gone" if one.gone else one.availability) for one in self.members]


@pytest.fixture
def prompt(played: PlayedSwarm) -> Iterator[Swarm]:
    """A way to the Swarm that gives nodes back at once."""
    swarm = Swarm(played.urls, timeout_s=0.5, poll_s=0.05, away_s=0)
    yield swarm
    swarm.close()


def test_a_swarm_is_a_fleet_of_its_nodes(played: PlayedSwarm, swarm: Swarm) -> None:
    assert isinstance(swarm, Fleet)
    assert (swarm.name, swarm.engine_lost_s) == ("swarm", None)
    members = swarm.members()
    assert [member.node.name for member in members] == ["host1", "host2", "host3"]
    assert {member.node.runtime for member in members} == {"swarm"}
    assert {member.runtime.name for member in members} == {"swarm"}
    assert [again.runtime for again in swarm.members()] == [member.runtime for member in members]


def test_a_node_that_is_down_is_gone_and_returns(played: PlayedSwarm, prompt: Swarm) -> None:
    told = Told()
    prompt.members()
    watch = prompt.watch(told)
    played.change_node(2, state="down")
    eventually(lambda: told.words == [("host2", "gone")])
    played.change_node(2, state="ready")
    eventually(lambda: told.words == [("host2", "gone"), ("host2", "active")])
    watch.close()


def test_a_node_that_was_down_for_a_moment_is_given_back_once_its_cluster_has_lost_it(
    played: PlayedSwarm,
) -> None:
    swarm = Swarm(played.urls, poll_s=0.05, away_s=0.8)
    told = Told()
    try:
        swarm.members()
        swarm.watch(told)
        played.change_node(2, state="down")
        eventually(lambda: told.words == [("host2", "gone")])
        played.change_node(2, state="ready")
        for _ in range(3):
            swarm.link.poll.fresh()
        assert told.words == [("host2", "gone")]
        eventually(lambda: told.words == [("host2", "gone"), ("host2", "active")])
    finally:
        swarm.close()


def test_one_that_is_down_from_the_start_is_listed_and_then_told_as_gone(
    played: PlayedSwarm, prompt: Swarm
) -> None:
    played.change_node(3, state="down")
    assert [member.node.name for member in prompt.members()] == ["host1", "host2", "host3"]
    told = Told()
    prompt.watch(told)
    eventually(lambda: told.words == [("host3", "gone")])


@pytest.mark.parametrize(("word", "wanted"), [("drain", "drain"), ("pause", "paused")])
def test_what_its_owner_does_to_a_node_is_told(
    played: PlayedSwarm, prompt: Swarm, word: str, wanted: str
) -> None:
    told = Told()
    prompt.members()
    prompt.watch(told)
    played.change_node(1, availability=word)
    eventually(lambda: told.words == [("host1", wanted)])
    played.change_node(1, availability="active")
    eventually(lambda: told.words == [("host1", wanted), ("host1", "active")])


def test_a_node_that_leaves_is_gone_and_its_name_is_free_for_the_next(
    played: PlayedSwarm, prompt: Swarm
) -> None:
    told = Told()
    prompt.members()
    prompt.watch(told)
    record = played.nodes.pop(node_id(2))
    eventually(lambda: told.words == [("host2", "gone")])
    played.nodes[node_id(9)] = {**record, "ID": node_id(9)}
    eventually(lambda: told.words == [("host2", "gone"), ("host2", "active")])
    assert told.members[0].runtime is not told.members[1].runtime


def test_a_new_label_is_told(played: PlayedSwarm, prompt: Swarm) -> None:
    told = Told()
    prompt.members()
    prompt.watch(told)
    played.change_node(1, Labels={"zone": "b"})
    eventually(lambda: told.members)
    assert told.members[0].node.labels["zone"] == "b"


def test_while_no_manager_answers_nobody_is_told_to_be_lost(played: PlayedSwarm, prompt: Swarm) -> None:
    told = Told()
    prompt.members()
    prompt.watch(told)
    played.modes[:] = ["leaderless"] * 3
    for _ in range(3):
        with pytest.raises(EngineUnavailable):
            prompt.link.poll.fresh()
    played.modes[:] = ["leads"] * 3
    prompt.link.poll.fresh()
    assert told.words == []


def test_addresses_that_are_no_managers_are_told_at_the_start(played: PlayedSwarm) -> None:
    played.modes[:] = ["worker", "inactive", "worker"]
    swarm = Swarm(played.urls)
    try:
        with pytest.raises(EngineUnavailable, match=r"(?s)is a worker.*in no Swarm.*is a worker"):
            swarm.members()
    finally:
        swarm.close()


def test_numbers_that_make_no_sense_are_mistakes() -> None:
    for options in ({"timeout_s": 0}, {"poll_s": 0}, {"away_s": -1}):
        with pytest.raises(UsageError, match="positive"):
            Swarm(["tcp://a:2376"], **options)  # type: ignore[arg-type]
