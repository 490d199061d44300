"""Tables in the docs that list what the code has: hooks, errors, reasons, strategies, variables, bounds."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import minorch
from minorch import errors
from minorch.contracts import Launch, Owner
from minorch.ids import RunKey
from minorch.plugins import hookspecs

DOCS = Path(__file__).resolve().parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def first_cells(text: str) -> list[str]:
    """What stands in backticks in the first column of the page's tables."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def test_the_hooks_on_the_page_have_the_signatures_of_the_specifications():
    documented = {
        cell.partition("(")[0]: cell
        for cell in first_cells(page("plugins.md"))
        if "(" in cell and "->" in cell
    }
    specified = {
        name: f"{name}{inspect.signature(function)}".replace("'", "")
        for name, function in vars(hookspecs).items()
        if name.startswith("minorch_")
    }
    assert documented == specified


def test_each_error_is_on_the_page_of_errors():
    raised = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.MinorchError)
    }
    named = {word.split()[0] for word in first_cells(page("howto/errors.md"))}
    assert raised - {"MinorchError"} <= named


def test_each_built_in_scheduler_is_in_the_table():
    offered = {info.name for info in minorch.default_registry().describe() if info.kind == "scheduler"}
    assert offered <= set(first_cells(page("howto/schedulers.md")))


def test_the_variables_of_a_run_are_in_the_table():
    launch = Launch(
        key=RunKey("0" * 32, 1, 1),
        owner=Owner("0" * 32, "node"),
        job="job",
        task_name="task",
        index=0,
        task=minorch.Task("task", command=["true"]),
    )
    named = set(first_cells(page("howto/jobs-and-tasks.md")))
    assert {word for word in named if word.startswith("MINORCH_")} == set(launch.environment())


def test_each_method_of_a_scheduler_is_in_the_table():
    methods = {
        name
        for name, member in vars(minorch.Scheduler).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }
    named = {word.partition("(")[0] for word in first_cells(page("howto/schedulers.md"))}
    assert methods <= named


def test_each_member_of_a_runtime_is_in_the_table():
    members = {name for name in vars(minorch.Runtime) if not name.startswith("_")}
    named = {word.partition("(")[0] for word in first_cells(page("howto/runtimes.md"))}
    assert members == members & named


def test_the_figures_in_the_text_are_the_defaults():
    manager, worker = minorch.ManagerConfig(), minorch.WorkerConfig()
    assert f"its lease ({manager.lease_s:g} s by default)" in page("architecture.md")
    assert f"was lost {manager.max_lost} times" in page("architecture.md")
    assert f"latest {manager.keep_runs} finished tasks" in page("architecture.md")
    assert f"latest {manager.keep_runs} finished tasks" in page("howto/jobs-and-tasks.md")
    assert manager.keep_runs_s == 3600
    assert f"the latest {manager.max_events:,} are kept" in page("howto/embedding.md")
    assert f"up to {manager.keep_tasks:,} tasks" in page("howto/stores.md")
    assert f"for {manager.unschedulable_after_s:g} s" in page("howto/errors.md")
    assert worker.retry_s == 1
    assert "at first after a second" in page("howto/docker.md")


def test_each_kind_of_event_is_in_the_reference():
    modules = sorted(Path(minorch.__file__).parent.glob("manager/*.py"))
    source = "\n".join(path.read_text(encoding="utf-8") for path in modules)
    told = set(re.findall(r'(?:log\(\s*|kind = |else )"([a-z]+_[a-z_]+)"', source))
    ends = {f"{what}_{end}" for what in ("job", "task") for end in ("completed", "failed", "stopped")}
    assert len(told) > 15
    assert told | ends <= set(first_cells(page("reference/cluster.md")))


def test_each_public_name_is_in_the_reference():
    reference = "\n".join(path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("reference/*.md")))
    aliases = {"Message", "hookimpl"}  # an alias of two records; documented where it is defined
    missing = [
        name
        for name in minorch.__all__
        if name not in aliases and not re.search(rf":: minorch\.(\w+\.)*{name}\b", reference)
    ]
    assert not missing
