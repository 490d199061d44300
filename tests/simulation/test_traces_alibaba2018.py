"""Alibaba's trace of 2018, and its graphs of tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from minorch.errors import TraceError
from minorch.resources import Resources
from minorch.simulation import Simulation
from minorch.simulation.traces import load_alibaba2018
from minorch.simulation.workloads.nodes import uniform

TRACE = """\
R4_2,1,j_1,1,Terminated,130,140,50,0.5
M1,2,j_1,1,Terminated,100,110,100,1
task_Nzg3ODA=,1,j_2,1,Failed,90,95,100,
M2_1,1,j_1,1,Terminated,110,130,100,0.2
M3_1_Stg1,3,j_1,1,Terminated,110,115,,
J5_3_4,1,j_1,1,Terminated,140,141,400,50
M1,1,j_3,1,Running,100,0,100,1
R2_1,1,j_3,1,Terminated,101,105,100,1
M1,1,j_4,1,Terminated,0,105,100,1
"""


def load(tmp_path: Path, text: str = TRACE, **options):
    path = tmp_path / "batch_task.csv"
    path.write_text(text)
    return load_alibaba2018(path, **options)


def test_the_lines_of_a_job_become_one_job_whose_tasks_wait_for_each_other(tmp_path: Path):
    trace = load(tmp_path, machine=Resources(cpu=96, memory="100GiB"))
    second, first, third = trace
    assert [(one.at_s, one.job.name) for one in (second, first, third)] == [
        (90, "j_2"),
        (100, "j_1"),
        (101, "j_3"),
    ]
    tasks = {task.name: task for task in first.job.tasks}
    assert {name: tuple(task.after) for name, task in tasks.items()} == {
        "M1": (),
        "M2_1": ("M1",),
        "M3_1_Stg1": ("M1",),
        "R4_2": ("M2_1",),
        "J5_3_4": ("M3_1_Stg1", "R4_2"),
    }
    assert first.duration_s == {"R4_2": 10, "M1": 10, "M2_1": 20, "M3_1_Stg1": 5, "J5_3_4": 1}
    assert (tasks["M1"].completions, tasks["M1"].resources) == (2, Resources(cpu=1, memory="1GiB"))
    assert tasks["J5_3_4"].resources == Resources(cpu=4, memory="50GiB")
    assert tasks["M3_1_Stg1"].resources == Resources()
    assert (first.exit_code, second.exit_code_of(second.job.tasks[0].name, 0)) == (0, 1)
    assert third.job.tasks[0].after == ()  # what it waited for has no end, so it is not in the job
    assert (trace.lines, trace.skipped, sum(trace.left_out.values())) == (9, 0, 2)


def test_its_graph_is_kept_to_in_a_simulation(tmp_path: Path):
    trace = load(tmp_path)
    result = Simulation(nodes=uniform(1, cpu=96, memory="384GiB"), workload=trace).run()
    began = {row.task: row.started_s for row in result.records() if row.job == "j_1"}
    assert began["M2_1"] == began["M3_1_Stg1[0]"] == 110
    assert began["J5_3_4"] == 140


def test_machines_become_nodes_with_their_domains(tmp_path: Path):
    meta = tmp_path / "machine_meta.csv"
    meta.write_text("m_1,0,1,4,96,100,USING\nm_1,5,1,4,96,100,USING\nm_2,0,,,64,50,USING\n")
    nodes = load(tmp_path, machine_meta=meta).nodes
    assert [(node.name, node.capacity) for node in nodes] == [
        ("m_1", Resources(cpu=96, memory="384GiB")),
        ("m_2", Resources(cpu=64, memory="192GiB")),
    ]
    assert [node.labels for node in nodes] == [{"domain-1": "1", "domain-2": "4"}, {}]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("M1,1,j_9,1,Terminated,1,2,100", "8 cells"),
        ("M1,1,j_9,1,Terminated,5,2,100,1", "ended at 2 s, before it began at 5 s"),
        ("M1,0,j_9,1,Terminated,1,2,100,1", "0 instances"),
        ("M1,x,j_9,1,Terminated,1,2,100,1", "instance_num"),
        ("M1,1,j_9,1,Terminated,1,2,-1,1", "plan_cpu is -1"),
        ("M1,1,j_9,1,Terminated,1,2,100,101", "not from 0 to 100"),
        ("M1_1,1,j_9,1,Terminated,1,2,100,1", "wait for each other"),
        ("M1,1,j_1,1,Terminated,1,2,100,1", '"M1" is the name of'),
    ],
)
def test_a_malformed_line_or_job_is_told_with_its_line_or_skipped(tmp_path: Path, line: str, words: str):
    with pytest.raises(TraceError, match=words) as caught:
        list(load(tmp_path, f"{TRACE}{line}\n"))
    assert caught.value.line in (10, 1)
    trace = load(tmp_path, f"{TRACE}{line}\n", strict=False)
    assert len(list(trace)) == (2 if caught.value.line == 1 else 3)
    assert trace.skipped == 1
