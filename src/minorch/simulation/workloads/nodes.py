"""Nodes for simulations: many alike, mixes of kinds, and such as are listed in a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final

from minorch.errors import SpecError, TraceError, UsageError, brief, did_you_mean
from minorch.model import Node
from minorch.resources import Resources
from minorch.simulation.workloads.files import PathLike, read_text

__all__ = ["load_nodes", "mixed", "uniform"]

_MOST_NODES: Final = 1_000_000
_MOST_TASKS: Final = 1000
"""A simulation is to be limited by what nodes have, not by how many tasks they may take."""
_COLUMNS: Final = ("name", "cpu", "memory", "disk", "max_tasks", "taints", "count")
_LABEL: Final = "label."
_NUMBERS: Final = ("max_tasks", "count")


def uniform(
    count: int,
    *,
    cpu: float | str = 0,
    memory: int | float | str = 0,
    disk: int | float | str = 0,
    prefix: str = "node",
    labels: Mapping[str, str] | None = None,
    taints: Sequence[str] = (),
    max_tasks: int = _MOST_TASKS,
    **custom: float,
) -> list[Node]:
    """Nodes that are all alike: ``uniform(1000, cpu=32, memory="128GiB")``. Lists of nodes can be added.

    Args:
        count: how many.
        cpu: cores of each, as a number or text (``"500m"``).
        memory: bytes of each, or text (``"128GiB"``).
        disk: the same.
        prefix: what their names begin with; a number follows.
        labels: of each.
        taints: of each.
        max_tasks: how many tasks each may have at the same time.
        custom: amounts of resources of your own, such as ``gpu=8``.

    Raises:
        UsageError: an argument makes no sense.

    >>> nodes = uniform(2, cpu=4, memory="8GiB") + uniform(1, cpu=64, memory="1TiB", prefix="big")
    >>> [node.name for node in nodes]
    ['node-0', 'node-1', 'big-0']
    """
    capacity = Resources(cpu=cpu, memory=memory, disk=disk, **custom)
    _check_count(count)
    width = len(str(max(0, count - 1)))
    return [
        Node(
            f"{prefix}-{number:0{width}d}",
            capacity=capacity,
            labels=labels or {},
            taints=taints,
            max_tasks=max_tasks,
        )
        for number in range(count)
    ]


def mixed(
    count: int,
    kinds: Mapping[str, tuple[float, Resources]],
    *,
    seed: int = 0,
    max_tasks: int = _MOST_TASKS,
) -> list[Node]:
    """Nodes of several kinds, in an order that is drawn.

    How many there are of each kind is not drawn: its share of *count*, rounded so that they add up.

    Args:
        count: how many in all.
        kinds: by name, the share of it in relation to the others, and what such a node has. Nodes are named
            after their kind, and have it as a label: ``kind``.
        seed: what their order is drawn from.
        max_tasks: how many tasks each may have at the same time.

    Raises:
        UsageError: an argument makes no sense.

    >>> kinds = {"small": (3, Resources(cpu=8, memory="32GiB")), "big": (1, Resources(cpu=64, memory="1TiB"))}
    >>> sorted(node.name for node in mixed(4, kinds))
    ['big-0', 'small-0', 'small-1', 'small-2']
    """
    _check_count(count)
    shares = [share for share, _ in kinds.values()]
    if not shares or not all(0 <= share < float("inf") for share in shares) or not sum(shares):
        raise UsageError(
            f"the shares of kinds are numbers from 0, and one is above 0, not {brief(shares, 80)}"
        )
    nodes = [
        node
        for (name, (_, capacity)), number in zip(kinds.items(), _apportion(count, shares), strict=True)
        for node in _of_kind(name, number, capacity, max_tasks)
    ]
    Random(seed).shuffle(nodes)
    return nodes


def _of_kind(name: str, count: int, capacity: Resources, max_tasks: int) -> Iterator[Node]:
    width = len(str(max(0, count - 1)))
    for number in range(count):
        yield Node(
            f"{name}-{number:0{width}d}", capacity=capacity, labels={"kind": name}, max_tasks=max_tasks
        )


def _apportion(count: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers that add up to *count*, by largest remainder."""
    exact = [count * share / sum(shares) for share in shares]
    whole = [int(one) for one in exact]
    order = sorted(range(len(shares)), key=lambda at: (whole[at] - exact[at], at))
    for at in order[: count - sum(whole)]:
        whole[at] += 1
    return whole


def _check_count(count: int) -> None:
    given: object = count
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= _MOST_NODES:
        raise UsageError(f"{brief(given)} nodes: it is a number from 0 to {_MOST_NODES:,}")


def load_nodes(path: PathLike) -> list[Node]:
    """Read nodes from a CSV or JSON file, which may be packed with gzip.

    A CSV file begins with a line of names.  ``name`` is needed; ``cpu`` (cores), ``memory`` and ``disk``
    (bytes, or text such as ``128GiB``), ``max_tasks``, ``taints`` (separated by blanks) and ``label.KEY`` may
    follow, in any order.  With ``count``, a row stands for so many nodes, and ``-0``, ``-1``, ... is added to
    its name.  Any other column is a resource of your own, such as ``gpu``.  An empty cell is as no cell.

    A JSON file holds a list of objects, as ``node.to_dict()`` gives them:
    ``[{"name": "a", "capacity": {"cpu": 32, "memory": "128GiB"}, "labels": {"zone": "n"}}]``.

    Args:
        path: the file. What it holds is seen from its contents.

    Raises:
        TraceError: with file and line, or the place in the JSON document.
        OSError: it cannot be opened.
    """
    text = read_text(path)
    read = _from_json if text.lstrip()[:1] in ("[", "{") else _from_csv
    if not text.strip():
        raise TraceError("there is no node in it", str(path))
    nodes: list[Node] = []
    lines: dict[str, int | None] = {}
    for line, node in read(Path(path), text):
        if node.name in lines:
            before = lines[node.name]
            where = "" if before is None else f", on line {before} too"
            raise TraceError(f'two nodes are called "{node.name}"{where}', str(path), line)
        if len(nodes) >= _MOST_NODES:
            raise TraceError(f"there are more than {_MOST_NODES:,} nodes", str(path), line)
        lines[node.name] = line
        nodes.append(node)
    if not nodes:
        raise TraceError("there is no node in it", str(path))
    return nodes


def _from_json(path: Path, text: str) -> Iterator[tuple[int | None, Node]]:
    try:
        listed = json.loads(text)
    except json.JSONDecodeError as error:
        raise TraceError(f"this is no JSON: {error.msg}", str(path), error.lineno) from None
    except (RecursionError, ValueError):
        raise TraceError("this is no list of nodes", str(path)) from None
    if not isinstance(listed, list):
        raise TraceError('expected a list of nodes: [{"name": "a", "capacity": {"cpu": 4}}]', str(path))
    for number, one in enumerate(listed):
        try:
            yield None, Node.from_dict({"max_tasks": _MOST_TASKS, **one} if isinstance(one, dict) else one)
        except SpecError as error:
            raise TraceError(str(error.below(f"$[{number}]")), str(path)) from None


def _from_csv(path: Path, text: str) -> Iterator[tuple[int | None, Node]]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        heading = [name.strip() for name in next(rows, [])]
        _check_heading(path, heading)
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) > len(heading):
                raise TraceError(f"{len(row)} cells under {len(heading)} names", str(path), rows.line_num)
            cells = {name: cell.strip() for name, cell in zip(heading, row, strict=False) if cell.strip()}
            try:
                for node in _of_row(cells):
                    yield rows.line_num, node
            except UsageError as error:
                raise TraceError(str(error), str(path), rows.line_num) from None
    except csv.Error as error:
        raise TraceError(f"this is no CSV: {error}", str(path), rows.line_num) from None


def _check_heading(path: Path, heading: Sequence[str]) -> None:
    if "name" not in heading:
        raise TraceError(
            f"the first line names the columns, one of them name; it is {brief(','.join(heading), 60)}",
            str(path),
            1,
        )
    for at, name in enumerate(heading):
        if name in heading[:at]:
            raise TraceError(f'two columns are called "{name}"', str(path), 1)
        if name not in _COLUMNS and not name.startswith(_LABEL):
            try:
                Resources(**{name: 1})
            except SpecError:
                meant = did_you_mean(name, _COLUMNS) or "; a label is a column such as label.zone"
                raise TraceError(f'"{name[:70]}" is no column of nodes{meant}', str(path), 1) from None


def _of_row(cells: Mapping[str, str]) -> Iterator[Node]:
    amounts: dict[str, float | str] = {}
    labels: dict[str, str] = {}
    numbers = {"max_tasks": _MOST_TASKS, "count": 1}
    for column, cell in cells.items():
        if column.startswith(_LABEL):
            labels[column.removeprefix(_LABEL)] = cell
        elif column in _NUMBERS:
            if not (cell.isascii() and cell.isdigit() and len(cell) < 10):
                raise UsageError(f"{column} is {brief(cell)}, and not a whole number")
            numbers[column] = int(cell)
        elif column in ("cpu", "memory", "disk"):
            amounts[column] = cell
        elif column not in _COLUMNS:
            try:
                amounts[column] = float(cell)
            except ValueError:
                raise UsageError(f"{column} is {brief(cell)}, and not a number") from None
    _check_count(numbers["count"])
    capacity = Resources(**amounts)  # type: ignore[arg-type]
    for number in range(numbers["count"]):
        yield Node(
            f"{cells.get('name', '')}-{number}" if "count" in cells else cells.get("name", ""),
            capacity=capacity,
            labels=labels,
            taints=cells.get("taints", "").split(),
            max_tasks=numbers["max_tasks"],
        )
