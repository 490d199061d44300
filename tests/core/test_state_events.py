"""The event log by itself."""

from __future__ import annotations

import pytest

from minorch.state import events as events_module
from minorch.state.events import Event, EventLog


def event(number: int) -> Event:
    return Event(number=number, at=1.0, kind="it_happened", node="n", detail="so")


def test_an_empty_log_has_nothing_to_tell_or_to_write():
    log = EventLog(10)
    assert log.since(0) == ()
    assert log.write() == ((), ())


def test_rows_are_dropped_when_what_is_left_is_enough():
    log = EventLog(3)
    dropped = []
    for number in range(1, 11):
        log.add(event(number))
        rows, events = log.write()
        assert events == (event(number),)
        dropped += [key for key, value in rows if value is None]
    assert [e.number for e in log.since(0)] == [8, 9, 10]
    assert [int(key) for key in dropped] == [1, 2, 3, 4, 5, 6, 7]


def test_one_turn_of_more_events_than_are_remembered_is_kept_whole():
    log = EventLog(3)
    for number in range(1, 11):
        log.add(event(number))
    rows, _ = log.write()
    assert len(list(rows)) == 1
    assert len(log.since(0)) == 10
    assert len(log.since(9)) == 1


def test_a_large_turn_is_written_in_parts_that_are_dropped_one_by_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events_module, "_MOST_IN_ROW", 4)
    log, copy, kept = EventLog(5), EventLog(5), dict[str, bytes | None]()

    def turn(first: int, last: int) -> None:
        for number in range(first, last + 1):
            log.add(event(number))
        kept.update(log.write()[0])

    def numbers() -> list[int]:
        return [event.number for event in log.since(0)]

    turn(1, 10)
    assert [key for key in kept if kept[key]] == [f"{number:020d}" for number in (1, 5, 9)]
    assert numbers() == list(range(1, 11))
    turn(11, 11)
    assert numbers() == list(range(5, 12)), "what is left without the first four is enough"
    turn(12, 13)
    assert numbers() == list(range(9, 14))
    for key, value in kept.items():
        if value is not None:
            copy.read(key, value)
    assert copy.since(0) == log.since(0)


def test_an_event_is_a_sentence():
    assert str(event(3)) == "#3 it happened on n: so"
