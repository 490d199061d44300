"""A result as JSON and back, and as one number that stands for all of it.

The document has columns as the ledger has: ``tasks`` and ``runs`` are objects of arrays.  It is written piece
by piece, so that a million tasks need little memory.  A time that there is none of is null, and so is the
duration of a task that runs until it is stopped.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import sys
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

import msgspec

from minorch.errors import InvariantError, SpecError, UsageError, brief
from minorch.model import Node
from minorch.model.base import decode_hook, encode_hook
from minorch.resources import Resources
from minorch.simulation.results.conservation import check_columns
from minorch.simulation.results.ledger import ENDINGS, REASONS, Column, Ending, Fault, Ledger
from minorch.states import Reason

if TYPE_CHECKING:
    from minorch.simulation.results.result import SimulationResult

__all__ = ["FORMAT", "VERSION", "Archived", "digest", "pieces", "read", "read_file", "write_file"]

FORMAT: Final = "minorch simulation result"
VERSION: Final = 1
_CHUNK: Final = 65536
"""So many figures are written at a time."""

_V = TypeVar("_V")
_Kind = Literal["text", "ending", "reason", "time", "duration", "number"]
_TASKS: Final[Mapping[str, tuple[str, _Kind]]] = {
    "job": ("job", "text"),
    "task": ("task", "text"),
    "arrived_s": ("arrived_s", "time"),
    "started_s": ("started_s", "time"),
    "finished_s": ("finished_s", "time"),
    "ending": ("ending", "ending"),
    "reason": ("reason", "reason"),
    "duration_s": ("duration_s", "duration"),
    "requested": ("requested", "number"),
    "used": ("used", "number"),
}
"""By the name of a column in the document: what it is in the ledger, and what it holds."""
_RUNS: Final[Mapping[str, tuple[str, _Kind]]] = {
    "task": ("run_task", "number"),
    "node": ("run_node", "number"),
    "began_s": ("run_began_s", "time"),
    "ended_s": ("run_ended_s", "time"),
}
_WORDS: Final[Mapping[_Kind, Sequence[object]]] = {"ending": ENDINGS, "reason": REASONS}
_ENDING_NUMBERS: Final = {ending: number for number, ending in enumerate(ENDINGS)}
_REASON_NUMBERS: Final = {reason: number for number, reason in enumerate(REASONS)}


class Archived(NamedTuple):
    """What is read from a document: a ledger, and whatever else a result is made of."""

    ledger: Ledger
    about: About


class About(msgspec.Struct, frozen=True, kw_only=True):
    """A result without its ledger."""

    scheduler: str
    seed: int
    ended_s: float
    counts: dict[str, int]
    faults: list[Fault]
    refusals: list[str]
    plugin_errors: list[str]
    wall_s: float
    planning_s: float


class _Document(About, frozen=True, kw_only=True):
    nodes: list[Node]
    shapes: list[Resources]
    tasks: dict[str, msgspec.Raw]
    runs: dict[str, msgspec.Raw]


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    format: str = ""
    version: int = 0


# -- writing ------------------------------------------------------------------------------------


def pieces(result: SimulationResult) -> Iterator[bytes]:
    """The document of a result, piece by piece."""
    ledger, about = result.ledger, _about(result)
    yield b'{"format":' + _encode(FORMAT) + b',"version":' + _encode(VERSION)
    for name in About.__struct_fields__:
        yield b",\n" + _encode(name) + b":" + _encode(getattr(about, name))
    yield b',\n"nodes":'
    yield from _array(ledger.nodes)
    yield b',\n"shapes":'
    yield from _array(ledger.shapes)
    for table, columns in (("tasks", _TASKS), ("runs", _RUNS)):
        yield b",\n" + _encode(table) + b":{"
        for at, (name, (attribute, kind)) in enumerate(columns.items()):
            yield (b",\n" if at else b"\n") + _encode(name) + b":"
            column = getattr(ledger, attribute)
            yield from _array(column, _WORDS[kind].__getitem__ if kind in _WORDS else None)
        yield b"}"
    yield b"}\n"


def write_file(result: SimulationResult, path: str | os.PathLike[str]) -> None:
    """Write the document to a file, packed if its name ends in ``.gz``; the same result gives the same bytes.

    Raises:
        OSError: the file cannot be written.
    """
    with open(path, "wb") as file:
        if not os.fspath(path).endswith(".gz"):
            file.writelines(pieces(result))
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as packed:
            packed.writelines(pieces(result))


def digest(result: SimulationResult) -> str:
    """A number, as 64 hexadecimal digits, that is the same for results that are the same bit for bit.

    Everything counts but how long it took in real time.
    """
    ledger, about = result.ledger, _about(result)
    # Field by field: a Node leaves out what is at its default, and takes a copy of that for something else.
    nodes = [msgspec.structs.astuple(node) for node in ledger.nodes]
    found = hashlib.sha256(_encode([VERSION, nodes, ledger.shapes]))
    found.update(_encode(msgspec.structs.replace(about, wall_s=0.0, planning_s=0.0)))
    for columns in (_TASKS, _RUNS):
        for attribute, kind in columns.values():
            column = getattr(ledger, attribute)
            for at in range(0, len(column), _CHUNK):
                found.update(_bytes(column[at : at + _CHUNK], kind))
    return found.hexdigest()


def _bytes(column: Sequence[object], kind: _Kind) -> bytes:
    """Figures as they lie in the memory of most machines, names with what keeps them apart."""
    if kind == "text":
        return _encode(column)
    if isinstance(column, bytearray):
        return bytes(column)
    assert isinstance(column, array)
    figures = array("q", column) if kind == "number" else column  # a long has 8 bytes here, not everywhere
    if sys.byteorder == "big":
        figures.byteswap()
    return figures.tobytes()


def _about(result: SimulationResult) -> About:
    return About(
        scheduler=result.scheduler,
        seed=result.seed,
        ended_s=result.ended_s,
        counts=dict(sorted(result.counts.items())),
        faults=list(result.faults),
        refusals=list(result.refusals),
        plugin_errors=list(result.plugin_errors),
        wall_s=result.wall_s,
        planning_s=result.planning_s,
    )


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value, enc_hook=encode_hook)


def _array(values: Sequence[_V], shown: Callable[[_V], object] | None = None) -> Iterator[bytes]:
    """An array, some of it at a time. A number that is not finite is written as null."""
    yield b"["
    for at in range(0, len(values), _CHUNK):
        chunk = values[at : at + _CHUNK]
        yield (b"," if at else b"") + _encode(list(chunk if shown is None else map(shown, chunk)))[1:-1]
    yield b"]"


# -- reading ------------------------------------------------------------------------------------


def read_file(path: str | os.PathLike[str]) -> Archived:
    """Read what :func:`write_file` wrote.

    Raises:
        OSError: the file cannot be read.
        UsageError: it holds no result.
    """
    with open(path, "rb") as file:
        content = file.read()
    if content[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read()
        except (OSError, EOFError, zlib.error) as error:
            raise UsageError(f"{os.fspath(path)} is a damaged .gz file: {error}") from None
    return read(content)


def read(document: str | bytes) -> Archived:
    """Read a document.

    Raises:
        UsageError: it is none, or of a newer minorch, or does not add up; the message says where.
    """
    try:
        head = msgspec.json.decode(document, type=_Head)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UsageError(f"{brief(document[:40])} is no result of a simulation: {error}") from None
    if head.format != FORMAT:
        raise UsageError(f'this is no result of a simulation: its format is "{head.format[:40]}"')
    if head.version != VERSION:
        raise UsageError(
            f"this result was written by another minorch: it is of version {head.version}, "
            f"and this one reads version {VERSION}"
        )
    try:
        found = msgspec.json.decode(document, type=_Document, dec_hook=decode_hook)
        ledger = _ledger(found)
    except (msgspec.DecodeError, UnicodeError, SpecError, InvariantError, OverflowError) as error:
        raise UsageError(f"this result is damaged: {error}") from None
    return Archived(ledger, About(**{name: getattr(found, name) for name in About.__struct_fields__}))


def _ledger(found: _Document) -> Ledger:
    ledger = Ledger(found.nodes)
    for number, shape in enumerate(found.shapes):
        if ledger.shape(shape) != number:
            raise InvariantError(f"{shape} is there twice among the shapes")
    for table, raw, columns in (("tasks", found.tasks, _TASKS), ("runs", found.runs, _RUNS)):
        if absent := sorted(columns.keys() - raw.keys()):
            raise InvariantError(f"{table} have no {', '.join(absent)}")
        for name, (attribute, kind) in columns.items():
            try:
                setattr(ledger, attribute, _column(raw[name], kind))
            except msgspec.DecodeError as error:
                raise InvariantError(f"{table}.{name}: {error}") from None
    rows = len(ledger)
    ledger.runs, ledger.last_run = array("l", [0]) * rows, array("l", [-1]) * rows
    if not all(0 <= task < rows for task in ledger.run_task):
        raise InvariantError("runs.task holds the row of a task that is not there")
    for run, task in enumerate(ledger.run_task):
        ledger.runs[task] += 1
        ledger.last_run[task] = run
    over = (run for run, ended_s in enumerate(ledger.run_ended_s) if not math.isnan(ended_s))
    ledger.ends = array("l", sorted(over, key=ledger.run_ended_s.__getitem__))
    check_columns(ledger)
    return ledger


def _column(raw: msgspec.Raw, kind: _Kind) -> Column:
    match kind:
        case "text":
            return msgspec.json.decode(raw, type=list[str])
        case "ending":
            return bytearray(map(_ENDING_NUMBERS.__getitem__, msgspec.json.decode(raw, type=list[Ending])))
        case "reason":
            reasons = msgspec.json.decode(raw, type=list[Reason | None])
            return bytearray(map(_REASON_NUMBERS.__getitem__, reasons))
        case "time" | "duration":
            absent = math.nan if kind == "time" else math.inf
            times = msgspec.json.decode(raw, type=list[float | None])
            return array("d", (absent if time is None else time for time in times))
        case "number":
            return array("l", msgspec.json.decode(raw, type=list[int]))
