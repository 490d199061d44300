"""What a user's type checker must accept, infer and refuse. Run by ``mypy``, never executed.

A line that must be refused carries a ``type: ignore`` with its code: if it were accepted, mypy would
report the comment as unused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, assert_never, assert_type

from minorch.contracts import Change, Store
from minorch.errors import JobFailed, MinorchError, SpecError
from minorch.ids import RunKey
from minorch.messages import Assign, Assignment, Message, Observed, Report, decode, encode
from minorch.model import (
    Constraint,
    HealthCheck,
    Instance,
    Job,
    JobKind,
    Mount,
    Node,
    Port,
    RestartPolicy,
    Secret,
    Task,
    parse_constraint,
)
from minorch.resources import Resources, parse_size
from minorch.states import TASK_MOVES, AttemptState, Reason, TaskState, check_move, diagram
from minorch.stores.memory import MemoryStore
from minorch.stores.sqlite import SqliteStore


def what_a_user_writes() -> Job:
    task = Task(
        "greet",
        image="busybox",
        command=["echo", "hi"],
        env={"A": "1"},
        secrets={"KEY": Secret("x")},
        resources=Resources(cpu="500m", memory="64MiB", gpu=1),
        ports=[Port(80), Port(81, host=8081, protocol="udp")],
        mounts=(Mount("/data", source="data"), Mount("/tmp", kind="tmpfs", size="1GiB")),
        restart=RestartPolicy.on_failure(3),
        health=HealthCheck.http(80, "/ok"),
        constraints=["disk == ssd"],
    )
    assert_type(task.name, str)
    assert_type(task.image, str | None)
    assert_type(task.command, Sequence[str])
    assert_type(task.env, Mapping[str, str])
    assert_type(task.restart, RestartPolicy | None)
    assert_type(task.pull, Literal["always", "if-not-present", "never"])
    assert_type(task.to_dict(), dict[str, object])
    assert_type(Task.from_dict({"name": "a"}), Task)
    assert_type(task.secrets["KEY"].reveal(), str)
    return Job("hello", [task], kind="service", labels={"a": "b"})


def what_a_user_reads(job: Job, node: Node) -> None:
    assert_type(job.tasks, Sequence[Task])
    assert_type(job.kind, JobKind)
    assert_type(job.instances(), Iterator[Instance])
    for name, task, number in job.instances():
        assert_type(name, str)
        assert_type(task, Task)
        assert_type(number, int | None)
    assert_type(job.restart_policy(job.tasks[0]), RestartPolicy)
    assert_type(node.capacity - job.tasks[0].resources, Resources)
    assert_type(job.tasks[0].resources.fits(node.capacity), bool)
    assert_type(node.capacity.cpu, float)
    assert_type(node.capacity.custom, Mapping[str, float])
    assert_type(parse_size("1MiB"), int)
    assert_type(parse_constraint("a == b"), Constraint)


def what_is_refused(task: Task, job: Job, resources: Resources) -> None:
    task.image = "other"  # type: ignore[misc]
    task.env["A"] = "2"  # type: ignore[index]
    task.secrets["A"] = Secret("2")  # type: ignore[index]
    job.labels.clear()  # type: ignore[attr-defined]
    Task("a", command=["x"], pull="sometimes")  # type: ignore[arg-type]
    Task("a", ["x"])  # type: ignore[arg-type, call-arg]
    Task("a", comand=["x"])  # type: ignore[call-arg]
    Task("a", command=["x"], restart="always")  # type: ignore[arg-type]
    Task("a", command=["x"], secrets={"KEY": "x"})  # type: ignore[dict-item]
    Job("a", [task], kind="cron")  # type: ignore[arg-type]
    Port("80")  # type: ignore[arg-type]
    Resources(gpu="two")  # type: ignore[arg-type]
    resources < resources  # type: ignore[operator]  # noqa: B015  (amounts have no order)


def a_message_is_one_of_two(data: bytes) -> str:
    message = decode(data)
    assert_type(message, Assign | Report)
    match message:
        case Assign(entries=entries):
            assert_type(entries, tuple[Assignment, ...])
            return entries[0].task_id
        case Report(observed=observed):
            assert_type(observed, tuple[Observed, ...])
            assert_type(observed[0].state, AttemptState)
            assert_type(observed[0].reason, Reason | None)
            assert_type(observed[0].key, RunKey)
            return observed[0].task_id
        case _:
            assert_never(message)


def a_message_is_written(message: Message) -> bytes:
    return encode(message)


def moves_are_of_one_kind(state: TaskState) -> str:
    check_move(TASK_MOVES, state, TaskState.RUNNING, "story")
    check_move(TASK_MOVES, state, AttemptState.RUNNING, "story")  # type: ignore[misc]
    return diagram(TASK_MOVES)


def errors_carry_evidence(error: MinorchError) -> str:
    match error:
        case SpecError():
            assert_type(error.below("$.a"), SpecError)
            return error.path
        case JobFailed():
            assert_type(error.failures, tuple[str, ...])
            return error.state
    return str(error)


def the_built_in_stores_are_stores() -> Sequence[Store]:
    stores: Sequence[Store] = [MemoryStore(), SqliteStore("store.db")]
    assert_type(stores[0].load(), Iterable[Change])
    return stores


class OwnStore:
    """A store needs no base class."""

    def load(self) -> list[Change]:
        return []

    def commit(self, changes: Sequence[Change]) -> None: ...

    def close(self) -> None: ...


class NoStore:
    def load(self) -> list[Change]:
        return []


def what_is_and_is_no_store() -> None:
    fits: Store = OwnStore()
    lacks: Store = NoStore()  # type: ignore[assignment]
    del fits, lacks
