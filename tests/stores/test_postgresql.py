"""What only the PostgreSQL store does: the lead, schemas, versions, damage; and what it never shows."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Iterator
from urllib.parse import quote

import pytest

import minorch
from minorch.contracts import Change, SharedStore
from minorch.errors import (
    StoreCorrupt,
    StoreError,
    StoreFenced,
    StoreLocked,
    StoreVersionError,
    UsageError,
)
from minorch.stores.postgresql import PostgreSQLStore, schema as schema_module
from minorch.stores.postgresql.address import Address
from minorch.stores.postgresql.batch import Batch
from tests.private_postgresql import Server

ROW = Change("t", "a", b"1")
WORD = "hunter2/sword fish@"


@pytest.fixture
def schema(postgresql_url: str) -> str:
    return postgresql_url.rpartition("=")[2]


@pytest.fixture
def store(postgresql_url: str) -> Iterator[PostgreSQLStore]:
    with contextlib.closing(PostgreSQLStore(postgresql_url)) as store:
        yield store


def stall(store: PostgreSQLStore) -> None:
    """Have a leader renew nothing any more, as one that is stopped; it does not know."""
    assert store._tenure is not None
    store._tenure.stop(5)


def until(condition: object) -> None:
    give_up = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < give_up, "it does not happen"
        time.sleep(0.005)


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


HOLDER = """
    import sys, time
    from minorch.stores.postgresql import PostgreSQLStore
    store = PostgreSQLStore(sys.argv[1], lease_s=float(sys.argv[2]), address="tcp://here:1")
    print("open", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def holder(url: str, lease_s: float = 10.0) -> Iterator[subprocess.Popen[str]]:
    """A process that leads."""
    with child(HOLDER, url, lease_s) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


# -- who leads -----------------------------------------------------------------------------------------------


def test_it_is_a_store_that_is_shared(store: PostgreSQLStore):
    assert isinstance(store, SharedStore)
    assert store.leads
    assert store.leader is not None
    assert store.leader.is_this_process
    assert store.leader.fence == 1
    assert 0 < store.leader.left_s <= 10


def test_a_second_one_is_told_which_process_has_it(postgresql_url: str):
    with holder(postgresql_url) as process:
        began = time.monotonic()
        host = os.uname().nodename
        with pytest.raises(
            StoreLocked,
            match=rf"process {process.pid} on {host} \(tcp://here:1\) has the store .* standby=True",
        ):
            PostgreSQLStore(postgresql_url, wait_s=0.2)
        assert time.monotonic() - began < 5


def test_a_second_one_in_this_process_is_told_so(store: PostgreSQLStore, postgresql_url: str):
    with pytest.raises(StoreLocked, match="open in this process already; close it there first"):
        PostgreSQLStore(postgresql_url, wait_s=0)


def test_one_waits_until_the_other_lets_go(store: PostgreSQLStore, postgresql_url: str):
    store.commit([ROW])
    closing = threading.Timer(0.2, store.close)
    closing.start()
    with contextlib.closing(PostgreSQLStore(postgresql_url, wait_s=30)) as other:
        closing.join()
        assert other.load() == [ROW]
        assert other.leader is not None
        assert other.leader.fence == 2


def test_one_that_stands_by_does_nothing_before_it_leads(store: PostgreSQLStore, postgresql_url: str):
    with contextlib.closing(PostgreSQLStore(postgresql_url, standby=True)) as other:
        assert not other.leads
        for call in (other.load, lambda: other.commit([ROW]), lambda: other.commit([]), other.confirm):
            with pytest.raises(StoreError, match=r"does not lead yet; call lead\(\)"):
                call()
        assert not other.lead(timeout_s=0)
        assert not other.lead(timeout_s=0.1)
        assert other.leader is not None
        assert other.leader.fence == 1
        store.close()
        assert other.lead(timeout_s=20)
        assert other.lead()
        assert other.load() == []


def test_a_leader_that_is_killed_is_followed_at_once(postgresql_url: str):
    with (
        holder(postgresql_url, lease_s=600) as process,
        contextlib.closing(PostgreSQLStore(postgresql_url, standby=True)) as other,
    ):
        assert not other.lead(timeout_s=0.2)
        threading.Timer(0.2, process.kill).start()
        began = time.monotonic()
        assert other.lead(timeout_s=30)
        assert time.monotonic() - began < 10, "it waited for the lease"


def test_a_leader_that_is_stopped_is_followed_when_its_lease_is_over_and_can_write_no_more(
    postgresql: Server, postgresql_url: str, schema: str
):
    code = """
        import sys, time
        from minorch.contracts import Change
        from minorch.errors import StoreFenced
        from minorch.stores.postgresql import PostgreSQLStore
        store = PostgreSQLStore(sys.argv[1], lease_s=1.0)
        store.commit([Change("t", "a", b"1")])
        print("open", flush=True)
        input()
        try:
            store.commit([Change("t", "stale", b"1")])
        except StoreFenced as error:
            print(error)
    """
    words = [sys.executable, "-c", textwrap.dedent(code), postgresql_url]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        process.send_signal(signal.SIGSTOP)
        with contextlib.closing(PostgreSQLStore(postgresql_url, wait_s=20)) as other:
            other.commit([Change("t", "b", b"2")])
            process.send_signal(signal.SIGCONT)
            said, _ = process.communicate("now\n", timeout=30)
            assert "another manager leads" in said
            assert f"process {os.getpid()} on" in said
            assert other.load() == [ROW, Change("t", "b", b"2")]


def test_a_stale_leader_is_refused_whatever_it_does_and_tells_who_asked_to_be_told(
    store: PostgreSQLStore, postgresql_url: str
):
    told: list[StoreFenced] = []
    store.commit([ROW])
    store.when_lost(told.append)
    with contextlib.closing(PostgreSQLStore(postgresql_url, standby=True, lease_s=60)) as other:
        stall(store)
        assert store._tenure is not None
        assert store._tenure.is_fresh
        other._leading.run(f"UPDATE {other._address.schema}.leader SET expires_at = clock_timestamp()")
        assert other.lead(timeout_s=20)
        store.confirm()  # it cannot know yet
        with pytest.raises(StoreFenced, match="another manager leads"):
            store.commit([ROW._replace(value=b"stale")])
        assert len(told) == 1
        for call in (store.load, lambda: store.commit([]), store.confirm, lambda: store.commit([ROW])):
            with pytest.raises(StoreFenced):
                call()
        assert not store.leads
        assert "fenced" in repr(store)
        store.when_lost(told.append)
        assert len(told) == 2
        assert other.load() == [ROW]
        other.close()
        assert store.lead(timeout_s=20), "it may lead again"
        assert store.load() == [ROW]
        store.commit([ROW._replace(value=b"3")])
        assert len(told) == 2


def test_a_leader_whose_lease_may_be_over_asks_before_it_is_sure(store: PostgreSQLStore, postgresql_url: str):
    stall(store)
    assert store._tenure is not None
    store._tenure._renewed_at -= 11
    assert not store._tenure.is_fresh
    store.confirm()
    assert store._tenure.is_fresh, "nobody had taken it"
    store._tenure._renewed_at -= 11
    store._leading.run(f"UPDATE {store._address.schema}.leader SET expires_at = clock_timestamp()")
    with contextlib.closing(PostgreSQLStore(postgresql_url)), pytest.raises(StoreFenced):
        store.confirm()


def test_a_leader_renews_its_lease(postgresql_url: str):
    with (
        contextlib.closing(PostgreSQLStore(postgresql_url, lease_s=1.5)) as store,
        contextlib.closing(PostgreSQLStore(postgresql_url, standby=True)) as other,
    ):
        assert not other.lead(timeout_s=4)
        store.commit([ROW])
        assert store.leader is not None
        assert store.leader.fence == 1


def test_a_leader_whose_connection_breaks_takes_another_and_goes_on(
    postgresql: Server, store: PostgreSQLStore
):
    before = store.leader
    postgresql.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE application_name = 'minorch leader {os.getpid()}'"
    )
    assert store._tenure is not None
    with contextlib.suppress(StoreError):
        store._tenure.renew()
    store._tenure.renew()
    after = store.leader
    assert before is not None
    assert after is not None
    assert (after.fence, after.lock == before.lock) == (before.fence, False)
    store.commit([ROW])


def test_of_many_that_wait_one_leads_after_the_other(postgresql: Server, postgresql_url: str):
    stores = [PostgreSQLStore(postgresql_url, standby=True) for _ in range(5)]
    fences: list[int] = []

    def lead(store: PostgreSQLStore) -> None:
        with contextlib.closing(store):
            assert store.lead()
            leader = store.leader
            assert leader is not None
            fences.append(leader.fence)
            rows = store.load()
            store.commit([Change("t", f"{len(rows)}", b"")])

    threads = [threading.Thread(target=lead, args=[store]) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert fences == [1, 2, 3, 4, 5]
    with contextlib.closing(PostgreSQLStore(postgresql_url)) as store:
        assert len(store.load()) == 5


def test_one_that_waits_can_be_closed(store: PostgreSQLStore, postgresql_url: str):
    other = PostgreSQLStore(postgresql_url, standby=True)
    said: list[bool] = []
    waiting = threading.Thread(target=lambda: said.append(other.lead()))
    waiting.start()
    time.sleep(0.2)
    began = time.monotonic()
    other.close()
    waiting.join(10)
    assert said == [False]
    assert time.monotonic() - began < 3
    assert not other.lead()
    assert store.leads


def test_a_change_of_leaders_is_notified(postgresql: Server, postgresql_url: str, schema: str):
    with contextlib.closing(postgresql.connect()) as db:
        db.execute(f"LISTEN {schema}".encode())
        with contextlib.closing(PostgreSQLStore(postgresql_url)):
            pass
        told = [notice.payload for notice in db.notifies(timeout=5, stop_after=2)]
    assert told == ["leads 1", "released 1"]


def test_an_idle_transaction_of_a_process_that_stands_still_is_ended_by_the_server(store: PostgreSQLStore):
    assert store._writing.run("SHOW idle_in_transaction_session_timeout") == [("5s",)]
    assert store._writing.run("SHOW synchronous_commit") == [("on",)]
    assert store._writing.run("SHOW statement_timeout") == [("30s",)]


def test_a_forked_child_cannot_use_it(store: PostgreSQLStore, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        for call in (store.load, lambda: store.commit([ROW]), store.lead):
            with pytest.raises(StoreError, match="this is its fork 1"):
                call()
        store.close()
    store.commit([ROW])


# -- where it is ---------------------------------------------------------------------------------------------


def test_a_store_is_made_by_its_url(postgresql_url: str):
    for url in (postgresql_url, postgresql_url.replace("postgresql:", "postgres:", 1)):
        with contextlib.closing(minorch.default_registry().make_store(url)) as store:
            assert isinstance(store, PostgreSQLStore)
    with pytest.raises(UsageError, match="missing a required argument: 'url'"):
        minorch.default_registry().make_store("postgresql")


def test_a_missing_psycopg_is_said_with_the_extra():
    code = """
        import sys
        sys.modules["psycopg"] = None
        import minorch
        try:
            minorch.default_registry().make_store("postgresql://host/database")
        except minorch.UsageError as error:
            print(error)
    """
    with child(code) as process:
        said, _ = process.communicate()
    assert 'pip install "minorch[postgres]"' in said


def test_it_lives_beside_other_tables_and_other_stores(
    postgresql: Server, store: PostgreSQLStore, schema: str
):
    postgresql.run("CREATE TABLE IF NOT EXISTS public.rows (mine text)")
    store.commit([ROW])
    with contextlib.closing(PostgreSQLStore(postgresql.url(f"{schema}_too"))) as other:
        assert other.load() == []
        other.commit([ROW._replace(value=b"other")])
        assert store.load() == [ROW]
    assert postgresql.run("SELECT count(*) FROM public.rows") == [(0,)]
    postgresql.run(f"DROP SCHEMA {schema}_too CASCADE")


def test_tables_of_another_program_are_refused_untouched(
    postgresql: Server, postgresql_url: str, schema: str
):
    postgresql.run(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.meta (name text, value text)")
    with pytest.raises(StoreCorrupt, match=r"tables of another program; name another schema"):
        PostgreSQLStore(postgresql_url)
    found = postgresql.run(f"SELECT relname FROM pg_class WHERE relnamespace = '{schema}'::regnamespace")
    assert found == [("meta",)]


def test_an_empty_schema_that_somebody_made_is_used(postgresql: Server, postgresql_url: str, schema: str):
    postgresql.run(f"CREATE SCHEMA {schema}")
    with contextlib.closing(PostgreSQLStore(postgresql_url)) as store:
        store.commit([ROW])


@pytest.mark.parametrize("name", ["", "Jobs", "pg_jobs", "a-b", 'a"b', "x" * 64, "1a", "a; DROP TABLE b"])
def test_a_schema_has_a_plain_name(postgresql: Server, name: str):
    with pytest.raises(UsageError, match="is no name for a schema"):
        PostgreSQLStore(postgresql.url(quote(name, safe="")))
    with pytest.raises(UsageError, match="is no name for a schema"):
        PostgreSQLStore(postgresql.url().partition("&schema")[0], schema=name)


def test_two_schemas_are_one_too_many(postgresql_url: str):
    with pytest.raises(UsageError, match="two schemas"):
        PostgreSQLStore(postgresql_url, schema="another")


@pytest.mark.parametrize("option", ["lease_s", "connect_timeout_s", "statement_timeout_s"])
@pytest.mark.parametrize("value", [0, -1, 1e9, float("nan")])
def test_a_time_that_makes_no_sense_is_refused(postgresql_url: str, option: str, value: float):
    with pytest.raises(UsageError, match=option):
        PostgreSQLStore(postgresql_url, **{option: value})  # type: ignore[arg-type]


# -- what it never shows -------------------------------------------------------------------------------------


@pytest.fixture
def guarded(postgresql: Server) -> Iterator[Server]:
    postgresql.run(
        "SET password_encryption = 'scram-sha-256'; " + f"CREATE ROLE guarded LOGIN PASSWORD '{WORD}'"
    )
    postgresql.run("GRANT CREATE ON DATABASE postgres TO guarded")
    yield postgresql
    postgresql.run("DROP OWNED BY guarded; DROP ROLE guarded")


def test_a_password_is_used_and_shown_nowhere(guarded: Server, caplog: pytest.LogCaptureFixture):
    word = quote(WORD, safe="")
    url = guarded.url("guarded").replace("minorch@", f"guarded:{word}@", 1)
    shown: list[str] = []
    with contextlib.closing(PostgreSQLStore(url)) as store:
        store.commit([ROW])
        shown += [repr(store), str(store.leader)]
        for call in (
            lambda: PostgreSQLStore(url, wait_s=0),
            lambda: PostgreSQLStore(url.replace(word, f"{word}x")),
            lambda: PostgreSQLStore(url.replace("/postgres?", "/nowhere?")),
            lambda: PostgreSQLStore(url.replace("minorch-pg", "no-such", 1), connect_timeout_s=2),
            lambda: PostgreSQLStore(f"postgresql://guarded:{WORD}@:x:/a b"),
            lambda: PostgreSQLStore(f"{url}&no_such_option=1"),
            lambda: PostgreSQLStore(f"host='{WORD}"),
            lambda: store.commit([Change("t", "\ud800", b"")]),
        ):
            with pytest.raises((StoreError, UsageError)) as caught:
                call()
            shown += traceback.format_exception(caught.value)
            shown.append(str(caught.value))
    shown.append(repr(store))
    shown.append(caplog.text)
    for text in shown:
        lines = [line for line in text.splitlines() if "lambda:" not in line]
        assert "hunter2" not in "\n".join(lines), text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("/postgres?", "/nowhere?"), "no such database .*createdb"),
        (("minorch@", "guarded@"), "does not let us in .*pg_hba.conf"),
        (("minorch@", "stranger@"), "no such user .*createuser"),
        (("minorch-pg", "no-such"), "no PostgreSQL answers .*see whether it runs"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(guarded: Server, change: tuple[str, str], words: str):
    with pytest.raises(StoreError, match=words):
        PostgreSQLStore(guarded.url().replace(*change, 1), connect_timeout_s=2)


def test_a_user_that_may_not_make_a_schema_is_told_so(postgresql: Server):
    postgresql.run("CREATE ROLE modest LOGIN")
    try:
        with pytest.raises(StoreError, match=r"the user may not write .*grant it that"):
            PostgreSQLStore(postgresql.url("modest", user="modest"))
    finally:
        postgresql.run("DROP ROLE modest")


def test_a_server_that_can_only_be_read_is_said(
    postgresql: Server, store: PostgreSQLStore, postgresql_url: str
):
    postgresql.run("ALTER SYSTEM SET default_transaction_read_only = on")
    postgresql.run("SELECT pg_reload_conf()")
    try:
        until(lambda: postgresql.run("SHOW default_transaction_read_only") == [("on",)])
        with pytest.raises(StoreError, match=r"can only be read .*name the primary server"):
            PostgreSQLStore(postgresql_url, wait_s=0)
    finally:
        with contextlib.closing(postgresql.connect()) as db:
            db.execute("SET default_transaction_read_only = off")
            db.execute("ALTER SYSTEM RESET default_transaction_read_only")
            db.execute("SELECT pg_reload_conf()")
        until(lambda: postgresql.run("SHOW default_transaction_read_only") == [("off",)])


def test_an_address_is_shown_as_a_url():
    shown = {
        "postgresql://anna:secret@db.example:5433/jobs?sslmode=require": "postgresql://anna@db.example:5433/jobs",
        "postgres://db/jobs?schema=cell_7": "postgresql://db/jobs?schema=cell_7",
        "host=db dbname=jobs password=secret": "postgresql://db/jobs",
    }
    assert {url: str(Address(url, None)) for url in shown} == shown


# -- versions ------------------------------------------------------------------------------------------------


def test_a_newer_version_is_refused_with_both_versions_and_left_as_it_is(
    postgresql: Server, postgresql_url: str, schema: str
):
    PostgreSQLStore(postgresql_url).close()
    postgresql.run(f"UPDATE {schema}.meta SET value = '7' WHERE name = 'version'")
    postgresql.run(f"UPDATE {schema}.meta SET value = '9.8.7' WHERE name = 'minorch'")
    with pytest.raises(
        StoreVersionError, match=r"by minorch 9\.8\.7 \(store version 7\); this is .* up to 1: use"
    ):
        PostgreSQLStore(postgresql_url, standby=True)
    assert postgresql.run(f"SELECT value FROM {schema}.meta WHERE name = 'version'") == [("7",)]


STEPS = (
    ("UPDATE {schema}.rows SET value = 'x', checksum = 0",),
    ("ALTER TABLE {schema}.rows ADD COLUMN more text", "DELETE FROM {schema}.rows"),
)


def test_an_older_version_is_migrated_by_who_leads_and_not_before(
    postgresql: Server,
    store: PostgreSQLStore,
    postgresql_url: str,
    schema: str,
    monkeypatch: pytest.MonkeyPatch,
):
    store.commit([ROW])
    monkeypatch.setattr(schema_module, "MIGRATIONS", schema_module.MIGRATIONS + STEPS)
    with contextlib.closing(PostgreSQLStore(postgresql_url, standby=True)) as other:
        assert not other.lead(timeout_s=0.1)
        store.commit([ROW._replace(value=b"2")])
        assert store.load() == [ROW._replace(value=b"2")]
        store.close()
        assert other.lead(timeout_s=20)
        assert other.load() == []
        other.commit([ROW])
    assert postgresql.run(f"SELECT value FROM {schema}.meta WHERE name = 'version'") == [("3",)]


def test_one_that_waited_while_a_newer_version_led_is_refused(
    store: PostgreSQLStore, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
):
    with contextlib.closing(PostgreSQLStore(postgresql_url, standby=True)) as other:
        store.close()
        with monkeypatch.context() as patch:
            patch.setattr(schema_module, "MIGRATIONS", schema_module.MIGRATIONS + STEPS)
            PostgreSQLStore(postgresql_url).close()
        with pytest.raises(StoreVersionError):
            other.lead(timeout_s=20)


def test_a_migration_that_fails_leaves_the_older_version_and_nobody_leading(
    postgresql: Server, postgresql_url: str, schema: str, monkeypatch: pytest.MonkeyPatch
):
    with contextlib.closing(PostgreSQLStore(postgresql_url)) as store:
        store.commit([ROW])
    broken = (("DELETE FROM {schema}.rows", "SELECT nonsense"),)
    with monkeypatch.context() as patch:
        patch.setattr(schema_module, "MIGRATIONS", schema_module.MIGRATIONS + broken)
        with pytest.raises(StoreError, match="nonsense"):
            PostgreSQLStore(postgresql_url)
    assert postgresql.run(f"SELECT value FROM {schema}.meta WHERE name = 'version'") == [("1",)]
    with contextlib.closing(PostgreSQLStore(postgresql_url, wait_s=0)) as store:
        assert store.load() == [ROW]
        assert store.leader is not None
        assert store.leader.fence == 2


def test_many_that_make_the_tables_at_once_make_them_once(postgresql: Server, postgresql_url: str):
    errors: list[Exception] = []

    def make() -> None:
        try:
            PostgreSQLStore(postgresql_url, standby=True).close()
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []


# -- damage --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE {schema}.rows SET value = '0'",
        "UPDATE {schema}.rows SET key = 'b'",
        "UPDATE {schema}.rows SET tbl = 'u'",
        "UPDATE {schema}.rows SET checksum = checksum + 1",
    ],
)
def test_a_row_that_somebody_changed_is_named(
    postgresql: Server, store: PostgreSQLStore, schema: str, damage: str
):
    store.commit([ROW])
    postgresql.run(damage.format(schema=schema))
    with pytest.raises(StoreCorrupt, match=r"row '[ab]' of table '[tu]' .*is not as it was written; restore"):
        store.load()


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE {schema}.rows",
        "ALTER TABLE {schema}.rows RENAME COLUMN value TO worth",
        "DROP TABLE {schema}.fence",
        "DELETE FROM {schema}.fence",
        "DROP SCHEMA {schema} CASCADE",
    ],
)
def test_tables_that_somebody_changed_are_said_to_be_damaged(
    postgresql: Server, store: PostgreSQLStore, schema: str, damage: str
):
    store.commit([ROW])
    postgresql.run(damage.format(schema=schema))
    with pytest.raises(StoreCorrupt, match="restore a copy"):
        store.commit([ROW])


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM {schema}.leader",
        "DELETE FROM {schema}.meta WHERE name = 'version'",
        "UPDATE {schema}.meta SET value = 'x' WHERE name = 'version'",
        "DROP TABLE {schema}.leader",
    ],
)
def test_a_damaged_store_is_not_opened(postgresql: Server, postgresql_url: str, schema: str, damage: str):
    PostgreSQLStore(postgresql_url).close()
    postgresql.run(damage.format(schema=schema))
    with pytest.raises(StoreCorrupt, match="restore a copy"):
        PostgreSQLStore(postgresql_url, wait_s=0)


# -- writing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(Change("t", "\ud800", b""), id="a lone surrogate"),
        pytest.param(Change("t", "\ud800", None), id="a lone surrogate to delete"),
        pytest.param(Change("t", "k", "text"), id="text as value"),  # type: ignore[arg-type]
        pytest.param(Change("t", None, b""), id="no key"),  # type: ignore[arg-type]
        pytest.param(Change("t", object(), b""), id="an object as key"),  # type: ignore[arg-type]
    ],
)
def test_what_it_cannot_hold_is_our_error_and_writes_nothing(store: PostgreSQLStore, change: Change):
    with pytest.raises(StoreError):
        store.commit([ROW, change])
    assert store.load() == []
    store.commit([ROW])


def test_a_batch_too_large_for_one_statement_is_still_one_transaction(
    postgresql: Server, store: PostgreSQLStore, schema: str, monkeypatch: pytest.MonkeyPatch
):
    from minorch.stores.postgresql import batch

    monkeypatch.setattr(batch, "_PIECE_BYTES", 1000)
    monkeypatch.setattr(batch, "_PIECE_ROWS", 7)
    rows = [Change("t", f"{number:03}", bytes(number)) for number in range(100)]
    assert len(list(Batch(rows, store._address).pieces())) > 10
    store.commit(rows)
    assert store.load() == rows
    ((before,),) = postgresql.run(f"SELECT serial FROM {schema}.fence")
    postgresql.run(f"ALTER TABLE {schema}.rows ADD CHECK (key <> '099-new')")
    with pytest.raises(StoreError):
        store.commit([Change("t", f"{row.key}-new", row.value) for row in rows])
    assert store.load() == rows, "all or nothing"
    store.commit([row._replace(value=None) for row in rows])
    assert store.load() == []
    assert postgresql.run(f"SELECT serial FROM {schema}.fence") == [(int(str(before)) + 1,)]


def test_names_too_long_for_an_index_are_kept_apart(store: PostgreSQLStore):
    import random

    dice = random.Random(1)
    long = ["".join(chr(dice.randrange(33, 0x2FFF)) for _ in range(5000)) for _ in range(3)]
    same = [long[0] + "a", long[0] + "b", long[0][:300]]
    rows = sorted(Change(table, key, key.encode()) for table in [*long, "t"] for key in [*long, *same])
    store.commit(rows)
    assert store.load() == rows
    store.commit([Change(*row[:2], None) for row in rows[::2]])
    assert store.load() == rows[1::2]


# -- kill -9 -------------------------------------------------------------------------------------------------

WRITER = """
    import itertools, sys
    from minorch.contracts import Change
    from minorch.stores.postgresql import PostgreSQLStore
    store = PostgreSQLStore(sys.argv[1])
    for batch in itertools.count(int(sys.argv[2])):
        changes = [Change("batch", f"{batch:06}/{row}", bytes(50 * row)) for row in range(20)]
        store.commit([*changes, Change("last", "", b"%d" % batch)])
        print(batch, flush=True)
"""


def test_kill_9_loses_nothing_that_was_committed_and_leaves_no_half_batch(postgresql_url: str):
    import random

    chance = random.Random(9)
    said = kept = 0
    for _ in range(8):
        with child(WRITER, postgresql_url, kept + 1) as writer:
            assert writer.stdout is not None
            said = int(writer.stdout.readline())
            time.sleep(chance.uniform(0, 0.05))
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout.read().splitlines(keepends=True):
                said = int(line) if line.endswith("\n") else said
        with contextlib.closing(PostgreSQLStore(postgresql_url)) as store:
            rows = store.load()
        kept = int(rows[-1].value or b"")
        assert kept in (said, said + 1), f"batch {said} was committed, {kept} was found"
        assert [row.key for row in rows[:-1]] == sorted(
            f"{batch:06}/{row}" for batch in range(1, kept + 1) for row in range(20)
        )
    assert kept > 8
