"""The openb trace: as it is modelled by hand, and as the benchmark of placement models it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import openb
from minorch.errors import TraceError
from minorch.resources import Resources
from minorch.simulation.traces import load_openb

PODS = """\
name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time
pod-1,12000,16384,1,1000,,LS,Running,100,1000,120
pod-0,500,1024,0,0,,BE,Pending,50,90,
pod-2,6000,12288,1,460,V100M16|V100M32,LS,Running,100,200,100
"""
NODES = """\
sn,cpu_milli,memory_mib,gpu,model
n0,32000,262144,0,
n1,96000,524288,8,V100M16
"""


def write(tmp_path: Path, pods: str = PODS, nodes: str = NODES) -> tuple[Path, Path]:
    (tmp_path / "pods.csv").write_text(pods)
    (tmp_path / "nodes.csv").write_text(nodes)
    return tmp_path / "pods.csv", tmp_path / "nodes.csv"


def test_pods_ask_for_what_the_trace_says(tmp_path: Path):
    trace = load_openb(*write(tmp_path))
    found = list(trace)
    assert [(one.at_s, one.job.name, one.duration_s) for one in found] == [
        (50, "pod-0-line-3", 40),  # not in the order of names, so it might have been there before
        (100, "pod-1", 880),
        (100, "pod-2", 100),
    ]
    assert found[1].job.tasks[0].resources == Resources(cpu=12, memory="16GiB", gpu=1)
    assert found[2].job.tasks[0].resources == Resources(cpu=6, memory="12GiB", gpu=0.46)
    assert found[2].job.tasks[0].constraints == ("model in V100M16, V100M32",)
    assert [(node.name, node.labels) for node in trace.nodes] == [("n0", {}), ("n1", {"model": "V100M16"})]
    assert trace.nodes[1].capacity == Resources(cpu=96, memory="512GiB", gpu=8)


def test_the_trace_has_no_nodes_where_none_are_given(tmp_path: Path):
    assert load_openb(write(tmp_path)[0]).nodes == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a,1,1", "3 cells, and not 11"),
        ("a,x,1,0,0,,LS,Running,1,2,1", "cpu_milli is 'x'"),
        ("a,-1,1,0,0,,LS,Running,1,2,1", "cpu_milli is -1"),
        ("a,1,1,1,1001,,LS,Running,1,2,1", "gpu_milli is 1001"),
        ("a,1,1,0,0,,LS,Running,5,2,5", "deleted at 2 s, before it began at 5 s"),
        ("a,1,1,1,1000,|,LS,Running,1,2,1", "constraints"),
    ],
)
def test_a_malformed_pod_is_told_with_its_line_or_skipped(tmp_path: Path, row: str, words: str):
    pods, nodes = write(tmp_path, f"{PODS}{row}\n")
    with pytest.raises(TraceError, match=words) as caught:
        list(load_openb(pods, nodes))
    assert caught.value.line == 5
    trace = load_openb(pods, nodes, strict=False)
    assert (len(list(trace)), trace.skipped, trace.lines) == (3, 1, 4)


def test_a_malformed_node_is_told_with_its_line_or_skipped(tmp_path: Path):
    pods, nodes = write(tmp_path, nodes=NODES + "n0,1,1,0,\nn2,many,1,0,\n")
    with pytest.raises(TraceError, match=r'nodes.csv, line 4: two nodes are called "n0"'):
        load_openb(pods, nodes)
    trace = load_openb(pods, nodes, strict=False)
    assert [error.line for error in trace.node_problems] == [4, 5]
    assert len(trace.nodes) == 2


def test_lists_that_were_mixed_up_and_columns_that_lack_are_told(tmp_path: Path):
    pods, nodes = write(tmp_path)
    with pytest.raises(TraceError, match="looks like an openb list of nodes"):
        load_openb(nodes)
    with pytest.raises(TraceError, match="looks like an openb list of pods"):
        load_openb(pods, pods)
    pods.write_text("name,cpu_milli,memory_mib,num_gpu\n")
    with pytest.raises(TraceError, match="no column gpu_milli, gpu_spec"):
        load_openb(pods)


def test_the_real_trace_is_modelled_as_in_the_benchmark():
    if not (openb.DATA / openb.PODS).is_file():
        pytest.skip(f"{openb.PODS} is not in {openb.DATA}")
    trace = load_openb(openb.DATA / openb.PODS, openb.DATA / openb.NODES)
    views, pods = openb.read_nodes(openb.DATA / openb.NODES), openb.read_pods(openb.DATA / openb.PODS)
    assert [(node.name, node.capacity, node.labels) for node in trace.nodes] == [
        (view.node.name, view.node.capacity, view.node.labels) for view in views
    ]
    found = list(trace)
    assert (len(found), trace.skipped) == (8152, 0)
    for one, pod in zip(found, pods, strict=True):
        assert (one.at_s, one.job.name) == (pod.created, pod.view.name)
        assert one.job.tasks[0].resources == pod.view.task.resources
        assert one.at_s + float(one.duration_s) <= pod.deleted  # type: ignore[arg-type]
