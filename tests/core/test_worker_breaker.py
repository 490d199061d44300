"""The breaker opens for a while that doubles, and closes with the first answer."""

from __future__ import annotations

from minorch.worker.breaker import Breaker


def test_as_long_as_starts_are_answered_all_are_let_through():
    breaker = Breaker(1.0, 30.0)
    assert breaker.lets_through(8, 0.0) == 8
    breaker.answered()
    assert (breaker.lets_through(8, 0.0), breaker.doubtful) == (8, False)


def test_it_opens_for_a_while_and_then_lets_one_through():
    breaker = Breaker(1.0, 30.0)
    assert breaker.unanswered(100.0)
    assert [breaker.lets_through(8, at) for at in (100.0, 100.9, 101.0)] == [0, 0, 1]
    breaker.answered()
    assert breaker.lets_through(8, 101.0) == 8


def test_the_while_doubles_up_to_a_bound():
    breaker, now, waits = Breaker(1.0, 30.0), 0.0, []
    for _ in range(8):
        breaker.unanswered(now)
        waits.append(breaker.open_until - now)
        now = breaker.open_until
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_several_that_were_under_way_count_as_one():
    breaker = Breaker(1.0, 30.0)
    assert [breaker.unanswered(at) for at in (10.0, 10.0, 10.5)] == [True, False, False]
    assert breaker.open_until == 11.0


def test_an_answer_has_the_waits_begin_again():
    breaker = Breaker(1.0, 30.0)
    breaker.unanswered(0.0)
    breaker.unanswered(1.0)
    breaker.answered()
    breaker.unanswered(10.0)
    assert breaker.open_until == 11.0
