from __future__ import annotations

import pytest

from minorch.errors import SpecError
from minorch.model import Constraint, parse_constraint


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("disk == ssd", ("disk", "==", "ssd")),
        ("disk!=ssd", ("disk", "!=", "ssd")),
        ("  a.b/c-d_e   ==  two words  ", ("a.b/c-d_e", "==", "two words")),
        ("x == a==b", ("x", "==", "a==b")),
        ("x == é", ("x", "==", "é")),
    ],
)
def test_a_constraint_compares_a_label_with_a_value(text: str, parts: tuple[str, str, str]):
    constraint = parse_constraint(text)
    assert constraint == parts
    assert parse_constraint(str(constraint)) == constraint


@pytest.mark.parametrize(
    "text",
    ["", "disk", "disk = ssd", "disk ==", "== ssd", "disk === ssd", "disk !== ssd", "a b == c", "a == b\nc"],
)
def test_what_is_no_constraint_is_refused_with_an_example(text: str):
    with pytest.raises(SpecError, match=r'is not a constraint; write e\.g\. "disk == ssd"') as caught:
        parse_constraint(text, "$.constraints[0]")
    assert caught.value.path == "$.constraints[0]"


def test_a_missing_label_only_satisfies_a_difference():
    same, other = Constraint("disk", "==", "ssd"), Constraint("disk", "!=", "ssd")
    for labels, is_same in (({"disk": "ssd"}, True), ({"disk": "hdd"}, False), ({}, False)):
        assert same.allows(labels) == is_same
        assert other.allows(labels) != is_same
