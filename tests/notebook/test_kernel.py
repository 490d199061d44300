"""A cluster in a real kernel: waiting, interrupting, running cells again, and kernels that end badly."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import minorch as mo
from minorch.testing.runtime_contract import eventually

START_S = 60.0
SETTLE_S = 0.3
"""So long after a cell has said that it is about to wait, it waits."""

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


class Cell:
    """What came of a cell."""

    def __init__(self) -> None:
        self.out = ""
        self.err = ""
        self.error = ""
        """The name of the exception that it ended with."""

    def take(self, message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            if content["name"] == "stdout":
                self.out += content["text"]
            else:
                self.err += content["text"]
        elif message["msg_type"] == "execute_result":
            self.out += content["data"]["text/plain"]
        elif message["msg_type"] == "error":
            self.error = content["ename"]


class Kernel:
    """A real kernel that runs cells."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager, self.client = manager, client

    def run(self, code: str, *, interrupt: bool = False) -> Cell:
        """Run a cell to its end. To be interrupted, it says "now" before it waits."""
        request = self.client.execute(textwrap.dedent(code))
        cell = Cell()
        while True:
            message = self.client.get_iopub_msg(timeout=START_S)
            if message["parent_header"].get("msg_id") != request:
                continue
            cell.take(message)
            if interrupt and "now" in cell.out:
                interrupt = False
                time.sleep(SETTLE_S)
                self.manager.interrupt_kernel()
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return cell

    def get(self, expression: str) -> Any:
        """What an expression is, as JSON has it."""
        cell = self.run(f"import json; print(json.dumps({expression}))")
        assert not cell.error, cell.error
        return json.loads(cell.out)

    def stop(self, *, now: bool) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=now)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the user's state is kept; at the end nothing is left there."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("state")
        patch.setenv("XDG_STATE_HOME", str(place))
        yield place
        mo.leftovers("process").clean(durable=True, unknown=True)
        assert not list(place.rglob("minorch-*"))


@pytest.fixture(scope="module")
def start(state: Path) -> Iterator[Callable[[], Kernel]]:
    """Start a kernel in which ``mo`` is minorch; none lives on."""
    pytest.importorskip("ipykernel")
    manager_module = pytest.importorskip("jupyter_client.manager")
    kernels: list[Kernel] = []

    def start_one() -> Kernel:
        kernel = Kernel(*manager_module.start_new_kernel(startup_timeout=START_S))
        kernels.append(kernel)
        assert not kernel.run("import minorch as mo").error
        return kernel

    yield start_one
    for kernel in kernels:
        kernel.stop(now=True)


@pytest.fixture(scope="module")
def kernel(start: Callable[[], Kernel]) -> Kernel:
    """A kernel with a cluster in it, for all tests that leave it as it was."""
    kernel = start()
    assert not kernel.run('cluster = mo.Cluster(workers=2, runtime="process")').error
    return kernel


@pytest.fixture
def usable(kernel: Kernel) -> Iterator[Kernel]:
    """A kernel whose cluster still runs a job afterwards, and has no other one running."""
    yield kernel
    assert kernel.get('str(cluster.submit(mo.Task("probe", command=["true"])).wait(30))') == "COMPLETED"
    kernel.run("for job in cluster.jobs.values(): job.stop(wait=True, timeout=30)")
    assert kernel.get("len(mo.open_clusters())") == 1


SLOW = 'mo.Task("slow", command=["sleep", "1000"], stop_grace_s=1)'


def test_awaiting_a_job_and_waiting_for_it_give_its_state_in_a_cell(usable: Kernel):
    submit = 'job = cluster.submit(mo.Task("a", command=["true"]))\n'
    assert usable.run(submit + "print(await job)").out == "COMPLETED\n"
    assert usable.run(submit + "print(job.wait(30))").out == "COMPLETED\n"
    assert usable.run(submit + "print(job.result(30).state)").out == "COMPLETED\n"


def test_two_jobs_are_awaited_at_once(usable: Kernel):
    cell = usable.run(
        """
        import asyncio
        jobs = [cluster.submit(mo.Task(f"a{n}", command=["sleep", "0.2"])) for n in range(2)]
        print(*await asyncio.gather(*jobs))
        """
    )
    assert cell.out == "COMPLETED COMPLETED\n"


@pytest.mark.parametrize(
    "waiting",
    [
        "job.wait()",
        "job.result()",
        "await job",
        f"cluster.submit({SLOW.replace('slow', 'another')}).result()",
        'list(job.tasks["slow"].follow())',
        "job.wait_ready() and job.wait()",
        'cluster.drain("worker-1"); cluster.wait_drained("worker-1"); job.wait()',
    ],
)
def test_interrupting_a_cell_that_waits_leaves_the_job_and_the_cluster(usable: Kernel, waiting: str):
    cell = usable.run(f'job = cluster.submit({SLOW})\nprint("now", flush=True)\n{waiting}', interrupt=True)
    assert cell.error in ("KeyboardInterrupt", "CancelledError")
    assert usable.get("job.state.terminal") is False, "the job goes on"
    usable.run('cluster.uncordon("worker-1")')


def test_interrupting_a_simulation_leaves_the_cluster_and_another_simulation(usable: Kernel):
    usable.run(
        """
        from minorch.simulation import Arrival, Simulation
        nodes = [mo.Node(f"n{n}", capacity=mo.Resources(cpu=4, memory="8GiB")) for n in range(4)]
        def simulate(count):
            work = [Arrival(at_s=n, work=mo.Task(f"t{n}", command=["x"]), duration_s=5) for n in range(count)]
            return Simulation(nodes=nodes, workload=work, seed=1)
        """
    )
    cell = usable.run('endless = simulate(200_000)\nprint("now", flush=True)\nendless.run()', interrupt=True)
    assert cell.error == "KeyboardInterrupt", cell.err + cell.out
    assert usable.get("len(list(simulate(50).run().records()))") == 50


def test_a_cell_that_registers_a_plugin_can_be_run_again(usable: Kernel):
    usable.run("registry = mo.default_registry()")
    cell = """
        class Mine(mo.Scheduler):
            def cost(self, task, node):
                return node.tasks
        registry.add_scheduler("mine", Mine{})
        with mo.Cluster(runtime="process", registry=registry, scheduler="mine") as trial:
            print(trial.submit(mo.Task("t", command=["true"])).wait(30))
    """
    again = cell.format(", replace=True")
    assert usable.run(again).out == "COMPLETED\n"
    assert usable.run(again).out == "COMPLETED\n"
    refused = usable.run(cell.format(""))
    assert refused.error == "UsageError"
    assert usable.run(again).out == "COMPLETED\n"


def test_a_cell_that_defines_a_strategy_can_be_run_again_and_the_new_one_is_used(usable: Kernel):
    cell = """
        class First(mo.Scheduler):
            def cost(self, task, node):
                return {}int(node.name[-1])
        with mo.Cluster(workers=2, runtime="process", scheduler=First()) as trial:
            job = trial.submit(mo.Task("t", command=["true"]))
            job.wait(30)
            print(job.tasks["t"].node)
    """
    assert usable.run(cell.format("")).out == "worker-1\n"
    assert usable.run(cell.format("-")).out == "worker-2\n"


def test_a_cell_that_makes_a_cluster_and_is_run_again_closes_the_old_one(usable: Kernel):
    cell = f"""
        second = mo.Cluster(runtime="process")
        old = second.submit({SLOW}); old.wait_ready(30)
    """
    said = usable.run(cell)
    assert "older cluster is still open" in said.err, "the kernel's own; for all it knows, on purpose"
    first = usable.get('old.tasks["slow"].attempts[-1].handle')
    usable.run(cell)
    assert usable.get('old.tasks["slow"].attempts[-1].handle') != first
    eventually(lambda: not Path(f"/proc/{first}").exists(), within_s=30)
    assert usable.get("len(mo.open_clusters())") == 2
    usable.run("second.close()")


def test_where_a_cell_has_shown_the_cluster_the_old_one_is_told_and_can_be_closed(usable: Kernel):
    cell = 'second = mo.Cluster(runtime="process")\nsecond'
    usable.run(cell)
    usable.run(cell)
    assert usable.get("len(mo.open_clusters())") == 3, "Out refers to the old one"
    said = usable.run('second.submit(mo.Task("t", command=["true"])).result(30)')
    assert "2 older clusters are still open in this notebook" in said.err
    assert "mo.open_clusters()" in said.err.replace("minorch.", "mo.")
    usable.run("for old in mo.open_clusters()[1:-1]: old.close()")
    assert usable.get("[one is second for one in mo.open_clusters()]") == [False, True]
    usable.run("second.close()")


def test_what_a_killed_kernel_leaves_the_next_one_finds_and_offers_to_clean(start: Callable[[], Kernel]):
    first = start()
    first.run(f'cluster = mo.Cluster(runtime="process"); job = cluster.submit({SLOW}); job.wait_ready(30)')
    handle = first.get('job.tasks["slow"].attempts[-1].handle')
    first.stop(now=True)

    second = start()
    said = second.run('cluster = mo.Cluster(runtime="process")').err
    assert said.count("cluster.leftovers.clean()") == 1
    assert "clusters whose process is gone left 1 behind" in said
    assert f"process {handle}" in second.run("cluster.leftovers").out
    assert Path(f"/proc/{handle}").exists(), "nothing is cleaned unless asked"
    assert second.get("cluster.leftovers.clean()") == 1
    eventually(lambda: not Path(f"/proc/{handle}").exists(), within_s=30)
    assert second.get("len(cluster.leftovers)") == 0
    second.run("cluster.close()")


def test_what_a_kernel_that_is_shut_down_had_no_time_to_end_is_found_too(start: Callable[[], Kernel]):
    first = start()
    first.run(f'cluster = mo.Cluster(runtime="process"); job = cluster.submit({SLOW}); job.wait_ready(30)')
    handle = first.get('job.tasks["slow"].attempts[-1].handle')
    first.stop(now=False)  # it lets go of its variables, and kills its children: how far it gets is chance

    found = mo.leftovers("process")
    assert all(one.verdict == "dead" for one in found)
    found.clean()
    eventually(lambda: not Path(f"/proc/{handle}").exists(), within_s=30)
    assert list(mo.leftovers("process")) == []
