"""How far something is, told to whoever waits for it: a bar on a terminal or in a notebook, or nothing.

Whoever works calls :meth:`Progress.update` as often as it likes; how often that is drawn is decided here.
Bars are made by tqdm, which is an extra and is imported when the first is shown.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import Final, Protocol, Self, TypeAlias

from minorch.errors import UsageError, brief

__all__ = ["Bar", "Progress", "ProgressLike", "show_progress"]

_SOON_S: Final = 1.0
"""A bar that nobody asked for shows only if it takes longer than this."""
_BETWEEN_S: Final = 0.1


class Progress:
    """Is told how far something is, and by default does nothing about it. Make yours from it.

    >>> class Plain(Progress):
    ...     def update(self, done, total, words=""):
    ...         print(f"{done} of {total}")
    >>> with Plain() as progress:
    ...     progress.update(3, 10)
    3 of 10
    """

    __slots__ = ()

    def update(self, done: int, total: int, words: str = "") -> None:
        """So much of so much is done.

        Args:
            done: how much is.
            total: how much there is, as far as is known; it may grow.
            words: what is being done, if there is something to say of it.
        """

    def close(self) -> None:
        """Nothing more will be told. It may be called twice."""

    @property
    def shown(self) -> bool:
        """Whether anybody looks; if not, there is no need to find out how far it is."""
        return type(self) is not Progress

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


ProgressLike: TypeAlias = bool | Progress | None
"""True: a bar. False: none. None: a bar where tqdm is installed and somebody watches. Or one of your own."""


class _Drawn(Protocol):
    """What is used of a bar of tqdm's."""

    n: float
    total: float | None
    start_t: float

    def set_postfix_str(self, s: str, refresh: bool) -> None: ...
    def refresh(self) -> object: ...
    def close(self) -> None: ...


class Bar(Progress):
    """Draws a bar, no more often than somebody can see.

    Args:
        make: makes it when it is to be seen for the first time; it is told how much there is to do.
        after_s: after so many seconds; what is over sooner has none.
        clock: the time, in seconds.
    """

    __slots__ = ("_bar", "_began_s", "_clock", "_closed", "_drawn_s", "_due_s", "_make")

    def __init__(
        self, make: Callable[[int], _Drawn], after_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._clock = clock
        self._began_s = clock()
        self._due_s = self._began_s + after_s
        self._drawn_s = -inf
        self._bar: _Drawn | None = None
        self._closed = False

    def update(self, done: int, total: int, words: str = "") -> None:
        """Draw it, unless it was drawn just now."""
        now_s = self._clock()
        if self._closed or now_s < self._due_s or now_s < self._drawn_s + _BETWEEN_S:
            return
        if self._bar is None:
            self._bar = self._make(total)
            self._bar.start_t -= now_s - self._began_s
        self._drawn_s = now_s
        self._bar.n, self._bar.total = done, total
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        """Take it away."""
        self._closed = True
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def show_progress(wanted: ProgressLike, what: str, unit: str) -> Progress:
    """Begin to show how far something is.

    Args:
        wanted: True: a bar, at once. None: one if tqdm is installed and there is a terminal or a notebook,
            after a second. False: none. A :class:`Progress` of one's own is given back.
        what: what is being done, in front of the bar.
        unit: what is counted: ``runs``.

    Raises:
        UsageError: a bar was asked for and tqdm is not installed; or *wanted* is none of these.
    """
    if isinstance(wanted, Progress):
        return wanted
    asked: object = wanted
    if asked is not None and not isinstance(asked, bool):
        raise UsageError(f"progress={brief(asked)}: True, False, None, or an object of minorch.Progress")
    if wanted is False or (wanted is None and not _watched()):
        return Progress()
    make = _maker(what, unit)
    if make is None:
        if wanted:
            raise UsageError('a progress bar needs tqdm: pip install "minorch[progress]"')
        return Progress()
    return Bar(make, 0.0 if wanted else _SOON_S)


def _watched() -> bool:
    """Whether what is written to standard error is shown to somebody as it comes."""
    if _in_notebook():
        return True
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # it was closed
        return False


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; as tqdm finds out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return "IPKernelApp" in (getattr(shell, "config", None) or ())


def _maker(what: str, unit: str) -> Callable[[int], _Drawn] | None:
    """What makes a bar of tqdm's; None: it is not installed."""
    try:
        with warnings.catch_warnings():  # in a notebook without widgets it says so, and draws text
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ImportError:
        return None

    def make(total: int) -> _Drawn:
        # tqdm would start a thread that looks after slow bars, and make a lock for several processes.
        quiet = type("Bar", (tqdm,), {"monitor_interval": 0, "_lock": threading.RLock()})
        bar: _Drawn = quiet(desc=what, unit=unit, total=total, leave=False, dynamic_ncols=True)
        return bar

    return make
