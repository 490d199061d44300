"""Commits to a PostgreSQL whose line breaks, at every point of them: nothing is lost, nothing done twice."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

from minorch.contracts import Change
from minorch.errors import StoreError, StoreFenced
from minorch.stores.postgresql import PostgreSQLStore, store as store_module
from tests.private_postgresql import Server
from tests.stores.postgresql_relay import Relay
from tests.survival.figures import THOROUGH, tell

ROWS = [Change("t", "kept", b"0")]


@pytest.fixture
def relay(postgresql: Server) -> Iterator[Relay]:
    with Relay(postgresql) as relay:
        yield relay


@pytest.fixture
def schema(postgresql_url: str) -> str:
    return postgresql_url.rpartition("=")[2]


@pytest.fixture
def store(relay: Relay, schema: str) -> Iterator[PostgreSQLStore]:
    with contextlib.closing(PostgreSQLStore(relay.url(schema), lease_s=60)) as store:
        store.commit(ROWS)
        yield store


def serial(postgresql: Server, schema: str) -> int:
    ((number,),) = postgresql.run(f"SELECT serial FROM {schema}.fence")
    assert isinstance(number, int)
    return number


def batch(number: int) -> list[Change]:
    return [
        Change("t", "number", b"%d" % number),
        Change("t", f"row {number:04}", bytes(100)),
        Change("t", f"row {number - 1:04}", None),
    ]


def lengths(relay: Relay, store: PostgreSQLStore) -> tuple[int, int]:
    """How many bytes a commit asks and is answered with, once its statement is known to the server."""
    for number in range(12):
        relay.count()
        store.commit(batch(number))
    time.sleep(0.05)
    return relay.counts["to the server"], relay.counts["to the client"]


def test_a_line_that_breaks_at_any_byte_of_a_commit_loses_and_doubles_nothing(
    postgresql: Server, relay: Relay, store: PostgreSQLStore, schema: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("minorch.stores.postgresql.writer._FIRST_RETRY_S", 0.001)
    asked, answered = lengths(relay, store)
    assert asked > 100
    assert answered > 20
    points = [("to the server", at) for at in range(0, asked + 1, 1 if THOROUGH else 29)]
    points += [("to the client", at) for at in range(0, answered + 1, 1 if THOROUGH else 5)]
    taken = cut = 0
    number = 11
    uncut: list[tuple[str, int]] = []
    for way, at in points:
        for _ in range(11):  # so that the statement is as short again as when it was measured
            number += 1
            store.commit(batch(number))
        before, number, cuts = serial(postgresql, schema), number + 1, relay.cuts
        relay.arm(way, at)  # type: ignore[arg-type]
        store.commit(batch(number))
        relay.count()
        cut += relay.cuts > cuts
        if relay.cuts == cuts:
            uncut.append((way, at))
        assert serial(postgresql, schema) == before + 1, f"{at} bytes {way}"
        taken += 1
        assert store.load() == sorted([*ROWS, *batch(number)[:2]]), f"{at} bytes {way}"
    assert store.leads
    assert cut >= len(points) - 4, uncut
    tell(f"{taken} commits, the line of {cut} cut: {asked} bytes asked, {answered} answered; each taken once")


def test_a_commit_that_reaches_the_server_late_does_nothing_once_it_was_written_again(
    postgresql: Server, relay: Relay, store: PostgreSQLStore, schema: str
):
    """The line was cut for us alone: the server still has it, and the request on it."""
    lengths(relay, store)
    before = serial(postgresql, schema)
    relay.arm("to the server", 0, hold=True)
    store.commit(batch(12))
    assert relay.held, "nothing was kept back"
    assert serial(postgresql, schema) == before + 1
    store.commit(batch(13))
    rows = store.load()
    relay.let_go()
    time.sleep(0.2)
    assert serial(postgresql, schema) == before + 2, "the late one was taken too"
    assert store.load() == rows


def test_a_commit_in_doubt_that_was_taken_is_followed_by_the_next_one(
    postgresql: Server, relay: Relay, store: PostgreSQLStore, schema: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store._writer, "_retry_s", 0.0)
    lengths(relay, store)
    before = serial(postgresql, schema)
    relay.arm("to the client", 0)
    with pytest.raises(StoreError, match="in doubt") as caught:
        store.commit([Change("t", "a", b"1")])
    assert not isinstance(caught.value, StoreFenced)
    assert serial(postgresql, schema) == before + 1, "it was taken, which the store could not know"
    store.commit([Change("t", "a", b"2")])
    assert serial(postgresql, schema) == before + 2
    assert Change("t", "a", b"2") in store.load()


def test_a_backend_that_is_terminated_while_it_commits_is_followed_by_another(
    postgresql: Server, store: PostgreSQLStore, schema: str
):
    """It waits for a lock when it dies, so nothing was taken; then nothing holds the lock any more."""
    with contextlib.closing(postgresql.connect()) as other:
        other.autocommit = False
        other.execute(f"SELECT FROM {schema}.fence FOR UPDATE".encode())
        writing = threading.Thread(target=store.commit, args=([Change("t", "a", b"1")],))
        writing.start()
        waits = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%.fence SET serial%'"
        until(lambda: postgresql.run(f"SELECT {waits}"))
        for _ in range(3):
            before = postgresql.run(f"SELECT pid {waits}")
            postgresql.run(f"SELECT pg_terminate_backend(pid) {waits}")
            until(lambda before=before: postgresql.run(f"SELECT pid {waits}") not in ([], before))
        other.rollback()
    writing.join(20)
    assert Change("t", "a", b"1") in store.load()


def until(condition: object) -> None:
    give_up = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < give_up, "it does not happen"
        time.sleep(0.005)


@pytest.mark.parametrize("how", ["in order", "as if it crashed"])
def test_a_server_that_is_restarted_is_gone_on_with(postgresql: Server, postgresql_url: str, how: str):
    import signal

    with (
        contextlib.closing(PostgreSQLStore(postgresql_url, lease_s=6)) as store,
        contextlib.closing(PostgreSQLStore(postgresql_url, lease_s=6, standby=True)) as other,
    ):
        waiting = threading.Thread(target=other.lead)
        waiting.start()
        store.commit(ROWS)
        postgresql.stop(signal.SIGINT if how == "in order" else signal.SIGQUIT)
        writing = threading.Thread(target=store.commit, args=([Change("t", "a", b"1")],))
        writing.start()  # and it waits for the server
        time.sleep(0.5)
        postgresql.start()
        writing.join(20)
        time.sleep(3)  # two renewals
        assert store.leads
        assert not other.leads, "a server's restart is no leader's death"
        store.commit([Change("t", "b", b"2")])
        assert [row.key for row in store.load()] == ["a", "b", "kept"]
        store.close()
        waiting.join(10)
        assert other.leads
        assert [row.key for row in other.load()] == ["a", "b", "kept"]


def test_a_server_that_is_gone_for_good_is_an_error_that_says_that_nothing_was_written(
    postgresql: Server, store: PostgreSQLStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store._writer, "_retry_s", 0.3)
    postgresql.stop()
    try:
        with pytest.raises(StoreError, match=r"in doubt|nothing was written"):
            store.commit([Change("t", "a", b"1")])
        with pytest.raises(StoreError, match=r"see whether it runs .*; nothing was written"):
            store.commit([Change("t", "a", b"2")])
    finally:
        postgresql.start()
    store.commit([Change("t", "a", b"3")])
    assert Change("t", "a", b"3") in store.load()


def test_a_statement_that_takes_too_long_is_called_off_and_writes_nothing(
    postgresql: Server, postgresql_url: str, schema: str
):
    with (
        contextlib.closing(PostgreSQLStore(postgresql_url, statement_timeout_s=0.3)) as store,
        contextlib.closing(postgresql.connect()) as other,
    ):
        other.autocommit = False
        other.execute(f"SELECT FROM {schema}.fence FOR UPDATE".encode())
        with pytest.raises(StoreError, match=r"took too long .*nothing was done"):
            store.commit(ROWS)
        other.rollback()
        assert store.load() == []
        store.commit(ROWS)
        assert store.load() == ROWS


def test_a_server_that_hangs_is_cut_off(
    postgresql: Server, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Its process is stopped, so it neither answers nor ends the statement by itself."""
    import os
    import signal

    monkeypatch.setattr(store_module, "_MARGIN_S", 0.5)
    with contextlib.closing(PostgreSQLStore(postgresql_url, statement_timeout_s=0.5)) as store:
        store.commit(ROWS)
        ((pid,),) = postgresql.run(
            f"SELECT pid FROM pg_stat_activity WHERE application_name = 'minorch writer {os.getpid()}'"
        )
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            store.commit([Change("t", "a", b"1")])
            assert time.monotonic() - began < 10
            assert Change("t", "a", b"1") in store.load()
        finally:
            os.kill(pid, signal.SIGCONT)
