"""What a cluster leaves behind whose process is killed, and who takes it for what."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

import minorch as mo
from minorch.drivers import Life, Presence, life_of, open_clusters, this_process
from minorch.runtimes.process import ProcessRuntime
from tests.cluster.fakes import FakeRuntime
from tests.cluster.mortal_cluster import ROOT, mortal
from tests.cluster.support import eventually, task

ME = this_process(durable=False)
DEAD = replace(ME, birth="before all others")
ELSEWHERE = replace(DEAD, host="another boot/1/2/3", machine="another")


class Strewn(FakeRuntime):
    """A runtime where something lies about."""

    def __init__(self) -> None:
        super().__init__()
        self.lying: list[mo.Made] = []
        self.discarded: list[mo.Owner] = []

    def list_made(self) -> Sequence[mo.Made]:
        self._check("list_made")
        return list(self.lying)

    def discard(self, owner: mo.Owner) -> None:
        self.discarded.append(owner)

    def lay(self, *makers: mo.Maker | None, cluster_id: str | None = None) -> mo.Owner:
        """Have a run lie here for each of these makers, all of one cluster."""
        owner = mo.Owner(cluster_id or uuid.uuid4().hex, "node-1")
        for maker in makers:
            key = mo.RunKey(uuid.uuid4().hex, 1, 1)
            status = mo.RunStatus(key=key, phase="running", handle="fake")
            self.runs[key] = (owner, status)
            self.lying.append(
                mo.Made(owner=owner, key=key, phase="running", job="j", task="<t>", maker=maker)
            )
        return owner

    def kill(self, key: mo.RunKey) -> None:
        self._check("kill")
        self.end(key, 137, mo.Reason.KILLED)

    def remove(self, key: mo.RunKey) -> None:
        self._check("remove")
        self.runs.pop(key, None)
        self.lying = [made for made in self.lying if made.key != key]


@pytest.fixture
def strewn() -> Strewn:
    return Strewn()


def verdicts(runtime: mo.Runtime) -> list[str]:
    return [one.verdict for one in mo.leftovers(runtime)]


# -- real processes ------------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this user's state is kept; at the end no process of it runs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield tmp_path / "state"
    mo.leftovers("process").clean(durable=True, unknown=True)
    assert not list((tmp_path / "state").rglob("minorch-*"))


def gone(handle: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(int(handle)).status() == psutil.STATUS_ZOMBIE
    return True


def test_nothing_of_a_cluster_is_left_over_while_its_process_lives(state: Path):
    with mortal(state, runtime="process"):
        assert list(mo.leftovers("process")) == []
        assert mo.leftovers("process").clean(durable=True, unknown=True) == 0


def test_what_a_killed_cluster_left_is_listed_and_removed_when_asked(state: Path):
    with mortal(state, runtime="process") as cluster:
        cluster.kill()
        found = mo.leftovers("process")
        assert [(one.verdict, one.task, one.phase) for one in found.of(cluster.cluster_id[-12:])] in (
            [("dead", "runs", "running"), ("dead", "ended", "exited")],
            [("dead", "ended", "exited"), ("dead", "runs", "running")],
        )
        assert f"process {cluster.handle}" in repr(found)
        assert f"process {cluster.pid} that made it is gone" in found._repr_html_()
        assert not gone(cluster.handle), "looking touches nothing"
        assert found.clean() == 2
        eventually(lambda: gone(cluster.handle), "the end of the task")
    assert list(mo.leftovers("process")) == []
    assert found.clean() == 0, "what is gone already does not count"
    assert list((state / "minorch").iterdir()) == [], "no directory of it is left"


def test_a_zombie_that_nobody_has_waited_for_is_dead(state: Path):
    with mortal(state, runtime="process") as cluster:
        cluster.kill(bury=False)
        eventually(lambda: len(mo.leftovers("process").dead) == 2, "the zombie's leftovers")


def test_a_fork_of_a_killed_process_does_not_keep_its_cluster(state: Path):
    with mortal(state, runtime="process", forks=True) as cluster:
        cluster.kill()
        assert len(mo.leftovers("process").dead) == 2


def test_the_next_cluster_says_so_in_one_line_and_touches_nothing(
    state: Path, warnings_of: Callable[[], str]
):
    with mortal(state, runtime="process") as dead:
        dead.kill()
        with mo.Cluster(runtime="process") as cluster:
            lines = [line for line in warnings_of().splitlines() if "cluster.leftovers" in line]
            assert len(lines) == 1
            assert lines[0].startswith("clusters whose process is gone left 2 behind")
            cluster.submit(mo.Task("mine", command=["true"])).result(30)
            assert len(cluster.leftovers) == 2, "its own runs are none"
            assert not gone(dead.handle)
            assert cluster.leftovers.clean() == 2
            assert list(cluster.leftovers) == []


def test_what_a_durable_store_can_bring_back_is_marked_and_stays_unless_asked(
    state: Path, tmp_path: Path, warnings_of: Callable[[], str]
):
    store = str(tmp_path / "jobs.db")
    with mortal(state, runtime="process", store=store) as dead:
        dead.kill()
        found = mo.leftovers("process")
        assert {one.verdict for one in found} == {"durable"}
        assert "a cluster on the same store would go on with it" in found[0].why
        assert found.clean(unknown=True) == 0
        assert not gone(dead.handle)
        with mo.Cluster(runtime="process", store=store) as cluster:
            assert "leftovers" not in warnings_of()
            assert cluster.jobs["left"].tasks["runs"].state is mo.TaskState.RUNNING, "it goes on"
            assert list(mo.leftovers("process")) == [], "although the process that made it is gone"
            assert found.clean(durable=True) == 0, "and what was found before is looked at again"
            assert not gone(dead.handle)
    assert gone(dead.handle)


def test_what_a_durable_store_could_bring_back_is_removed_when_asked(state: Path, tmp_path: Path):
    with mortal(state, runtime="process", store=str(tmp_path / "jobs.db")) as dead:
        dead.kill()
        assert mo.leftovers("process").clean(durable=True) == 2
        eventually(lambda: gone(dead.handle), "the end of the task")


def test_the_empty_directories_of_a_dead_cluster_are_found_too(state: Path):
    code = """
import os, minorch as mo
cluster = mo.Cluster(runtime="process", manager_config=mo.ManagerConfig(keep_runs=0, keep_runs_s=0))
cluster.submit(mo.Task("t", command=["true"])).result(30)
assert cluster.wait_idle(30)
os.kill(os.getpid(), 9)
"""
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=False
    )
    (one,) = mo.leftovers("process")
    assert (one.verdict, one.key, one.words) == ("dead", None, "directories")
    assert mo.leftovers("process").clean() == 1
    assert list((state / "minorch").iterdir()) == []


def test_from_within_another_pid_namespace_a_living_cluster_is_unknown_and_not_cleaned(state: Path):
    unshare = [shutil.which("unshare") or "unshare", "--pid", "--fork", "--mount-proc"]
    if os.getuid() or subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no namespaces can be made here")
    code = """
import minorch as mo
found = mo.leftovers("process")
print(*sorted(one.verdict for one in found), found.clean(durable=True))
"""
    with mortal(state, runtime="process") as cluster:
        done = subprocess.run(
            [*unshare, sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == ["unknown", "unknown", "0"]
        assert not gone(cluster.handle)


def test_looking_makes_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    assert repr(mo.leftovers()) == "<Leftovers on no runtime: none>"
    assert not (tmp_path / "state").exists()


def test_a_run_that_is_about_to_be_recorded_is_not_listed(tmp_path: Path):
    runtime = ProcessRuntime(tmp_path)
    owner, key = mo.Owner("ab" * 16, "n"), mo.RunKey("cd" * 16, 1, 1)
    files = runtime._root.files(owner, key)
    runtime._root.claim(owner, files)
    assert list(mo.leftovers(runtime)) == []
    time.sleep(2.1)  # the file system's own clock says how old it is
    (one,) = mo.leftovers(runtime)
    assert (one.verdict, one.why, one.phase) == ("unknown", "it does not say who made it", "created")
    assert mo.leftovers(runtime).clean(unknown=True) == 1
    runtime.close()


# -- judging -------------------------------------------------------------------------------------------------


def test_this_process_lives_and_one_that_had_its_pid_before_is_dead():
    assert life_of(ME) is Life.LIVES
    assert life_of(DEAD) is Life.DEAD
    assert life_of(replace(ME, pid=2**22 + 1)) is Life.DEAD


def test_of_a_process_that_may_not_be_seen_nothing_is_known(monkeypatch: pytest.MonkeyPatch):
    from minorch.runtimes.process import processes

    monkeypatch.setattr(processes, "birth", lambda pid: None)
    assert life_of(DEAD) is Life.UNKNOWN
    assert life_of(replace(DEAD, pid=2**22 + 1)) is Life.DEAD


def test_another_users_process_is_left_alone_dead_or_alive(strewn: Strewn):
    assert life_of(replace(DEAD, user=ME.user + 1)) is Life.FOREIGN
    strewn.lay(replace(DEAD, user=ME.user + 1))
    assert verdicts(strewn) == []


def test_of_another_host_and_of_other_namespaces_nothing_is_known():
    boot, *namespaces = ME.host.split("/")
    assert life_of(ELSEWHERE) is Life.UNKNOWN
    assert life_of(replace(DEAD, host="/".join([boot, *namespaces[:-1], "7"]))) is Life.UNKNOWN
    assert life_of(replace(DEAD, birth="")) is Life.UNKNOWN


def test_after_a_reboot_of_the_same_machine_everything_from_before_is_dead(monkeypatch: pytest.MonkeyPatch):
    from minorch.drivers import makers

    monkeypatch.setattr(makers, "_machine", lambda: "this one")
    before = replace(ME, host="/".join(["another boot", *ME.host.split("/")[1:]]), machine="this one")
    assert life_of(before) is Life.DEAD
    assert life_of(replace(before, user=ME.user + 1)) is Life.FOREIGN
    assert life_of(replace(before, machine="that one")) is Life.UNKNOWN
    assert life_of(replace(before, machine="")) is Life.UNKNOWN
    assert life_of(replace(ME, host=f"{ME.host}7", machine="this one")) is Life.UNKNOWN, "the same boot"


@pytest.mark.parametrize(
    ("makers", "verdict"),
    [
        ([DEAD], "dead"),
        ([DEAD, None], "dead"),
        ([None], "unknown"),
        ([ELSEWHERE], "unknown"),
        ([DEAD, ELSEWHERE], "unknown"),
        ([replace(DEAD, durable=True)], "durable"),
        ([replace(DEAD, durable=True), DEAD], "durable"),
        ([DEAD, ME], None),
        ([ELSEWHERE, ME], None),
        ([DEAD, replace(DEAD, user=ME.user + 1)], None),
    ],
)
def test_a_cluster_is_judged_as_a_whole(strewn: Strewn, makers: list[mo.Maker | None], verdict: str | None):
    strewn.lay(*makers)
    assert verdicts(strewn) == ([] if verdict is None else [verdict] * len(makers))


def test_a_cluster_that_shows_that_it_is_open_is_left_alone(strewn: Strewn):
    owner = strewn.lay(replace(DEAD, durable=True), ELSEWHERE, None)
    first, second = Presence(owner.cluster_id), Presence(owner.cluster_id)
    assert owner.cluster_id in (open_clusters() or ())
    first.close()
    assert verdicts(strewn) == []
    second.close()
    second.close()
    assert verdicts(strewn) == ["unknown"] * 3


def test_where_it_cannot_be_seen_who_has_a_store_open_nothing_is_known(
    strewn: Strewn, monkeypatch: pytest.MonkeyPatch
):
    from minorch.cluster import left_over

    monkeypatch.setattr(left_over, "open_clusters", lambda: None)
    strewn.lay(replace(DEAD, durable=True))
    (one,) = mo.leftovers(strewn)
    assert one.verdict == "unknown"
    assert "cannot be seen here" in one.why
    strewn.lay(DEAD)
    assert verdicts(strewn) == ["unknown", "dead"]


def test_a_maker_comes_back_from_its_text_and_other_text_is_none():
    assert mo.Maker.decode(ME.encode()) == ME
    for text in ("", "{}", "null", "x" * 10_000, "[" * 100_000, '{"pid": "1"}'):
        assert mo.Maker.decode(text) is None


# -- removing ------------------------------------------------------------------------------------------------


def test_only_what_is_asked_for_is_removed(strewn: Strewn):
    dead, durable, unknown = strewn.lay(DEAD), strewn.lay(replace(DEAD, durable=True)), strewn.lay(None)
    alive = strewn.lay(ME)
    found = mo.leftovers(strewn)
    assert repr(found).startswith(
        "<Leftovers on fake: 1 of dead clusters, 1 of clusters that a store can bring back, "
        "1 of which nobody knows whether their cluster lives>"
    )
    assert found.clean() == 1
    assert strewn.discarded == [dead]
    assert found.clean(durable=True) == 1
    assert found.clean(unknown=True) == 1
    assert strewn.discarded == [dead, durable, unknown]
    assert [owner for owner, _ in strewn.runs.values()] == [alive]


def test_a_part_of_them_can_be_chosen(strewn: Strewn):
    first, second = strewn.lay(None, None), strewn.lay(None)
    found = mo.leftovers(strewn)
    assert len(found.of(second.cluster_id)) == 1
    assert len(found.of("")) == 0
    assert found[:2].clean(unknown=True) == 2
    assert found.of(first.cluster_id).clean(unknown=True) == 0
    assert found.of(second.cluster_id[-12:]).clean(unknown=True) == 1


def test_what_cannot_be_removed_is_told_and_the_rest_is_removed(strewn: Strewn):
    strewn.lay(DEAD, DEAD)
    strewn.raises, strewn.broken = mo.RuntimeFault("the disk is upside down"), {"remove"}
    with pytest.raises(mo.RuntimeFault, match=r"2 of 2 left-over runs could not be removed: the disk is"):
        mo.leftovers(strewn).clean()
    strewn.broken = set()
    assert mo.leftovers(strewn).clean() == 2


def test_what_does_not_die_is_told(strewn: Strewn, monkeypatch: pytest.MonkeyPatch):
    from minorch.cluster import left_over

    monkeypatch.setattr(left_over, "_END_S", 0.05)
    monkeypatch.setattr(strewn, "kill", lambda key: None)
    strewn.lay(DEAD)
    with pytest.raises(mo.RuntimeFault, match=r"still runs .* after it was killed"):
        mo.leftovers(strewn).clean()


def test_a_runtime_that_cannot_tell_is_refused_and_harms_no_cluster(
    fake: FakeRuntime, make: Callable[..., mo.Cluster]
):
    with pytest.raises(mo.UsageError, match=r'runtime "fake" cannot tell what was left'):
        mo.leftovers(fake)
    assert list(make().leftovers) == []
    with pytest.raises(mo.UsageError, match="takes the name of a runtime or one, not a int"):
        mo.leftovers(5)  # type: ignore[arg-type]
    with pytest.raises(mo.UnknownPlugin):
        mo.leftovers("dokcer")


def test_a_runtime_that_fails_to_look_harms_no_cluster(strewn: Strewn, warnings_of: Callable[[], str]):
    strewn.broken = {"list_made"}
    with mo.Cluster(runtime=strewn) as cluster:
        assert cluster.submit(task("exit", "0")).wait(10) is mo.JobState.COMPLETED
    assert warnings_of() == ""


def test_a_view_escapes_what_somebody_called_a_task(strewn: Strewn):
    strewn.lay(DEAD)
    html = mo.leftovers(strewn)._repr_html_()
    assert "j/&lt;t&gt;" in html
    assert "<t>" not in html
    assert "clean() removes those of dead clusters" in html


def test_of_very_many_a_part_is_shown(strewn: Strewn):
    strewn.lay(*[DEAD] * 100)
    found = mo.leftovers(strewn)
    assert repr(found).endswith("and 80 more")
    assert "and 40 more" in found._repr_html_()
    assert len(found.table().splitlines()) == 102
