"""Getting an image before its first use: whether to pull, pulling, and what may go wrong with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from minorch.contracts import Launch
from minorch.errors import StartFailed
from minorch.runtimes.docker.engine import Engine
from minorch.runtimes.docker.faults import Refused, start_failure
from minorch.runtimes.docker.references import Reference, parse_reference
from minorch.states import Reason

__all__ = ["LayerCount", "json_lines", "prepare"]

_SILENCE_S: Final = 120.0
_MOST_S: Final = 3600.0
_PROGRESS_S: Final = 0.5
_MOST_LINE: Final = 1024 * 1024
_DONE: Final = ("Pull complete", "Already exists")
_UNDERWAY: Final = (
    "Pulling fs layer",
    "Waiting",
    "Downloading",
    "Verifying Checksum",
    "Download complete",
    "Extracting",
)


def prepare(engine: Engine, launch: Launch, progress: Callable[[str], None]) -> None:
    """Have the image of *launch* on the engine, as the task's pull policy says.

    Raises:
        StartFailed: it cannot be had.
        EngineUnavailable: the engine does not answer, or the pull was silent for two minutes.
    """
    if launch.task.image is None:
        raise StartFailed(f'task "{launch.task_name}" has no image; a Docker runtime needs one')
    reference = parse_reference(launch.task.image)
    if launch.task.pull != "always" or not reference.repository:
        image = _inspect(engine, reference)
        final = launch.task.pull == "never" or not reference.repository
        if image is not None and (final or _is_for(image, launch.task.platform)):
            return  # one for another platform, which cannot be pulled either, is refused at the start
        if final:
            why = 'it says pull="never"' if reference.repository else "an id cannot be pulled"
            raise StartFailed(
                f"the image {launch.task.image} is not on this node, and {why}",
                reason=Reason.IMAGE_NOT_FOUND.value,
            )
    progress(f"pulling {reference.text}")
    digest = _pull(engine, reference, launch.task.platform, progress)
    _check_digest(engine, reference, digest)


def _inspect(engine: Engine, reference: Reference) -> dict[str, Any] | None:
    try:
        return engine.record("GET", f"/images/{quote(reference.text, safe='/:@')}/json")
    except Refused as refusal:
        if refusal.status == 404:
            return None
        raise start_failure(refusal.text) from None


def _is_for(image: Mapping[str, Any], platform: str | None) -> bool:
    """Whether an image is for *platform*, as far as its record tells; None: any will do."""
    if platform is None:
        return True
    system, processor, *variant = platform.split("/")
    return (
        image.get("Os") == system
        and image.get("Architecture") == processor
        and (not variant or image.get("Variant") in (None, "", *variant))
    )


def _pull(engine: Engine, reference: Reference, platform: str | None, progress: Callable[[str], None]) -> str:
    """Pull, and return the digest that the registry gave, if the engine tells it."""
    query = {"fromImage": reference.repository, "tag": reference.digest or reference.tag}
    if platform is not None:
        query["platform"] = platform
    try:
        stream = engine.stream(
            "POST",
            "/images/create",
            query,
            headers=engine.registry_header(reference.repository),
            silence_s=_SILENCE_S,
        )
    except Refused as refusal:
        default = Reason.IMAGE_NOT_FOUND if refusal.status == 404 else Reason.START_FAILED
        raise start_failure(f"cannot pull {reference.text}: {refusal.text}", default=default) from None
    layers, digest = LayerCount(), ""
    begun = said_at = time.monotonic()
    try:
        for record in json_lines(stream.pieces()):
            if "error" in record:  # the only sign of a missing or corrupt layer; the old image stays
                raise start_failure(f"cannot pull {reference.text}: {record['error']}")
            layers.see(record)
            status = str(record.get("status", ""))
            if status.startswith("Digest: "):
                digest = status.removeprefix("Digest: ")
            now = time.monotonic()
            if now - begun > _MOST_S:
                raise StartFailed(f"pulling {reference.text} took more than {_MOST_S / 60:g} minutes")
            if now - said_at >= _PROGRESS_S:
                said_at = now
                progress(f"pulling {reference.text}: {layers}")
    finally:
        stream.close()
    return digest


def _check_digest(engine: Engine, reference: Reference, digest: str) -> None:
    image = _inspect(engine, reference)
    if image is None:
        raise StartFailed(
            f"{reference.text} was pulled, but is not there", reason=Reason.IMAGE_NOT_FOUND.value
        )
    have = {str(entry).rpartition("@")[2] for entry in image.get("RepoDigests") or ()}
    for wanted in filter(None, (digest, reference.digest)):
        if wanted not in have:
            raise StartFailed(
                f"{reference.text} was pulled as {wanted}, but the engine holds "
                f"{', '.join(sorted(have)) or 'another'}"
            )


class LayerCount:
    """How far a pull has come, in layers."""

    def __init__(self) -> None:
        self._done: dict[str, bool] = {}

    def see(self, record: dict[str, Any]) -> None:
        """Count one record of the engine's."""
        layer, status = str(record.get("id", "")), record.get("status")
        if status in _DONE:
            self._done[layer] = True
        elif status in _UNDERWAY:
            self._done.setdefault(layer, False)

    def __str__(self) -> str:
        return f"{sum(self._done.values())}/{len(self._done)} layers"


def json_lines(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in *pieces*, one a line; what is no object is passed over."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield from _object(line)
        if len(rest) > _MOST_LINE:
            rest = b""
    yield from _object(rest)


def _object(line: bytes) -> Iterator[dict[str, Any]]:
    try:
        record = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return
    if isinstance(record, dict):
        yield record
