"""A batch and a service over each transport, while whoever takes part is killed with -9; and impostors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.transports.members import Http, Members, Nats, Pipe, running

BATCH = 40


@pytest.mark.parametrize("kind", [Http, Nats, Pipe])
def test_nothing_is_lost_and_nothing_runs_twice_whoever_is_killed(kind: type[Members], tmp_path: Path):
    with running(kind, tmp_path) as members:
        manager = members.manager
        batch = members.task("part", "sleep 0.4; NOTE_END", completions=BATCH, resources={"cpu": 0.5})
        service = members.task(
            "serve", "exec sleep 1000", replicas=2, restart={"mode": "always"}, resources={"cpu": 0.1}
        )
        assert "id" in manager.tell({"submit": {"name": "service", "kind": "service", "tasks": [service]}})
        assert "id" in manager.tell(
            {"submit": {"name": "batch", "tasks": [batch], "parallelism": 4, "retries": 9}}
        )

        for number, victim in enumerate(["a", "manager", *members.others, "b", "manager"], 1):
            members.until("something goes on", lambda: members.count("end") >= 5 * number)  # noqa: B023
            if victim in "ab":
                members.kill_worker(victim)
            else:
                members.members[victim].kill()
            time.sleep(0.7)  # so long it is away
            if victim in "ab":
                members.restart_worker(victim)
            else:
                members.members[victim].start()

        # What a worker was about to begin when it was killed may have run: no success, and it costs a retry.
        members.until("the batch is over", lambda: told(members, "batch").get("state") == "COMPLETED")
        members.until("the service runs", lambda: states(members, "service") == ["RUNNING"] * 2)
        members.until("two of it run, and nothing else", lambda: len(members.runs()) == 2)
        written = members.written()
        assert set(written.values()) == {1}, "a run began twice, or ended twice"
        again = 0
        for task_id, task in told(members, "batch")["tasks"].items():
            *before, last = task["attempts"]
            assert {attempt["reason"] for attempt in before} <= {"exit_unknown"}, "nothing was lost"
            assert last == {"run": 1, "reason": "exited"}
            begun = {key[1:3] for key in written if (key[0], key[3]) == (task_id, "begin")}
            assert begun <= {(number, 1) for number in range(1, len(before) + 2)}, "nobody told it to"
            for what in ("begin", "end"):
                assert (task_id, len(before) + 1, 1, what) in written, "it is called completed, and is not"
            again += len(before)
        assert again <= 4, "only what was about to begin when its worker was killed is run again"
        for task_id, task in told(members, "service")["tasks"].items():
            (attempt,) = task["attempts"]
            begun = {key[1:3] for key in written if key[0] == task_id}
            assert (1, attempt["run"]) in begun
            assert begun <= {(1, run) for run in range(1, attempt["run"] + 1)}, "nobody told it to"

        manager.tell({"stop": "service"})
        members.until("the service has stopped", lambda: states(members, "service") == ["STOPPED"] * 2)
        members.until("nothing of it runs any more", lambda: not members.runs())
        assert manager.end() == 0


def told(members: Members, name: str) -> dict[str, Any]:
    return members.manager.tell({"job": name})


def states(members: Members, name: str) -> list[str]:
    return [task["state"] for task in told(members, name).get("tasks", {}).values()]


# -- who speaks in the name of another -----------------------------------------------------------------------


def test_over_http_a_token_is_good_for_its_worker_alone(tmp_path: Path):
    import httpx

    with running(Http, tmp_path) as members:
        assert isinstance(members, Http)
        impostor = members.impostor()
        assert impostor.process.wait(30) == 1
        assert "the manager refuses worker b: this is not the token of worker b" in impostor.log
        import ssl

        tls = ssl.create_default_context(cafile=members.authority)
        with httpx.Client(base_url=members.url, verify=tls) as client:
            for header in (
                {},
                {"Authorization": "Bearer nonsense"},
                {"Authorization": "Basic dG9rZW4tb2YtYQ=="},
            ):
                answer = client.get("/workers/a/orders", headers=header)
                assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            mine = {"Authorization": "Bearer token-of-a"}
            assert client.get("/workers/b/orders", headers=mine).status_code == 403
            assert client.post("/workers/b/report", headers=mine, content=b"{}").status_code == 403
            named_b = report_of("b")
            assert client.post("/workers/a/report", headers=mine, content=named_b).status_code == 403
            assert client.post("/workers/a/report", headers=mine, content=b"nonsense").status_code == 400
            assert client.post("/workers/a/report", headers=mine, content=report_of("a")).status_code == 204
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"), httpx.Client() as stranger:
            stranger.get(members.url)


def test_over_nats_a_worker_may_only_speak_and_hear_under_its_own_name(tmp_path: Path):
    import asyncio

    import nats

    with running(Nats, tmp_path) as members:
        assert isinstance(members, Nats)
        errors: list[str] = []

        async def tell(error: Exception) -> None:
            errors.append(str(error))

        async def intrude() -> None:
            client = await nats.connect(members.url, user="a", password="word_of_a", error_cb=tell)
            await client.publish("minorch.reports.b", report_of("b"))
            await client.subscribe("minorch.orders.b")
            await client.subscribe("minorch.>")
            await client.publish("minorch.reports.a", report_of("b"))
            await client.flush()
            await asyncio.sleep(0.1)
            await client.close()

        asyncio.run(intrude())
        said = "\n".join(errors).lower()
        for what in (
            'publish to "minorch.reports.b"',
            'subscription to "minorch.orders.b"',
            'subscription to "minorch.>"',
        ):
            assert f"permissions violation for {what}" in said
        impostor = members.impostor()
        assert impostor.process.wait(30) == 1
        assert "authorization violation" in impostor.log.lower()
        members.until(
            "the manager's word", lambda: "worker a spoke in the name of another" in members.manager.log
        )
        assert members.nodes() == {"a": "ready", "b": "ready"}


def test_over_a_pipe_a_worker_that_speaks_in_the_name_of_another_is_cut_off(tmp_path: Path):
    members = Pipe(tmp_path)
    command = members.manager._command
    command[-1] = command[-1].replace("worker b", "worker a")  # which was started as b
    try:
        members.manager.start()
        members.until(
            "it is cut off",
            lambda: "worker b is cut off: it speaks in the name of another" in members.manager.log,
        )
        members.until("the other one is ready", lambda: members.nodes() == {"a": "ready"})
        assert members.manager.end() == 0
    finally:
        members.close()


def report_of(name: str) -> bytes:
    import minorch as mo
    from examples.transports.ends import CLUSTER_ID

    node = mo.Node(name)
    return mo.encode(
        mo.Report(cluster_id=CLUSTER_ID, worker=name, incarnation="impostor", sequence=1, node=node)
    )


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "examples/transports").glob("*.py")))
def test_an_example_stays_short(path: Path):
    assert len(path.read_text().splitlines()) < 150
