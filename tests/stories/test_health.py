"""Health checks: the verdict, what follows from it, and when it does not count."""

from __future__ import annotations

from minorch.contracts import Probe
from minorch.model import HealthCheck, RestartPolicy
from minorch.states import Reason, TaskState
from minorch.worker import Probed
from tests.stories.world import World, refusing, sleeper


def test_a_refused_start_after_an_unhealthy_run_says_why_it_was_refused():
    check = HealthCheck.tcp(80, interval_s=1.0, threshold=1)
    world = World("a")
    world.submit(sleeper(health=check, restart=RestartPolicy.on_failure(1)))
    a = world.where()
    a.healthy = lambda key: False
    a.refuse = refusing(Reason.IMAGE_NOT_FOUND, "no such image")
    world.pass_time(10)
    assert world.task().state is TaskState.FAILED
    assert world.task().reason is Reason.IMAGE_NOT_FOUND
    assert world.task().message == "no such image"


CHECK = HealthCheck.tcp(80, interval_s=5.0, threshold=3, start_period_s=0.0)


def test_a_healthy_task_says_so_and_runs_on():
    world = World("a")
    world.submit(sleeper(health=CHECK))
    world.where().healthy = lambda key: True
    world.pass_time(100)
    assert world.task().attempts[0].healthy is True
    assert world.kinds().count("task_healthy") == 1
    assert 19 <= len(world.where().probes) <= 20


def test_some_failed_checks_in_a_row_end_the_run_and_the_policy_decides():
    world = World("a")
    world.submit(sleeper(health=CHECK, restart=RestartPolicy.on_failure(1, backoff_s=1.0)))
    a = world.where()
    a.healthy = lambda key: len(a.probes) in (2, 3)
    world.pass_time(29)
    assert len(a.started) == 1
    world.pass_time(3)
    assert len(a.started) == 2
    assert "task_unhealthy" in world.kinds()
    world.pass_time(20)
    assert world.task().state is TaskState.FAILED
    assert world.task().reason is Reason.UNHEALTHY
    assert world.task().message == "unhealthy: was asked"
    assert world.task().exit_code == 143


def test_an_unhealthy_run_that_will_not_end_is_killed():
    world = World("a")
    world.submit(sleeper(health=CHECK, stop_grace_s=3.0))
    a = world.where()
    a.stubborn = True
    a.healthy = lambda key: False
    world.pass_time(17)
    assert len(a.live) == 1
    world.pass_time(2)
    assert world.task().reason is Reason.UNHEALTHY
    assert world.task().exit_code == 137
    assert len(a.probes) == 3, "what is being ended is not asked any more"


def test_failures_while_it_starts_do_not_count():
    world = World("a")
    check = HealthCheck.tcp(80, interval_s=5.0, threshold=1, start_period_s=60.0)
    world.submit(sleeper(health=check))
    a = world.where()
    a.healthy = lambda key: False
    world.pass_time(59)
    assert world.task().state is TaskState.RUNNING
    assert world.task().attempts[0].healthy is None
    world.pass_time(5)
    assert world.task().reason is Reason.UNHEALTHY


def test_once_it_was_healthy_failures_count_at_once():
    world = World("a")
    check = HealthCheck.tcp(80, interval_s=5.0, threshold=1, start_period_s=60.0)
    world.submit(sleeper(health=check))
    a = world.where()
    a.healthy = lambda key: len(a.probes) == 1
    world.pass_time(11)
    assert world.task().reason is Reason.UNHEALTHY


def test_an_engine_that_does_not_answer_says_nothing_about_health():
    world = World("a")
    world.submit(sleeper(health=CHECK))
    a = world.where()
    a.healthy = lambda key: True
    a.engine_up = False
    world.pass_time(60)
    assert world.task().state is TaskState.RUNNING
    assert world.task().attempts[0].healthy is None
    a.engine_up = True
    world.pass_time(40)
    assert world.task().attempts[0].healthy is True


def test_a_late_answer_of_a_check_says_nothing_about_what_is_being_stopped_or_about_another_run():
    world = World("a")
    world.submit(sleeper(health=HealthCheck.tcp(80, threshold=1), restart=RestartPolicy.always()))
    a = world.where()
    (first,) = a.live
    late = Probed(key=first, probe=Probe(healthy=False, detail="late"))
    world.exit(code=0)
    world.pass_time(5)
    a.tell(late)
    world.run()
    assert world.task().state is TaskState.RUNNING
    a.stubborn = True
    world.stop()
    (second,) = a.live
    a.tell(Probed(key=second, probe=Probe(healthy=False, detail="late")))
    world.pass_time(20)
    assert world.task().reason is Reason.STOPPED


def test_an_adopted_run_is_checked_again_once_it_is_claimed():
    world = World("a")
    world.submit(sleeper(health=CHECK))
    a = world.where()
    a.boot()
    a.healthy = lambda key: True
    world.pass_time(20)
    assert world.task().attempts[0].healthy is True


def test_a_check_that_was_due_before_the_stop_is_not_made():
    world = World("a")
    world.submit(sleeper(health=CHECK, stop_grace_s=100.0))
    a = world.where()
    a.stubborn = True
    world.stop()
    world.pass_time(30)
    assert a.probes == []
