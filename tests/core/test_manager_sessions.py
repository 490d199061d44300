"""The conversation with one worker: who is listened to, and when everything is said again."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from minorch.manager.sessions import Session
from minorch.messages import Assign, Assignment, Report
from minorch.model import Node

EPOCH = 7


def report(incarnation: str, sequence: int, *, revision: int = 0, epoch: int = EPOCH) -> Report:
    return Report(
        cluster_id="c" * 32,
        worker="n",
        incarnation=incarnation,
        sequence=sequence,
        epoch=epoch,
        revision=revision,
        node=Node("n"),
    )


def hear(session: Session, told: Report, now: float = 0.0) -> bool:
    return session.hear(told, epoch=EPOCH, now=now, resend_s=2.0, full_every_s=60.0)


def say(
    session: Session, now: float = 0.0, *, most_bytes: int = 2**25, stops: Collection[str] = ()
) -> Assign | None:
    return session.next_message(
        lambda task_id, attempt: Assignment(task_id=task_id, attempt=attempt, desired="stop"),
        lambda task_id: 0 if task_id in stops else 1000,
        most_bytes=most_bytes,
        cluster_id="c" * 32,
        epoch=EPOCH,
        now=now,
    )


def connected() -> Session:
    session = Session("n")
    assert hear(session, report("one", 1, epoch=0))
    full = say(session)
    assert full is not None
    assert (full.base, full.revision, full.incarnation) == (None, 1, "one")
    assert hear(session, report("one", 2, revision=1))
    assert say(session) is None
    return session


def test_nothing_is_said_to_a_worker_that_was_not_heard_of():
    session = Session("n")
    session.changed["a" * 32] = None
    assert say(session) is None


def test_doubled_and_overtaken_reports_say_nothing():
    session = connected()
    assert not hear(session, report("one", 2, revision=1))
    assert not hear(session, report("one", 1))


def test_an_incarnation_is_gone_once_its_successor_has_confirmed_something():
    session = connected()
    assert hear(session, report("two", 1, epoch=0))
    full = say(session)
    assert full is not None
    assert (full.base, full.revision, full.incarnation) == (None, 2, "two")
    assert hear(session, report("two", 2, revision=2))
    assert not hear(session, report("one", 3, revision=1))
    assert say(session) is None


def test_a_report_from_before_this_manager_began_does_not_silence_the_living_worker_for_good():
    session = Session("n")
    assert hear(session, report("younger", 1, epoch=0))
    assert hear(session, report("older", 9, epoch=EPOCH - 1)), "nobody can tell yet that it is the older one"
    assert say(session) is not None
    assert not hear(session, report("younger", 1, epoch=0)), "doubled"
    assert hear(session, report("younger", 2, epoch=0))
    full = say(session)
    assert full is not None
    assert full.incarnation == "younger"
    assert hear(session, report("younger", 3, revision=full.revision))
    assert not hear(session, report("older", 10, epoch=EPOCH - 1))


def test_nobody_is_certain_to_live_before_it_has_confirmed_what_only_it_was_sent():
    session = Session("n")
    assert hear(session, report("one", 1, revision=3, epoch=EPOCH - 1))
    assert not session.certain
    assert say(session) is not None
    assert hear(session, report("one", 2, revision=1))
    assert session.certain
    assert hear(session, report("two", 1, epoch=0))
    assert not session.certain
    assert say(session) is not None
    assert hear(session, report("one", 3, revision=1)), "it may live yet"
    assert not session.certain, "what it confirms was sent before another one was heard"


def test_a_report_that_was_not_taken_in_as_a_whole_is_not_confirmed():
    session = connected()
    first, second = report("one", 3, revision=1), report("one", 4, revision=1)
    assert hear(session, first)
    session.merged(msgspec.structs.replace(first, renew=True))
    assert hear(session, second)
    answer = say(session)
    assert answer is not None
    assert answer.heard == 3
    assert hear(session, report("two", 1, epoch=0))
    answer = say(session)
    assert answer is not None
    assert answer.heard == 0, "of the new one"


def test_a_worker_that_starts_again_and_again_is_remembered_within_bounds():
    session = Session("n")
    for at in range(100):
        assert hear(session, report(f"i{at}", 1, epoch=0))
    assert len(session._others) == 16


def test_a_lost_change_is_made_up_for_although_more_changes_follow():
    session = connected()
    now, sequence, fulls = 0.0, 2, 0
    for at in range(10):  # the change at 0 is lost, so the worker can apply none of those that follow
        session.held[f"{at:032x}"] = 1
        session.changed[f"{at:032x}"] = None
        message = say(session, now)
        assert message is not None
        fulls += message.base is None
        now += 1.0
        sequence += 1
        hear(session, report("one", sequence, revision=1), now)
    assert fulls >= 1


def test_a_worker_that_lags_but_goes_on_is_not_told_everything_again():
    session = connected()
    for at in range(10):
        session.held[f"{at:032x}"] = 1
        session.changed[f"{at:032x}"] = None
        message = say(session, at * 1.0)
        assert message is not None
        assert message.base is not None
        hear(session, report("one", 3 + at, revision=1 + at), at + 1.0)


def test_what_is_confirmed_is_not_waited_for():
    session = connected()
    session.held["a" * 32] = 1
    session.changed["a" * 32] = None
    message = say(session)
    assert message is not None
    hear(session, report("one", 3, revision=message.revision))
    hear(session, report("one", 4, revision=message.revision), 50.0)
    assert say(session, 50.0) is None
