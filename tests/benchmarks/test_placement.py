"""The benchmarks of placement run, at sizes that take no time, and what they compare is the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import openb, placement


def _placement(options: str) -> None:
    tiny = "--shapes 8 --live 4 --decisions 40 --scan-s 0.05 --rounds 1 --pairs 1"
    placement.main(f"{tiny} {options}".split())


def test_placement_by_index_and_by_scan_are_the_same(capsys: pytest.CaptureFixture[str]):
    _placement("--nodes 40 50 --one-shape-at 40 --batch 40 --batch-nodes 10 --json")
    report = json.loads(capsys.readouterr().out)
    assert {row["strategy"] for row in report["rows"]} == set(placement.STRATEGIES)
    assert len(report["rows"]) == 3 * len(placement.STRATEGIES)
    assert all(row["identical"] is True and row["compared"] >= 4 for row in report["rows"])


def test_placement_prints_a_table(capsys: pytest.CaptureFixture[str]):
    _placement("--nodes 40 --one-shape-at 0 --batch 0 --strategies random epvm")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["strategy", "random", "epvm"]


def _trace(directory: Path) -> None:
    nodes = [
        "sn,cpu_milli,memory_mib,gpu,model",
        "n0,4000,8192,0,",
        "n1,8000,8192,2,T4",
        "n2,8000,8192,2,P100",
    ]
    heads = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time"
    pods = [
        f"{heads},scheduled_time",
        "p0,1000,1024,0,0,,LS,Running,0,50,0",
        "p1,1000,1024,1,500,,LS,Running,5,50,5",
        "p2,1000,1024,2,1000,P100|V100M16,LS,Running,6,20,6",
        "p3,1000,1024,2,1000,P100,LS,Running,7,60,7",
        "p4,1000,1024,1,1000,V100M16,LS,Running,8,60,8",
        "p5,1000,1024,1,1000,,LS,Running,30,60,30",
    ]
    (directory / openb.NODES).write_text("\n".join(nodes))
    (directory / openb.PODS).write_text("\n".join(pods))


@pytest.mark.parametrize(("mode", "unplaced"), [("fill", 2), ("replay", 1)])
def test_openb_places_a_trace(mode: str, unplaced: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    _trace(tmp_path)
    openb.main(
        ["--data", str(tmp_path), "--modes", mode, "--plan", "1", "--strategies", "bin-pack", "--json"]
    )
    report = json.loads(capsys.readouterr().out)
    (row,) = report["rows"]
    assert report["pods with a constraint"] == 3
    assert (row["placed"], row["unplaced"]) == (6 - unplaced, unplaced)  # p4 never fits, p3 only after p2
    assert row["waited"] == (2 if mode == "replay" else 0)


def test_openb_counts_as_fragmented_what_pods_cannot_use(tmp_path: Path):
    _trace(tmp_path)
    nodes, pods = openb.read_nodes(tmp_path / openb.NODES), openb.read_pods(tmp_path / openb.PODS)
    gpu, _ = openb.fragmentation(nodes, pods)
    # of four free GPUs: p0 uses none, p1 and p5 all, p2 and p3 those of n2, p4 none
    assert gpu == pytest.approx(100 * (4 + 0 + 2 + 2 + 4 + 0) / (6 * 4))


def test_openb_says_where_to_get_data_that_is_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        openb.main(["--data", str(tmp_path)])
    assert ended.value.code == 2
    assert "not found in" in capsys.readouterr().err


@pytest.mark.skipif(not (openb.DATA / openb.PODS).is_file(), reason="the openb trace is not here")
def test_openb_reads_the_real_trace():
    assert len(openb.read_nodes(openb.DATA / openb.NODES)) == 1523
    assert len(openb.read_pods(openb.DATA / openb.PODS)) == 8152
