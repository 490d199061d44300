from __future__ import annotations

import pickle

import pytest

from minorch.errors import SpecError
from minorch.model import Affinity, SpreadOver, Task


def test_near_and_apart_say_which_tasks_and_which_places():
    assert Affinity.near() == Affinity()
    assert Affinity.near(job="db", topology="rack", weight=5) == Affinity(job="db", topology="rack", weight=5)
    assert Affinity.apart(task="web") == Affinity(task="web", anti=True)
    assert Affinity.apart(labels={"app": "db"}, weight=1).to_dict() == {
        "labels": {"app": "db"},
        "anti": True,
        "weight": 1,
    }


@pytest.mark.parametrize(
    "record", [Affinity.apart(labels={"a": "b"}, weight=7), SpreadOver("zone", max_skew=3)]
)
def test_plain_data_and_pickle_give_it_back(record: Affinity | SpreadOver):
    assert type(record).from_dict(record.to_dict()) == record
    assert pickle.loads(pickle.dumps(record)) == record


def test_it_keeps_no_hold_of_the_labels_it_was_made_from():
    labels = {"app": "db"}
    wish = Affinity.near(labels=labels)
    labels.clear()
    assert wish.labels == {"app": "db"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"job": ""}, '$.job: "" cannot name a job'),
        ({"job": 5}, "$.job: the name of a job is text, not int"),
        ({"task": "a b"}, '$.task: "a b" cannot name a task'),
        ({"labels": "app"}, "$.labels: expected a mapping, got str"),
        (
            {"labels": {"minorch.job": "x"}},
            '$.labels.minorch.job: labels that begin with "minorch." are ours',
        ),
        ({"job": "a", "task": "b"}, "$.task: job is given too; an affinity is about one of them"),
        ({"task": "b", "labels": {"a": "b"}}, "$.labels: task is given too"),
        ({"topology": ""}, "$.topology: expected 1 to 256 characters, got 0"),
        ({"topology": None}, "$.topology: expected text, got NoneType"),
        (
            {"topology": "node.name"},
            '$.topology: no label is called "node.name"; write "node" for the node itself',
        ),
        ({"topology": "minorch.x"}, '$.topology: no label is called "minorch.x"'),
        ({"anti": "yes"}, "$.anti: expected true or false, got 'yes'"),
        ({"weight": 0}, "$.weight: 0 is not from 1 to 1,000"),
        ({"weight": 1001}, "$.weight: 1001 is not from 1 to 1,000"),
        ({"weight": True}, "$.weight: expected a whole number, got True"),
    ],
)
def test_a_faulty_affinity_is_refused(fields, words: str):
    with pytest.raises(SpecError) as caught:
        Affinity(**fields)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"topology": "node.name"}, '$.topology: no label is called "node.name"'),
        ({"max_skew": 0}, "$.max_skew: 0 is not from 1 to 1,000,000"),
        ({"max_skew": 1.5}, "$.max_skew: expected a whole number, got 1.5"),
        ({"weight": 0}, "$.weight: 0 is not from 1 to 1,000"),
    ],
)
def test_a_faulty_spread_is_refused(fields, words: str):
    with pytest.raises(SpecError) as caught:
        SpreadOver(**{"topology": "zone", **fields})
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("near", "apart"),
    [
        (Affinity.near(), Affinity.apart()),
        (Affinity.near(task="a", topology="zone"), Affinity.apart(task="a", topology="zone")),
        (Affinity.near(labels={"a": "b"}), Affinity.apart(labels={"a": "b"}, topology="zone")),
    ],
)
def test_near_and_apart_from_the_same_contradict_each_other(near: Affinity, apart: Affinity):
    for pair in ([near, apart], [apart, near]):
        with pytest.raises(
            SpecError, match=r"^\$\.affinity\[2\]: it contradicts \$\.affinity\[1\]: near the same"
        ):
            Task("t", image="x", affinity=[Affinity.near(job="other"), *pair])


@pytest.mark.parametrize(
    "wishes",
    [
        [Affinity.near(topology="zone"), Affinity.apart()],  # in one zone, on different nodes
        [Affinity.near(topology="zone"), Affinity.apart(topology="rack")],
        [Affinity.near(), Affinity.apart(weight=5)],
        [Affinity.near(weight=5), Affinity.apart()],
        [Affinity.near(job="a"), Affinity.apart(task="a")],
        [Affinity.near(), Affinity.near()],
    ],
)
def test_others_do_not(wishes: list[Affinity]):
    assert Task("t", image="x", affinity=wishes).affinity == tuple(wishes)


def test_a_spread_may_be_required_and_a_closer_one_preferred():
    wishes = [SpreadOver("zone", max_skew=3), SpreadOver("zone", weight=5), SpreadOver("node", weight=5)]
    assert Task("t", image="x", spread_over=wishes).spread_over == tuple(wishes)
