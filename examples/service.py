"""A service of three web servers with a health check, reached on free ports of this machine.

Prints where each is reached and what it answers; then kills one from outside, and prints where it is back.
A plain process is told its port in PORT; a container listens on 8080, which is published elsewhere.
"""

import time
import urllib.request
from collections.abc import Callable

import minorch as mo

SERVE = """
mkdir -p www && echo "$MINORCH_TASK, run $MINORCH_RUN" >www/index.html && cd www || exit 1
[ -n "$PORT" ] || exec busybox httpd -f -p 8080
exec python3 -m http.server --bind 127.0.0.1 "$PORT"
"""


def until(what: str, true: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for something that will be true soon."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still not true after {timeout_s:g} s: {what}")
        time.sleep(0.05)


def ask(task: mo.TaskHandle) -> str:
    """What a server answers to GET /."""
    with urllib.request.urlopen(f"http://{task.ports['8080/tcp']}/", timeout=10) as answer:
        text: str = answer.read().decode().strip()
    return text


def kill(cluster: mo.Cluster, task: mo.TaskHandle) -> None:
    """Kill what runs a task, behind the cluster's back, as ``docker kill`` or ``kill -9`` would."""
    info = task.info()
    assert info.node is not None
    assert info.run_key is not None
    cluster.runtime_of(info.node).kill(info.run_key)


def main() -> None:
    """Start the service, ask every server, kill one, and ask it again."""
    web = mo.Task(
        "web",
        image="busybox",
        command=["sh", "-c", SERVE],
        replicas=3,
        ports=[mo.Port(8080)],
        health=mo.HealthCheck.http(8080, interval_s=0.2, start_period_s=10),
        restart=mo.RestartPolicy.always(backoff_s=0.2),
        stop_grace_s=2,
    )
    with mo.Cluster(workers=3) as cluster:
        service = cluster.submit(mo.Job("shop", [web], kind="service"))
        servers = list(service.tasks.values())
        until("all are healthy", lambda: all(server.healthy for server in servers))
        print(f"{service.name} on {cluster.runtime}:")
        for number, server in enumerate(servers):
            answer = ask(server)
            print(f"  http://{server.ports['8080/tcp']}/ on {server.node} answers: {answer}")
            assert answer == f"web[{number}], run 1"

        victim = servers[1]
        kill(cluster, victim)
        until("the one that was killed is back", lambda: victim.restarts == 1 and bool(victim.healthy))
        answer = ask(victim)
        print(f"{victim.name} was killed and is back: http://{victim.ports['8080/tcp']}/ answers: {answer}")
        assert answer == "web[1], run 2"
        assert service.state == "RUNNING"

        service.stop(wait=True, timeout=60)
        end = service.state
        print(f"{service.name} is {end}: {', '.join(str(server.state) for server in servers)}")
        assert end is mo.JobState.STOPPED


if __name__ == "__main__":
    main()
