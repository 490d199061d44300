"""A Swarm that is only played: several managers over HTTP, each of which can be cut off, hang, or refuse.

What becomes of its tasks is said by the test.  Answers have the shape of a real Swarm's.
"""

from __future__ import annotations

import contextlib
import copy
import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

__all__ = ["Mode", "PlayedSwarm", "node_id"]

Mode = Literal["leads", "stale", "hangs", "leaderless", "worker", "inactive"]
_NOT_MANAGER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please "
    "run this command on a manager node or promote the current node to a manager."
)
_NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node '
    "to swarm and try again."
)
_LEADERLESS = (
    "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers "
    "are online. Make sure more than half of the managers are online."
)
_NOW = "2026-01-01T00:00:00.5Z"


def node_id(number: int) -> str:
    """The id of node *number*, as long as a real one."""
    return f"node{number}".ljust(25, "0")


class PlayedSwarm:
    """Its state, and its managers."""

    def __init__(self, nodes: int, managers: int) -> None:
        self.lock = threading.RLock()
        self.index = 10
        self.nodes: dict[str, dict[str, Any]] = {}
        self.services: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.modes: list[Mode] = ["leads"] * managers
        self.asked: list[list[str]] = [[] for _ in range(managers)]
        self.frozen: dict[int, tuple[list[Any], list[Any], list[Any]]] = {}
        self.urls: list[str] = []
        for number in range(1, nodes + 1):
            self.nodes[node_id(number)] = {
                "ID": node_id(number),
                "CreatedAt": f"2026-01-01T00:00:{number:02}Z",
                "Version": {"Index": self.index},
                "Spec": {"Role": "manager", "Availability": "active", "Labels": {}},
                "Description": {
                    "Hostname": f"host{number}",
                    "Platform": {"Architecture": "x86_64", "OS": "linux"},
                    "Resources": {"NanoCPUs": 4 * 10**9, "MemoryBytes": 8 << 30},
                    "Engine": {"EngineVersion": "20.10.24"},
                },
                "Status": {"State": "ready", "Addr": f"10.0.0.{number}"},
            }

    # -- what happens ----------------------------------------------------------------------------------------

    def change_node(self, number: int, *, state: str = "", availability: str = "", **spec: Any) -> None:
        """Have a node described anew, with a new version."""
        with self.lock:
            node = self.nodes[node_id(number)]
            self.index += 1
            node["Version"] = {"Index": self.index}
            if state:
                node["Status"]["State"] = state
            if availability:
                node["Spec"]["Availability"] = availability
            node["Spec"].update(spec)

    def move(self, service: str, state: str, *, code: int = 0, error: str = "", desired: str = "") -> None:
        """Have the first task of a service come into a state."""
        with self.lock:
            (task, *_others) = [one for one in self.tasks.values() if one["Name"] == service]
            self.index += 1
            task["Version"] = {"Index": self.index}
            begun = state not in ("pending", "assigned", "preparing", "rejected")
            task["Status"] = {"State": state, "Timestamp": _NOW, "Message": state, "Err": error}
            if begun:
                task["Status"]["ContainerStatus"] = {"ContainerID": "c" * 64, "ExitCode": code, "PID": 1}
                task["NodeID"] = task["NodeID"] or self._pinned(task)
            if desired:
                task["DesiredState"] = desired

    def cut_off(self, manager: int) -> None:
        """Have a manager answer from now on as if time stood still."""
        with self.lock:
            self.frozen[manager] = copy.deepcopy(
                (list(self.nodes.values()), list(self.tasks.values()), list(self.services.values()))
            )
            self.modes[manager] = "stale"

    # -- calls -----------------------------------------------------------------------------------------------

    def answer(self, manager: int, method: str, path: str, query: str, body: bytes) -> tuple[int, Any]:
        mode = self.modes[manager]
        self.asked[manager].append(f"{method} {path}")
        if path == "/version":
            return 200, {"ApiVersion": "1.41", "MinAPIVersion": "1.12"}
        if mode == "hangs":
            time.sleep(10)
            return 500, {"message": "too late"}
        if path == "/info":
            return 200, {"Swarm": self._part(mode)}
        if mode in ("worker", "inactive"):
            return 503, {"message": _NOT_MANAGER if mode == "worker" else _NO_SWARM}
        if mode == "leaderless" or (mode == "stale" and method != "GET"):
            return 500, {"message": _LEADERLESS}
        with self.lock:
            nodes, tasks, services = (
                self.frozen[manager]
                if mode == "stale"
                else (list(self.nodes.values()), list(self.tasks.values()), list(self.services.values()))
            )
            wanted = json.loads(parse_qs(query).get("filters", ["{}"])[0]).get("label", [])
            match method, path:
                case "GET", "/nodes":
                    return 200, copy.deepcopy(nodes)
                case "GET", "/tasks":
                    return 200, copy.deepcopy(tasks)
                case "GET", "/services":
                    return 200, [copy.deepcopy(one) for one in services if _has(one, wanted)]
                case "POST", "/services/create":
                    return self._create(json.loads(body))
            if found := re.fullmatch(r"/services/([^/]+)(/update)?", path):
                return self._service(method, found[1], bool(found[2]), query, body)
        return 404, {"message": f"page not found: {path}"}

    def _part(self, mode: Mode) -> dict[str, Any]:
        if mode == "inactive":
            return {"LocalNodeState": "inactive", "ControlAvailable": False}
        peers = [{"NodeID": node_id(1), "Addr": "10.0.0.1:2377"}]
        return {"LocalNodeState": "active", "ControlAvailable": mode != "worker", "RemoteManagers": peers}

    def _create(self, spec: dict[str, Any]) -> tuple[int, Any]:
        name = spec["Name"]
        if any(one["Spec"]["Name"] == name for one in self.services.values()):
            return 409, {"message": f"name conflicts with an existing object: service {name} already exists"}
        self.index += 1
        id_ = f"service{self.index}".ljust(25, "0")
        self.services[id_] = {"ID": id_, "Version": {"Index": self.index}, "Spec": spec}
        self._new_task(id_, spec)
        return 201, {"ID": id_}

    def _new_task(self, service_id: str, spec: dict[str, Any]) -> None:
        self.index += 1
        id_ = f"task{self.index}".ljust(25, "0")
        task = {
            "ID": id_,
            "Name": spec["Name"],
            "ServiceID": service_id,
            "CreatedAt": f"2026-01-01T00:00:00.{self.index:06}Z",
            "Version": {"Index": self.index},
            "Spec": spec["TaskTemplate"],
            "NodeID": "",
            "DesiredState": "running",
            "Status": {"State": "pending", "Timestamp": _NOW, "Message": "pending task scheduling"},
        }
        if self._pinned(task) in self.nodes:
            task["NodeID"] = self._pinned(task)
            task["Status"]["State"] = "assigned"
        self.tasks[id_] = task

    @staticmethod
    def _pinned(task: dict[str, Any]) -> str:
        (constraint,) = task["Spec"]["Placement"]["Constraints"]
        return str(constraint).removeprefix("node.id==")

    def _service(self, method: str, name: str, update: bool, query: str, body: bytes) -> tuple[int, Any]:
        found = next(
            (one for one in self.services.values() if name in (one["ID"], one["Spec"]["Name"])), None
        )
        if found is None:
            return 404, {"message": f"service {name} not found"}
        if update:
            if parse_qs(query)["version"] != [str(found["Version"]["Index"])]:
                return 500, {"message": "rpc error: code = Unknown desc = update out of sequence"}
            self.index += 1
            found["Spec"], found["Version"] = json.loads(body), {"Index": self.index}
            for task in self.tasks.values():
                if task["ServiceID"] == found["ID"]:
                    task["DesiredState"], task["Version"] = "shutdown", {"Index": self.index}
            self._new_task(found["ID"], found["Spec"])
            return 200, {}
        if method == "DELETE":
            del self.services[found["ID"]]
            self.tasks = {id_: task for id_, task in self.tasks.items() if task["ServiceID"] != found["ID"]}
            return 200, {}
        return 200, copy.deepcopy(found)

    # -- serving ---------------------------------------------------------------------------------------------

    @contextmanager
    def served(self) -> Iterator[PlayedSwarm]:
        """Have its managers listen."""
        servers = [self._server(number) for number in range(len(self.modes))]
        self.urls = [f"tcp://127.0.0.1:{server.server_port}" for server in servers]
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield self
        finally:
            for server in servers:
                server.shutdown()
                server.server_close()

    def _server(self, manager: int) -> http.server.ThreadingHTTPServer:
        played = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                parts = urlsplit(self.path)
                path = re.sub(r"^/v\d+\.\d+", "", parts.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = played.answer(manager, self.command, path, parts.query, body)
                data = json.dumps(answer).encode()
                with contextlib.suppress(OSError):  # who asked does not wait any more
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _do  # noqa: N815  as its base class wants them

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        return server


def _has(service: dict[str, Any], wanted: list[str]) -> bool:
    labels = service["Spec"].get("Labels") or {}
    pairs = [one.partition("=") for one in wanted]
    return all(name in labels and (not sign or labels[name] == value) for name, sign, value in pairs)
