from __future__ import annotations

import copy
import pickle

import pytest

from minorch import errors
from minorch.errors import (
    JobFailed,
    MinorchError,
    NotFound,
    PolicyError,
    SpecError,
    StartFailed,
    UsageError,
    brief,
    did_you_mean,
)

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MinorchError)]


def test_every_error_is_exported_and_is_a_minorch_error():
    assert {kind.__name__ for kind in ALL} == set(errors.__all__) - {"brief", "did_you_mean"}


@pytest.mark.parametrize("kind", ALL)
def test_every_error_says_whose_fault_it_is(kind: type[MinorchError]):
    assert kind.__doc__


def test_what_the_caller_did_wrong_can_be_caught_as_a_value_error():
    assert issubclass(UsageError, ValueError)
    for kind in (
        SpecError,
        NotFound,
        errors.ClusterClosed,
        errors.TraceError,
        errors.UnknownPlugin,
        errors.UnschedulableError,
    ):
        assert issubclass(kind, UsageError)


@pytest.mark.parametrize(
    "error",
    [
        SpecError("too much", "$.cpu"),
        errors.TraceError("no number", "jobs.swf", 7),
        JobFailed("train", "FAILED", ("a: exited 1", "b: oom")),
        StartFailed("no such image", reason="image_not_found", exit_code=125),
        PolicyError("no host mounts here"),
        NotFound('no job "x"'),
    ],
)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_comes_back_from_another_process_as_it_went(error, again):
    error.add_note("seen on n3")
    back = again(error)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_a_spec_error_says_where_and_what():
    error = SpecError("not a size", "$.memory")
    assert (str(error), error.path, error.problem) == ("$.memory: not a size", "$.memory", "not a size")
    assert str(SpecError("wrong", "")) == "wrong"
    assert str(SpecError("wrong")) == "$: wrong"


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("$.memory", "$.a[2].memory"),
        ("$", "$.a[2]"),
        ("$[0]", "$.a[2][0]"),
        ("x", "$.a[2].x"),
        ("", "$.a[2]"),
    ],
)
def test_a_spec_error_can_be_seen_from_the_document_around_it(path: str, seen: str):
    assert SpecError("wrong", path).below("$.a[2]").path == seen


def test_the_nearest_word_is_suggested_and_no_far_one():
    assert did_you_mean("memroy", ["cpu", "memory", "disk"]) == '; did you mean "memory"?'
    assert did_you_mean("zzz", ["cpu", "memory"]) == ""
    assert did_you_mean("cpu", []) == ""
    assert did_you_mean("spred", ["spread"], likeness=0.99) == ""


def test_a_suggestion_does_not_depend_on_the_order_of_a_set():
    assert did_you_mean("ab", {"abc", "abd"}) == did_you_mean("ab", ["abd", "abc", "abc"])


def test_what_was_not_found_is_said_without_quotes():
    assert str(NotFound('no job "x"')) == 'no job "x"'
    assert str(NotFound()) == ""
    assert isinstance(NotFound(), KeyError)


def test_a_start_that_the_policy_forbids_has_that_reason():
    assert PolicyError("no").reason == "forbidden"
    assert StartFailed("no").reason == "start_failed"


def test_a_failed_job_shows_its_evidence():
    assert str(JobFailed("train", "FAILED", ("a: oom", "b: exited 1"))) == (
        'job "train" ended FAILED:\n  a: oom\n  b: exited 1'
    )
    assert str(JobFailed("train", "STOPPED", ())) == 'job "train" ended STOPPED'


def test_any_value_can_be_shown_in_short():
    assert brief("x" * 100) == "'" + "x" * 39
    assert brief(True) == "True"
    assert brief(-12) == "-12"
    assert brief(-(10**5000)) == "an enormous number"  # its repr raises
