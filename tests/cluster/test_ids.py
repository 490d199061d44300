"""The ids that drivers make."""

from __future__ import annotations

import itertools
import time

import pytest

from minorch.drivers import new_id
from minorch.ids import check_id


def test_ids_are_well_formed_and_sort_in_the_order_in_which_they_were_made(monkeypatch: pytest.MonkeyPatch):
    moments = itertools.count(time.time_ns(), 1000)
    monkeypatch.setattr(time, "time_ns", lambda: next(moments))
    made = [new_id() for _ in range(1000)]
    assert [check_id(value, "task") for value in made] == sorted(made)


def test_ids_of_the_same_moment_differ(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time, "time_ns", lambda: 1_800_000_000_000_000_000)
    assert len({new_id() for _ in range(1000)}) == 1000
