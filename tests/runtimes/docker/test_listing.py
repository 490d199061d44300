"""What a listing makes of an engine whose own list is old."""

from __future__ import annotations

from minorch.contracts import Owner
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
