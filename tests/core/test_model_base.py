"""Reading plain data: every slip is located, said in words, and met with the nearest valid word."""

from __future__ import annotations

from fractions import Fraction

import pytest

from minorch.errors import SpecError
from minorch.model import Job, Secret, Task, base
from minorch.resources import Resources


def read(**fields) -> str:
    """What is said of a job whose third task has these fields."""
    tasks = [{"name": name, "command": ["true"]} for name in "abc"]
    tasks[2].update(fields)
    with pytest.raises(SpecError) as caught:
        Job.from_dict({"name": "j", "tasks": tasks})
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"resources": {"memory": "512 MBB"}},
            '.resources.memory: "512 MBB" is not a size; did you mean "MB"?',
        ),
        (
            {"resources": {"memroy": 1}},
            '.resources.memroy: no resource is called "memroy"; did you mean "memory"?',
        ),
        ({"resources": 5}, ".resources: expected an object of amounts, got int"),
        ({"resources": {"cpu": 10**400}}, ".resources.cpu: an enormous number is more than 10**9 cores"),
        ({"comand": ["x"]}, ': there is no field "comand"; did you mean "command"?'),
        ({"a`b": 1}, ': there is no field "a`b"'),
        ({"x - at `$.y`": 1}, ': there is no field "x - at `$.y`"'),
        (
            {"pull": "allways"},
            ".pull: 'allways' is none of always, if-not-present, never; did you mean \"always\"?",
        ),
        (
            {"restart": {"mode": "on-failur"}},
            ".restart.mode: 'on-failur' is none of never, on-failure, always; did",
        ),
        ({"restart": {"mod": "never"}}, '.restart: there is no field "mod"; did you mean "mode"?'),
        ({"restart": {"backoff_s": -1}}, ".restart.backoff_s: -1.0 is not from 0 to 86,400"),
        ({"restart": "always"}, ".restart: expected object | null, got str"),
        (
            {"health": {"kind": "htp"}},
            ".health.kind: 'htp' is none of exec, tcp, http; did you mean \"http\"?",
        ),
        ({"health": {"port": 80}}, ".health: object missing required field kind"),
        ({"ports": [{"container": 80}, {"container": "80"}]}, ".ports[1].container: expected int, got str"),
        (
            {"ports": [{"container": 80, "protocl": "tcp"}]},
            '.ports[0]: there is no field "protocl"; did you mean "protocol"?',
        ),
        (
            {"mounts": [{"target": "/x", "kind": "tmpfs", "size": "3 GG"}]},
            '.mounts[0].size: "3 GG" is not a size',
        ),
        ({"command": "echo hi"}, ".command: expected a list, got text; put it in brackets"),
        ({"command": [1]}, ".command[0]: expected str, got int"),
        ({"env": {"A": 1}}, ".env[...]: expected str, got int"),
        ({"env": {1: "1"}}, ".env: expected str, got int"),
        ({"secrets": {"A": 1}}, ".secrets[...]: a secret is text, not int"),
        ({"name": None}, ".name: expected str, got null"),
        ({"pids": 10**30}, ".pids: 1000000000000000000000000000000 is not from 1 to 4,194,304"),
        ({"stop_grace_s": "10"}, ".stop_grace_s: expected float, got str"),
        ({"constraints": ["a=b"]}, '.constraints[0]: "a=b" is not a constraint'),
        ({"after": ["d"]}, '.after[0]: no task of this job is called "d"'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_slip_is_located_and_explained(fields, words: str):
    assert read(**fields).startswith(f"$.tasks[2]{words}")


@pytest.mark.parametrize("data", [5, None, "a", [], {1: 2}, {}])
def test_what_is_no_task_at_all_is_refused(data):
    with pytest.raises(SpecError, match=r"^\$: (expected|object missing)"):
        Task.from_dict(data)


def test_json_text_is_read_through_plain_data_only():
    assert Task.from_dict({"name": "a", "image": "b", "resources": {"cpu": "500m"}}).resources == Resources(
        cpu=0.5
    )


def test_a_type_that_is_not_known_is_not_written_or_read_by_guessing():
    with pytest.raises(NotImplementedError, match="cannot write complex"):
        base.encode_hook(1j)
    with pytest.raises(NotImplementedError, match="cannot read complex"):
        base.decode_hook(complex, 1)


def test_the_hooks_write_secrets_in_the_clear_for_the_wire():
    assert base.encode_hook(Secret("x")) == "x"
    assert base.decode_hook(Secret, "x") == Secret("x")
    assert base.encode_hook(Resources(cpu=1)) == {"cpu": 1}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "expected 1 to 5 characters, got 0"),
        ("x" * 6, "got 6"),
        (5, "expected text, got int"),
        ("\0", "NUL"),
    ],
)
def test_text_has_a_length_and_no_nul(value: object, words: str):
    with pytest.raises(SpecError, match=words):
        base.require_text(value, "$.x", most=5)
    base.require_text("é", "$.x", most=5)


def test_a_number_that_is_none_of_pythons_says_what_to_write():
    with pytest.raises(SpecError, match=r"a whole number, got Fraction\(1, 2\); write int\(\.\.\.\)"):
        Task("t", command=["x"], completions=Fraction(1, 2))  # type: ignore[arg-type]
