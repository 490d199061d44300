"""Files of runs that ended are used again, but never one that somebody still has open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minorch.contracts import Owner
from minorch.ids import RunKey
from minorch.runtimes.process.files import Root

OWNER = Owner("c" * 32, "n")


def key(number: int) -> RunKey:
    return RunKey(f"{number:032x}", 1, 1)


@pytest.fixture
def root(tmp_path) -> Root:
    return Root(tmp_path)


def make(root: Root, number: int, output: bytes) -> int:
    """A run's files with some output; gives the inode of its log."""
    files = root.files(OWNER, key(number))
    os.close(root.claim(OWNER, files))
    root.make_work(OWNER, files)
    log = root.create_log(OWNER, files)
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


def test_a_record_is_used_again_and_still_claimed_only_once(root):
    make(root, 1, b"")
    inode = os.stat(root.files(OWNER, key(1)).record).st_ino
    root.remove(OWNER, root.files(OWNER, key(1)))
    make(root, 2, b"")
    assert os.stat(root.files(OWNER, key(2)).record).st_ino == inode
    make(root, 3, b"")
    root.remove(OWNER, root.files(OWNER, key(3)))
    with pytest.raises(FileExistsError):
        root.claim(OWNER, root.files(OWNER, key(2)))


def test_nothing_is_left_when_it_is_tidied_up(root, tmp_path):
    for number in range(3):
        make(root, number, b"x")
        root.remove(OWNER, root.files(OWNER, key(number)))
    root.tidy()
    assert list(tmp_path.iterdir()) == []
