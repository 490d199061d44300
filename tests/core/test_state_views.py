"""Jobs, tasks, nodes and events as a notebook shows them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from minorch.markup import Hue
from minorch.messages import Streak
from minorch.model import Node, NodeStats
from minorch.resources import Resources
from minorch.state.events import Event
from minorch.state.listing import EventList, NodeList, TaskList
from minorch.state.node_views import nodes_table, nodes_view
from minorch.state.pictures import AttemptInfo, JobInfo, NodeInfo, TaskInfo
from minorch.state.timeline import attempt_lanes, busy, keys_of, latest, task_lanes
from minorch.state.views import events_view, job_view, names_view, task_view, tasks_view
from minorch.states import AttemptState, JobState, Reason, TaskState

A, T = AttemptState, TaskState


def words(markup: str) -> str:
    """What there is to read, with a blank between texts."""
    root = ElementTree.fromstring(markup)
    for parent in root.iter():
        for child in list(parent):
            if child.tag in ("style", "title"):
                child.text = ""
    return " ".join(text.strip() for text in root.itertext() if text.strip())


def attempt(number: int = 1, state: AttemptState = A.COMPLETED, **more: object) -> AttemptInfo:
    fields: dict[str, object] = {
        "node": "n1",
        "scheduled_at": 110.0,
        "started_at": 120.0,
        "finished_at": 180.0 if state.terminal else None,
        "run": 1,
    }
    return AttemptInfo(number=number, state=state, **{**fields, **more})  # type: ignore[arg-type]


def task(name: str = "a", state: TaskState = T.COMPLETED, *attempts: AttemptInfo, **more: object) -> TaskInfo:
    fields: dict[str, object] = {
        "id": "0" * 32,
        "job": "work",
        "submitted_at": 100.0,
        "finished_at": 180.0 if state.terminal else None,
    }
    return TaskInfo(name=name, state=state, attempts=attempts, **{**fields, **more})  # type: ignore[arg-type]


def job(*tasks: TaskInfo, state: JobState = JobState.RUNNING, **more: object) -> JobInfo:
    fields: dict[str, object] = {"id": "1" * 32, "name": "work", "kind": "batch", "submitted_at": 100.0}
    return JobInfo(state=state, tasks=tasks, **{**fields, **more})  # type: ignore[arg-type]


def node(name: str = "n1", *, taken: float = 2, **more: object) -> NodeInfo:
    about = Node(name=name, capacity=Resources(cpu=8, memory="32GiB"), labels={"zone": "a"}, taints=["gpu"])
    fields: dict[str, object] = {"node": about, "ready": True, "tasks": 3, "reserved": Resources(cpu=taken)}
    return NodeInfo(name=name, **{**fields, **more})  # type: ignore[arg-type]


STATS = NodeStats(
    sampled_at=1.0,
    cpu_percent=50.0,
    load_1m=1.0,
    memory_used=1,
    memory_total=4,
    disk_used=0,
    disk_total=0,
    tasks=1,
)


# -- over time -----------------------------------------------------------------------------------------------


def test_a_lane_tells_what_a_task_waited_for_how_it_started_and_ran():
    (lane,) = task_lanes([task("a", T.COMPLETED, attempt())])
    assert [(span.begin_s, span.end_s, span.hue) for span in lane.spans] == [
        (100.0, 110.0, Hue.GREY),
        (110.0, 120.0, Hue.SKY),
        (120.0, 180.0, Hue.GREEN),
    ]
    assert lane.note == "1 min"
    assert keys_of([lane]) == [("waits", Hue.GREY), ("starts", Hue.SKY), ("completed", Hue.GREEN)]


def test_each_attempt_has_its_part_and_between_them_the_task_waits():
    lost = attempt(1, A.FAILED, reason=Reason.NODE_LOST)
    again = attempt(2, A.RUNNING, node="n2", scheduled_at=200.0, started_at=205.0)
    (lane,) = task_lanes([task("a", T.RUNNING, lost, again)])
    assert [span.hue for span in lane.spans] == [
        *(Hue.GREY, Hue.SKY, Hue.VERMILLION),
        *(Hue.GREY, Hue.SKY, Hue.BLUE),
    ]
    assert lane.spans[-1].end_s is None
    assert lane.note == "running"
    first, second = attempt_lanes(task("a", T.RUNNING, lost, again))
    assert (first.label, first.note) == ("attempt 1", "failed: node lost")
    assert (second.label, second.note) == ("attempt 2", "running")


def test_a_task_that_waits_again_has_a_lane_for_that():
    lost = attempt(1, A.FAILED, reason=Reason.NODE_LOST)
    lanes = attempt_lanes(task("a", T.PENDING, lost, message="no room"))
    assert lanes[-1].label == "not placed"
    assert lanes[-1].spans[0].words == "no room"
    assert attempt_lanes(task("a", T.PENDING))[0].spans[0].end_s is None


def test_a_restart_is_not_shown_as_a_long_start():
    lane = task_lanes([task("a", T.RUNNING, attempt(1, A.RUNNING, run=3, scheduled_at=100.0))])[0]
    assert (lane.spans[0].hue, lane.spans[0].words) == (Hue.ORANGE, "2 restarts on n1")
    once = task_lanes([task("a", T.RUNNING, attempt(1, A.RUNNING, run=2))])[0]
    assert any(span.words == "1 restart on n1" for span in once.spans)


def test_an_attempt_that_never_ran_is_marked_where_it_ended():
    failed = attempt(1, A.FAILED, started_at=None, reason=Reason.IMAGE_NOT_FOUND, finished_at=130.0)
    lane = task_lanes([task("a", T.FAILED, failed, reason=Reason.IMAGE_NOT_FOUND)])[0]
    assert (lane.spans[-1].begin_s, lane.spans[-1].end_s, lane.spans[-1].hue) == (
        130.0,
        130.0,
        Hue.VERMILLION,
    )
    assert lane.note == "image not found"
    gone = attempt(1, A.STOPPED, started_at=None, finished_at=None)
    assert task_lanes([task("a", T.STOPPED, gone)])[0].spans[-1].begin_s == 110.0
    waits = attempt(1, A.PREPARING, started_at=None)
    assert task_lanes([task("a", T.SCHEDULED, waits)])[0].spans[-1].end_s is None


@pytest.mark.parametrize(
    ("reason", "code", "told"),
    [
        (Reason.EXITED, 3, "exit 3"),
        (Reason.OOM, 137, "oom, exit 137"),
        (Reason.EXITED, None, "failed"),
        (None, None, "failed"),
        (Reason.DEPENDENCY_FAILED, None, "dependency failed"),
    ],
)
def test_behind_the_lane_of_a_failed_task_stands_why(reason: Reason | None, code: int | None, told: str):
    (lane,) = task_lanes([task("a", T.FAILED, reason=reason, exit_code=code)])
    assert lane.note == told


def test_a_task_that_completed_unseen_has_no_time_behind_it():
    assert task_lanes([task("a", T.COMPLETED, attempt(started_at=None))])[0].note == "completed"


def test_how_many_tasks_did_what_is_counted_over_time():
    running, starting, waiting = busy([task("a", T.COMPLETED, attempt()), task("b", T.PENDING)])
    assert running.points == [(120.0, 1.0), (180.0, 0.0)]
    assert starting.points == [(110.0, 1.0), (120.0, 0.0)]
    assert waiting.points == [(100.0, 1.0), (100.0, 2.0), (110.0, 1.0)]


def test_the_latest_time_is_the_last_that_is_told():
    assert latest([]) == 0.0
    assert latest([task("a", T.RUNNING, attempt(1, A.RUNNING, started_at=None))]) == 110.0
    assert latest([task("a", T.COMPLETED, attempt(finished_at=170.0))]) == 180.0


# -- jobs and tasks ------------------------------------------------------------------------------------------


def test_a_job_shows_its_state_its_tasks_and_what_they_did_when():
    shown = job(
        task("good", T.COMPLETED, attempt()),
        task("bad", T.FAILED, attempt(1, A.FAILED), exit_code=3, reason=Reason.EXITED, message="boom"),
        retries_used=1,
        message="one task failed",
    )
    markup = job_view(shown, now=190.0)
    text = words(markup)
    assert "job work RUNNING batch · 2 tasks · 1 min 30 s · 1 retry" in text
    assert "one task failed 1 completed 1 failed" in text
    assert "good COMPLETED n1 1 min bad FAILED exited 3 n1 1 min boom" in text
    assert markup.count("<svg") > 4
    assert shown._repr_html_() == job_view(shown)


def test_a_job_that_is_over_needs_no_time_of_day():
    done = job(task("a", T.COMPLETED, attempt()), state=JobState.COMPLETED, finished_at=180.0, retries_used=2)
    assert job_view(done) == job_view(done, now=1e9)
    assert "1 task · 1 min 20 s · 2 retries" in words(job_view(done))


def test_a_task_that_restarts_and_moves_tells_how_often():
    moved = task(
        *("a", T.RUNNING, attempt(1, A.FAILED), attempt(2, A.RUNNING, run=4)),
        streak=Streak(restarts=3),
    )
    text = words(job_view(job(moved)))
    assert "attempts restarts" in text
    assert "a RUNNING n1 2 4 (crash looping)" in text


def test_of_a_large_job_it_is_drawn_how_many_did_what_and_the_worst_are_named():
    tasks = [task(f"t[{n}]", T.COMPLETED, attempt()) for n in range(100)]
    tasks[70] = task("t[70]", T.FAILED, attempt(1, A.FAILED), reason=Reason.EXITED, exit_code=1)
    markup = job_view(job(*tasks), now=200.0)
    text = words(markup)
    assert "running starting waiting 0 50 100" in text
    assert text.index("t[70]") < text.index("t[0]")
    assert "t[12]" not in text
    assert "and 88 more tasks, of which none is in a worse state" in text


def test_a_hundred_thousand_tasks_make_no_larger_a_picture():
    one = task("t", T.COMPLETED, attempt())
    markup = job_view(job(*[one] * 100_000), now=200.0)
    assert len(markup) < 30_000
    assert "the first 20,000 of 100,000 tasks" in markup


def test_a_task_shows_its_attempts_and_its_history():
    shown = task(
        *("a", T.FAILED, attempt(1, A.FAILED, reason=Reason.NODE_LOST), attempt(2, A.FAILED, message="gone")),
        reason=Reason.EXITED,
        exit_code=3,
        message="it ended",
    )
    events = [
        Event(number=7, at=100.0, kind="task_scheduled", job="work", task="a", node="n1"),
        Event(number=8, at=120.0, kind="task_failed", job="work", task="a", detail="exit code 3"),
    ]
    text = words(task_view(shown, events))
    assert "task work/a FAILED exited · exit 3 · on n1 it ended" in text
    assert "attempt node state reason ran message" in text
    assert "1 n1 FAILED node lost 1 min 2 n1 FAILED 1 min gone" in text
    assert "History no. at what node more 7 0 task scheduled n1 8 +20 s task failed exit code 3" in text
    assert shown._repr_html_() == task_view(shown)


def test_a_task_that_was_never_placed_shows_that_it_waits():
    text = words(task_view(task("a", T.PENDING, message="no room", stopping=True), now=300.0))
    assert "task work/a PENDING stopping no room" in text
    assert "not placed" in text
    assert "attempt node" not in text
    assert "stopping" not in words(task_view(task("a", T.STOPPED, stopping=True)))


def test_tasks_of_any_jobs_are_named_with_their_jobs():
    shown = TaskList([task("a", T.COMPLETED, attempt()), task("b", T.PENDING)])
    assert shown._repr_html_() == tasks_view(shown)
    assert "2 tasks 1 pending 1 completed" in words(tasks_view(shown))
    assert "work/a" in tasks_view(shown)
    assert shown == (shown[0], shown[1])
    assert words(tasks_view(shown[:1])).startswith("1 task task state")
    assert words(tasks_view([])) == "0 tasks"


def test_names_are_listed_with_their_states():
    assert words(names_view("job", [("a", "RUNNING")], 3)) == "3 jobs job state a RUNNING and 2 more jobs"
    assert words(names_view("job", [("a", "RUNNING")], 1)) == "1 job job state a RUNNING"


def test_of_many_events_the_latest_are_shown():
    events = EventList(
        Event(number=n, at=100.0 + n, kind="task_running", job="work", task=f"t{n}", node="n1")
        for n in range(50)
    )
    assert events._repr_html_() == events_view(events)
    text = words(events_view(events))
    assert "50 events no. at what of node" in text
    assert "+49 s task running work/t49 n1" in text
    assert "work/t29" not in text
    assert "30 earlier ones are not shown" in text
    assert words(events_view([])) == "0 events"
    assert "1 event" in words(events_view(events[:1]))


# -- nodes ---------------------------------------------------------------------------------------------------


def test_a_node_shows_what_is_reserved_and_what_is_measured():
    shown = node(stats=STATS)
    markup = nodes_view([shown])
    text = words(markup)
    assert "node n1 ready docker · zone=a · taint gpu" in text
    assert "2 of 8" in text
    assert "0 of 32 GiB" in text
    assert "50 % of the machine in use" in markup
    assert "25 % of the machine in use" in markup
    assert "reserved, of what the node has measured, of the whole machine" in text
    assert "measured" not in words(nodes_view([node()]))
    assert shown._repr_html_() == markup


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, "ready"),
        ({"ready": False, "message": "no engine"}, "not ready"),
        ({"lost": True}, "lost"),
        ({"cordoned": True}, "cordoned"),
        ({"draining": True, "cordoned": True}, "draining"),
        ({"drained": True, "cordoned": True}, "drained"),
    ],
)
def test_a_node_shows_whether_it_takes_tasks(more: dict[str, object], state: str):
    text = words(NodeList([node("n1", **more), node("n2")])._repr_html_())  # type: ignore[arg-type]
    assert text.startswith("2 nodes")
    assert f"1 {state}" in text or state == "ready"
    assert f"n1 {state} 3" in text
    assert str(more.get("message", "")) in text


def test_a_resource_that_only_some_nodes_have_is_blank_for_the_others():
    gpu = Node(name="g", capacity=Resources(cpu=4, disk="1TiB", gpu=2))
    shown = node("g", node=gpu, reserved=Resources(gpu=1), stats=STATS)
    text = words(nodes_view([node(), shown]))
    assert "node state tasks cpu memory disk gpu" in text
    assert "1 of 2" in text
    assert "0 of 1 TiB" in text


def test_ten_thousand_nodes_are_summed_up_and_those_in_trouble_are_named():
    nodes = [node(f"n{n}", taken=n % 9) for n in range(10_000)]
    nodes[7_000] = node("ill", lost=True, message="not heard of")
    markup = nodes_view(nodes)
    text = words(markup)
    assert len(markup) < 60_000
    assert "9,999 ready 1 lost" in text
    assert "all together" in text
    assert "80 to 100 %" in text
    assert text.index("ill lost 3") < text.index("n0 ready 3")
    assert "and 9,988 more nodes" in text


def test_no_nodes_and_nodes_without_resources_are_shown_too():
    assert "there are no nodes" in words(nodes_view([]))
    bare = node(node=Node(name="n1"), reserved=Resources())
    assert "n1 ready 3" in words(nodes_view([bare]))
    assert "0 to 20 %" in words(f"<div>{nodes_table([bare] * 30)}</div>")
