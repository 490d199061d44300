"""A picture in a notebook cell that is brought up to date in place, while the cluster goes on.

What is shown are the HTML views that clusters and jobs have anyway.  IPython is imported only when somebody
asks for a live view, and is no dependency.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import Final, Protocol, Self

from minorch.errors import MinorchError, UsageError, brief
from minorch.markup import note, tag

__all__ = ["LiveView", "Shown", "live"]

_LEAST_EVERY_S: Final = 0.1
_MOST_S: Final = 1e9
_PAUSE: Final = 9
"""A picture of a large cluster takes a while: at most a tenth of the time goes into making pictures."""
_JOIN_S: Final = 5.0


class Shown(Protocol):
    """What can be shown live: a cluster, a job, or whatever else has these two."""

    def _repr_html_(self) -> str: ...

    @property
    def settled(self) -> bool:
        """Whether nothing of it will change any more."""


class LiveView:
    """A picture that is brought up to date until what it shows is settled, it is closed, or time is over.

    It ends with the ``with`` block that it is given to.  Whoever interrupts a cell stops neither it nor the
    cluster.

    Args:
        shown: what is shown.
        show: puts HTML in the place of what it was given before.
        every_s: how long it waits between two pictures, in seconds.
        for_s: after how long it ends in any case, in seconds.
        clock: tells the time in seconds, from any beginning.
    """

    def __init__(
        self,
        shown: Shown,
        show: Callable[[str], object],
        *,
        every_s: float,
        for_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shown = shown
        self._show = show
        self._every_s = every_s
        self._for_s = for_s
        self._clock = clock
        self._until = clock() + for_s
        self._latest = ""
        self._ending = threading.Event()
        self._turning = threading.Lock()
        self._thread = threading.Thread(target=self._keep_up, name="minorch-live", daemon=True)

    def start(self) -> None:
        """Bring it up to date from now on, in a thread of its own."""
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether it is not brought up to date any more."""
        return self._ending.is_set()

    def close(self) -> None:
        """End it. The last picture stays, and says that it is the last. Closing twice is fine."""
        self._turn("closed")
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def turn(self) -> None:
        """Bring it up to date once."""
        if self._clock() >= self._until:
            self._turn(f"{self._for_s:g} s are over")
        else:
            self._turn("")

    def _turn(self, why: str) -> None:
        with self._turning:
            if self.closed:
                return
            settled = self._shown.settled  # asked first: the picture after that is the final one
            try:
                picture = self._shown._repr_html_()
            except MinorchError as error:  # such as a job that was forgotten meanwhile
                picture, why = self._latest, str(error)
            if why or settled:
                self._ending.set()
            elif picture == self._latest:
                return
            self._latest = picture
            words = f"not brought up to date any more: {why}" if why else ""
            words = words or ("" if settled else f"brought up to date every {self._every_s:g} s")
            self._show(picture + tag("div", note(words), class_="minorch"))

    def _keep_up(self) -> None:
        took_s = 0.0
        while not self._ending.wait(max(self._every_s, _PAUSE * took_s)):
            began = self._clock()
            self.turn()
            took_s = self._clock() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LiveView of {self._shown!r}{', closed' if self.closed else ''}>"

    def _ipython_display_(self) -> None:
        """Show nothing, where it is the last line of a cell: it is shown already."""


def live(shown: Shown, *, every_s: float = 1.0, for_s: float = 3600.0) -> LiveView:
    """Show a cluster or a job in this notebook cell, and bring the picture up to date in place.

    It returns at once, and ends when the cluster is closed or the job is over, with
    :meth:`LiveView.close`, or after *for_s*.  Several cells may show the same.

    Args:
        shown: a :class:`~minorch.Cluster` or a job that was submitted.
        every_s: how long it waits between two pictures, in seconds; at least 0.1.
        for_s: after how long it ends in any case, in seconds.

    Raises:
        UsageError: this is no notebook, or an argument makes no sense.
    """
    if isinstance(shown, type) or not (hasattr(shown, "_repr_html_") and hasattr(shown, "settled")):
        raise UsageError(f"live() shows a cluster or a job that was submitted, not {brief(shown, 60)}")
    _check_time("every_s", every_s, _LEAST_EVERY_S)
    _check_time("for_s", for_s, 0.0)
    view = LiveView(shown, _place(), every_s=every_s, for_s=for_s)
    view.turn()
    if not view.closed:
        view.start()
    return view


def _check_time(name: str, value: object, least: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= _MOST_S:
        raise UsageError(f"{name}={brief(value)} is no time in seconds of {least:g} to {_MOST_S:g}")


def _place() -> Callable[[str], object]:
    """Return what shows HTML below this cell, and from then on in the place of what it showed before."""
    instead = "print(cluster.table()) and print(job.table()) show the same as text"
    try:
        shell = import_module("IPython").get_ipython()
        display = import_module("IPython.display")
    except ImportError:
        raise UsageError(f"live() is for notebooks, and IPython is not installed here; {instead}") from None
    if not hasattr(shell, "kernel"):
        raise UsageError(f"live() is for notebooks, and this program is not run by one; {instead}")
    handle = display.DisplayHandle()
    begun = False

    def show(picture: str) -> None:
        nonlocal begun
        (handle.update if begun else handle.display)(display.HTML(picture))
        begun = True

    return show
