from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from minorch.model.version import parse_version

ASCENDING = [
    *[
        "0",
        "0.1-alpha",
        "0.1",
        "1.0.0-0",
        "1.0.0-2",
        "1.0.0-10",
        "1.0.0-10.1",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
    ],
    *["1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1"],
    *["1.9", "1.10", "v2", "2.0.0.1", "10"],
]


def test_they_are_in_the_order_of_semantic_versioning():
    keys = [parse_version(text) for text in ASCENDING]
    for earlier, later in itertools.pairwise(keys):
        assert earlier is not None
        assert later is not None
        assert earlier < later


@pytest.mark.parametrize(
    ("one", "other"), [("1.2", "v1.2.0"), ("1+x", "1.0+y.z"), ("0", "0.0"), ("01.2", "1.2")]
)
def test_some_are_written_in_several_ways(one: str, other: str):
    assert parse_version(one) == parse_version(other) is not None


@pytest.mark.parametrize(
    "text", ["", "v", "a", "1.", ".1", "1..2", "1-", "1-a..b", "1 ", "1_0", "vv1", "1" * 65, "٣"]
)
def test_what_is_none_is_none(text: str):
    assert parse_version(text) is None


@given(
    st.lists(st.integers(0, 999), min_size=1, max_size=5),
    st.lists(st.integers(0, 999), min_size=5, max_size=5),
)
def test_numbers_are_compared_one_by_one(short: list[int], long: list[int]):
    padded = short + [0] * (5 - len(short))
    one, other = (parse_version(".".join(map(str, numbers))) for numbers in (short, long))
    assert one is not None
    assert other is not None
    assert (one < other) == (padded < long)
