"""What clusters left running whose process is gone: finding it, telling it, and removing it when asked to.

A runtime finds what carries the marks of minorch; here it is judged, a cluster at a time.  A cluster that may
live is left out altogether: if one of its runs was started by a process that lives or by another user, or if
somebody shows that it is open.  If it cannot be told of one of them, it is not known of the cluster.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal, NamedTuple, overload

import msgspec

from minorch.builtins import default_registry
from minorch.cluster.tables import text_table
from minorch.contracts import FindsLeftovers, Made, Owner, RunPhase, Runtime
from minorch.drivers import Life, life_of, open_clusters
from minorch.errors import RuntimeFault, UsageError
from minorch.ids import RunKey
from minorch.markup import badge, note, table, view

__all__ = [
    "Leftover",
    "Leftovers",
    "Place",
    "Verdict",
    "find_leftovers",
    "kill_and_remove",
    "leftovers",
    "tell_of_leftovers",
    "where_to_look",
]

_log = logging.getLogger("minorch")

Verdict = Literal["dead", "durable", "unknown"]

_END_S: Final = 20.0
"""How long a killed run may take to be gone."""
_LOOK_S: Final = 0.02
_MOST_ROWS: Final = 20
_MOST_SHOWN: Final = 60
_NOUNS: Final = {"docker": "container", "process": "process"}
_WORDS: Final[dict[Verdict, str]] = {
    "dead": "of dead clusters",
    "durable": "of clusters that a store can bring back",
    "unknown": "of which nobody knows whether their cluster lives",
}


class Leftover(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One run that somebody left behind, as it was when it was looked for."""

    verdict: Verdict
    """``dead``: its cluster is gone for good. ``durable``: so is its process, but a cluster that is opened on
    the same store goes on with it. ``unknown``: whether its cluster lives cannot be told from here."""
    why: str
    """In words."""
    runtime: str
    """The name of the runtime that has it."""
    owner: Owner
    """The cluster and the node."""
    key: RunKey | None
    """Which run; None: there is none, only empty directories."""
    phase: RunPhase
    handle: str = ""
    """A container's full id, a process id."""
    job: str = ""
    task: str = ""

    @property
    def words(self) -> str:
        """What it is: ``container 3f2a9c1e0b7d``, ``process 4711``."""
        if self.key is None:
            return "directories"
        noun = _NOUNS.get(self.runtime, "run")
        return f"{noun} {self.handle[:12]}" if self.handle else noun


class Place(NamedTuple):
    """Where runs are looked for."""

    name: str
    make: Callable[[], Runtime]
    ours: bool
    """Whether what *make* returns is new, and to be closed."""


class Leftovers(Sequence[Leftover]):
    """What clusters left behind, in an order that stays; a slice of it is one too.

    >>> import tempfile
    >>> import minorch as mo
    >>> from minorch.runtimes.process import ProcessRuntime
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     left = mo.leftovers(ProcessRuntime(folder))
    >>> left, left.clean()
    (<Leftovers on process: none>, 0)
    """

    def __init__(self, found: Iterable[Leftover], places: Sequence[Place]) -> None:
        self._found = tuple(found)
        self._places = tuple(places)

    @overload
    def __getitem__(self, index: int) -> Leftover: ...
    @overload
    def __getitem__(self, index: slice) -> Leftovers: ...
    def __getitem__(self, index: int | slice) -> Leftover | Leftovers:
        if isinstance(index, slice):
            return Leftovers(self._found[index], self._places)
        return self._found[index]

    def __len__(self) -> int:
        return len(self._found)

    def of(self, cluster_id: str) -> Leftovers:
        """Those of one cluster.

        Args:
            cluster_id: its id, or as much of the end of it as a table shows.
        """
        kept = (one for one in self._found if cluster_id and one.owner.cluster_id.endswith(cluster_id))
        return Leftovers(kept, self._places)

    @property
    def dead(self) -> Leftovers:
        """Those of clusters that are gone for good: what :meth:`clean` removes unless told otherwise."""
        return Leftovers((one for one in self._found if one.verdict == "dead"), self._places)

    def clean(self, *, durable: bool = False, unknown: bool = False) -> int:
        """Kill and remove what clusters left behind that are gone for good, and no store brings back.

        Each is looked at again first: what belongs to a cluster that was opened meanwhile is left alone.

        Args:
            durable: also what a cluster would go on with that is opened on the same store. It finds them
                lost then.
            unknown: also what may belong to a cluster that lives, on another machine or in another
                container.

        Returns:
            How many were removed; what was gone already does not count.

        Raises:
            EngineUnavailable: the engine does not answer.
            RuntimeFault: some could not be removed; the message says why. The others were.
        """
        wanted = {"dead"} | ({"durable"} if durable else set()) | ({"unknown"} if unknown else set())
        chosen = [one for one in self._found if one.verdict in wanted]
        return sum(
            _clean(place, [one for one in chosen if one.runtime == place.name]) for place in self._places
        )

    def table(self) -> str:
        """As a table to print."""
        return text_table([_HEADING, *(_row(one) for one in self._found)])

    def __repr__(self) -> str:
        title = f"<Leftovers on {self._where()}: {self._counts()}>"
        if not self._found:
            return title
        rows = [_HEADING, *(_row(one) for one in self._found[:_MOST_ROWS])]
        more = len(self._found) - _MOST_ROWS
        return "\n".join([title, text_table(rows), *([f"and {more:,} more"] if more > 0 else [])])

    def _repr_html_(self) -> str:
        rows = [
            (badge(one.verdict, like=_LIKE[one.verdict]), *_row(one)[1:]) for one in self._found[:_MOST_SHOWN]
        ]
        more = len(self._found) - len(rows)
        hint = "clean() removes those of dead clusters, and no others unless told to." if rows else ""
        return view(
            f"leftovers on {self._where()}",
            note(hint),
            *([table(_HEADING, rows, whole=[0, 2])] if rows else []),
            note(f"and {more:,} more" if more else ""),
            words=self._counts(),
        )

    def _where(self) -> str:
        return " and ".join(dict.fromkeys(place.name for place in self._places)) or "no runtime"

    def _counts(self) -> str:
        counted = Counter(one.verdict for one in self._found)
        told = [f"{counted[verdict]:,} {words}" for verdict, words in _WORDS.items() if counted[verdict]]
        return ", ".join(told) or "none"


_HEADING: Final = ["left over", "state", "what", "task", "node", "cluster", "why"]
_LIKE: Final[dict[Verdict, str]] = {"dead": "LOST", "durable": "STOPPED", "unknown": "PENDING"}


def _row(one: Leftover) -> list[str]:
    name = f"{one.job}/{one.task}" if one.task else ""
    return [one.verdict, one.phase, one.words, name, one.owner.node, one.owner.cluster_id[-12:], one.why]


# -- looking -------------------------------------------------------------------------------------------------


def leftovers(runtime: str | Runtime = "auto") -> Leftovers:
    """Look for what clusters left running, or lying about, whose process is gone.

    A cluster that is closed leaves nothing.  One whose process was killed, or ended without closing it,
    leaves its containers or processes.  This finds them, whichever program of this user's made them, and
    touches nothing; :meth:`Leftovers.clean` does when told to.  What belongs to a living process, to another
    user, or to a store that a living process has open is not listed.

    Args:
        runtime: where to look: ``"docker"``, ``"process"``, the name of an installed plugin, a runtime; or
            ``"auto"``: at the Docker Engine if one answers, and among plain processes.

    Raises:
        EngineUnavailable: the engine that was asked for does not answer.
        UsageError: this runtime cannot tell what was left, or it is none.
    """
    if not isinstance(runtime, str | Runtime):
        raise UsageError(f"leftovers() takes the name of a runtime or one, not a {type(runtime).__name__}")
    if not isinstance(runtime, str):
        return find_leftovers([_given(runtime)], strict=True)
    if runtime != "auto":
        return find_leftovers([made_by_name(runtime)], strict=True)
    return find_leftovers([made_by_name("docker"), *places_of_processes()])


def made_by_name(name: str) -> Place:
    """A runtime that is made anew each time."""
    return Place(name, lambda: default_registry(installed=True).make_runtime(name), ours=True)


def places_of_processes() -> list[Place]:
    """The plain processes of this user, if there ever were any."""
    from minorch.runtimes.process.files import default_root

    return [made_by_name("process")] if default_root().is_dir() else []


def where_to_look(runtimes: Sequence[Runtime], *, anywhere: bool) -> list[Place]:
    """Where a cluster looks for what others left.

    Args:
        runtimes: its own.
        anywhere: among plain processes too.
    """
    places = [_given(runtime) for runtime in runtimes]
    if anywhere and all(runtime.name != "process" for runtime in runtimes):
        places += places_of_processes()
    return places


def _given(runtime: Runtime) -> Place:
    return Place(runtime.name, lambda: runtime, ours=False)


def find_leftovers(
    places: Sequence[Place], *, strict: bool = False, but: frozenset[str] = frozenset()
) -> Leftovers:
    """List and judge what there is at *places*.

    Args:
        places: where to look.
        strict: raise where an engine does not answer or cannot tell; otherwise it is left out.
        but: the ids of clusters that are not looked at.
    """
    found: list[Leftover] = []
    looked: list[Place] = []
    for place in places:
        try:
            found += _look(place, but)
        except (RuntimeFault, UsageError):
            if strict:
                raise
            continue
        looked.append(place)
    return Leftovers(found, looked)


def tell_of_leftovers(places: Sequence[Place], cluster_id: str) -> None:
    """Say in the log that there is something to clean up, if there is.

    It is not done, and not being able to look is no harm.

    Args:
        places: where to look.
        cluster_id: whose runs are none of it.
    """
    try:
        dead = find_leftovers(places, but=frozenset({cluster_id})).dead
    except Exception as error:  # noqa: BLE001  a runtime may be anybody's
        _log.info("what earlier clusters left could not be listed: %s", error)
        return
    if dead:
        _log.warning(
            "clusters whose process is gone left %d behind: cluster.leftovers shows what, and "
            "cluster.leftovers.clean() removes it",
            len(dead),
        )


def _look(place: Place, but: frozenset[str]) -> list[Leftover]:
    runtime = place.make()
    try:
        return _judged(place.name, _finder(runtime).list_made(), but)
    finally:
        if place.ours:
            runtime.close()


def _finder(runtime: Runtime) -> FindsLeftovers:
    if not isinstance(runtime, FindsLeftovers):
        raise UsageError(
            f'runtime "{runtime.name}" cannot tell what was left: it has no list_made() and discard(), see '
            "minorch.FindsLeftovers"
        )
    return runtime


def _judged(runtime: str, listed: Sequence[Made], but: frozenset[str]) -> list[Leftover]:
    clusters: dict[str, list[Made]] = {}
    for made in listed:
        if made.owner.cluster_id not in but:
            clusters.setdefault(made.owner.cluster_id, []).append(made)
    shown = open_clusters() if clusters else frozenset()
    found: list[Leftover] = []
    for cluster_id, runs in clusters.items():
        verdict = _judge(cluster_id, runs, shown)
        found += [_leftover(runtime, made, *verdict) for made in runs if verdict is not None]
    return found


def _judge(cluster_id: str, runs: Sequence[Made], shown: frozenset[str] | None) -> tuple[Verdict, str] | None:
    """What became of a cluster, and why that is thought; None: it lives, or is somebody else's."""
    makers = list(dict.fromkeys(made.maker for made in runs if made.maker is not None))
    lives = [life_of(maker) for maker in makers]
    if Life.LIVES in lives or Life.FOREIGN in lives or cluster_id in (shown or ()):
        return None
    if not makers:
        return "unknown", "it does not say who made it"
    if Life.UNKNOWN in lives:
        pid = makers[lives.index(Life.UNKNOWN)].pid
        return "unknown", f"process {pid} of another machine or container made it"
    gone = f"process {makers[-1].pid} that made it is gone"
    if not any(maker.durable for maker in makers):
        return "dead", gone
    if shown is None:
        return "unknown", f"{gone}; whether another one has its store open cannot be seen here"
    return "durable", f"{gone}; a cluster on the same store would go on with it"


def _leftover(runtime: str, made: Made, verdict: Verdict, why: str) -> Leftover:
    return Leftover(
        verdict=verdict,
        why=why,
        runtime=runtime,
        owner=made.owner,
        key=made.key,
        phase=made.phase,
        handle=made.handle,
        job=made.job,
        task=made.task,
    )


# -- removing ------------------------------------------------------------------------------------------------


def _clean(place: Place, chosen: Sequence[Leftover]) -> int:
    """Remove these, as far as they are still what they were; how many there were."""
    if not chosen:
        return 0
    runtime = place.make()
    try:
        finder = _finder(runtime)
        still = {
            (one.owner, one.key): one.verdict for one in _judged(place.name, finder.list_made(), frozenset())
        }
        chosen = [one for one in chosen if still.get((one.owner, one.key)) == one.verdict]
        keys = [one.key for one in chosen if one.key is not None]
        with ThreadPoolExecutor(max(1, runtime.concurrency), "minorch-clean") as pool:
            faults = [
                fault
                for fault in pool.map(lambda key: kill_and_remove(runtime, key), keys)
                if fault is not None
            ]
        for owner in dict.fromkeys(one.owner for one in chosen):
            finder.discard(owner)
    finally:
        if place.ours:
            runtime.close()
    if faults:
        raise RuntimeFault(
            f"{len(faults)} of {len(keys)} left-over runs could not be removed: {faults[0]}"
        ) from faults[0]
    return len(chosen)


def kill_and_remove(runtime: Runtime, key: RunKey) -> RuntimeFault | None:
    """End a run without any grace, and have nothing left of it; returns why that is not so."""
    try:
        runtime.kill(key)
        for _ in _looks():
            status = runtime.inspect(key)
            if status is None or status.phase != "running":
                runtime.remove(key)
                return None
    except RuntimeFault as fault:
        return fault
    return RuntimeFault(f"{key.name} still runs {_END_S:g} s after it was killed")


def _looks() -> Iterator[None]:
    deadline = time.monotonic() + _END_S
    while time.monotonic() < deadline:
        yield
        time.sleep(_LOOK_S)
