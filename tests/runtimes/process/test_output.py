"""Logs are bounded, and reading them survives that they are cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from minorch.errors import RuntimeFault, UsageError
from minorch.runtimes.process import ProcessRuntime
from minorch.runtimes.process.output import Output
from minorch.testing.runtime_contract import eventually
from tests.runtimes.process.conftest import exited, launch, output, shell


def test_a_log_is_cut_while_the_run_writes_and_at_its_end(root: Path) -> None:
    runtime = ProcessRuntime(root, max_log_bytes=20_000)
    given = launch(shell("n=0; while [ $n -lt 30000 ]; do n=$((n + 1)); echo $n; done; sleep 1.5; echo last"))
    runtime.start(given)
    exited(runtime, given.key)
    eventually(lambda: len(output(runtime, given.key)) <= 20_000)
    lines = output(runtime, given.key).splitlines()
    assert lines[-1] == "last"
    assert lines[-2] == "30000"
    runtime.close()


def test_cutting_keeps_the_newest_half(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"%04d\n" % n for n in range(100)))
    output = Output(str(path))
    output.trim(200)
    assert path.read_bytes() == b""
    assert b"".join(output.read()) == b"".join(b"%04d\n" % n for n in range(80, 100))
    with path.open("ab") as file:
        file.write(b"next\n")
    assert b"".join(output.read(tail=2)) == b"0099\nnext\n"
    assert b"".join(Output(str(path)).read(tail=3)) == b"0098\n0099\nnext\n"


def test_a_follower_reads_on_across_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n" * 10)
    output = Output(str(path))
    over = False

    def ended(wait_s: float) -> bool:
        return over

    pieces = output.read(ended)
    assert next(pieces) == b"one\n" * 10
    with path.open("ab") as file:
        file.write(b"two\n" * 10)
    output.trim(80)
    with path.open("ab") as file:
        file.write(b"three\n")
    assert next(pieces) == b"two\n" * 10
    assert next(pieces) == b"three\n"
    over = True
    assert list(pieces) == []


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"a", b"a\n", b"a\nb", b"a\n\nb\n", b"x" * 200_000 + b"\ny\n"]
)
@pytest.mark.parametrize("lines", [0, 1, 2, 3, 10])
def test_a_tail_is_what_splitting_into_lines_gives(tmp_path: Path, content: bytes, lines: int) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    wanted = b"".join(content.splitlines(keepends=True)[-lines:]) if lines else b""
    assert b"".join(Output(str(path)).read(tail=lines)) == wanted


def test_the_lines_of_a_process_carry_no_times(runtime: ProcessRuntime) -> None:
    given = launch(shell("echo hi"))
    runtime.start(given)
    status = exited(runtime, given.key)
    assert status.finished_at is not None
    with pytest.raises(RuntimeFault, match="no times"):
        runtime.logs(given.key, since=status.finished_at)


def test_a_limit_without_room_is_refused(root: Path) -> None:
    root.mkdir(mode=0o700)
    with pytest.raises(UsageError, match="max_log_bytes"):
        ProcessRuntime(root, max_log_bytes=0)
