"""Read a module's imports from its source, and hold them against the layers.

Everything counts: imports inside functions, inside ``try`` and under ``if TYPE_CHECKING``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("ids", "markup"),
    ("resources", "states"),
    ("model",),
    ("contracts", "messages"),
    ("state",),
    ("decisions", "scheduling"),
    ("plugins",),
    ("manager", "progress", "runtimes.*", "schedulers.*", "stores.*", "worker"),
    ("builtins", "cluster", "drivers", "notebook", "plot", "simulation", "testing"),
)
"""Bottom to top. ``x.*`` means that each module directly in the package ``x`` is a unit of its own."""

ASIDE: dict[tuple[str, str], str] = {
    ("cluster", "builtins"): "a cluster offers the built-in plugins unless it is given a registry",
    ("simulation", "builtins"): "so does a simulation",
    ("plot", "simulation"): "plots show results of simulations",
    ("runtimes.swarm", "runtimes.docker"): "a Swarm is made of Docker Engines, and asked through one of them",
    ("cluster", "drivers"): "a cluster is a manager, its workers and a driver wired together",
}
"""Imports within one layer that are allowed all the same, and why."""

IO_MODULES = frozenset(
    {
        *("asyncio", "concurrent", "multiprocessing", "threading"),
        *("ctypes", "fcntl", "io", "os", "pathlib", "psutil", "shutil", "signal", "subprocess", "tempfile"),
        *("docker", "http", "requests", "select", "selectors", "socket", "socketserver", "ssl"),
        *("psycopg", "sqlite3", "urllib", "urllib3"),
        *("random", "secrets", "time", "uuid"),
    }
)
"""What the core must not touch: clocks, randomness, threads, sockets, files, processes."""

TYPES_ONLY = frozenset({"random"})
"""May be imported under ``if TYPE_CHECKING``: the core takes a ``random.Random`` as an argument."""

READ_AT_RUN_TIME = {"scheduling.view": frozenset({"random.Random"})}
"""The same where ``help()`` needs it: a signature of msgspec's has every annotation evaluated."""

MAY_DO_IO = ("progress", "runtimes", "stores", *LAYERS[-1])


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """One imported name: the full dotted name, its line, and whether only type checkers see it."""

    name: str
    line: int
    for_types: bool


def imports_of(source: str, module: str, *, is_package: bool = False) -> list[Import]:
    """Every import of a module, as absolute names; ``from a import b`` gives ``a.b``."""
    tree = ast.parse(source)
    typed = {id(node) for node in nodes_for_types(tree)}
    return sorted(
        Import(name, node.lineno, id(node) in typed)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported_names(node, module, is_package)
    )


def nodes_for_types(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node in the body of an ``if TYPE_CHECKING:``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for statement in node.body:
                yield from ast.walk(statement)


def imported_names(node: ast.Import | ast.ImportFrom, module: str, is_package: bool) -> Iterator[str]:
    """The absolute names that one statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    else:
        base = node.module or ""
        if node.level:
            package = module.split(".") if is_package else module.split(".")[:-1]
            package = package[: len(package) - (node.level - 1)]
            base = ".".join([*package, base] if base else package)
        yield from (f"{base}.{alias.name}" for alias in node.names)


def unit_of(module: str) -> str | None:
    """The unit of a module below ``minorch``: ``manager.core`` is in ``manager``; ``None`` if in no layer."""
    parts = module.split(".")
    for layer in LAYERS:
        for unit in layer:
            if unit == parts[0]:
                return unit
            if unit == f"{parts[0]}.*":
                return ".".join(parts[:2])
    return None


def level_of(unit: str) -> int:
    """How high a unit lies, from 0."""
    wanted = {unit, f"{unit.split('.')[0]}.*"}
    return next(level for level, layer in enumerate(LAYERS) if wanted & set(layer))


def modules_in(root: Path) -> dict[str, Path]:
    """Every module of a source tree whose top package is ``root``, by dotted name without the top package."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = list(path.relative_to(root).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


def layer_faults(module: str, imports: list[Import], modules: Set[str]) -> list[str]:
    """What is wrong with a module's imports of its own package, one sentence each."""
    if not module:
        return []  # minorch/__init__.py gathers the public names of every layer
    unit = unit_of(module)
    if unit is None:
        return [
            f"minorch.{module}: no layer names {module.split('.')[0]!r}: say which layer it is in (LAYERS)"
        ]
    faults = []
    for found in imports:
        if found.name.split(".")[0] != "minorch":
            continue
        target = longest_module(found.name.removeprefix("minorch").lstrip("."), modules)
        if fault := import_fault(module, unit, target):
            faults.append(f"minorch.{module}:{found.line} {fault}")
    return faults


def longest_module(name: str, modules: Set[str]) -> str:
    """The module that a dotted name lies in: ``ids.TaskId`` is in ``ids``; the empty name is the package."""
    parts = name.split(".")
    while parts and ".".join(parts) not in modules:
        parts.pop()
    return ".".join(parts)


def import_fault(module: str, unit: str, target: str) -> str | None:
    """Why a module may not import another of the package, or ``None``."""
    if not target:
        return "imports from minorch itself: import from the module that defines the name"
    other = unit_of(target)
    if other is None or other == unit or (unit, other) in ASIDE or is_table_of(module, target):
        return None  # a target that no layer names is reported where it is defined
    if level_of(other) > level_of(unit):
        return f"imports minorch.{target}, which lies above it"
    if level_of(other) == level_of(unit):
        return f"imports minorch.{target}, which lies beside it in the same layer"
    return None


def is_table_of(module: str, target: str) -> bool:
    """Whether a package such as ``schedulers`` imports its own modules, to list them."""
    return f"{module}.*" in {unit for layer in LAYERS for unit in layer} and target.startswith(f"{module}.")


def io_faults(module: str, imports: list[Import]) -> list[str]:
    """What a module of the core imports that it must be given instead, one sentence each."""
    if not module or module.split(".")[0] in MAY_DO_IO:
        return []
    faults = []
    for found in imports:
        top = found.name.split(".")[0]
        typing = (found.for_types and top in TYPES_ONLY) or found.name in READ_AT_RUN_TIME.get(module, ())
        if top in IO_MODULES and not typing:
            faults.append(
                f"minorch.{module}:{found.line} imports {top}: the core is given time, chance and I/O"
            )
    return faults
