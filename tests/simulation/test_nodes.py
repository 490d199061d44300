"""Nodes that are made up, mixed, and read from files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from minorch.errors import TraceError, UsageError
from minorch.resources import Resources
from minorch.simulation.workloads.nodes import load_nodes, mixed, uniform

CSV = """\
name,cpu,memory,disk,gpu,label.zone,max_tasks,taints
a,32,128GiB,,,north,,
b,500m,1024,1TiB,8,,7,gpu slow

"""


def write(tmp_path: Path, text: str | bytes, name: str = "nodes.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_nodes_are_alike_and_their_names_sort_as_their_numbers():
    nodes = uniform(11, cpu=2, memory="4GiB", gpu=1, labels={"zone": "n"})
    assert [node.name for node in nodes] == [f"node-{number:02d}" for number in range(11)]
    assert {node.capacity for node in nodes} == {Resources(cpu=2, memory="4GiB", gpu=1)}
    assert nodes[0].labels == {"zone": "n"}
    assert uniform(0, cpu=1, memory=1) == []


@pytest.mark.parametrize("count", [-1, 1.5, True, 10**9])
def test_a_count_that_is_none_is_refused(count):
    with pytest.raises(UsageError, match="nodes: it is a number from 0"):
        uniform(count, cpu=1, memory=1)


@given(count=st.integers(0, 200), shares=st.lists(st.floats(0.01, 100), min_size=1, max_size=5))
def test_a_mix_has_as_many_nodes_as_were_asked_for_and_each_kind_its_share(count: int, shares: list[float]):
    kinds = {f"k{at}": (share, Resources(cpu=at + 1)) for at, share in enumerate(shares)}
    nodes = mixed(count, kinds, seed=3)
    assert len(nodes) == len({node.name for node in nodes}) == count
    for at, share in enumerate(shares):
        of_kind = [node for node in nodes if node.labels["kind"] == f"k{at}"]
        assert abs(len(of_kind) - count * share / sum(shares)) < 1 + 1e-9
        assert all(node.capacity.cpu == at + 1 for node in of_kind)


def test_the_order_of_a_mix_comes_from_its_seed():
    kinds = {"a": (1, Resources(cpu=1)), "b": (1, Resources(cpu=2))}
    assert mixed(20, kinds, seed=1) == mixed(20, kinds, seed=1) != mixed(20, kinds, seed=2)


@pytest.mark.parametrize("shares", [{}, {"a": (0, Resources())}, {"a": (-1, Resources())}])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(UsageError, match="shares of kinds"):
        mixed(3, shares)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_nodes_are_read_from_csv(tmp_path: Path, pack):
    first, second = load_nodes(write(tmp_path, pack(CSV.encode())))
    assert (first.name, first.capacity, first.labels) == (
        "a",
        Resources(cpu=32, memory="128GiB"),
        {"zone": "north"},
    )
    assert second.capacity == Resources(cpu=0.5, memory=1024, disk="1TiB", gpu=8)
    assert (second.max_tasks, second.taints) == (7, ("gpu", "slow"))
    assert first.max_tasks == 1000


def test_a_row_with_a_count_stands_for_so_many_nodes(tmp_path: Path):
    nodes = load_nodes(write(tmp_path, "name,cpu,count\nsmall,4,3\nbig,64,1\n"))
    assert [node.name for node in nodes] == ["small-0", "small-1", "small-2", "big-0"]


def test_nodes_are_read_from_json_as_they_are_written(tmp_path: Path):
    nodes = uniform(3, cpu=4, memory="8GiB", taints=["x"], labels={"a": "b"})
    path = write(tmp_path, json.dumps([node.to_dict() for node in nodes]), "n.json")
    assert load_nodes(path) == nodes


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "no node in it"),
        ("name,cpu\n", None, "no node in it"),
        ("cpu,memory\n1,2\n", 1, "name is one|one of them name"),
        ("name,memroy\na,1\n", 1, 'did you mean "memory"'),
        ("name,cpu,cpu\na,1,1\n", 1, "two columns"),
        ("name,cpu\na,1\nb,much\n", 3, "not an amount of cpu"),
        ("name,cpu\na,1\n\na,2\n", 4, 'two nodes are called "a", on line 2 too'),
        ("name,cpu\na,1,2\n", 2, "3 cells under 2 names"),
        ("name,gpu\na,many\n", 2, "not a number"),
        ("name,count\na,-3\n", 2, "not a whole number"),
        ("name,cpu\n,1\n", 2, "cannot name a node"),
        ('name,cpu\n"a,1\n', 2, "no CSV"),
        ("[1]", None, r"\$\[0\]"),
        ('[{"name": "a", "capacity": {"cpu": -1}}]', None, r"\$\[0\].capacity.cpu"),
        ('[\n{"name": "a"},\n{]', 3, "no JSON"),
        ('{"name": "a"}', None, "expected a list"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(
    tmp_path: Path, text: str, line: int | None, words: str
):
    path = write(tmp_path, text)
    with pytest.raises(TraceError, match=words) as caught:
        load_nodes(path)
    assert (caught.value.file, caught.value.line) == (str(path), line)


@given(
    content=st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: f"name,cpu,count\n{text}".encode())
)
def test_any_bytes_are_nodes_or_an_error_that_names_the_file(tmp_path_factory, content: bytes):
    path = write(tmp_path_factory.mktemp("nodes"), content)
    told = None
    try:
        assert load_nodes(path)
    except TraceError as error:
        told = error
    assert told is None or told.file == str(path)


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        load_nodes(tmp_path / "none.csv")
