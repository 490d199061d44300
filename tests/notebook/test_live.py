"""A picture that is brought up to date in place: by hand, and in a real kernel."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from typing import Any

import pytest

from minorch.errors import NotFound, UsageError
from minorch.notebook import LiveView, live

START_S = 60.0


class Thing:
    """Something that changes."""

    def __init__(self) -> None:
        self.picture = "<b>1</b>"
        self.settled = False
        self.error: NotFound | None = None

    def _repr_html_(self) -> str:
        if self.error is not None:
            raise self.error
        return self.picture


class Cell:
    """A view of a thing, a clock that is moved by hand, and what was shown."""

    def __init__(self) -> None:
        self.thing = Thing()
        self.now = 0.0
        self.shown: list[str] = []
        self.view = LiveView(self.thing, self.shown.append, every_s=1.0, for_s=60.0, clock=lambda: self.now)
        self.view.turn()


@pytest.fixture
def cell() -> Cell:
    """A view that has shown its first picture."""
    return Cell()


def test_it_shows_how_the_thing_stands_and_how_often_it_is_asked(cell: Cell):
    assert cell.shown[0].startswith("<b>1</b>")
    assert "every 1 s" in cell.shown[0]
    cell.thing.picture = "<b>2</b>"
    cell.view.turn()
    assert cell.shown[1].startswith("<b>2</b>")


def test_it_shows_nothing_again_that_has_not_changed(cell: Cell):
    cell.view.turn()
    assert len(cell.shown) == 1


def test_it_ends_when_the_thing_is_settled_and_shows_its_end(cell: Cell):
    cell.thing.settled = True
    cell.view.turn()
    assert cell.view.closed
    assert cell.shown[-1] == '<b>1</b><div class="minorch"></div>'
    cell.thing.picture = "<b>2</b>"
    cell.view.turn()
    assert len(cell.shown) == 2


def test_it_ends_when_its_time_is_over(cell: Cell):
    cell.now = 60.0
    cell.view.turn()
    assert cell.view.closed
    assert "60 s are over" in cell.shown[-1]


def test_it_ends_when_it_is_told_and_the_last_picture_says_so(cell: Cell):
    with cell.view:
        assert not cell.view.closed
    assert cell.view.closed
    assert "not brought up to date any more: closed" in cell.shown[-1]
    cell.view.close()
    assert len(cell.shown) == 2


def test_the_last_picture_of_what_was_forgotten_stays(cell: Cell):
    cell.thing.error = NotFound("it was forgotten <b>")
    cell.view.turn()
    assert cell.view.closed
    assert cell.shown[-1].startswith("<b>1</b>")
    assert "it was forgotten &lt;b&gt;" in cell.shown[-1]


def test_its_thread_goes_on_by_itself_and_ends_with_it():
    thing, shown = Thing(), []
    view = LiveView(thing, shown.append, every_s=0.01, for_s=60.0)
    view.start()
    deadline = time.monotonic() + 10
    while not shown and time.monotonic() < deadline:
        time.sleep(0.005)
    view.close()
    assert "closed" in shown[-1]
    assert not view._thread.is_alive()
    assert repr(view).endswith(", closed>")


def test_as_the_last_line_of_a_cell_it_shows_nothing_twice(cell: Cell):
    cell.view._ipython_display_()
    assert len(cell.shown) == 1
    assert repr(cell.view).startswith("<LiveView of ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"shown": 5}, "a cluster or a job"),
        ({"shown": Thing}, "a cluster or a job"),
        ({"every_s": 0.01}, "every_s=0.01"),
        ({"every_s": float("nan")}, "every_s=nan"),
        ({"every_s": True}, "every_s=True"),
        ({"for_s": "long"}, "for_s='long'"),
        ({"for_s": float("inf")}, "for_s=inf"),
        ({}, "not run by one"),
    ],
)
def test_a_mistake_is_told(arguments: dict[str, Any], said: str):
    pytest.importorskip("IPython")
    with pytest.raises(UsageError, match=said):
        live(**{"shown": Thing(), **arguments})


def test_without_ipython_it_says_what_to_do():
    code = """
        import sys
        sys.modules["IPython"] = None  # as if it were not installed
        from minorch.errors import UsageError
        from minorch.notebook import live
        class Thing:
            settled = False
            def _repr_html_(self): return ""
        try:
            live(Thing())
        except UsageError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], check=False, capture_output=True, text=True
    )
    assert "IPython is not installed here; print(cluster.table())" in done.stdout, done.stderr


def test_importing_it_does_not_import_ipython():
    code = "import sys, minorch.notebook; print('IPython' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


# -- in a kernel ---------------------------------------------------------------------------------------------


class Kernel:
    """A real kernel, and everything that it has sent."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager, self.client = manager, client
        self.seen: list[dict[str, Any]] = []

    def run(self, code: str) -> list[dict[str, Any]]:
        """Run a cell to its end; return what came meanwhile."""
        return self.until_idle(self.client.execute(textwrap.dedent(code)))

    def until_idle(self, request: str) -> list[dict[str, Any]]:
        """Take in messages until a cell has ended."""
        fresh = []
        while True:
            message = self.client.get_iopub_msg(timeout=START_S)
            fresh.append(message)
            ours = message["msg_type"] == "status" and message["parent_header"].get("msg_id") == request
            if ours and message["content"]["execution_state"] == "idle":
                self.seen += fresh
                return fresh

    def await_update(self, display_id: str, words: str) -> str:
        """Take in messages until a picture with these words takes the place of an earlier one."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            message = self.client.get_iopub_msg(timeout=START_S)
            self.seen.append(message)
            content = message["content"]
            if (
                message["msg_type"] == "update_display_data"
                and content["transient"]["display_id"] == display_id
                and words in content["data"]["text/html"]
            ):
                return str(content["data"]["text/html"])
        pytest.fail(f"no picture with {words!r} came")

    def displays(self) -> list[tuple[str, str]]:
        """What was shown: how, and where."""
        return [
            (message["msg_type"], message["content"]["transient"]["display_id"])
            for message in self.seen
            if "display_data" in message["msg_type"]
        ]


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A kernel with a cluster of two workers in it."""
    pytest.importorskip("ipykernel")
    manager_module = pytest.importorskip("jupyter_client.manager")
    manager, client = manager_module.start_new_kernel(startup_timeout=START_S)
    try:
        kernel = Kernel(manager, client)
        answer = kernel.run(
            """
            import minorch as mo
            from minorch.notebook import live
            cluster = mo.Cluster(workers=2, runtime="process")
            """
        )
        assert not [message for message in answer if message["msg_type"] == "error"]
        yield kernel
        kernel.run("cluster.close()")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def shown_by(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The one thing that a cell has shown."""
    (shown,) = [message for message in messages if message["msg_type"] == "display_data"]
    return shown["content"]  # type: ignore[no-any-return]


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


def test_a_cell_is_brought_up_to_date_in_place_until_the_view_is_closed(kernel: Kernel):
    first = shown_by(kernel.run("view = live(cluster, every_s=0.1)\nview"))
    place = first["transient"]["display_id"]
    assert "2 nodes" in first["data"]["text/html"]
    kernel.run('job = cluster.submit(mo.Task("long", command=["sleep", "1000"], stop_grace_s=1))')
    kernel.await_update(place, "1 running")
    kernel.run("view.close()")
    last = [m for m in kernel.seen if m["msg_type"] == "update_display_data"][-1]["content"]
    assert last["transient"]["display_id"] == place
    assert "any more: closed" in last["data"]["text/html"]
    assert ("display_data", place) in kernel.displays()
    assert {how for how, where in kernel.displays() if where == place} == {
        "display_data",
        "update_display_data",
    }
    kernel.run("job.stop(wait=True, timeout=30)")


def test_a_view_of_a_job_ends_with_the_job(kernel: Kernel):
    kernel.run('job = cluster.submit(mo.Task("short", command=["sleep", "0.5"]))')
    place = shown_by(kernel.run("view = live(job, every_s=0.1)"))["transient"]["display_id"]
    kernel.run("job.wait(30)")
    last = kernel.await_update(place, "COMPLETED")
    assert "brought up to date" not in last
    answer = kernel.run("print(view.closed)")
    assert [message["content"]["text"] for message in answer if message["msg_type"] == "stream"] == ["True\n"]


def test_several_cells_show_the_same_cluster_each_in_its_place(kernel: Kernel):
    code = "views = [live(cluster, every_s=0.1), live(cluster, every_s=0.1)]"
    shown = [
        m["content"]["transient"]["display_id"] for m in kernel.run(code) if m["msg_type"] == "display_data"
    ]
    assert len(set(shown)) == 2
    kernel.run("[view.close() for view in views]")
    ended = {where for how, where in kernel.displays() if how == "update_display_data"}
    assert set(shown) <= ended


def test_interrupting_a_cell_leaves_the_view_and_the_cluster_as_they_are(kernel: Kernel):
    place = shown_by(kernel.run("view = live(cluster, every_s=0.1)"))["transient"]["display_id"]
    request = kernel.client.execute("import time; print('asleep', flush=True); time.sleep(1000)")
    while kernel.client.get_iopub_msg(timeout=START_S)["msg_type"] != "stream":
        pass
    kernel.manager.interrupt_kernel()
    answer = kernel.until_idle(request)
    assert [m["content"]["ename"] for m in answer if m["msg_type"] == "error"] == ["KeyboardInterrupt"]
    kernel.run('job = cluster.submit(mo.Task("after", command=["sleep", "1000"], stop_grace_s=1))')
    kernel.await_update(place, "1 running")
    kernel.run("job.stop(wait=True, timeout=30); view.close()")


def test_a_view_ends_when_the_cluster_is_closed(kernel: Kernel):
    kernel.run('other = mo.Cluster(workers=1, runtime="process")')
    place = shown_by(kernel.run("view = live(other, every_s=0.1)"))["transient"]["display_id"]
    kernel.run("other.close()")
    assert "brought up to date" not in kernel.await_update(place, "closed")
