from __future__ import annotations

import math
import pickle

import msgspec
import pytest
from hypothesis import given

from minorch.errors import SpecError
from minorch.model import Node, NodeStats, TaskStats
from minorch.resources import Resources
from tests.core.strategies import NODES

STATS = NodeStats(
    sampled_at=1, cpu_percent=2, load_1m=3, memory_used=4, memory_total=5, disk_used=6, disk_total=7, tasks=8
)
TASK_STATS = TaskStats(sampled_at=1, cpu_s=2, memory=3, pids=4)


@given(NODES)
def test_plain_data_and_pickle_give_it_back(node: Node):
    assert Node.from_dict(node.to_dict()) == node
    assert pickle.loads(pickle.dumps(node)) == node


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "n 1"}, '$.name: "n 1" cannot name a node'),
        ({"capacity": {"cpu": 1}}, "$.capacity: expected Resources(...), got dict"),
        ({"runtime": ""}, "$.runtime: expected 1 to 63 characters, got 0"),
        ({"labels": {"minorch.x": "1"}}, '$.labels.minorch.x: labels that begin with "minorch." are ours'),
        ({"labels": {"node.name": "1"}}, '$.labels.node.name: labels that begin with "node." are ours'),
        ({"taints": "gpu"}, '$.taints: expected a list of words, got the text "gpu"; write ["gpu"]'),
        ({"platform": 5}, "$.platform: expected text, got int"),
        ({"address": ""}, "$.address: expected 1 to 255 characters"),
        ({"max_tasks": -1}, "$.max_tasks: -1 is not from 0 to 1,000,000"),
    ],
)
def test_a_faulty_node_is_refused(fields, words: str):
    with pytest.raises(SpecError) as caught:
        Node(**{"name": "n1", **fields})
    assert str(caught.value).startswith(words)


def test_a_node_from_plain_data_blames_the_amount():
    with pytest.raises(SpecError, match=r'^\$\.capacity\.cpus: .* did you mean "cpu"\?'):
        Node.from_dict({"name": "n1", "capacity": {"cpus": 4}})
    assert Node.from_dict({"name": "n1", "capacity": {"cpu": 4}}).capacity == Resources(cpu=4)


@pytest.mark.parametrize("stats", [STATS, TASK_STATS])
@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -1, True, None, 10**5000], ids=lambda value: type(value).__name__
)
def test_a_figure_that_json_cannot_carry_is_refused(stats, value: object):
    for field in stats.__struct_fields__:
        with pytest.raises(SpecError) as caught:
            msgspec.structs.replace(stats, **{field: value})
        assert caught.value.path == f"$.{field}"
    assert type(stats).from_dict(stats.to_dict()) == stats
