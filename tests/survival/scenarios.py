"""What a manager goes through while it is killed: each of these is a whole life of some jobs.

A scenario ends with the same outcome wherever its manager died.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from minorch.manager import ManagerConfig
from minorch.model import HealthCheck, Job, RestartPolicy, Task
from minorch.resources import Resources
from minorch.states import Reason
from tests.stories.world import machine, refusing, sleeper
from tests.survival.crashing import Crash, CrashingWorld, Outcome

__all__ = ["SCENARIOS", "Scenario"]


class Scenario:
    """A script, to be played in a directory, with crashes where one likes."""

    def __init__(
        self, script: Callable[[CrashingWorld], Outcome], machines: tuple[Any, ...], config: Any
    ) -> None:
        self.name = script.__name__.replace("_", " ")
        self._script = script
        self._machines = machines
        self._config = config

    def play(self, directory: Path, *crashes: Crash) -> tuple[Outcome, CrashingWorld]:
        """Play it to its end; the world is closed then."""
        world = CrashingWorld(directory, crashes, *self._machines, **self._config)
        try:
            return self._script(world), world
        finally:
            world.close()


SCENARIOS: Final[list[Scenario]] = []


def scenario(*machines: Any, **config: Any) -> Callable[[Callable[[CrashingWorld], Outcome]], None]:
    """Add a script to those that are played."""
    return lambda script: SCENARIOS.append(Scenario(script, machines, config))


def cores(count: float, name: str = "sleep", **fields: object) -> Task:
    return sleeper(name, resources=Resources(cpu=count), **fields)


@scenario("a", fates={"sleep": [(5, 0)]})
def one_task_runs_and_completes(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper()]))
    return world.finish()


@scenario("a", fates={"sleep": [(5, 3)]})
def one_task_fails(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper()]))
    return world.finish()


@scenario("a", fates={"sleep": [(1, 1), (1, 137), (2, 0)]})
def a_task_is_restarted_on_its_node_until_it_completes(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper(restart=RestartPolicy.on_failure(3))]))
    return world.finish()


@scenario("a", "b", fates={"sleep": [(2, 1), (2, 0)], "other": [(2, 1), (2, 1), (2, 1)]})
def failed_tasks_are_tried_again_elsewhere_until_the_retries_are_spent(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper()], retries=1))
    world.submit(Job("worse", [sleeper("other")], retries=2))
    return world.finish()


@scenario("a", fates={"waits": [(5, 0)]})
def one_that_runs_and_one_that_waits_are_stopped(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [cores(4), cores(4, "waits"), cores(1, "never")]))
    world.stop("never")
    world.until_running()
    world.stop("sleep")
    world.pass_time(20)
    world.stop()
    return world.finish()


@scenario("a")
def a_task_that_will_not_end_is_killed_after_its_grace(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper(stop_grace_s=3.0)]))
    world.machines["a"].stubborn = True
    world.until_running()
    world.stop()
    return world.finish()


@scenario("a", fates={"quick": [(3, 0)]})
def a_job_runs_into_its_deadline(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [cores(3, "quick"), cores(3), cores(3, "waits")], deadline_s=20))
    return world.finish()


@scenario("a", "b", fates={name: [(3, 0)] for name in ("first", "many", "last", "fine")} | {"bad": [(2, 1)]})
def tasks_come_after_each_other_and_not_after_one_that_failed(world: CrashingWorld) -> Outcome:
    world.submit(
        Job(
            "job",
            [
                sleeper("first"),
                sleeper("many", after=["first"], completions=3),
                sleeper("last", after=["many", "bad"]),
                sleeper("bad"),
                sleeper("fine", after=["many"]),
            ],
            parallelism=2,
        )
    )
    return world.finish()


@scenario("a", fates={"bad": [(2, 1)]})
def one_that_fails_stops_the_others(world: CrashingWorld) -> Outcome:
    world.submit(
        Job("job", [sleeper("bad"), sleeper(), sleeper("later", after=["sleep"])], on_failure="stop")
    )
    return world.finish()


@scenario("a", "b", "c", fates={"sleep": [(30, 0), (30, 0)]})
def a_node_is_drained_and_comes_into_use_again(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper(completions=4)]))
    world.until_running("sleep[0]")
    world.ask(lambda manager: manager.drain("a", world.now))
    world.pass_time(20)
    world.ask(lambda manager: manager.cordon("a", world.now, cordoned=False))
    return world.finish()


@scenario("a", "b", fates={"sleep": [(40, 0), (40, 0)]})
def a_node_is_lost_its_task_placed_anew_and_the_node_returns(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper()]))
    world.until_running()
    there = world.where()
    there.deaf = True
    world.until(lambda: world.where() is not there)
    world.pass_time(5)
    there.deaf = False
    return world.finish()


@scenario("a", "b", fates={"sleep": [(10, 7)]})
def a_lost_nodes_task_is_held_and_its_result_comes_with_the_node(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper(on_lost="hold")]))
    world.until_running()
    there = world.where()
    there.deaf = True
    world.pass_time(40)
    there.deaf = False
    return world.finish()


@scenario("a", "b", manager_config=ManagerConfig(max_lost=2))
def a_task_that_is_lost_too_often_fails(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper()]))
    for lost in range(3):
        world.until_running()
        there = world.where()
        there.deaf = True
        world.until(lambda: world.desk.state.tasks[world.task().id].lost > lost)  # noqa: B023
        there.deaf = False
    return world.finish()


@scenario("a", "b", fates={"sleep": [(8, 0)], "member": [(5, 0)]})
def a_gang_waits_until_there_is_room_for_all(world: CrashingWorld) -> Outcome:
    world.submit(Job("full", [cores(3, completions=2)]))
    world.submit(Job("job", [cores(2, "member", completions=4)], gang=True))
    return world.finish()


@scenario(
    "a", manager_config=ManagerConfig(preemption=True), fates={"low": [(15, 0), (15, 0)], "high": [(5, 0)]}
)
def a_task_is_moved_aside_for_a_more_important_one(world: CrashingWorld) -> Outcome:
    world.machines["a"].stubborn = True
    world.submit(Job("low", [cores(4, "low", stop_grace_s=3.0)]))
    world.until_running("low", "low")
    world.submit(Job("high", [cores(4, "high")], priority=5))
    return world.finish()


@scenario(
    "a",
    manager_config=ManagerConfig(reserve_after_s=10.0, reserve_for_s=60.0),
    fates={"small": [(9, 0)], "big": [(4, 0)]},
)
def a_node_is_kept_for_a_large_task(world: CrashingWorld) -> Outcome:
    world.submit(Job("stream", [cores(2, "small", completions=6)]))
    world.submit(Job("big", [cores(4, "big")]))
    return world.finish()


@scenario(
    "a", manager_config=ManagerConfig(keep_runs=1, keep_jobs_s=30.0, max_events=4), fates={"sleep": [(2, 0)]}
)
def finished_jobs_are_released_and_forgotten(world: CrashingWorld) -> Outcome:
    outcome: dict[str, tuple[str, str | None, int | None]] = {}
    for name in ("one", "two", "three"):
        world.submit(Job(name, [sleeper(completions=2)]))
        world.pass_time(8)
        outcome |= {f"{name}/{task}": (state, None, None) for task, state in world.states(name).items()}
    world.ask(lambda manager: manager.release(world.accepted["three"], world.now))
    world.accepted.clear()
    world.pass_time(60)
    assert world.manager.jobs() == ()
    return {**outcome, **world.finish()}


@scenario("a", "b", fates={"serve": [(4, 1), (1e6, 0)]})
def a_service_is_kept_running_until_it_is_stopped(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper("serve", replicas=3)], kind="service"))
    world.pass_time(30)
    world.stop()
    return world.finish()


@scenario("a", manager_config=ManagerConfig(unschedulable_after_s=20.0), fates={"large": [(3, 0)]})
def a_task_waits_for_a_node_that_can_hold_it(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [cores(16, "large")], wait_for_nodes=True))
    world.submit(Job("hopeless", [cores(64)], wait_for_nodes=True))
    world.pass_time(10)
    world.add(machine("b", capacity=Resources(cpu=16)))
    world.pass_time(60)
    world.stop(job="hopeless")
    return world.finish()


@scenario("a", "b", fates={"sleep": [(3, 0)]})
def starts_are_refused_and_the_next_node_takes_them(world: CrashingWorld) -> Outcome:
    for there in world.machines.values():
        there.refuse = refusing(Reason.IMAGE_NOT_FOUND, "no such image")
    world.submit(Job("bad", [sleeper("bad")], retries=1))
    world.until(lambda: world.job("bad").state.terminal)
    for there in world.machines.values():
        there.refuse = None
    world.submit(Job("job", [sleeper()]))
    return world.finish()


@scenario("a", fates={"sleep": [(30, 0)], "later": [(3, 0)]})
def an_engine_does_not_answer_for_a_while(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper(), sleeper("later", after=["sleep"])]))
    world.pass_time(5)
    there = world.machines["a"]
    there.engine_up, there.ambiguous = False, True
    world.pass_time(40)
    there.engine_up = True
    return world.finish()


@scenario("a", "b", fates={"sleep": [(20, 0)]})
def workers_are_started_anew_while_tasks_run(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper(completions=4)]))
    world.pass_time(3)
    for there in world.machines.values():
        there.boot()
        world.pass_time(4)
    return world.finish()


@scenario("a", fates={"sleep": [(60, 0), (3, 0)]})
def somebody_removes_a_run(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper()], retries=1))
    world.until_running()
    there = world.where()
    for key in there.live:
        there.vanish(key)
    return world.finish()


@scenario("a", fates={"sleep": [(600, 0), (12, 0)]})
def an_unhealthy_run_is_ended_and_started_again(world: CrashingWorld) -> Outcome:
    there = world.machines["a"]
    there.healthy = lambda key: key.run > 1
    check = HealthCheck.tcp(80, interval_s=2.0, threshold=2)
    world.submit(Job("job", [sleeper(health=check, restart=RestartPolicy.on_failure(2))]))
    return world.finish()


@scenario("a", "b", fates={"sleep": [(10, 0)]})
def every_third_message_is_lost(world: CrashingWorld) -> Outcome:
    count = 0

    def third(message: object) -> bool:
        nonlocal count
        count += 1
        return count % 3 == 0

    world.lose = third
    world.submit(Job("job", [sleeper(completions=3)]))
    world.pass_time(30)
    world.lose = lambda message: False
    return world.finish()


@scenario("a", "b", fates={"sleep": [(10, 0), (10, 0)]})
def a_task_is_moved(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper(on_lost="hold")]))
    world.until_running()
    task = world.task()
    world.ask(lambda manager: manager.move(task.id, world.now))
    return world.finish()


@scenario("a", "b", fates={"serve": [(1e6, 0)], "part": [(20, 0)]})
def a_node_is_drained_one_task_at_a_time_and_then_in_another_way(world: CrashingWorld) -> Outcome:
    world.until(
        lambda: len(world.manager.nodes()) == 2
    )  # a manager that dies at once has not written them down
    world.ask(lambda manager: manager.cordon("b", world.now))
    world.submit(Job("job", [cores(0.5, "serve", replicas=3)], kind="service"))
    world.submit(Job("batch", [cores(0.5, "part", completions=2)]))
    world.until_running("part[1]", "batch")
    world.ask(lambda manager: manager.cordon("b", world.now, cordoned=False))
    world.ask(lambda manager: manager.drain("a", world.now, at_once=1, deadline_s=60))
    world.pass_time(2)
    world.ask(lambda manager: manager.drain("a", world.now, deadline_s=40))
    world.until(lambda: not world.desk.state.nodes["a"].live)
    world.pass_time(1)
    world.ask(lambda manager: manager.cordon("a", world.now, cordoned=False))
    world.pass_time(5)
    world.stop()
    return world.finish()


@scenario("a", fates={"sleep": [(3, 0)]})
def a_worker_describes_its_machine_anew(world: CrashingWorld) -> Outcome:
    world.submit(Job("job", [sleeper(constraints=["disk == ssd"])], wait_for_nodes=True))
    world.pass_time(2)
    there = world.machines["a"]
    there.node = machine("a", labels={"disk": "ssd"})
    there.boot()
    return world.finish()
