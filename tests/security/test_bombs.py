"""Absurd amounts of anything: each is refused with a clear error and a path, soon and in few words."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

import minorch as mo
from minorch.errors import SpecError, StoreCorrupt, did_you_mean
from minorch.model import Secret
from minorch.model.secret import redact
from minorch.state.records import load

BIG = "x" * 1_000_000


def task(**fields: object) -> mo.Task:
    return mo.Task("a", image="busybox", **fields)  # type: ignore[arg-type]


def chain(count: int) -> list[mo.Task]:
    return [task_of(f"t{at}", f"t{(at - 1) % count}") for at in range(count)]


def task_of(name: str, after: str) -> mo.Task:
    return mo.Task(name, command=["x"], after=[after])


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: mo.Task(BIG, image="busybox"), "$.name"),
        (lambda: mo.Task("a", image=BIG), "$.image"),
        (lambda: task(command=["x" * 131_072] * 9), "$"),
        (lambda: task(command=[BIG]), "$.command[0]"),
        (lambda: task(env={"A": BIG}), "$.env.A"),
        (lambda: task(env={f"A{at}": "x" * 100_000 for at in range(11)}), "$"),
        (lambda: task(secrets={f"A{at}": Secret("x" * 100_000) for at in range(11)}), "$"),
        (lambda: task(entrypoint=["x" * 100_000] * 11), "$"),
        (lambda: task(health=mo.HealthCheck.exec(["x" * 100_000] * 11)), "$"),
        (lambda: task(env={f"A{at}": "" for at in range(100_000)}), "$.env"),
        (lambda: task(labels={str(at): "" for at in range(100_000)}), "$.labels"),
        (lambda: task(labels={"a": BIG}), "$.labels.a"),
        (lambda: task(tolerations=["x" * 257]), "$.tolerations[0]"),
        (lambda: task(constraints=["a == b"] * 100_000), "$.constraints"),
        (lambda: task(constraints=[f"a version >={'1' * 100_000}"]), "$.constraints[0]"),
        (lambda: task(constraints=[f"a matches {'(a*)*' * 1000}"]), "$.constraints[0]"),
        (lambda: task(networks=[BIG]), "$.networks[0]"),
        (lambda: task(user=BIG), "$.user"),
        (lambda: task(workdir="/" + BIG), "$.workdir"),
        (lambda: mo.Node("a", taints=["x" * 257]), "$.taints[0]"),
        (lambda: mo.Resources(**{f"g{at}": 1 for at in range(65)}), "$"),
        (lambda: mo.Job("j", [task_of("a", "b" * 63), *chain(2000)]), "$.tasks[0].after[0]"),
        (lambda: mo.Job("j", chain(5000)), "$.tasks"),
        (lambda: mo.Job("j", mo.Task("a", command=["x"], completions=1_000_001)), None),
        (lambda: mo.Task.from_dict({"name": "a", "image": "b", BIG: 1}), "$"),
        (lambda: mo.Task.from_dict({"name": "a", "image": "b", "pull": BIG}), "$.pull"),
    ],
)
def test_too_much_is_refused_soon_in_few_words_with_its_path(make: Callable[[], object], path: str | None):
    begun = time.perf_counter()
    with pytest.raises(SpecError) as refusal:
        make()
    assert time.perf_counter() - begun < 2
    assert len(str(refusal.value)) < 1000
    assert path is None or refusal.value.path == path


def test_the_largest_that_is_allowed_is_taken():
    assert task(command=["x" * 131_072] * 8)
    assert mo.Resources(**{f"g{at}": 1 for at in range(64)})
    assert mo.Node("a", taints=["x" * 256])


def test_a_slip_among_very_many_names_is_answered_at_once():
    begun = time.perf_counter()
    assert "task-17" in did_you_mean("task-17x", [f"task-{at}" for at in range(100_000)])
    assert did_you_mean("x" * 1_000_000, ["x" * 1_000_000]) == ""
    assert time.perf_counter() - begun < 2


def test_a_long_circle_is_told_in_part():
    with pytest.raises(SpecError, match=r"t0 after t2999 after .* after 2,981 more"):
        mo.Job("j", chain(3000))


@pytest.mark.parametrize("table", ["meta", "job", "spec", "task", "node"])
@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"id":"\xff"}',
        b'{"name":"\xff"}',
        b'{"cluster_id":"\xff"}',
        b'{"id":"\\ud800"}',
        b"1e999",
    ],
)
def test_a_row_that_is_none_is_a_damaged_store(table: str, row: bytes):
    with pytest.raises(StoreCorrupt):
        load(table, "key", row)


# -- texts that are cut --------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", range(4, 18))
def test_of_a_secret_that_a_text_was_cut_in_nothing_is_left(length: int):
    word = "hunter2-swordfish"
    assert redact(f"it said {word} and {word[:length]}", (word,)) == "it said *** and ***"


def test_what_only_looks_like_the_beginning_of_a_secret_stays():
    assert redact("hunters hunt", ("hunter2",)) == "hunters ***"
    assert redact("the hunter ", ("hunter2",)) == "the hunter "
    assert redact("hun", ("hunter2",)) == "hun"
    assert redact("aaaab aaaa", ("aaaac",)) == "aaaab ***"
    assert redact("abcabcabc", ("abcabx",)) == "abcabcabc"
