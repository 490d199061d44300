"""What a worker should have, in several messages where one would be too large."""

from __future__ import annotations

import pytest

from minorch.manager.parts import ENOUGH_FOR_ONE_BYTES, Parts, fitting
from minorch.messages import MAX_MESSAGE_BYTES, Assign, Assignment, encode, encoded_size
from minorch.model import RestartPolicy, Secret, Task
from tests.core.test_manager_sessions import connected, hear, report, say

IDS = [f"{number:032x}" for number in range(10)]
NO_SIZES = pytest.fail


def test_a_few_fit_whatever_they_are():
    assert fitting(IDS[:3], 3 * ENOUGH_FOR_ONE_BYTES, NO_SIZES) == 3  # type: ignore[arg-type]
    assert fitting([], 1, NO_SIZES) == 0  # type: ignore[arg-type]


def test_as_many_fit_as_there_is_room_for_and_one_at_least():
    assert fitting(IDS, 10_000, lambda task_id: 1000) == 6
    assert fitting(IDS, 10_000, lambda task_id: 1000, named=100) == 2
    assert fitting(IDS, 1, lambda task_id: 1000) == 1
    assert fitting(IDS, 100_000, lambda task_id: 1000) == 10


def test_no_assignment_is_larger_than_is_counted_for_each():
    secrets = {f"S{number}": Secret("\u0001" * 131_072) for number in range(7)}
    largest = Task("t", command=["x"], secrets=secrets)
    entry = Assignment(task_id=IDS[0], attempt=1, desired="run", task=largest, restart=RestartPolicy.never())
    message = Assign(cluster_id="c" * 32, worker="n", epoch=1, revision=1, entries=(entry,))
    assert encoded_size(largest) < len(encode(message)) < ENOUGH_FOR_ONE_BYTES < MAX_MESSAGE_BYTES / 4


def test_what_was_confirmed_is_known_until_it_changes():
    parts, held = Parts(), {"a": 1, "b": 1, "c": 2}
    assert parts.unknown(held, []) == ["a", "b", "c"]
    parts.told(5, {"a": 1}, full=True)
    parts.told(6, {"b": 1}, full=False)
    parts.confirmed(5, held)
    assert parts.unknown(held, []) == ["b", "c"]
    parts.confirmed(6, held)
    assert parts.unknown(held, []) == ["c"]
    assert parts.unknown(held, ["a"]) == ["a", "c"]
    assert parts.unknown({"b": 2}, []) == ["b"], "another attempt is another thing"


def test_what_was_never_confirmed_before_a_full_one_is_told_again():
    parts, held = Parts(), {"a": 1, "b": 1}
    parts.told(5, {"a": 1}, full=True)
    parts.told(6, {"b": 1}, full=True)
    parts.confirmed(6, held)
    assert parts.unknown(held, []) == ["a"]


def test_what_is_told_anew_is_not_known_until_that_is_confirmed():
    parts, held = Parts(), {"a": 1}
    parts.told(5, {"a": 1}, full=True)
    parts.confirmed(5, held)
    parts.told(6, {"a": 1}, full=False)
    assert parts.unknown(held, []) == ["a"]


def test_what_was_told_something_else_since_is_known_only_when_that_is_confirmed():
    parts, held = Parts(), {"a": 1}
    parts.told(5, {"a": 1}, full=True)
    parts.told(6, {"a": 1}, full=False)
    parts.confirmed(5, held)
    assert parts.unknown(held, []) == ["a"]
    parts.confirmed(6, held)
    assert parts.unknown(held, []) == []


def test_what_is_not_held_any_more_is_forgotten():
    parts = Parts()
    parts.told(5, {"a": 1}, full=True)
    parts.confirmed(5, {})
    assert parts.unknown({"a": 1}, []) == ["a"]


def test_a_full_message_names_the_rest_which_follows_as_each_is_confirmed():
    session = connected()
    for task_id in IDS:
        session.held[task_id] = 1
    session.repeat_all()
    told: list[str] = []
    message = say(session, most_bytes=5_000)
    assert message is not None
    assert message.base is None
    assert len(message.entries) == 2
    assert {task_id for task_id, _ in message.kept} == set(IDS[2:])
    sequence = 3
    while message is not None and message.entries:
        told += [entry.task_id for entry in message.entries]
        assert hear(session, report("one", sequence, revision=message.revision))
        sequence += 1
        message = say(session, most_bytes=5_000)
        assert message is None or message.base is not None
    assert told == IDS


def test_messages_that_are_lost_cost_time_and_nothing_else():
    session = connected()
    for task_id in IDS:
        session.held[task_id] = 1
    session.repeat_all()
    told: set[str] = set()
    now, sequence, revision = 0.0, 3, 1
    for number in range(100):
        message = say(session, now, most_bytes=5_000)
        if message is not None and number % 3 == 0:  # two of three are lost
            if message.base is None:
                told &= {entry.task_id for entry in message.entries} | {one for one, _ in message.kept}
            if message.base in (None, revision):
                told |= {entry.task_id for entry in message.entries}
                revision = message.revision
        now += 3.0
        assert hear(session, report("one", sequence, revision=revision), now)
        sequence += 1
    assert told == set(IDS)


def test_a_change_that_is_too_large_follows_in_parts():
    session = connected()
    for task_id in IDS:
        session.held[task_id] = 1
        session.changed[task_id] = None
    first = say(session, most_bytes=5_000)
    assert first is not None
    assert (first.base, len(first.entries), first.kept) == (1, 3, ())
    assert list(session.changed) == IDS[3:]
    assert say(session, most_bytes=5_000) is None
    assert hear(session, report("one", 3, revision=first.revision))
    second = say(session, most_bytes=5_000)
    assert second is not None
    assert [entry.task_id for entry in second.entries] == IDS[3:6]


def test_when_all_of_it_fits_again_all_of_it_is_told():
    session = connected()
    for task_id in IDS:
        session.held[task_id] = 1
    session.repeat_all()
    first = say(session, most_bytes=5_000)
    assert first is not None
    assert hear(session, report("one", 3, revision=first.revision))
    session.repeat_all()
    whole = say(session)
    assert whole is not None
    assert (len(whole.entries), whole.kept, whole.base) == (10, (), None)
    assert not session.changed


def test_the_next_part_waits_for_the_one_before_and_stops_do_not():
    session = connected()
    for task_id in IDS:
        session.held[task_id] = 1
    session.repeat_all()
    first = say(session, most_bytes=5_000)
    assert first is not None
    assert hear(session, report("one", 3, revision=1)), "a report that crossed it"
    assert say(session, most_bytes=5_000) is None
    session.changed[IDS[9]] = None
    stop = say(session, most_bytes=5_000, stops={IDS[9]})
    assert stop is not None
    assert [entry.task_id for entry in stop.entries] == [IDS[9]]
    assert hear(session, report("one", 4, revision=first.revision)), "the stop is on its way"
    second = say(session, most_bytes=5_000, stops={IDS[9]})
    assert second is not None
    assert [entry.task_id for entry in second.entries] == IDS[2:5]


def test_what_is_to_stop_is_told_first_and_all_of_it():
    session = connected()
    for task_id in IDS:
        session.held[task_id] = 1
    session.repeat_all()
    stops = {IDS[3], IDS[7]}
    message = say(session, most_bytes=1, stops=stops)
    assert message is not None
    assert [entry.task_id for entry in message.entries] == [IDS[3], IDS[7], IDS[0]]
    assert list(session.changed) == [task_id for task_id in IDS[1:] if task_id not in stops]


def test_a_new_incarnation_is_told_everything():
    session = connected()
    for task_id in IDS:
        session.held[task_id] = 1
    session.repeat_all()
    first = say(session, most_bytes=5_000)
    assert first is not None
    assert hear(session, report("one", 3, revision=first.revision))
    assert hear(session, report("two", 1))
    again = say(session, most_bytes=5_000)
    assert again is not None
    assert [entry.task_id for entry in again.entries] == IDS[:2]
