from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given, strategies as st

from minorch.errors import SpecError
from minorch.model import Secret, Task, redact

HIDDEN = "hunter2"


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r}".format,
        "%s".__mod__,
        "{0!a}".format,
        lambda secret: repr([secret]),
        hash,
        dir,
    ],
)
def test_no_way_of_showing_it_shows_it(show):
    assert HIDDEN not in str(show(Secret(HIDDEN)))


def test_a_task_shows_that_it_has_one_but_not_which():
    task = Task("a", command=["true"], secrets={"KEY": Secret(HIDDEN)})
    for shown in (repr(task), str(task), repr(task.to_dict()), repr(task.secrets)):
        assert "KEY" in shown
        assert HIDDEN not in shown
    assert task.to_dict()["secrets"] == {"KEY": "***"}
    assert task.to_dict(reveal=True)["secrets"] == {"KEY": HIDDEN}


def test_it_is_compared_by_value_and_only_with_its_like():
    assert Secret("a") == Secret("a") != Secret("b")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != "a"
    assert Secret("é") == Secret("é")


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda secret: pickle.loads(pickle.dumps(secret))]
)
def test_a_copy_holds_it_too(again):
    assert again(Secret(HIDDEN)).reveal() == HIDDEN


@pytest.mark.parametrize(
    "value", [f"{HIDDEN}\0", HIDDEN * 20_000, f"{HIDDEN}\ud800", HIDDEN.encode(), [HIDDEN], 5, None]
)
def test_what_cannot_be_one_is_refused_without_quoting_it(value: object):
    with pytest.raises(SpecError, match="a secret is") as caught:
        Secret(value)  # type: ignore[arg-type]
    assert HIDDEN not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"secrets": {"KEY": HIDDEN + "\0"}},
        {"secrets": {"KEY": [HIDDEN]}},
        {"secrets": {"A B": HIDDEN}},
        {"secrets": [HIDDEN]},
        {"secrets": HIDDEN},
        {"secrets": {"KEY": HIDDEN}, "env": {"KEY": "x"}},
        {"secrets": {"KEY": HIDDEN}, "pids": 0},
    ],
)
def test_no_error_about_a_task_quotes_it(wrong):
    with pytest.raises(SpecError) as caught:
        Task.from_dict({"name": "a", "command": ["true"], **wrong})
    assert HIDDEN not in str(caught.value)
    assert caught.value.__suppress_context__


def test_text_in_place_of_one_is_refused_without_quoting_it():
    with pytest.raises(
        SpecError, match=r"^\$\.secrets\.KEY: expected Secret, got str; write Secret\(\.\.\.\)$"
    ):
        Task("a", command=["true"], secrets={"KEY": HIDDEN})  # type: ignore[dict-item]


def test_secrets_are_cut_out_of_a_text_the_longest_first():
    assert redact("a-b-ab", ("a", "ab", "")) == "***-b-***"
    assert redact("nothing", ()) == "nothing"


@given(st.text("ab", max_size=10), st.lists(st.text("ab", max_size=4), max_size=3))
def test_nothing_that_was_cut_out_is_left(text: str, secrets: list[str]):
    assert not any(secret in redact(text, tuple(secrets)) for secret in secrets if secret)


def test_what_is_shown_of_a_secret_is_not_taken_for_one():
    task = Task("t", command=["x"], secrets={"TOKEN": Secret("hunter2")})
    with pytest.raises(SpecError, match=r"\$\.secrets.*to_dict\(reveal=True\)"):
        Task.from_dict(task.to_dict())
