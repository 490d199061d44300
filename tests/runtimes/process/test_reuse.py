"""Directories of runs that ended are used again, but never with a log that somebody still has open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minorch.contracts import Owner
from minorch.ids import RunKey
from minorch.runtimes.process.files import Record, Root

OWNER = Owner("c" * 32, "n")


def key(number: int) -> RunKey:
    return RunKey(f"{number:032x}", 1, 1)


@pytest.fixture
def root(tmp_path) -> Root:
    return Root(tmp_path)


def make(root: Root, number: int, output: bytes) -> int:
    """A run's files with some output; gives the inode of its log."""
    files = root.files(OWNER, key(number))
    root.claim(OWNER, files)
    log = files.open_log()
    os.write(log, output)
    os.close(log)
    return os.stat(files.log).st_ino


def test_a_log_that_nobody_has_open_is_emptied_and_used_again(root):
    inode = make(root, 1, b"old output")
    root.remove(OWNER, root.files(OWNER, key(1)))
    assert make(root, 2, b"") == inode
    assert Path(root.files(OWNER, key(2)).log).read_bytes() == b""


def test_a_log_that_is_still_read_is_not_used_again(root):
    inode = make(root, 1, b"old output")
    with open(root.files(OWNER, key(1)).log, "rb") as reader:
        root.remove(OWNER, root.files(OWNER, key(1)))
        assert make(root, 2, b"new output") != inode
        assert reader.read() == b"old output"


def test_what_a_run_left_behind_writes_into_no_other_log(root):
    make(root, 1, b"")
    left_behind = os.open(root.files(OWNER, key(1)).log, os.O_WRONLY | os.O_APPEND)
    root.remove(OWNER, root.files(OWNER, key(1)))
    make(root, 2, b"mine")
    os.write(left_behind, b"not mine")
    os.close(left_behind)
    assert Path(root.files(OWNER, key(2)).log).read_bytes() == b"mine"


def test_a_directory_is_used_again_and_still_claimed_only_once(root):
    make(root, 1, b"")
    inode = os.stat(root.files(OWNER, key(1)).path).st_ino
    root.remove(OWNER, root.files(OWNER, key(1)))
    make(root, 2, b"")
    assert os.stat(root.files(OWNER, key(2)).path).st_ino == inode
    make(root, 3, b"")
    root.remove(OWNER, root.files(OWNER, key(3)))
    for _ in range(2):  # what was tried to claim it with is there for the next one
        with pytest.raises(FileExistsError):
            root.claim(OWNER, root.files(OWNER, key(2)))
    assert len(spares(root)) == 1


def test_what_a_record_says_of_an_earlier_run_does_not_count(root):
    make(root, 1, b"")
    first = root.files(OWNER, key(1))
    first.append(Record(run=first.name, pid=1, birth="x", started_at=0.0, workdir="/"))
    first.append_exit(3, by_signal=False)
    root.remove(OWNER, first)
    make(root, 2, b"")
    second = root.files(OWNER, key(2))
    assert second.read() == (None, None)
    with open(second.record, "ab") as cut_off:  # as by a full disk
        cut_off.write(b'{"run":')
    own = Record(run=second.name, pid=2, birth="y", started_at=1.0, workdir="/")
    second.append(own)
    second.append_exit(9, by_signal=True)
    record, ended = second.read()
    assert record == own
    assert ended is not None
    assert (ended.code, ended.by_signal) == (9, True)


def test_a_record_that_grew_long_is_not_used_again(root):
    for number in range(200):
        make(root, number, b"")
        files = root.files(OWNER, key(number))
        files.append(Record(run=files.name, pid=1, birth="x" * 100, started_at=0.0, workdir="/"))
        assert os.stat(files.record).st_size < 20_000
        root.remove(OWNER, files)


@pytest.mark.parametrize("what", ["a file", "a directory", "a link", "other rights", "nothing"])
def test_a_working_directory_that_is_not_as_new_is_not_used_again(root, tmp_path, what):
    make(root, 1, b"")
    work = Path(root.files(OWNER, key(1)).work)
    outside = tmp_path / "outside"
    outside.write_text("stays")
    match what:
        case "a file":
            (work / "left").write_text("behind")
        case "a directory":
            (work / "left" / "behind").mkdir(parents=True)
        case "a link":
            work.rmdir()
            work.symlink_to(tmp_path)
        case "other rights":
            work.chmod(0o755)
        case "nothing":
            work.rmdir()
    root.remove(OWNER, root.files(OWNER, key(1)))
    assert spares(root) == []
    assert outside.read_text() == "stays"
    make(root, 2, b"")
    assert os.listdir(root.files(OWNER, key(2)).work) == []


def spares(root: Root) -> list[Path]:
    return list(Path(root.path).rglob(".spare-*"))


def test_another_process_may_tidy_away_what_is_left_over(root, tmp_path):
    make(root, 1, b"")
    root.remove(OWNER, root.files(OWNER, key(1)))
    other = Root(tmp_path)
    other.files(OWNER, key(2))
    other.tidy()
    assert spares(root) == []
    make(root, 2, b"mine")
    assert Path(root.files(OWNER, key(2)).log).read_bytes() == b"mine"


def test_nothing_is_left_when_it_is_tidied_up(root, tmp_path):
    for number in range(3):
        make(root, number, b"x")
        root.remove(OWNER, root.files(OWNER, key(number)))
    root.tidy()
    assert list(tmp_path.iterdir()) == []
