"""What users are told while something goes wrong again and again, and what they are never told."""

from __future__ import annotations

from minorch.contracts import Launch, Probe as Answer
from minorch.model import HealthCheck, Job, RestartPolicy, Secret
from minorch.states import Reason, TaskState
from minorch.worker import Probed, Refused
from tests.stories.world import World, sleeper

ALWAYS = RestartPolicy.always(backoff_s=1.0)


def test_a_service_that_cannot_start_says_why_while_it_is_tried_again():
    world = World("a")

    def refuse(launch: Launch) -> Refused:
        return Refused(key=launch.key, reason=Reason.START_FAILED, message="network nonet not found")

    world.machines["a"].refuse = refuse
    world.submit(Job("job", [sleeper(restart=ALWAYS)], kind="service"))
    assert "network nonet not found" in world.task().message
    assert "restart 1 in 1." in world.task().message


def test_a_service_that_waits_for_its_restart_is_not_ready():
    world = World("a")
    job_id = world.submit(Job("job", [sleeper(restart=ALWAYS)], kind="service"))
    assert world.manager.unready(job_id) == 0
    world.exit(code=3)
    assert world.task().state is TaskState.RUNNING
    assert world.manager.unready(job_id) == 1
    world.pass_time(2)
    assert world.manager.unready(job_id) == 0


def test_what_a_check_says_is_told_without_the_secrets():
    world = World("a")
    check = HealthCheck.exec(["check"], interval_s=1.0, threshold=1)
    task = sleeper(health=check, secrets={"TOKEN": Secret("s3cr3t")}, restart=RestartPolicy.never())
    world.submit(Job("job", [task]))
    world.pass_time(1.5)
    machine = world.where()
    (probe,) = machine.probes
    machine.tell(Probed(key=probe.key, probe=Answer(False, "exit code 1: bad token s3cr3t")))
    world.run()
    told = [world.task().message, *map(str, world.manager.events())]
    assert any("bad token ***" in words for words in told)
    assert not any("s3cr3t" in words for words in told)
