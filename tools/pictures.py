#!/usr/bin/env python3
"""Make a picture of everything that a notebook shows: PNG files, on a light theme and on a dark one.

``python tools/pictures.py DIRECTORY [NAME ...]`` plays a story in virtual time, so that the pictures are the
same each time, and has a Chromium without a window take them.  A picture more is a function that is given the
story and returns HTML, or a finished PNG as bytes: put it into :data:`PICTURES`.  With ``--docs`` those are
made that pages of the documentation show.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec
from matplotlib.figure import Figure

from minorch import Job, Node, Resources, RestartPolicy, Task, default_registry
from minorch.cluster.views import cluster_view
from minorch.manager import Manager, ManagerConfig
from minorch.plot import comparison_bars, gantt, utilisation_heatmap, wait_cdf
from minorch.plugins import Registry
from minorch.simulation import (
    Arrival,
    Comparison,
    Faults,
    Simulation,
    SimulationResult,
    choice,
    compare,
    lognormal,
    mixed,
    poisson,
)
from minorch.state.listing import EventList, NodeList, TaskList
from minorch.state.views import job_view, task_view

PLOT_DPI: Final = 150
WIDTH: Final = 900
"""Of a notebook's output, in pixels."""
LIMIT_S: Final = 60.0
THEMES: Final[Mapping[str, tuple[str, str, str]]] = {
    "light": ("#ffffff", "#212121", "#f5f5f5"),
    "dark": ("#111111", "#e0e0e0", "#212121"),
}
"""By name: the ground, the text, and the ground of every second row of a table, as JupyterLab has them."""
# What JupyterLab does to whatever is in an output: pictures have to be right in spite of it.
NOTEBOOK: Final = """
body { margin: 0; background: GROUND; }
.out { padding: 14px 20px; font: 14px/1.5 system-ui, sans-serif; color: TEXT; box-sizing: border-box; }
.out table { border-collapse: collapse; border-spacing: 0; border: none; color: TEXT; font-size: 12px;
  table-layout: fixed; margin-left: auto; margin-right: auto; margin-bottom: 1em; }
.out td, .out th, .out tr { vertical-align: middle; padding: .5em .5em; line-height: normal;
  white-space: normal; max-width: none; border: none; text-align: right; }
.out tbody tr:nth-child(odd) { background: GROUND; }
.out tbody tr:nth-child(even) { background: STRIPE; }
"""
FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--force-device-scale-factor=2", "--font-render-hinting=none"),
)


class Story:
    """What the pictures show: a cluster of eight nodes, some hours of work, a node that is lost."""

    def __init__(self) -> None:
        self.simulation = Simulation(
            nodes=[*_nodes()],
            workload=_arrivals(),
            scheduler="epvm",
            seed=7,
            faults=Faults(crash_every_s=9000.0, repair_s=900.0),
            start_s=6.0,
            measure_every_s=30.0,
            manager_config=ManagerConfig(lease_s=60.0),  # so that jobs are remembered as in a real cluster
        )
        self.result = self.simulation.run(until=2400.0)
        self.now = 2400.0

    @property
    def manager(self) -> Manager:
        """The manager, to be asked."""
        return self.simulation.manager

    def ask_plan(self, job: Job) -> str:
        """What a job's plan shows."""
        return self.manager.plan(job, self.now)._repr_html_()

    @cached_property
    def comparison(self) -> Comparison:
        """Some schedulers on the same work, without what is not the same each time: what it took."""
        small, large = Resources(cpu=8, memory="32GiB"), Resources(cpu=32, memory="64GiB")
        sizes = [
            Resources(cpu=1, memory="4GiB"),
            Resources(cpu=2, memory="2GiB"),
            Resources(cpu=8, memory="16GiB"),
        ]
        found = compare(
            ["least-loaded", "bin-pack", "epvm", "spread"],
            workload=poisson(
                0.6,
                tasks=300,
                duration_s=lognormal(70, sigma=1.0),
                resources=choice(sizes, weights=[5, 4, 2]),
            ),
            nodes=mixed(8, {"small": (3, small), "large": (1, large)}),
            seeds=range(10),
            faults=Faults(crash_every_s=4000.0, repair_s=120.0),
            processes=1,
            progress=False,
            measures=["wait_mean_s", "wait_p95_s", "bounded_slowdown_mean", "cpu_reserved_mean", "unplaced"],
            keep_results=True,
        )
        found.notes = tuple(
            told for told in found.notes if not told.startswith(f"{len(found.runs)} runs in ")
        )
        for result in found.results.values():
            result.wall_s, result.planning_s = 0.25, 0.05
        return found

    @cached_property
    def compared(self) -> Sequence[SimulationResult]:
        """The results that were compared."""
        return list(self.comparison.results.values())


def _nodes() -> Sequence[Node]:
    small = Resources(cpu=8, memory="32GiB")
    large = Resources(cpu=16, memory="128GiB", gpu=2)
    return [
        *(Node(name=f"node-{n}", capacity=small, labels={"zone": "ab"[n % 2]}) for n in range(6)),
        *(Node(name=f"gpu-{n}", capacity=large, taints=["gpu"], labels={"zone": "a"}) for n in range(2)),
    ]


def _arrivals() -> list[Arrival]:
    def task(name: str, cpu: float, memory: str, **more: object) -> Task:
        custom = {"gpu": 1} if more.pop("gpu", False) else {}
        resources = Resources(cpu=cpu, memory=memory, **custom)
        return Task(name, command=[name], resources=resources, **more)  # type: ignore[arg-type]

    web = Job("web", [task("front", 1, "2GiB", replicas=4), task("cache", 2, "8GiB")], kind="service")
    etl = Job(
        "nightly",
        [
            task("fetch", 2, "4GiB"),
            task("clean", 4, "8GiB", completions=3, after=["fetch"]),
            task("sum", 2, "4GiB", after=["clean"]),
            task("report", 1, "1GiB", after=["sum"]),
        ],
    )
    retries = RestartPolicy(mode="on-failure", attempts=2, backoff_s=20.0, jitter=0.0)
    flaky = Job("flaky", [task("sync", 1, "1GiB", restart=retries), task("mail", 0.5, "512MiB")], retries=1)
    sweep = Job("sweep", [task("trial", 2, "3GiB", completions=120)])
    train = Job("train", [task("fit", 8, "64GiB", gpu=True, tolerations=["gpu"], completions=3)])
    huge = Job("huge", [task("solve", 7, "30GiB")])
    return [
        Arrival(0.0, web),
        Arrival(60.0, etl, {"fetch": 220.0, "clean": [380.0, 300.0, 460.0], "sum": 240.0, "report": 60.0}),
        Arrival(300.0, sweep, [120.0 + 37.0 * (n * 7 % 11) for n in range(120)]),
        Arrival(700.0, flaky, {"sync": 45.0, "mail": 30.0}, None, 3),
        Arrival(900.0, train, 2000.0),
        Arrival(2300.0, huge, 600.0),
    ]


def _job(story: Story, name: str) -> str:
    return job_view(story.manager.job(name), story.now)


def _task(story: Story, name: str, task: str) -> str:
    job = story.manager.job(name)
    info = next(one for one in job.tasks if one.name == task)
    events = [event for event in story.manager.events() if event.task_id == info.id]
    return task_view(info, events, story.now)


def _cluster(story: Story) -> str:
    states = [job.state for job in story.simulation.jobs]
    return cluster_view(story.simulation.nodes, states, "runtime docker")


def _many_nodes(story: Story) -> str:
    nodes, kept = story.simulation.nodes, Resources(cpu=1)
    alike = [
        msgspec.structs.replace(
            nodes[at % 8],
            name=f"node-{at}",
            lost=at % 997 == 5,
            reserved=kept if at % 7 == 0 else nodes[at % 8].reserved,
        )
        for at in range(3000)
    ]
    return NodeList(alike)._repr_html_()


def _plan(story: Story) -> str:
    tasks = [
        Task("shard", command=["x"], resources=Resources(cpu=1, memory="2GiB"), completions=14),
        Task("merge", command=["x"], resources=Resources(cpu=2, memory="2GiB"), after=["shard"]),
        Task("large", command=["x"], resources=Resources(cpu=14, memory="64GiB")),
    ]
    return story.ask_plan(Job("index", tasks))


def _rebalance(story: Story) -> str:
    """Half of what was spread evenly is over, all of it on some of the nodes."""
    piece = Task("piece", command=["x"], resources=Resources(cpu=1, memory="2GiB"), completions=24)
    simulation = Simulation(
        nodes=[Node(name=f"node-{n}", capacity=Resources(cpu=8, memory="32GiB")) for n in range(4)],
        workload=[Arrival(0.0, piece, [100.0 if n % 4 < 2 else 1000.0 for n in range(24)])],
        seed=story.simulation.seed,
    )
    simulation.run(until=500.0)
    return simulation.manager.propose_rebalance(500.0)._repr_html_()


def _registry(story: Story) -> str:
    registry: Registry = default_registry()

    @registry.scheduler("fewest-tasks", summary="the node with the fewest tasks")
    def fewest_tasks(task: object, node: object) -> float:
        return 0.0

    return registry._repr_html_()


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=PLOT_DPI)
    return picture.getvalue()


PICTURES: Final[Mapping[str, Callable[[Story], str | bytes]]] = {
    "cluster": _cluster,
    "nodes-many": _many_nodes,
    "node": lambda story: story.simulation.nodes[0]._repr_html_(),
    "job": lambda story: _job(story, "nightly"),
    "job-large": lambda story: _job(story, "sweep"),
    "job-failed": lambda story: _job(story, "flaky"),
    "job-service": lambda story: _job(story, "web"),
    "task": lambda story: _task(story, "flaky", "sync"),
    "tasks": lambda story: TaskList(
        task for job in story.simulation.jobs for task in job.tasks
    )._repr_html_(),
    "explain": lambda story: story.simulation.explain("web/front[0]")._repr_html_(),
    "explain-waits": lambda story: story.simulation.explain("huge/solve")._repr_html_(),
    "plan": _plan,
    "rebalance": _rebalance,
    "events": lambda story: EventList(story.manager.events()[:30])._repr_html_(),
    "registry": _registry,
    "result": lambda story: story.compared[0]._repr_html_(),
    "comparison": lambda story: story.comparison._repr_html_(),
    "gantt": lambda story: _png(gantt(story.result)),
    "gantt-endings": lambda story: _png(gantt(story.compared[0])),
    "heatmap": lambda story: _png(utilisation_heatmap(story.compared[0])),
    "waits": lambda story: _png(wait_cdf(story.compared)),
    "bars": lambda story: _png(comparison_bars(story.comparison)),
    "bars-wait": lambda story: _png(comparison_bars(story.comparison, "wait_p95_s")),
    "bars-share": lambda story: _png(comparison_bars(story.comparison, "cpu_reserved_mean")),
}
"""By name. Whoever has more to show adds it here."""

DOCS: Final = ("cluster", "job", "explain", "result", "comparison", "gantt", "heatmap", "waits", "bars")
"""Those that pages of the documentation show, on a light ground."""
DOCS_IMAGES: Final = Path("docs", "images")


def page(fragments: Sequence[str], theme: str) -> str:
    """A document that shows fragments as a notebook shows them."""
    ground, text, stripe = THEMES[theme]
    style = NOTEBOOK.replace("GROUND", ground).replace("TEXT", text).replace("STRIPE", stripe)
    shown = "".join(f'<div class="out">{fragment}</div>' for fragment in fragments)
    # The script is this tool's own: it says how high each output is.
    script = (
        "document.title=JSON.stringify([...document.querySelectorAll('.out')]"
        ".map(one=>Math.ceil(one.getBoundingClientRect().height)))"
    )
    return (
        f'<!doctype html><meta charset="utf-8"><title></title><style>{style}</style>'
        f"{shown}<script>{script}</script>"
    )


def browse(document: str, flags: Sequence[str]) -> str:
    """Open a document in a Chromium without a window; return what that prints."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "page.html")
        path.write_text(document, encoding="utf-8")
        command = [chromium, *FLAGS, f"--user-data-dir={directory}/profile", *flags, path.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    return done.stdout


def heights(fragments: Sequence[str]) -> list[int]:
    """How high each fragment is, in pixels."""
    dom = browse(page(fragments, "light"), ["--dump-dom", f"--window-size={WIDTH},2000"])
    found = re.search(r"<title>(.*?)</title>", dom)
    assert found is not None
    measured: list[int] = json.loads(found.group(1))
    return measured


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("directory", type=Path, nargs="?", help=f"where they are put; --docs: {DOCS_IMAGES}")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(PICTURES)}; all")
    parser.add_argument("--docs", action="store_true", help="those that the documentation shows, light only")
    parser.add_argument("--html", action="store_true", help="write the pages too")
    options = parser.parse_args()
    if options.docs:
        options.directory, options.names = options.directory or DOCS_IMAGES, options.names or DOCS
    elif options.directory is None:
        parser.error("say which directory they are put in, or --docs")
    unknown = [name for name in options.names if name not in PICTURES]
    if unknown:
        parser.error(f"there is no picture {unknown[0]!r}; there are: {', '.join(PICTURES)}")
    options.directory.mkdir(parents=True, exist_ok=True)
    story = Story()
    made = {name: PICTURES[name](story) for name in options.names or PICTURES}
    drawn = {name: picture for name, picture in made.items() if isinstance(picture, str)}
    for name, picture in made.items():
        if isinstance(picture, bytes):
            Path(options.directory, f"{name}.png").write_bytes(picture)
            print(f"{name}.png: {len(picture):,} bytes")
    measured = heights(list(drawn.values())) if drawn else []
    for (name, fragment), height in zip(drawn.items(), measured, strict=True):
        for theme in ("light",) if options.docs else THEMES:
            target = Path(options.directory, f"{name}-{theme}.png").resolve()
            document = page([fragment], theme)
            if options.html:
                target.with_suffix(".html").write_text(document, encoding="utf-8")
            browse(document, [f"--window-size={WIDTH},{height}", f"--screenshot={os.fspath(target)}"])
        print(f"{name}: {WIDTH} x {height} px, {len(fragment):,} bytes of HTML")


if __name__ == "__main__":
    main()
