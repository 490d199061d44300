"""The contract of a runtime as tests. Subclass :class:`RuntimeContract` and say how yours is made.

::

    class TestMine(RuntimeContract):
        def make_runtime(self, tmp_path: Path) -> Runtime:
            return MyRuntime(tmp_path)

        def task(self, shell: str) -> Task:
            return Task("t", image="busybox", command=["sh", "-c", shell])

What :mod:`minorch.contracts` says is tested here, through its calls only; what is special about one
runtime belongs in its own tests.
"""

# ruff: noqa: D102 - the name of a test is its sentence

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from minorch.contracts import FindsLeftovers, Launch, Maker, Owner, RunStatus, Runtime
from minorch.errors import RuntimeFault, StartFailed
from minorch.ids import RunKey
from minorch.model import HealthCheck, Secret, Task
from minorch.states import Reason

__all__ = ["Notes", "RuntimeContract", "eventually"]

_T = TypeVar("_T")

SLEEP = "exec sleep 60"
STUBBORN = "trap '' TERM; while :; do sleep 0.1; done"
HIDDEN = "hunter2-in-the-clear"


def eventually(look: Callable[[], _T], *, within_s: float = 10.0, every_s: float = 0.01) -> _T:
    """Return what *look* returns as soon as that is true; fail after *within_s* seconds."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"it did not happen within {within_s:g} s: {getattr(look, '__qualname__', look)}")
        time.sleep(every_s)
    return found


class Notes:
    """Keeps what a watch tells; give it to ``watch`` as *notify*."""

    def __init__(self) -> None:
        self.told: list[RunStatus | None] = []

    def __call__(self, status: RunStatus | None) -> None:
        self.told.append(status)

    def exit_of(self, key: RunKey) -> RunStatus | None:
        """The exit that was told of this run."""
        for status in self.told:
            if status is not None and status.key == key and status.phase == "exited":
                return status
        return None


class RuntimeContract:
    """Every test here must pass for every runtime; the attributes say what yours cannot do."""

    keeps_runs_across_instances = True
    """A second runtime, made with the same *tmp_path*, finds the runs of the first."""
    knows_exits_across_instances = True
    """It also knows the exit code of a run that ended after the first was closed, in the same process."""
    tells_missing_commands = True
    """A command that does not exist fails to start; otherwise (an init looks for it) it exits with 127."""
    has_exec_probe = True
    has_logs = True
    has_stats = True
    patience_s = 15.0
    """How long anything may take."""

    def make_runtime(self, tmp_path: Path) -> Runtime:
        """Return a new runtime. Called again with the same path, it stands for a restarted worker."""
        raise NotImplementedError

    def task(self, shell: str) -> Task:
        """Return a task that runs this line of POSIX shell."""
        raise NotImplementedError

    # -- what the tests use ------------------------------------------------------------------------------

    @pytest.fixture
    def owner(self) -> Owner:
        """A worker of a cluster that nobody else uses."""
        return Owner(uuid.uuid4().hex, "node-1")

    @pytest.fixture
    def runtime(self, tmp_path: Path, owner: Owner) -> Iterator[Runtime]:
        """The runtime under test; at the end nothing of its owner is left."""
        runtime = self.make_runtime(tmp_path)
        yield runtime
        if self.keeps_runs_across_instances:
            runtime.close()
            runtime = self.make_runtime(tmp_path)
        for left in runtime.list_runs(owner):
            self.clear(runtime, left.key)
        assert list(runtime.list_runs(owner)) == []
        runtime.close()

    def launch(self, owner: Owner, task: Task, *, key: RunKey | None = None) -> Launch:
        """Everything needed to start *task* once."""
        return Launch(
            key=key or RunKey(uuid.uuid4().hex, 1, 1),
            owner=owner,
            job="job",
            task_name=task.name,
            index=0,
            task=task,
        )

    def start(self, runtime: Runtime, owner: Owner, shell: str, **fields: object) -> RunKey:
        """Start a task that runs *shell* and return its key."""
        launch = self.launch(owner, replace(self.task(shell), **fields))
        runtime.prepare(launch, lambda words: None)
        status = runtime.start(launch)
        assert status.key == launch.key
        return launch.key

    def exited(self, runtime: Runtime, key: RunKey) -> RunStatus:
        """Wait until the run has ended."""

        def look() -> RunStatus | None:
            status = runtime.inspect(key)
            assert status is not None, f"{key.name} is gone without having been removed"
            return status if status.phase == "exited" else None

        found = eventually(look, within_s=self.patience_s)
        assert found is not None
        return found

    def clear(self, runtime: Runtime, key: RunKey) -> None:
        """Kill and remove a run."""
        runtime.kill(key)
        if runtime.inspect(key) is not None:
            self.exited(runtime, key)
        runtime.remove(key)

    def output(
        self, runtime: Runtime, key: RunKey, *, follow: bool = False, tail: int | None = None
    ) -> bytes:
        """All of a run's log."""
        return b"".join(runtime.logs(key, follow=follow, tail=tail))

    # -- what it is --------------------------------------------------------------------------------------

    def test_it_is_a_runtime(self, runtime: Runtime) -> None:
        assert isinstance(runtime, Runtime)
        assert runtime.name
        assert runtime.concurrency >= 1

    def test_it_describes_a_machine_that_can_hold_something(self, runtime: Runtime) -> None:
        info = runtime.describe()
        assert info.capacity.cpu > 0
        assert info.capacity.memory > 0
        assert "/" in info.platform
        assert info.version
        assert info.address

    # -- starting ----------------------------------------------------------------------------------------

    def test_a_started_run_is_running_and_can_be_inspected(self, runtime: Runtime, owner: Owner) -> None:
        before = time.time()
        launch = self.launch(owner, self.task(SLEEP))
        started = runtime.start(launch)
        assert started.phase == "running"
        assert started.exit_code is None
        assert started.handle
        seen = runtime.inspect(launch.key)
        assert seen is not None
        assert seen.phase == "running"
        assert seen.started_at is not None
        assert before - 2 <= seen.started_at <= time.time() + 2
        assert [status.key for status in runtime.list_runs(owner)] == [launch.key]

    def test_starting_the_same_key_again_starts_nothing(self, runtime: Runtime, owner: Owner) -> None:
        launch = self.launch(owner, self.task("echo once; exec sleep 60"))
        first = runtime.start(launch)
        again = runtime.start(launch)
        assert (again.key, again.phase, again.handle) == (first.key, "running", first.handle)
        assert len(runtime.list_runs(owner)) == 1

    def test_starting_the_key_of_an_exited_run_tells_how_it_ended(
        self, runtime: Runtime, owner: Owner
    ) -> None:
        launch = self.launch(owner, self.task("exit 3"))
        runtime.start(launch)
        self.exited(runtime, launch.key)
        again = runtime.start(launch)
        assert (again.phase, again.exit_code) == ("exited", 3)

    def test_many_threads_that_start_one_key_start_it_once(self, runtime: Runtime, owner: Owner) -> None:
        launch = self.launch(owner, self.task(SLEEP))
        with ThreadPoolExecutor(8) as pool:
            statuses = [future.result() for future in [pool.submit(runtime.start, launch) for _ in range(8)]]
        assert len({status.handle for status in statuses if status.phase == "running"}) == 1
        assert len(runtime.list_runs(owner)) == 1

    def test_many_threads_start_many_runs(self, runtime: Runtime, owner: Owner) -> None:
        launches = [self.launch(owner, self.task(f"exit {number}")) for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(runtime.start, launches))
        assert {status.key for status in runtime.list_runs(owner)} == {launch.key for launch in launches}
        assert [self.exited(runtime, launch.key).exit_code for launch in launches] == list(range(8))

    def test_a_command_that_does_not_exist_fails_to_start_and_leaves_nothing(
        self, runtime: Runtime, owner: Owner
    ) -> None:
        launch = self.launch(owner, replace(self.task("true"), command=["/no/such/command"]))
        if not self.tells_missing_commands:
            runtime.start(launch)
            assert self.exited(runtime, launch.key).exit_code == 127
            return
        with pytest.raises(StartFailed) as caught:
            runtime.start(launch)
        assert caught.value.reason == Reason.COMMAND_NOT_FOUND.value
        assert runtime.inspect(launch.key) is None
        assert list(runtime.list_runs(owner)) == []
        runtime.remove(launch.key)

    def test_a_run_sees_its_environment(self, runtime: Runtime, owner: Owner) -> None:
        if not self.has_logs:
            pytest.skip("the environment is seen through the log")
        shell = 'echo "$COLOUR/$TOKEN/$MINORCH_TASK/$MINORCH_TASK_INDEX/$MINORCH_NODE/$MINORCH_ATTEMPT"'
        key = self.start(runtime, owner, shell, env={"COLOUR": "blue"}, secrets={"TOKEN": Secret("s3cret")})
        self.exited(runtime, key)
        assert self.output(runtime, key) == f"blue/s3cret/{self.task('true').name}/0/node-1/1\n".encode()

    # -- ending ------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("code", [0, 1, 42, 255])
    def test_the_exit_code_is_told(self, runtime: Runtime, owner: Owner, code: int) -> None:
        status = self.exited(runtime, self.start(runtime, owner, f"exit {code}"))
        assert (status.exit_code, status.reason) == (code, Reason.EXITED)
        assert status.finished_at is not None
        assert status.started_at is not None
        assert status.finished_at >= status.started_at

    def test_a_terminated_run_that_obeys_ends_with_its_own_code(self, runtime: Runtime, owner: Owner) -> None:
        shell = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"
        key = self.start(runtime, owner, shell)
        if self.has_logs:
            eventually(lambda: b"ready" in self.output(runtime, key), within_s=self.patience_s)
        runtime.terminate(key)
        assert self.exited(runtime, key).exit_code == 7

    def test_a_killed_run_ends_as_killed(self, runtime: Runtime, owner: Owner) -> None:
        key = self.start(runtime, owner, STUBBORN)
        runtime.kill(key)
        status = self.exited(runtime, key)
        assert (status.exit_code, status.reason) == (137, Reason.KILLED)

    def test_a_stubborn_run_outlives_terminate_but_not_kill(self, runtime: Runtime, owner: Owner) -> None:
        key = self.start(runtime, owner, f"trap '' TERM; echo ready; {STUBBORN}")
        if self.has_logs:
            eventually(lambda: b"ready" in self.output(runtime, key), within_s=self.patience_s)
        runtime.terminate(key)
        runtime.terminate(key)
        status = runtime.inspect(key)
        assert status is not None
        assert status.phase == "running"
        runtime.kill(key)
        assert self.exited(runtime, key).exit_code == 137

    def test_an_exit_stays_known_until_it_is_removed(self, runtime: Runtime, owner: Owner) -> None:
        key = self.start(runtime, owner, "exit 5")
        self.exited(runtime, key)
        assert [(status.key, status.exit_code) for status in runtime.list_runs(owner)] == [(key, 5)]
        runtime.remove(key)
        assert runtime.inspect(key) is None
        assert list(runtime.list_runs(owner)) == []

    def test_a_running_run_is_not_removed(self, runtime: Runtime, owner: Owner) -> None:
        key = self.start(runtime, owner, SLEEP)
        with pytest.raises(RuntimeFault):
            runtime.remove(key)
        status = runtime.inspect(key)
        assert status is not None
        assert status.phase == "running"

    def test_what_is_gone_may_be_terminated_killed_and_removed(self, runtime: Runtime, owner: Owner) -> None:
        never = RunKey(uuid.uuid4().hex, 1, 1)
        ended = self.start(runtime, owner, "true")
        self.exited(runtime, ended)
        removed = self.start(runtime, owner, "true")
        self.exited(runtime, removed)
        runtime.remove(removed)
        for key in (never, ended, removed):
            runtime.terminate(key)
            runtime.kill(key)
            runtime.remove(key)
            runtime.remove(key)
            assert runtime.inspect(key) is None

    # -- whose runs --------------------------------------------------------------------------------------

    def test_owners_see_only_their_own_runs(self, runtime: Runtime, owner: Owner) -> None:
        neighbour = Owner(owner.cluster_id, "node-2")
        namesake = Owner(uuid.uuid4().hex, owner.node)
        keys = {who: self.start(runtime, who, SLEEP) for who in (owner, neighbour, namesake)}
        try:
            for who, key in keys.items():
                assert [status.key for status in runtime.list_runs(who)] == [key]
        finally:
            for key in keys.values():
                self.clear(runtime, key)

    # -- watching ----------------------------------------------------------------------------------------

    def test_a_watch_first_asks_for_a_listing_and_then_tells_of_exits(
        self, runtime: Runtime, owner: Owner
    ) -> None:
        notes = Notes()
        watch = runtime.watch(owner, notes)
        eventually(lambda: notes.told, within_s=self.patience_s)
        assert notes.told[0] is None
        key = self.start(runtime, owner, "exit 9")
        told = eventually(lambda: notes.exit_of(key), within_s=self.patience_s)
        assert told is not None
        assert (told.exit_code, told.reason) == (9, Reason.EXITED)
        watch.close()
        watch.close()

    def test_each_watch_is_told_of_its_owner_only(self, runtime: Runtime, owner: Owner) -> None:
        other = Owner(uuid.uuid4().hex, owner.node)
        mine, second, theirs = Notes(), Notes(), Notes()
        watches = [runtime.watch(who, n) for who, n in ((owner, mine), (owner, second), (other, theirs))]
        eventually(lambda: mine.told and second.told and theirs.told, within_s=self.patience_s)
        key = self.start(runtime, owner, "true")
        eventually(lambda: mine.exit_of(key) and second.exit_of(key), within_s=self.patience_s)
        assert theirs.exit_of(key) is None
        for watch in watches:
            watch.close()

    def test_a_watch_that_raises_harms_no_other(self, runtime: Runtime, owner: Owner) -> None:
        def broken(status: RunStatus | None) -> None:
            raise ValueError("this watcher is broken")

        notes = Notes()
        watches = [runtime.watch(owner, broken), runtime.watch(owner, notes)]
        eventually(lambda: notes.told, within_s=self.patience_s)
        key = self.start(runtime, owner, "true")
        assert eventually(lambda: notes.exit_of(key), within_s=self.patience_s)
        for watch in watches:
            watch.close()

    def test_a_watch_may_call_the_runtime_and_close_itself(self, runtime: Runtime, owner: Owner) -> None:
        seen: list[int] = []
        ready = threading.Event()

        def look(status: RunStatus | None) -> None:
            seen.append(len(runtime.list_runs(owner)))
            ready.wait(self.patience_s)
            watch.close()

        watch = runtime.watch(owner, look)
        ready.set()
        eventually(lambda: seen, within_s=self.patience_s)

    # -- logs --------------------------------------------------------------------------------------------

    def test_the_log_holds_output_and_errors(self, runtime: Runtime, owner: Owner) -> None:
        self._needs("has_logs")
        key = self.start(runtime, owner, "echo out; echo err >&2")
        self.exited(runtime, key)
        assert sorted(self.output(runtime, key).split()) == [b"err", b"out"]

    @pytest.mark.parametrize(("tail", "wanted"), [(0, b""), (1, b"3\n"), (2, b"2\n3\n"), (99, b"1\n2\n3\n")])
    def test_a_tail_is_the_last_lines(self, runtime: Runtime, owner: Owner, tail: int, wanted: bytes) -> None:
        self._needs("has_logs")
        key = self.start(runtime, owner, "echo 1; echo 2; echo 3")
        self.exited(runtime, key)
        assert self.output(runtime, key, tail=tail) == wanted

    def test_following_a_log_ends_with_the_run(self, runtime: Runtime, owner: Owner) -> None:
        self._needs("has_logs")
        key = self.start(runtime, owner, "for n in 1 2 3; do echo $n; sleep 0.1; done")
        assert self.output(runtime, key, follow=True) == b"1\n2\n3\n"
        self.exited(runtime, key)
        assert self.output(runtime, key, follow=True) == b"1\n2\n3\n"

    def test_a_log_since_before_the_start_is_all_of_it(self, runtime: Runtime, owner: Owner) -> None:
        self._needs("has_logs")
        before = time.time() - 60
        key = self.start(runtime, owner, "echo all")
        self.exited(runtime, key)
        assert b"".join(runtime.logs(key, since=before)) == b"all\n"

    def test_there_is_no_log_of_an_unknown_run(self, runtime: Runtime) -> None:
        self._needs("has_logs")
        with pytest.raises(RuntimeFault):
            list(runtime.logs(RunKey(uuid.uuid4().hex, 1, 1)))

    # -- measuring and probing ---------------------------------------------------------------------------

    def test_running_runs_are_measured_and_others_left_out(self, runtime: Runtime, owner: Owner) -> None:
        self._needs("has_stats")
        running = self.start(runtime, owner, SLEEP)
        ended = self.start(runtime, owner, "true")
        self.exited(runtime, ended)
        unknown = RunKey(uuid.uuid4().hex, 1, 1)
        measured = eventually(lambda: runtime.stats([running, ended, unknown]), within_s=self.patience_s)
        assert set(measured) == {running}
        assert measured[running].memory > 0
        assert measured[running].pids >= 1
        assert measured[running].cpu_s >= 0
        assert dict(runtime.stats([])) == {}

    def test_an_exec_check_is_healthy_when_its_command_succeeds(self, runtime: Runtime, owner: Owner) -> None:
        self._needs("has_exec_probe")
        key = self.start(runtime, owner, SLEEP, env={"COLOUR": "blue"})
        good = HealthCheck.exec(["sh", "-c", 'test "$COLOUR" = blue'], timeout_s=10)
        bad = HealthCheck.exec(["sh", "-c", "exit 4"], timeout_s=10)
        assert runtime.probe(key, good).healthy
        assert not runtime.probe(key, bad).healthy

    def test_an_exec_check_is_given_up_at_its_time_out(self, runtime: Runtime, owner: Owner) -> None:
        self._needs("has_exec_probe")
        key = self.start(runtime, owner, SLEEP)
        began = time.monotonic()
        assert not runtime.probe(key, HealthCheck.exec(["sleep", "30"], timeout_s=0.5)).healthy
        assert time.monotonic() - began < 10

    def test_a_port_that_nobody_listens_on_is_unhealthy(self, runtime: Runtime, owner: Owner) -> None:
        key = self.start(runtime, owner, SLEEP)
        assert not runtime.probe(key, HealthCheck.tcp(9, timeout_s=1)).healthy
        assert not runtime.probe(key, HealthCheck.http(9, timeout_s=1)).healthy

    def test_what_does_not_run_is_unhealthy(self, runtime: Runtime, owner: Owner) -> None:
        ended = self.start(runtime, owner, "true")
        self.exited(runtime, ended)
        for key in (ended, RunKey(uuid.uuid4().hex, 1, 1)):
            for check in (HealthCheck.exec(["true"]), HealthCheck.tcp(9, timeout_s=1)):
                assert not runtime.probe(key, check).healthy

    # -- secrets -----------------------------------------------------------------------------------------

    def test_a_secret_is_in_no_error_and_no_status(
        self, runtime: Runtime, owner: Owner, tmp_path: Path
    ) -> None:
        secrets = {"TOKEN": Secret(HIDDEN)}
        if self.tells_missing_commands:
            bad = replace(self.task("true"), secrets=secrets, command=["/no/such/command"])
            with pytest.raises(StartFailed) as caught:
                runtime.start(self.launch(owner, bad))
            assert HIDDEN not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
        key = self.start(runtime, owner, SLEEP, secrets=secrets)
        assert HIDDEN not in f"{runtime!r} {runtime.inspect(key)!r} {runtime.list_runs(owner)!r}"
        for file in tmp_path.rglob("*"):
            assert not file.is_file() or HIDDEN.encode() not in file.read_bytes()

    # -- restarts ----------------------------------------------------------------------------------------

    def test_a_second_runtime_adopts_what_runs(self, runtime: Runtime, owner: Owner, tmp_path: Path) -> None:
        self._needs("keeps_runs_across_instances")
        launch = self.launch(owner, self.task(SLEEP))
        handle = runtime.start(launch).handle
        runtime.close()
        second = self.make_runtime(tmp_path)
        try:
            assert [(s.key, s.phase, s.handle) for s in second.list_runs(owner)] == [
                (launch.key, "running", handle)
            ]
            assert second.start(launch).handle == handle
            notes = Notes()
            second.watch(owner, notes)
            second.kill(launch.key)
            told = eventually(lambda: notes.exit_of(launch.key), within_s=self.patience_s)
            assert told is not None
            assert told.exit_code != 0
        finally:
            second.close()

    def test_a_second_runtime_knows_how_runs_ended(
        self, runtime: Runtime, owner: Owner, tmp_path: Path
    ) -> None:
        self._needs("keeps_runs_across_instances")
        before = self.start(runtime, owner, "exit 3")
        self.exited(runtime, before)
        while_closed = self.start(runtime, owner, "sleep 0.3; exit 4")
        runtime.close()
        time.sleep(0.6)
        second = self.make_runtime(tmp_path)
        try:
            assert {status.key for status in second.list_runs(owner)} == {before, while_closed}
            assert self.exited(second, before).exit_code == 3
            ended = self.exited(second, while_closed)
            assert ended.exit_code in ((4,) if self.knows_exits_across_instances else (4, None))
            assert ended.exit_code is not None or ended.reason is Reason.EXIT_UNKNOWN
        finally:
            second.close()

    def test_closing_leaves_runs_alone_and_may_be_done_twice(
        self, runtime: Runtime, owner: Owner, tmp_path: Path
    ) -> None:
        key = self.start(runtime, owner, SLEEP)
        watch = runtime.watch(owner, Notes())
        runtime.close()
        runtime.close()
        watch.close()
        if self.keeps_runs_across_instances:
            second = self.make_runtime(tmp_path)
            status = second.inspect(key)
            assert status is not None
            assert status.phase == "running"
            second.close()

    # -- what is left over, for a runtime that can find it -----------------------------------------------

    def test_it_lists_what_every_owner_has_and_who_made_it(
        self, runtime: Runtime, owner: Owner, tmp_path: Path
    ) -> None:
        finder = self._finder(runtime)
        maker = Maker(pid=1, birth="long ago", host="h", machine='"', user=0, durable=True)
        made = replace(self.launch(owner, self.task(SLEEP)), maker=maker)
        handle = runtime.start(made).handle
        unsaid = self.start(runtime, owner, "exit 0")
        self.exited(runtime, unsaid)
        listed = {one.key: one for one in finder.list_made() if one.owner == owner}
        assert listed.keys() == {made.key, unsaid}
        found = listed[made.key]
        assert (found.maker, found.phase, found.handle) == (maker, "running", handle)
        assert (found.job, found.task) == ("job", made.task_name)
        assert (listed[unsaid].maker, listed[unsaid].phase) == (None, "exited")

    def test_a_run_is_adopted_whoever_made_it(self, runtime: Runtime, owner: Owner, tmp_path: Path) -> None:
        self._finder(runtime)
        self._needs("keeps_runs_across_instances")
        maker = Maker(pid=1, birth="long ago", host="h", user=0, durable=True)
        launch = replace(self.launch(owner, self.task(SLEEP)), maker=maker)
        handle = runtime.start(launch).handle
        runtime.close()
        second = self.make_runtime(tmp_path)
        try:
            assert second.start(replace(launch, maker=replace(maker, pid=2))).handle == handle
            assert second.start(replace(launch, maker=None)).handle == handle
        finally:
            second.close()

    def test_of_an_owner_whose_runs_are_removed_nothing_is_left_once_it_is_discarded(
        self, runtime: Runtime, owner: Owner
    ) -> None:
        finder = self._finder(runtime)
        key = self.start(runtime, owner, "exit 0")
        self.exited(runtime, key)
        finder.discard(owner)
        assert [one.key for one in finder.list_made() if one.owner == owner] == [key], "it has a run"
        self.clear(runtime, key)
        finder.discard(owner)
        finder.discard(owner)
        assert [one for one in finder.list_made() if one.owner == owner] == []
        again = self.start(runtime, owner, "exit 0")
        self.exited(runtime, again)

    def _finder(self, runtime: Runtime) -> FindsLeftovers:
        if not isinstance(runtime, FindsLeftovers):
            pytest.skip(f"{type(runtime).__name__} does not find leftovers, and need not")
        return runtime

    def _needs(self, flag: str) -> None:
        if not getattr(self, flag):
            pytest.skip(f"{type(self).__name__}.{flag} is False")
