"""Until when a worker counts on its manager: from the sending of what was heard, less what clocks drift."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from minorch.worker.lease import CLOCK_DRIFT, Lease
from tests.core.test_worker_orders import NOW, assign, run, starts, worker

RATES = st.floats(1 - CLOCK_DRIFT / 2.1, 1 + CLOCK_DRIFT / 2.1)


@given(
    st.lists(st.floats(0.001, 30), min_size=1, max_size=50),
    st.floats(0, 60),
    st.floats(0.1, 100),
    RATES,
    RATES,
    st.data(),
)
def test_it_is_over_before_the_manager_takes_the_worker_for_lost(
    pauses: list[float], travel_s: float, lease_s: float, mine: float, theirs: float, data: st.DataObject
):
    lease, sent, now = Lease(), [], 0.0
    for sequence, pause_s in enumerate(pauses, 1):
        now += pause_s
        lease.sent(sequence, now * mine)
        sent.append(now)
    heard = data.draw(st.integers(1, len(sent)))
    lease.renew(heard, lease_s)
    lost_at = sent[heard - 1] + travel_s + lease_s / theirs
    assert lease.over(lost_at * mine)


def test_it_ends_so_long_after_the_sending_of_what_was_heard():
    lease = Lease()
    assert lease.over(0.0)
    for sequence in range(1, 6):
        lease.sent(sequence, 100.0 * sequence)
    lease.renew(2, 10.0)
    assert lease.ends_at == 209.5
    assert not lease.over(209.4)
    assert lease.over(209.5)
    lease.renew(1, 10.0)  # was forgotten, and is older
    assert lease.ends_at == 209.5
    lease.renew(2, 5.0)
    assert lease.ends_at == 209.5
    lease.renew(5, 10.0)
    assert lease.ends_at == 509.5


def test_a_manager_that_gives_none_is_counted_on_for_ever_until_one_does():
    lease = Lease()
    lease.sent(1, 100.0)
    lease.renew(1, 0.0)
    assert lease.ends_at == math.inf
    lease.renew(1, 10.0)
    assert lease.ends_at == 109.5


def test_what_it_remembers_is_bounded_and_what_it_forgot_counts_from_before():
    lease = Lease()
    for sequence in range(1, 100_001):
        lease.sent(sequence, float(sequence))
        assert len(lease._times) == len(lease._sequences) <= 1024
    lease.renew(50_000, 100.0)
    assert 49_700 <= lease.ends_at - 95.0 <= 50_000
    lease.renew(100_000, 100.0)
    assert lease.ends_at == 100_095.0, "the latest one is always remembered"


@pytest.mark.parametrize("order", [{"revision": 3, "base": 2}, {"revision": 9, "epoch": 0}])
def test_an_order_that_cannot_be_taken_does_not_renew_it(order: dict[str, int]):
    made = worker()
    made.receive(assign(run(), heard=1, lease_s=10.0), NOW)
    assert len(starts(made)) == 1
    report = made.settle(NOW + 8).report
    assert report is not None
    for taken in (False, True):
        if taken:
            order = {"revision": 1}
        made.receive(assign(heard=report.sequence, lease_s=10.0, **order), NOW + 9)  # type: ignore[arg-type]
        made.settle(NOW + 9.4)
        assert not made.fenced
        made.settle(NOW + 9.5)
        assert made.fenced is not taken


def test_a_worker_asks_to_be_called_when_its_lease_ends_if_something_is_to_begin():
    made = worker()
    made.receive(assign(heard=1, lease_s=2.0), NOW)
    assert made.settle(NOW).deadline == NOW + 3
    made.receive(assign(run(), revision=2, base=1, heard=1, lease_s=2.0), NOW)
    assert made.settle(NOW).deadline == NOW + 1.9
    assert made.settle(NOW + 1.9).deadline == NOW + 3
