"""Random well-formed tasks, jobs, nodes and messages, for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from minorch.messages import Assign, Assignment, Message, Observed, Report, Streak
from minorch.model import (
    Affinity,
    HealthCheck,
    Job,
    Mount,
    Node,
    NodeStats,
    Port,
    RestartPolicy,
    Secret,
    SpreadOver,
    Task,
    TaskStats,
)
from minorch.resources import Resources
from minorch.states import AttemptState, Reason

NAMES = st.text("aZ09", min_size=1, max_size=4) | st.sampled_from(["a_b.c-d", "x" * 63])
IDS = st.integers(0, 2**128 - 1).map("{:032x}".format)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
WORDS = st.lists(TEXT, max_size=2)
LABELS = st.dictionaries(TEXT.filter(lambda name: name and not name.startswith("minorch.")), TEXT, max_size=3)
NODE_LABELS = LABELS.filter(lambda labels: not any(name.startswith("node.") for name in labels))
ENV_NAMES = st.sampled_from(["A", "_b", "C.d-e", "PATH"])
SECONDS = st.floats(0, 1e6)
CUSTOM = st.dictionaries(
    st.sampled_from(["gpu", "fpga", "licence/x"]), st.floats(0, 1e12) | st.integers(0, 2**60), max_size=2
)

RESOURCES = st.builds(
    lambda cpu, memory, disk, custom: Resources(cpu=cpu, memory=memory, disk=disk, **custom),
    st.floats(0, 1e9) | st.sampled_from(["500m", "1.5", "0.001"]),
    st.integers(0, 2**60) | st.sampled_from(["64MiB", "1.5Gi", "2GB"]),
    st.integers(0, 2**60),
    CUSTOM,
)
AMOUNTS = st.builds(
    lambda cpu, memory, disk, custom: Resources.of(cpu, memory, disk, {k: v for k, v in custom.items() if v}),
    st.integers(0, 10**12),
    st.integers(0, 2**60),
    st.integers(0, 2**60),
    st.dictionaries(st.sampled_from(["gpu", "fpga", "tpu"]), st.integers(0, 10**6), max_size=2),
)
"""Never negative, like what a task asks for or a node has."""

RESTARTS = st.builds(
    RestartPolicy,
    mode=st.sampled_from(["never", "on-failure", "always"]),
    attempts=st.none() | st.integers(0, 100),
    backoff_s=st.floats(0, 86_400),
    max_backoff_s=st.floats(0, 86_400),
    jitter=st.floats(0, 1),
    reset_after_s=SECONDS,
)
PORT_NUMBERS = st.integers(1, 65_535)
HEALTH = st.one_of(
    st.builds(HealthCheck.exec, st.lists(TEXT, min_size=1, max_size=3), timeout_s=st.floats(0.01, 10)),
    st.builds(HealthCheck.tcp, PORT_NUMBERS, interval_s=st.floats(0.05, 10)),
    st.builds(HealthCheck.http, PORT_NUMBERS, st.sampled_from(["/", "/health?x=1"])),
)
PORTS = st.lists(
    st.builds(
        Port,
        PORT_NUMBERS,
        host=st.none() | PORT_NUMBERS,
        protocol=st.sampled_from(["tcp", "udp"]),
        host_ip=st.sampled_from(["127.0.0.1", "0.0.0.0", "::1"]),
    ),
    max_size=3,
    unique_by=(lambda port: port.container, lambda port: port.host or -port.container),
)
TARGETS = st.sampled_from(["/a", "/a/b", "/data", "/d/e/f.g"])
MOUNTS = st.lists(
    st.one_of(
        st.builds(Mount, TARGETS, source=NAMES, read_only=st.booleans()),
        st.builds(Mount, TARGETS, kind=st.just("bind"), source=TARGETS),
        st.builds(Mount, TARGETS, kind=st.just("tmpfs"), size=st.integers(0, 2**40) | st.just("64MiB")),
    ),
    max_size=3,
    unique_by=lambda mount: mount.target,
)


CONSTRAINTS = [
    *["disk == ssd", "zone!=b", "rack in a,b, c", "rack not in d", "cores >= 1.5", "cores<64"],
    *["kernel version >=5.10,<7", "node.name matches gpu-[0-9]+", "node.platform == linux/amd64"],
]
"""None contradicts another."""
WEIGHTS = st.integers(1, 1000)
TOPOLOGIES = st.sampled_from(["node", "zone", "a/b c"])
SPREADS = st.lists(
    st.builds(SpreadOver, TOPOLOGIES, max_skew=st.integers(1, 9), weight=st.none() | WEIGHTS),
    max_size=2,
    unique_by=lambda wish: wish.topology,
)


def affinities(task: str | None) -> st.SearchStrategy[list[Affinity]]:
    """Wishes that do not contradict each other; about *task* too, where that is a name of the job."""
    about = st.one_of(
        st.just({}),
        st.fixed_dictionaries({"job": NAMES}),
        st.fixed_dictionaries({"labels": LABELS}),
        *([] if task is None else [st.just({"task": task})]),
    )
    one = st.builds(
        lambda selected, topology, anti, weight: Affinity(
            **selected, topology=topology, anti=anti, weight=weight
        ),
        about,
        TOPOLOGIES,
        st.booleans(),
        st.none() | WEIGHTS,
    )
    return st.lists(
        one, max_size=3, unique_by=lambda wish: (wish.job, wish.task, tuple(sorted(wish.labels.items())))
    )


@st.composite
def tasks(draw: st.DrawFn, name: str | None = None, kind: str | None = None) -> Task:
    env = draw(st.dictionaries(ENV_NAMES, TEXT, max_size=3))
    secrets = draw(st.dictionaries(ENV_NAMES, TEXT.map(Secret), max_size=2))
    return Task(
        name or draw(NAMES),
        image=draw(st.none() | st.sampled_from(["busybox", "ghcr.io/a/b:1@sha256:00"])),
        command=["run", *draw(WORDS)],
        entrypoint=draw(st.none() | WORDS),
        env={key: value for key, value in env.items() if key not in secrets},
        secrets=secrets,
        user=draw(st.none() | st.just("1000:1000")),
        workdir=draw(st.none() | TARGETS),
        resources=draw(RESOURCES),
        pids=draw(st.integers(1, 10_000)),
        ports=draw(PORTS),
        mounts=draw(MOUNTS),
        networks=draw(st.lists(NAMES, max_size=2)),
        labels=draw(LABELS),
        restart=draw(st.none() | RESTARTS),
        health=draw(st.none() | HEALTH),
        constraints=draw(st.lists(st.sampled_from(CONSTRAINTS), max_size=3)),
        preferences=draw(st.dictionaries(st.sampled_from(CONSTRAINTS), WEIGHTS, max_size=2)),
        affinity=draw(affinities(name)),
        spread_over=draw(SPREADS),
        tolerations=draw(WORDS),
        runtime=draw(st.none() | st.just("docker")),
        platform=draw(st.none() | st.sampled_from(["linux/amd64", "linux/arm/v7"])),
        pull=draw(st.sampled_from(["always", "if-not-present", "never"])),
        security=draw(st.sampled_from(["baseline", "restricted"])),
        stop_grace_s=draw(st.floats(0, 86_400)),
        on_lost=draw(st.sampled_from(["replace", "hold"])),
        completions=draw(st.integers(1, 20)) if kind == "batch" else 1,
        replicas=draw(st.integers(0, 20)) if kind == "service" else 1,
    )


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    kind = draw(st.sampled_from(["batch", "service"]))
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    gang = draw(st.booleans())
    return Job(
        draw(NAMES),
        [draw(tasks(name, kind)) for name in names],
        kind=kind,
        parallelism=None if gang else draw(st.none() | st.integers(1, 10)),
        retries=draw(st.integers(0, 10)),
        deadline_s=draw(st.none() | st.floats(0.001, 1e9)),
        on_failure=draw(st.sampled_from(["continue", "stop"])),
        labels=draw(LABELS),
        wait_for_nodes=draw(st.booleans()),
        priority=draw(st.integers(-1000, 1000)),
        gang=gang,
    )


NODES = st.builds(
    Node,
    NAMES,
    capacity=RESOURCES,
    runtime=NAMES,
    labels=NODE_LABELS,
    taints=WORDS,
    platform=st.sampled_from(["", "linux/amd64"]),
    address=NAMES,
    max_tasks=st.integers(0, 1000),
)
BYTES = st.integers(0, 2**62)
NODE_STATS = st.builds(
    NodeStats,
    sampled_at=SECONDS,
    cpu_percent=st.floats(0, 100),
    load_1m=st.floats(0, 1e4),
    memory_used=BYTES,
    memory_total=BYTES,
    disk_used=BYTES,
    disk_total=BYTES,
    tasks=st.integers(0, 100),
)
TASK_STATS = st.builds(TaskStats, sampled_at=SECONDS, cpu_s=SECONDS, memory=BYTES, pids=st.integers(0, 9))
COUNTS = st.integers(1, 2**40)
ASSIGNMENTS = st.builds(
    Assignment,
    task_id=IDS,
    attempt=COUNTS,
    desired=st.sampled_from(["run", "stop"]),
    run=COUNTS,
    job=NAMES,
    task_name=NAMES,
    index=st.integers(0, 9),
    task=tasks(),
    restart=RESTARTS,
    restarts=st.none() | st.integers(0, 9),
    grace_s=SECONDS,
)
ASSIGNS = st.builds(
    Assign,
    cluster_id=IDS,
    worker=NAMES,
    epoch=COUNTS,
    revision=COUNTS,
    base=st.none() | COUNTS,
    entries=st.lists(ASSIGNMENTS, max_size=2).map(tuple),
    released=st.lists(st.tuples(IDS, COUNTS), max_size=2).map(tuple),
    incarnation=st.just("") | IDS,
    heard=COUNTS,
    lease_s=SECONDS,
)
OBSERVED = st.builds(
    Observed,
    task_id=IDS,
    attempt=COUNTS,
    run=st.integers(0, 9),
    state=st.sampled_from(AttemptState),
    reason=st.none() | st.sampled_from(Reason),
    exit_code=st.none() | st.integers(-255, 255),
    message=TEXT,
    started_at=st.none() | SECONDS,
    finished_at=st.none() | SECONDS,
    healthy=st.none() | st.booleans(),
    ports=st.dictionaries(TEXT, TEXT, max_size=2),
    handle=TEXT,
    streak=st.none()
    | st.builds(
        Streak, restarts=COUNTS, exit_code=st.none() | st.integers(-255, 255), next_at=st.none() | SECONDS
    ),
)
REPORTS = st.builds(
    Report,
    cluster_id=IDS,
    worker=NAMES,
    incarnation=IDS,
    sequence=COUNTS,
    epoch=st.integers(0, 9),
    revision=st.integers(0, 9),
    full=st.booleans(),
    node=NODES,
    observed=st.lists(OBSERVED, max_size=2).map(tuple),
    stats=st.none() | NODE_STATS,
    task_stats=st.lists(st.tuples(IDS, TASK_STATS), max_size=2).map(tuple),
    engine_ok=st.booleans(),
    engine_message=TEXT,
    renew=st.booleans(),
)
MESSAGES: st.SearchStrategy[Message] = st.one_of(ASSIGNS, REPORTS)
