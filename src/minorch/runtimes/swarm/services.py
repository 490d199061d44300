"""The calls that make, change and remove the service that is a run.

Each may be made twice, and by another manager the second time: a service's name is taken once in a Swarm, a
change names the version that it changes, and what is gone is gone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from minorch.contracts import Launch, Made, Owner
from minorch.errors import EngineUnavailable, RuntimeFault, SpecError, StartFailed
from minorch.ids import RunKey, check_id
from minorch.model import Mount
from minorch.runtimes.docker.engine import Engine, filters
from minorch.runtimes.docker.faults import Refused, start_failure
from minorch.runtimes.docker.labels import (
    ANY_RUN,
    is_of,
    key_of,
    maker_of,
    names_in,
    owner_filter,
    owner_of,
)
from minorch.runtimes.docker.references import parse_reference
from minorch.runtimes.swarm.managers import OUT_OF_SEQUENCE, Managers
from minorch.runtimes.swarm.snapshot import Snapshot
from minorch.runtimes.swarm.status import phase_of
from minorch.runtimes.swarm.translation import nowhere, pinned_to

__all__ = ["Services", "service_name"]

_ID: Final = re.compile(r"[0-9a-z]{25}\Z")
_CHANGES: Final = 5
"""How often a change is tried whose service changed meanwhile."""
_LONGEST_NAME: Final = 63


class Services:
    """The services of one Swarm, by the runs that they are."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers

    def create(self, launch: Launch, body: Mapping[str, Any]) -> None:
        """Make the service of *launch*, or find the one that was made for it before.

        Raises:
            StartFailed: the Swarm refuses it, or its name is another's.
            EngineUnavailable: it may have been made or not.
        """

        def create(engine: Engine) -> None:
            repository = parse_reference(launch.task.image or "").repository
            headers = engine.registry_header(repository) if repository else {}
            engine.record("POST", "/services/create", body=body, headers=headers)

        try:
            self._managers.ask(create)
        except Refused as refusal:
            if refusal.status != 409 and not (refusal.status >= 500 and self.record(launch.key)):
                missing = "network" in refusal.text and "not found" in refusal.text
                advice = "; of a Swarm's: docker network create --driver overlay NAME" if missing else ""
                failure = start_failure(refusal.text)
                raise StartFailed(f"{failure}{advice}", reason=failure.reason) from None
            self._adopt(launch)

    def _adopt(self, launch: Launch) -> None:
        record = self.record(launch.key)
        if record is None:
            raise EngineUnavailable(f"the Swarm says that {launch.key.name} is there, and that it is not")
        if not is_of(_labels(record), launch):
            raise StartFailed(
                f"a service that is not this run's has its name, {launch.key.name}: remove it "
                "(docker service rm)"
            )

    def kept(self, mounts: Sequence[Mount]) -> dict[Mount, str]:
        """Return the id of each secret and config that is mounted.

        Raises:
            StartFailed: the Swarm has none of that name.
        """
        ids = {}
        for mount in mounts:
            if mount.kind not in ("secret", "config"):
                continue
            query = {"filters": filters(name=[mount.source])}
            path = f"/{mount.kind}s"
            found = self._managers.ask(lambda engine, path=path, query=query: engine.records(path, query))  # type: ignore[misc]
            named = [one for one in found if (one.get("Spec") or {}).get("Name") == mount.source]
            if not named:
                raise StartFailed(
                    f'the Swarm keeps no {mount.kind} "{mount.source}": docker {mount.kind} create makes one'
                )
            ids[mount] = str(named[0]["ID"])
        return ids

    def record(self, key: RunKey) -> dict[str, Any] | None:
        """Return the service that has a run's name; None if there is none."""
        name = service_name(key)
        try:
            return self._managers.ask(lambda engine: engine.record("GET", f"/services/{name}"))
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise

    def listed(self, owner: Owner) -> set[RunKey]:
        """Return the runs of *owner* that have a service."""
        records = self._list(owner_filter(owner))
        return {key for record in records if (key := key_of(_labels(record))) is not None}

    def end(self, key: RunKey) -> None:
        """Have a run's container sent its stop signal, and killed after its grace, if it is there."""
        for _attempt in range(_CHANGES):
            record = self.record(key)
            if record is None or key_of(_labels(record)) != key:
                return
            changed = nowhere(record.get("Spec") or {})
            if changed is None or self._change(record, changed):
                return
        raise RuntimeFault(f"the service {key.name} is changed by somebody else, again and again")

    def _change(self, record: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
        """Change a service; False if it is not as it was in *record* any more."""
        path = f"/services/{_checked(str(record['ID']))}/update"
        query = {"version": str(int(record["Version"]["Index"]))}
        try:
            self._managers.ask(lambda engine: engine.record("POST", path, query, body=spec))
        except Refused as refusal:
            if OUT_OF_SEQUENCE in refusal.text:
                return False
            if refusal.status != 404:  # else it is gone
                raise
        return True

    def remove(self, key: RunKey) -> None:
        """Remove a run's service, and with it its container, running or not. One that is gone is fine."""
        record = self.record(key)
        if record is None or key_of(_labels(record)) != key:
            return
        path = f"/services/{_checked(str(record['ID']))}"
        try:
            self._managers.ask(lambda engine: engine.record("DELETE", path))
        except Refused as refusal:
            if refusal.status != 404:
                raise

    def list_made(self, snapshot: Snapshot, node_id: str) -> Sequence[Made]:
        """Return what there is of every owner on one node, its phase by *snapshot*.

        What belongs to no node that is there counts as the first one's: somebody has to find it.
        """
        first, made = min(snapshot.nodes, default=node_id), []
        for record in self._list(list(ANY_RUN)):
            labels = _labels(record)
            key, owner = key_of(labels), owner_of(labels)
            if key is None or owner is None or (record.get("Spec") or {}).get("Name") != key.name:
                continue
            task = snapshot.tasks.get(key)
            home = task.node_id if task is not None and task.node_id else pinned_to(record.get("Spec") or {})
            if (home if home in snapshot.nodes else first) != node_id:
                continue
            job, name = names_in(labels)
            made.append(
                Made(
                    owner=owner,
                    key=key,
                    phase="created" if task is None else phase_of(task),
                    handle=(task and task.container_id) or str(record["ID"]),
                    job=job,
                    task=name,
                    maker=maker_of(labels),
                )
            )
        return made

    def _list(self, labels: list[str]) -> list[dict[str, Any]]:
        query = {"filters": filters(label=labels)}
        return self._managers.ask(lambda engine: engine.records("/services", query))


def service_name(key: RunKey) -> str:
    """Return the name of a run's service, checked: it becomes part of a path.

    Raises:
        RuntimeFault: it is not the key of a run.
    """
    try:
        name = RunKey(check_id(key.task_id, "task"), int(key.attempt), int(key.run)).name
    except SpecError as error:
        raise RuntimeFault(f"not the key of a run: {error}") from None
    if len(name) > _LONGEST_NAME:
        raise RuntimeFault(f"{name} is longer than the name of a service may be")
    return name


def _labels(record: Mapping[str, Any]) -> Mapping[str, str]:
    return (record.get("Spec") or {}).get("Labels") or {}


def _checked(service_id: str) -> str:
    if not _ID.match(service_id):
        raise RuntimeFault(f"{service_id!r:.60} is not the id of a service")
    return service_id
