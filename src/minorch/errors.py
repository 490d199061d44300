"""Every error minorch raises, and whose fault each one is.

The class tells who has to act: :class:`UsageError` the caller, :class:`MessageError` a peer,
:class:`RuntimeFault` an engine or the operating system, :class:`StoreError` the disk,
:class:`PluginError` somebody's plugin, and :class:`InvariantError` us.  A task that fails is
data, not an exception, until somebody calls ``result()`` and gets a :class:`JobFailed`.

This module imports nothing from minorch, so everything may import it.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable
from typing import Final, Self, TypeVar

__all__ = [
    "ClusterClosed",
    "EngineUnavailable",
    "InvariantError",
    "JobFailed",
    "MessageError",
    "MinorchError",
    "NotFound",
    "PluginError",
    "PolicyError",
    "RuntimeFault",
    "SpecError",
    "StartFailed",
    "StoreCorrupt",
    "StoreError",
    "StoreFenced",
    "StoreLocked",
    "StoreVersionError",
    "TraceError",
    "UnknownPlugin",
    "UnschedulableError",
    "UsageError",
    "brief",
    "did_you_mean",
]


_LONGEST_SLIP: Final = 100
_MOST_COMPARED: Final = 2000


_T = TypeVar("_T")


def did_you_mean(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """Return ``'; did you mean "x"?'`` for the nearest of *known*, or an empty string.

    It takes milliseconds at most: of very many only the first are looked at, and nobody means a word of
    more than 100 characters.
    """
    if len(word) > _LONGEST_SLIP:
        return ""
    near = difflib.get_close_matches(
        word, sorted(set(itertools.islice(known, _MOST_COMPARED))), n=1, cutoff=likeness
    )
    return f'; did you mean "{near[0]}"?' if near else ""


def of_kind(kind: type[_T], name: str, value: object) -> _T | None:
    """Return an argument that is of a kind, or None.

    Raises:
        UsageError: it is neither.
    """
    if value is None or isinstance(value, kind):
        return value
    hint = f"; write {value.__name__}()" if isinstance(value, type) else ""
    raise UsageError(f"{name}= takes {kind.__name__}(...), not {brief(value, 60)}{hint}")


def brief(value: object, most: int = 40) -> str:
    """Return the beginning of ``repr(value)``, for messages.

    Also of a number too long for Python to print: its ``repr`` raises from 4,300 digits on.
    """
    if isinstance(value, int) and value.bit_length() > 1024:
        return "an enormous number"
    return repr(value)[:most]


class MinorchError(Exception):
    """The root of all errors that minorch raises on purpose."""


class UsageError(MinorchError, ValueError):
    """The caller asked for something that cannot be; the message says what to write instead."""


class SpecError(UsageError):
    """A task, job, node or policy is not well formed.

    Attributes:
        path: where in the document the fault is, e.g. ``$.tasks[2].resources.memory``.
        problem: what is wrong there, without the path.
    """

    def __init__(self, problem: str, path: str = "$") -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.problem = problem
        self.path = path

    def below(self, prefix: str) -> Self:
        """Return this error as seen from a document that holds the faulty part at *prefix*."""
        inner = self.path[1:] if self.path.startswith("$") else f".{self.path}" if self.path else ""
        return type(self)(self.problem, f"{prefix}{inner}")

    def __reduce__(self) -> tuple[object, ...]:  # an exception is pickled by its message alone
        return (type(self), (self.problem, self.path), self.__dict__)


class TraceError(UsageError):
    """A file with a trace, or with nodes for a simulation, is not what it should be.

    Attributes:
        file: which file.
        line: which line of it, from 1, or which row of a database; None: it is about the whole file.
        problem: what is wrong there, without the place.
    """

    def __init__(self, problem: str, file: str, line: int | None = None) -> None:
        super().__init__(f"{file}{'' if line is None else f', line {line}'}: {problem}")
        self.problem = problem
        self.file = file
        self.line = line

    def __reduce__(self) -> tuple[object, ...]:  # as that of SpecError
        return (type(self), (self.problem, self.file, self.line), self.__dict__)


class UnschedulableError(UsageError):
    """No node of the cluster could hold a task even if the node were empty."""


class NotFound(UsageError, KeyError):
    """No job, task or node has this name or id."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class ClusterClosed(UsageError):
    """The cluster was closed; what was asked needs it running."""


class UnknownPlugin(UsageError):
    """No scheduler, runtime or store of that name is registered."""


class MessageError(MinorchError):
    """Bytes from a peer are no message: not JSON, too large, too deep, or of the wrong shape."""


class PluginError(MinorchError):
    """A plugin broke its contract; the message names the plugin and what it was working on."""


class RuntimeFault(MinorchError):
    """A runtime could not do what was asked."""


class EngineUnavailable(RuntimeFault):
    """The engine cannot be reached or does not answer, so nothing is known about its tasks."""


class StartFailed(RuntimeFault):
    """A task could not be started, and certainly did not run.

    Attributes:
        reason: a :class:`minorch.Reason` value as text, such as ``"image_not_found"``.
        exit_code: what the engine gave as exit code (127: no such command), if any.
    """

    def __init__(self, message: str, *, reason: str = "start_failed", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.exit_code = exit_code


class PolicyError(StartFailed):
    """The worker's policy forbids what the task asks for (a host mount, a privilege, a device)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="forbidden")


class StoreError(MinorchError):
    """A store could not read or write."""


class StoreLocked(StoreError):
    """Another process has the store open for writing."""


class StoreFenced(StoreError):
    """Another manager leads: what this one wanted to write was refused, and it must end."""


class StoreCorrupt(StoreError):
    """The file is not a store, or its contents are damaged."""


class StoreVersionError(StoreError):
    """The store was written by a newer minorch than this one."""


class InvariantError(MinorchError):
    """A bug in minorch: a rule that must always hold did not. The message carries the task's story."""


class JobFailed(MinorchError):
    """Raised by ``result()`` for a job that did not complete; the message carries the evidence.

    Attributes:
        job: the job's name.
        state: the state the job ended in.
        failures: one line for each task that did not complete.
    """

    def __init__(self, job: str, state: str, failures: tuple[str, ...]) -> None:
        detail = "".join(f"\n  {line}" for line in failures)
        super().__init__(f'job "{job}" ended {state}{":" if failures else ""}{detail}')
        self.job = job
        self.state = state
        self.failures = failures

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.job, self.state, self.failures), self.__dict__)
