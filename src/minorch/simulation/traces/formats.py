"""Telling formats of traces apart by how they begin, so that an error can name the function for it."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from minorch.errors import TraceError
from minorch.simulation.traces.lines import Malformed
from minorch.simulation.workloads.files import PathLike, is_gzip, read_lines

__all__ = ["cells", "check_format", "header_of"]

_INT: Final = r"-?\d+"
_NUMBER: Final = r"-?\d+(?:\.\d*)?"
_LOOKS: Final[Sequence[tuple[str, str, str, re.Pattern[str]]]] = (
    # name of the format, what the file is, the function that reads it, how its first line looks
    ("openb-pods", "an openb list of pods", "load_openb", re.compile(r"name,cpu_milli,memory_mib,num_gpu\b")),
    ("openb-nodes", "an openb list of nodes", "load_openb(pods, nodes)", re.compile(r"sn,cpu_milli,")),
    ("events", "a recording of minorch's events", "load_events", re.compile(r'\{"minorch":')),
    (
        "google-tasks",
        "a Google 2011 task_events file",
        "load_google2011",
        re.compile(r"\d+,\d*,\d+,\d+,\d*,[0-8],[^,]*,\d*,\d*,[^,]*,[^,]*,[^,]*,[01]?$"),
    ),
    (
        "google-machines",
        "a Google 2011 machine_events file",
        "load_google2011(task_events, machine_events)",
        re.compile(rf"\d+,\d+,[012],[^,]*,(?:{_NUMBER})?,(?:{_NUMBER})?$"),
    ),
    (
        "alibaba-tasks",
        "a batch_task file of Alibaba 2018",
        "load_alibaba2018",
        re.compile(rf"[^,]+,\d*,j_\d+,[^,]*,[A-Za-z]+,{_INT},{_INT},[^,]*,[^,]*$"),
    ),
    (
        "alibaba-instances",
        "a batch_instance file of Alibaba 2018",
        "load_alibaba2018 with the batch_task file",
        re.compile(rf"[^,]+,[^,]+,j_\d+,[^,]*,[A-Za-z]+,{_INT},{_INT},m_\d+,"),
    ),
    (
        "alibaba-machines",
        "a machine_meta file of Alibaba 2018",
        "load_alibaba2018(batch_task, machine_meta)",
        re.compile(rf"m_\d+,{_INT},[^,]*,[^,]*,{_INT},{_NUMBER},[A-Z]+$"),
    ),
    (
        "swf",
        "a file in the Standard Workload Format",
        "load_swf",
        re.compile(rf";|{_NUMBER}(?:\s+{_NUMBER}){{17}}$"),
    ),
)
_MAGIC: Final[Sequence[tuple[bytes, str, str, str]]] = (
    (b"SQLite format 3\0", "azure", "an SQLite database", "load_azure2020 if it is the Azure packing trace"),
    (b"PK\x03\x04", "zip", "a zip archive", "the file that is in it"),
    (b"PAR1", "parquet", "a Parquet file", "a file of text"),
)


def cells(line: str) -> list[str]:
    """A line of CSV, taken apart; a cell goes over no end of line.

    Raises:
        Malformed: it cannot be.
    """
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line]), [])
    except csv.Error as error:
        raise Malformed(f"this is no line of CSV: {error}") from None


def _pass(line: int, words: str) -> None:
    """What is no text is told when it is read in earnest."""


def header_of(path: PathLike) -> bytes:
    """The first bytes of a file as it is on the disk."""
    with Path(path).open("rb") as file:
        return file.read(16)


def check_format(path: PathLike, format_name: str, *, comment: str = "") -> list[str]:
    """See that a file of text can be opened, is not empty and does not look like another format.

    Args:
        path: the file.
        format_name: as what it is to be read.
        comment: what lines of comment begin with; they are read past and returned, but at most 1,000.

    Raises:
        TraceError: it is empty, or of another format that is known.
        OSError: it cannot be opened or read.
    """
    if not is_gzip(path):
        head = header_of(path)
        for magic, _, what, use in _MAGIC:
            if head.startswith(magic):
                raise TraceError(f"this looks like {what}; use {use}", str(path))
    comments: list[str] = []
    for line, text in read_lines(path, _pass):
        if comment and text.startswith(comment):
            if len(comments) < 1000:
                comments.append(text)
            continue
        looks = next((each for each in _LOOKS if each[3].match(text)), None)
        if looks is not None and looks[0] != format_name:
            raise TraceError(f"this looks like {looks[1]}; use {looks[2]}", str(path), line)
        return comments
    raise TraceError("the trace is empty: there is no line with data in it", str(path))
