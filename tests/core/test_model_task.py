from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given

from minorch.errors import SpecError
from minorch.model import Affinity, HealthCheck, Mount, Port, RestartPolicy, Secret, SpreadOver, Task
from minorch.resources import Resources
from tests.core.strategies import tasks

HALF = "\ud800"


@given(tasks())
def test_plain_data_and_pickle_give_it_back(task: Task):
    assert Task.from_dict(task.to_dict(reveal=True)) == task
    assert pickle.loads(pickle.dumps(task)) == task


@given(tasks())
def test_its_repr_is_the_code_that_makes_it_but_for_secrets(task: Task):
    if not task.secrets:
        remade = eval(repr(task))
        for field in set(task.__struct_fields__) - {"resources"}:  # sizes are rounded for the eye
            assert getattr(remade, field) == getattr(task, field)


def test_what_the_author_wrote_is_what_is_shown():
    task = Task("greet", image="busybox", command=["echo", "hi"], resources=Resources(cpu=0.5))
    assert (
        repr(task) == "Task('greet', image='busybox', command=('echo', 'hi'), resources=Resources(cpu=0.5))"
    )
    assert repr(Task("greet", image="busybox")) == "Task('greet', image='busybox')"
    assert task.to_dict() == {
        "name": "greet",
        "image": "busybox",
        "command": ("echo", "hi"),
        "resources": {"cpu": 0.5},
    }


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "a b"}, '$.name: "a b" cannot name a task'),
        ({"command": []}, '$: a task needs an image or a command, e.g. command=["echo", "hi"]'),
        (
            {"command": "echo hi"},
            '$.command: expected a list of words, got the text "echo hi"; write ["sh", "-c", "..."]',
        ),
        ({"command": 5}, "$.command: expected a list of words, got int"),
        ({"command": ["a", 5]}, '$.command[1]: expected text, got int; write "5"'),
        ({"command": [True]}, "$.command[0]: expected text, got bool"),
        ({"command": ["a", "b\0"]}, "$.command[1]: it holds a NUL character"),
        ({"command": [HALF]}, "$.command[0]: it holds half a character (a lone surrogate)"),
        ({"command": ["x" * 131_073]}, "$.command[0]: it is longer than 128 KiB"),
        ({"command": ["x"] * 4097}, "$.command: at most 4096 words, got 4097"),
        ({"entrypoint": "sh"}, '$.entrypoint: expected a list of words, got the text "sh"'),
        ({"image": ""}, "$.image: expected 1 to 512 characters, got 0"),
        ({"image": "busy box"}, '$.image: "busy box" is not the name of an image'),
        ({"image": "--privileged"}, '$.image: "--privileged" is not the name of an image'),
        ({"image": HALF}, "$.image: it holds half a character"),
        ({"image": 5}, "$.image: expected text, got int"),
        ({"env": ["A=1"]}, "$.env: expected a mapping, got list"),
        ({"env": {"A": 1}}, '$.env.A: expected str, got int; write "1"'),
        ({"env": {"A B": "1"}}, '$.env: "A B" is not the name of an environment variable'),
        ({"env": {"A=B": "1"}}, '$.env: "A=B" is not the name'),
        ({"env": {"A": "x\0"}}, "$.env.A: it holds a NUL character"),
        ({"env": {"A": HALF}}, "$.env.A: it holds half a character"),
        ({"env": {HALF: "1"}}, "$.env: '\\ud800' is not a name"),
        ({"env": {"": "1"}}, "$.env: '' is not a name"),
        ({"env": {1: "1"}}, "$.env: 1 is not a name"),
        ({"env": {"A": "x" * 131_073}}, "$.env.A: a value is at most 128 KiB"),
        ({"env": {f"A{n}": "" for n in range(1025)}}, "$.env: at most 1024 entries, got 1025"),
        ({"env": {"A": "1"}, "secrets": {"A": Secret("x")}}, '$.secrets.A: "A" is in env too'),
        ({"secrets": {"1": Secret("x")}}, '$.secrets: "1" is not the name of an environment variable'),
        ({"user": ""}, "$.user: expected 1 to 4096 characters"),
        ({"workdir": "src"}, '$.workdir: "src" is not an absolute path'),
        ({"runtime": 5}, "$.runtime: expected text, got int"),
        (
            {"resources": {"cpu": 1}},
            '$.resources: expected Resources(...), got dict; write Resources(cpu=0.5, memory="64MiB")',
        ),
        ({"pids": 0}, "$.pids: 0 is not from 1 to 4,194,304"),
        ({"pids": 10**5000}, "$.pids: an enormous number is not from 1"),
        ({"ports": Port(80)}, "$.ports: expected a list of Port, got Port"),
        ({"ports": "80:80"}, "$.ports: expected a list of Port, got str"),
        ({"ports": [80]}, "$.ports[0]: expected Port, got int"),
        ({"ports": [Port(n) for n in range(1, 130)]}, "$.ports: at most 128, got 129"),
        ({"ports": [Port(80), Port(80, host=1)]}, "$.ports[1]: port 80/tcp is listed twice"),
        ({"ports": [Port(80, host=1), Port(81, host=1)]}, "$.ports[1].host: host port 1/tcp is listed twice"),
        (
            {"mounts": [Mount("/a", source="v"), Mount("/a/", source="w")]},
            '$.mounts[1].target: two mounts at "/a"',
        ),
        ({"networks": [""]}, "$.networks[0]: expected 1 to 128 characters, got 0"),
        (
            {"labels": {"minorch.job": "x"}},
            '$.labels.minorch.job: labels that begin with "minorch." are ours',
        ),
        ({"labels": {"a": "x" * 4097}}, "$.labels.a: a label has at most 256 characters and its value 4096"),
        ({"labels": {"a" * 257: ""}}, "$.labels.aaaa"),
        ({"labels": {"a": "\0"}}, "$.labels.a: it holds a NUL character"),
        ({"labels": {str(n): "" for n in range(65)}}, "$.labels: at most 64 entries, got 65"),
        (
            {"constraints": "disk == ssd"},
            '$.constraints: expected a list of words, got the text "disk == ssd"; write ["disk == ssd"]',
        ),
        ({"constraints": ["disk = ssd"]}, '$.constraints[0]: "disk = ssd" is not a constraint'),
        ({"constraints": ["a == 1", "a == 2"]}, '$.constraints[1]: "a == 2" contradicts $.constraints[0]'),
        ({"preferences": ["disk == ssd"]}, "$.preferences: expected a mapping, got list"),
        ({"preferences": {"disk = ssd": 1}}, '$.preferences.disk = ssd: "disk = ssd" is not a constraint'),
        ({"preferences": {"a == 1": 0}}, "$.preferences.a == 1: 0 is not from 1 to 1,000"),
        ({"preferences": {"a == 1": "5"}}, "$.preferences.a == 1: expected a whole number, got '5'"),
        ({"preferences": {"a == 1": True}}, "$.preferences.a == 1: expected a whole number, got True"),
        ({"preferences": {f"a == {n}": 1 for n in range(17)}}, "$.preferences: at most 16 entries, got 17"),
        ({"affinity": "near"}, "$.affinity: expected a list of Affinity, got str"),
        ({"affinity": None}, "$.affinity: expected a list of Affinity, got NoneType"),
        ({"affinity": [{"job": "x"}]}, "$.affinity[0]: expected Affinity, got dict; write Affinity(...)"),
        ({"affinity": [Affinity.near()] * 17}, "$.affinity: at most 16, got 17"),
        (
            {"affinity": [Affinity.near(job="x"), Affinity.apart(job="x")]},
            "$.affinity[1]: it contradicts $.affinity[0]: near the same tasks and apart from them",
        ),
        ({"spread_over": ["zone"]}, "$.spread_over[0]: expected SpreadOver, got str; write SpreadOver(...)"),
        ({"spread_over": [SpreadOver(f"l{n}") for n in range(9)]}, "$.spread_over: at most 8, got 9"),
        (
            {"spread_over": [SpreadOver("zone"), SpreadOver("zone", max_skew=2)]},
            '$.spread_over[1].topology: "zone" is the topology of $.spread_over[0] too',
        ),
        ({"platform": ""}, "$.platform: expected 1 to 255 characters, got 0"),
        ({"platform": 5}, "$.platform: expected text, got int"),
        ({"platform": "arm64"}, '$.platform: "arm64" is not a platform; write e.g. "linux/arm64"'),
        (
            {"platform": "linux/x86_64"},
            '$.platform: "linux/x86_64" is not a platform; did you mean "linux/amd64"?',
        ),
        (
            {"platform": "Linux/ARM64"},
            '$.platform: "Linux/ARM64" is not a platform; did you mean "linux/arm64"?',
        ),
        (
            {"tolerations": "gpu"},
            '$.tolerations: expected a list of words, got the text "gpu"; write ["gpu"]',
        ),
        (
            {"restart": "always"},
            "$.restart: expected a RestartPolicy, got 'always'; write RestartPolicy.on_failure(3)",
        ),
        ({"health": "true"}, "$.health: expected a HealthCheck, got 'true'"),
        (
            {"pull": "allways"},
            "$.pull: 'allways' is none of always, if-not-present, never; did you mean \"always\"?",
        ),
        ({"security": "none"}, "$.security: 'none' is none of baseline, restricted"),
        ({"on_lost": "keep"}, "$.on_lost: 'keep' is none of replace, hold"),
        ({"stop_grace_s": -1}, "$.stop_grace_s: -1 is not from 0 to 86,400"),
        ({"after": "a"}, '$.after: expected a list of words, got the text "a"; write ["a"]'),
        ({"completions": 0}, "$.completions: 0 is not from 1 to 1,000,000"),
        ({"replicas": 1.5}, "$.replicas: expected a whole number, got 1.5"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_faulty_task_is_refused(fields, words: str):
    with pytest.raises(SpecError) as caught:
        Task(**{"name": "a", "command": ["true"], **fields})
    assert str(caught.value).startswith(words)


def test_several_ports_may_share_what_does_not_clash():
    ports = [
        *[Port(80), Port(81), Port(80, protocol="udp")],
        *[Port(82, host=1), Port(83, host=1, host_ip="::1"), Port(84, host=1, protocol="udp")],
    ]
    assert Task("a", image="x", ports=ports).ports == tuple(ports)


def test_one_wish_may_stand_for_a_list_of_one():
    near, spread = Affinity.near(), SpreadOver("zone")
    task = Task("a", image="x", affinity=near, spread_over=spread)  # type: ignore[arg-type]
    assert (task.affinity, task.spread_over) == ((near,), (spread,))


def test_where_it_may_go_reads_and_writes_plain_data():
    data: dict[str, object] = {
        "name": "a",
        "image": "x",
        "constraints": ["cores >= 16", "zone in a, b"],
        "preferences": {"disk == ssd": 10},
        "affinity": [{"task": "a", "anti": True}, {"labels": {"app": "db"}, "topology": "rack", "weight": 5}],
        "spread_over": [{"topology": "zone", "max_skew": 2}],
        "platform": "linux/arm64",
    }
    task = Task.from_dict(data)
    assert task.affinity == (
        Affinity.apart(task="a"),
        Affinity.near(labels={"app": "db"}, topology="rack", weight=5),
    )
    assert task.spread_over == (SpreadOver("zone", max_skew=2),)
    assert Task.from_dict(task.to_dict()) == task


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"affinity": [{"task": "a", "job": "b"}]}, "$.affinity[0].task: job is given too"),
        (
            {"affinity": [{}, {"topolgy": "zone"}]},
            '$.affinity[1]: there is no field "topolgy"; did you mean "topology"?',
        ),
        ({"affinity": {"job": "b"}}, "$.affinity: expected array, got object"),
        ({"preferences": {"a == 1": 1.5}}, "$.preferences"),
        ({"spread_over": [{"max_skew": 2}]}, "$.spread_over[0]: object missing required field topology"),
        ({"constraints": ["a == 1", "a === 2"]}, '$.constraints[1]: "a === 2" is not a constraint'),
    ],
)
def test_plain_data_blames_the_wish_that_is_faulty(fields: dict[str, object], words: str):
    with pytest.raises(SpecError) as caught:
        Task.from_dict({"name": "a", "image": "x", **fields})
    assert str(caught.value).startswith(words)


def test_it_keeps_no_hold_of_what_it_was_made_from():
    env, command, ports = {"A": "1"}, ["true"], [Port(80)]
    task = Task("a", command=command, env=env, ports=ports)
    env["A"] = "2"
    command.append("x")
    ports.clear()
    assert (task.env, task.command, task.ports) == ({"A": "1"}, ("true",), (Port(80),))


MAPPINGS = ("env", "secrets", "labels", "preferences")


@pytest.mark.parametrize("field", MAPPINGS)
@pytest.mark.parametrize("filled", [False, True])
def test_its_mappings_cannot_be_changed(field: str, filled: bool):
    values = {"env": "1", "secrets": Secret("s3cret"), "labels": "1", "preferences": 1}
    key = "node.name == a" if field == "preferences" else "A"
    given = {key: values[field]} if filled else {}
    task = Task("a", image="x", **{field: given})
    mapping = getattr(task, field)
    for change in (
        lambda: mapping.__setitem__("B", "2"),
        lambda: mapping.__delitem__(key),
        lambda: mapping.update({"B": "2"}),
        lambda: mapping.pop(key),
        lambda: mapping.popitem(),
        lambda: mapping.setdefault("B", "2"),
        lambda: mapping.clear(),
        lambda: mapping.__ior__({"B": "2"}),
    ):
        with pytest.raises(TypeError, match="does not change"):
            change()
    assert mapping == given
    for again in (copy.copy(task), copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
        assert again == task
        with pytest.raises(TypeError):
            getattr(again, field)["B"] = "2"
    if not filled:
        assert task.to_dict() == {"name": "a", "image": "x"}


def test_what_is_read_has_frozen_mappings_too():
    read = Task.from_dict({"name": "a", "image": "x", "env": {"A": "1"}, "labels": {}})
    for mapping in (read.env, read.labels):
        with pytest.raises(TypeError):
            mapping["B"] = "2"  # type: ignore[index]


def test_it_cannot_be_changed():
    task = Task("a", image="x")
    with pytest.raises(AttributeError):
        task.image = "y"  # type: ignore[misc]


def test_an_image_alone_is_enough_and_so_is_a_command():
    assert Task("a", image="busybox").command == ()
    assert Task("a", command=["true"], entrypoint=[]).entrypoint == ()
    full = Task(
        "a", image="x", restart=RestartPolicy.never(), health=HealthCheck.tcp(80), user="1", workdir="/a"
    )
    assert Task.from_dict(full.to_dict()) == full
