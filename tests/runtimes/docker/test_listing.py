"""What a listing makes of an engine whose own list is old."""

from __future__ import annotations

from minorch.contracts import Made, Maker, Owner
from minorch.ids import RunKey
from minorch.runtimes.docker.containers import Containers
from minorch.runtimes.docker.engine import Engine

ID = "f" * 64
OWNER = Owner("ab" * 16, "node-1")
LABELS = {
    "minorch.cluster": OWNER.cluster_id,
    "minorch.node": OWNER.node,
    "minorch.task-id": "cd" * 16,
    "minorch.attempt": "1",
    "minorch.run": "1",
}


class Forgetful(Engine):
    """An engine that lists a container as it was before its disk was full, and inspects it as it is."""

    def __init__(self, listed: str) -> None:
        super().__init__("unix:///absent.sock", timeout_s=1, connections=1)
        self.listed = listed

    def records(self, path, query):
        return [{"Id": ID, "State": self.listed, "Labels": LABELS}, {"Id": "e" * 64, "State": self.listed}]

    def record(self, method, path, query=None, *, body=None, timeout_s=None):
        assert path == f"/containers/{ID}/json"
        state = {
            "Status": "exited",
            "ExitCode": 0,
            "StartedAt": "2026-11-23T03:58:23.5Z",
            "FinishedAt": "2026-11-23T03:58:24.5Z",
        }
        return {"Id": ID, "State": state, "Config": {"Labels": LABELS}}


def test_a_container_that_ended_and_is_listed_as_created_or_running_has_ended():
    for listed in ("created", "running"):
        (status,) = Containers(Forgetful(listed)).list_runs(OWNER)
        assert (status.phase, status.exit_code) == ("exited", 0)


def test_what_a_list_tells_of_a_run_needs_no_inspect_and_its_name_has_to_fit():
    name = f"/minorch-{'cd' * 16}-1-1"
    maker = Maker(pid=7, birth="8", host="h", user=0, durable=False)

    class Listing(Engine):
        def records(self, path, query):
            assert (path, query["filters"]) == ("/containers/json", '{"label":["minorch.task-id"]}')
            labels = {**LABELS, "minorch.job": "j", "minorch.task": "t[1]", "minorch.maker": maker.encode()}
            return [
                {"Id": ID, "State": "paused", "Labels": labels, "Names": [name]},
                {
                    "Id": "1" * 64,
                    "State": "dead",
                    "Labels": {**LABELS, "minorch.maker": "{"},
                    "Names": [name],
                },
                {
                    "Id": "2" * 64,
                    "State": "running",
                    "Labels": labels,
                    "Names": ["/an-image-with-our-labels"],
                },
                {
                    "Id": "3" * 64,
                    "State": "running",
                    "Labels": {**labels, "minorch.node": ""},
                    "Names": [name],
                },
                {"Id": "4" * 64, "State": "running", "Labels": {**labels, "minorch.cluster": "x"}},
                {"Id": "5" * 64, "State": "running", "Labels": None, "Names": None},
            ]

    key = RunKey("cd" * 16, 1, 1)
    listed = Containers(Listing("unix:///absent.sock", timeout_s=1, connections=1)).list_made()
    assert listed == [
        Made(owner=OWNER, key=key, phase="running", handle=ID, job="j", task="t[1]", maker=maker),
        Made(owner=OWNER, key=key, phase="exited", handle="1" * 64),
    ]
