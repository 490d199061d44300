"""The id of a cluster may be given beforehand, so that workers can be told it before there is a manager."""

from __future__ import annotations

import pytest

import minorch as mo
from minorch.drivers import ManagerDriver
from minorch.stores.memory import MemoryStore

GIVEN = "1234567890abcdef" * 2


def driver(store: MemoryStore, cluster_id: str | None) -> ManagerDriver:
    return ManagerDriver(mo.Scheduler(), store, send=lambda message: None, cluster_id=cluster_id)


def test_a_new_cluster_takes_the_id_that_it_is_given():
    assert driver(MemoryStore(), GIVEN).cluster_id == GIVEN
    assert driver(MemoryStore(), None).cluster_id != driver(MemoryStore(), None).cluster_id


def test_the_id_in_a_store_wins():
    store = MemoryStore()
    first = driver(store, None)
    first.start()
    first.close()
    assert driver(store, GIVEN).cluster_id == first.cluster_id


def test_what_is_no_id_is_refused():
    with pytest.raises(mo.SpecError, match="not the id of a cluster"):
        driver(MemoryStore(), "mine")
