from __future__ import annotations

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import example, given, strategies as st

from minorch import messages
from minorch.errors import MessageError, SpecError
from minorch.ids import RunKey
from minorch.messages import Assign, Assignment, Message, Observed, Report, decode, encode
from minorch.model import Node, RestartPolicy, Secret, Task
from minorch.states import AttemptState
from tests.core.strategies import ASSIGNS, MESSAGES, REPORTS

ID = "0123456789abcdef" * 2
SECRET = "s3cr3t-h0rse"
RUN = Assignment(
    task_id=ID,
    attempt=1,
    desired="run",
    task=Task("a", command=["true"], secrets={"KEY": Secret(SECRET)}),
    restart=RestartPolicy.never(),
)
ASSIGN = Assign(cluster_id=ID, worker="n1", epoch=1, revision=1, entries=(RUN,))
REPORT = Report(cluster_id=ID, worker="n1", incarnation=ID, sequence=1, node=Node("n1"))


@given(ASSIGNS)
@example(ASSIGN)
def test_an_assign_is_read_as_it_was_written(message: Assign):
    assert decode(encode(message)) == message


@given(REPORTS)
@example(REPORT)
def test_a_report_is_read_as_it_was_written(message: Report):
    assert decode(encode(message)) == message


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer_is_read(kind):
    assert decode(kind(encode(REPORT))) == REPORT


def test_secrets_travel_in_the_clear_and_are_not_shown():
    assert SECRET.encode() in encode(ASSIGN)
    assert SECRET not in repr(ASSIGN)
    assert SECRET not in repr(decode(encode(ASSIGN)))


def test_what_is_at_its_default_is_not_sent():
    assert json.loads(encode(REPORT)) == {
        "type": "report",
        "cluster_id": ID,
        "worker": "n1",
        "incarnation": ID,
        "sequence": 1,
        "node": {"name": "n1"},
    }


def test_a_field_that_a_newer_peer_added_is_passed_over():
    plain = json.loads(encode(REPORT)) | {"mood": "good"}
    assert decode(json.dumps(plain).encode()) == REPORT


# -- what is no message --------------------------------------------------------------------------------------


def read_or_refused(data: bytes) -> None:
    try:
        message = decode(data)
    except MessageError:
        return
    assert isinstance(message, get_args(Message))


@given(st.binary())
@example(b"")
@example(b"\0")
@example(b"\xff\xfe")
@example(b"\xef\xbb\xbf{}")
@example(b"null")
@example(b"[]")
@example(b'"report"')
@example(b'{"type":"report"}')
@example(b'{"type":"other"}')
@example(b'{"type":1}')
@example(b'{"type":"assign","type":"report"}')
def test_any_bytes_give_a_message_or_a_message_error(data: bytes):
    read_or_refused(data)


@given(MESSAGES, st.data())
def test_a_damaged_message_gives_a_message_or_a_message_error(message: Message, data: st.DataObject):
    written = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(written)))
        end = data.draw(st.integers(start, min(start + 8, len(written))))
        written[start:end] = data.draw(
            st.binary(max_size=4)
            | st.sampled_from([b'"', b"[", b"{", b"}", b"null", b"-1", b"1e999", b"9" * 400])
        )
    read_or_refused(bytes(written))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([ID, "run", "9" * 5000, "\ud800", "1MiB"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(MESSAGES, JSON, st.data())
def test_a_message_with_any_value_anywhere_gives_a_message_or_a_message_error(
    message: Message, value: object, data: st.DataObject
):
    plain = json.loads(encode(message))
    at, key = plain, data.draw(st.sampled_from(sorted(plain)))
    while True:
        inner = at[key]
        keys = (
            sorted(inner)
            if isinstance(inner, dict)
            else list(range(len(inner)))
            if isinstance(inner, list)
            else []
        )
        if not keys or not data.draw(st.integers(0, 4)):
            break
        at, key = inner, data.draw(st.sampled_from(keys))
    at[key] = value
    read_or_refused(json.dumps(plain).encode())


def with_capacity(text: bytes) -> bytes:
    return encode(REPORT).replace(b'{"name":"n1"}', b'{"name":"n1","capacity":' + text + b"}")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"[" * 1_000_000, id="deep"),
        pytest.param(b'{"type":' * 100_000, id="deep objects"),
        pytest.param(with_capacity(b"[" * 100_000), id="deep inside"),
        pytest.param(with_capacity(b"[" * 100_000 + b"]" * 100_000), id="deep inside and closed"),
        pytest.param(with_capacity(b'{"cpu":1' + b"0" * 400 + b"}"), id="400 digits"),
        pytest.param(with_capacity(b'{"cpu":1' + b"0" * 5000 + b"}"), id="5000 digits"),
        pytest.param(with_capacity(b'{"memory":"1' + b"0" * 5000 + b'"}'), id="5000 digits in text"),
        pytest.param(with_capacity(b'{"cpu":1e999}'), id="infinite"),
        pytest.param(with_capacity(b'{"cpu":null}'), id="null"),
        pytest.param(with_capacity(b'{"\\ud800":1}'), id="half a character"),
        pytest.param(with_capacity(b"5"), id="a number for resources"),
        pytest.param(encode(REPORT).replace(b'"sequence":1', b'"sequence":1.5'), id="a fraction of a report"),
        pytest.param(encode(REPORT) + b"{}", id="more after it"),
        pytest.param(encode(REPORT)[:-1], id="less"),
        pytest.param(encode(REPORT).decode().encode("utf-16"), id="utf-16"),
        pytest.param(encode(ASSIGN).replace(b'"a"', b'"a\\u0000"'), id="a name with NUL"),
        pytest.param(encode(ASSIGN).replace(ID.encode(), b"../../etc"), id="a path as an id"),
    ],
)
def test_it_is_refused(data: bytes):
    with pytest.raises(MessageError, match="not a message; the fault is at "):
        decode(data)


def test_the_fault_is_located_without_quoting_what_is_there():
    wrong = encode(ASSIGN).replace(b'"KEY":"' + SECRET.encode() + b'"', b'"KEY":["' + SECRET.encode() + b'"]')
    with pytest.raises(MessageError) as caught:
        decode(wrong)
    assert str(caught.value) == "not a message; the fault is at `$.entries[0].task.secrets[...]`"


@pytest.mark.parametrize(
    "place",
    [
        '"type":"X"',
        '"worker":"X","epoch":"X"',
        '"X":1,"entries":["X"]',
        '"entries":[{"task_id":"X"}]',
        '"released":[["X","X"]]',
        '"entries":[{"task_id":"ID","attempt":1,"desired":"X - at `$.X`"}]',
        '"entries":[{"task_id":"ID","attempt":1,"desired":"run","task":{"name":"X !"}}]',
        '"entries":[{"task_id":"ID","attempt":1,"desired":"run","task":{"name":"a","env":{"X":"X"},"X":1}}]',
        '"entries":[{"task_id":"ID","attempt":1,"desired":"run","task":{"name":"a","secrets":{"X !":"X"}}}]',
    ],
)
def test_no_part_of_a_refused_message_is_in_the_error(place: str):
    plain = '{"type":"assign","cluster_id":"c","worker":"n","epoch":1,"revision":1,' + place + "}"
    with pytest.raises(MessageError) as caught:
        decode(plain.replace("ID", ID).replace("X", SECRET).encode())
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_message_that_nobody_would_read_is_not_written(monkeypatch: pytest.MonkeyPatch):
    size = len(encode(REPORT))
    monkeypatch.setattr(messages, "MAX_MESSAGE_BYTES", size)
    assert decode(encode(REPORT)) == REPORT
    monkeypatch.setattr(messages, "MAX_MESSAGE_BYTES", size - 1)
    with pytest.raises(MessageError, match=rf"a message of {size:,} bytes; at most {size - 1:,} are read"):
        encode(REPORT)


def test_a_message_that_is_too_large_is_refused_unread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(messages, "MAX_MESSAGE_BYTES", 1000)
    padded = encode(REPORT).ljust(1000)
    assert decode(padded) == REPORT
    for data in (padded + b" ", memoryview(padded + b" ")):
        with pytest.raises(MessageError, match=r"a message of 1,001 bytes; at most 1,000 are read"):
            decode(data)


# -- the records ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"task_id": "1"}, "$.task_id"),
        ({"attempt": 0}, "$.attempt"),
        ({"run": -1}, "$.attempt"),
        ({"task": None}, "$.task"),
        ({"restart": None}, "$.task"),
    ],
)
def test_an_assignment_must_make_sense(change, path: str):
    with pytest.raises(SpecError) as caught:
        msgspec.structs.replace(RUN, **change)
    assert caught.value.path == path


def test_to_stop_takes_no_task():
    assert Assignment(task_id=ID, attempt=1, desired="stop").task is None


def test_progress_goes_by_run_then_state_and_ends_come_last():
    steps = [
        *[(0, AttemptState.SCHEDULED), (0, AttemptState.PREPARING), (1, AttemptState.RUNNING)],
        *[(2, AttemptState.PREPARING), (2, AttemptState.RUNNING), (1, AttemptState.FAILED)],
    ]
    progress = [Observed(task_id=ID, attempt=1, run=run, state=state).progress for run, state in steps]
    assert progress == sorted(progress)
    assert len(set(progress)) == len(steps)


def test_what_was_observed_names_its_run():
    assert Observed(task_id=ID, attempt=2, run=3, state=AttemptState.RUNNING).key == RunKey(ID, 2, 3)


def test_messages_cannot_be_changed():
    with pytest.raises(AttributeError):
        REPORT.sequence = 2  # type: ignore[misc]
