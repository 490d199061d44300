"""What a simulated world is like: how long things take, and what goes wrong. By default nothing does.

Whoever simulates overrides what is to be otherwise.  Everything that is drawn at random is drawn here, so a
world with the same conditions goes the same way each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from minorch.contracts import Launch, RunStatus
from minorch.messages import Assign, Report
from minorch.model import NodeStats
from minorch.simulation.driver.agenda import Agenda, Clock
from minorch.states import Reason
from minorch.worker import Action, Probe

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AT_ONCE", "Commit", "Conditions", "Fate", "Interrupted", "Outcome"]


Interrupted = Literal["started", "created", "dropped"]
"""A start whose worker or engine died: it goes on, what is made is never started, or it never gets there."""


class Fate(NamedTuple):
    """What becomes of something that a worker asks of its engine."""

    happens_after_s: float | None = 0.0
    """After how long it takes effect; None: it never does."""
    answered_after_s: float = 0.0
    """After how long the worker knows; sooner than it happens means when it has happened."""
    reached: bool = True
    """Whether the worker gets the engine's answer; otherwise it only knows that there was none."""
    refusal: Reason | None = None
    """For a start: why it is refused; None: it is not."""
    waits: bool = True
    """For a start: whether it waits until it happens, and can be called off; or is under way already."""
    made: bool = False
    """For a start that the engine does not answer: whether the container is there at once, and only its start
    comes late. If not, it is made late and never started, since nobody asks for that any more."""
    preparing: bool = False
    """For a start that never happens and that the engine does not answer: whether what did not answer came
    before anything was made, such as a pull of the image."""


AT_ONCE: Final = Fate()
"""It happens and is answered at once. Whoever gives just this one saves the engine work."""


class Outcome(NamedTuple):
    """How a run goes, if nobody ends it."""

    lasts_s: float | None = 0.0
    """After how long it ends by itself; None: it never does."""
    exit_code: int | None = 0
    reason: Reason = Reason.EXITED


class Commit(NamedTuple):
    """What becomes of a transaction."""

    takes_s: float = 0.0
    fails: bool = False
    """Whether nothing of it is written, and the store says so."""


class Conditions:
    """A world in which nothing takes time and nothing goes wrong."""

    prompt: bool = False
    """Whether what takes no time is done at once, before anything else that is due at the same moment, and
    what is in no hurry waits for a turn that something else makes necessary: signs of life, and removals.

    That is several times faster, and leaves out orders of events that only matter to those who look for
    faults.
    """

    def clock(self, agenda: Agenda, process: str) -> Clock:
        """The clock of a process: of ``manager`` or of the worker on a node, by the node's name."""
        return Clock(agenda)

    def pause_s(self, process: str) -> float:
        """How long a process waits, when something has come for it, before it looks."""
        return 0.0

    def arrivals_s(self, message: Assign | Report) -> Sequence[float]:
        """After how long each copy of a message arrives; none: it is lost."""
        return (0.0,)

    def commit(self) -> Commit:
        """What becomes of the next transaction."""
        return Commit()

    def fate(self, node: str, action: Action) -> Fate:
        """What becomes of what the worker on a node asks of its engine."""
        return AT_ONCE

    def interrupted(self, node: str, launch: Launch) -> Interrupted:
        """What becomes of a start that is under way when its worker or its engine dies."""
        return "started"

    def forgets(self, node: str, launch: Launch) -> bool:
        """Whether a start that is under way when its engine dies is carried out and then forgotten.

        What becomes of the others, :meth:`interrupted` says; none of them runs.
        """
        return False

    def outcome(self, node: str, launch: Launch) -> Outcome:
        """How a run goes that begins now."""
        return Outcome()

    def obeys_after_s(self, node: str, status: RunStatus) -> float | None:
        """How long a run takes to end when it is asked to; None: it does not care and has to be killed."""
        return 0.0

    def notice_after_s(self, node: str, status: RunStatus) -> float | None:
        """How long it takes until the worker is told that a run has ended; None: it never is."""
        return 0.0

    def measured(self, node: str) -> NodeStats | None:
        """What a worker measures on its machine; None: it cannot."""
        return None

    def healthy(self, node: str, probe: Probe) -> bool:
        """What a health check says."""
        return True
