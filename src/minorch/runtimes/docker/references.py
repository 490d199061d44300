"""How an image is named: ``[registry/]name[:tag][@sha256:digest]``, or an image's id."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from minorch.errors import StartFailed

__all__ = ["Reference", "parse_reference"]

_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-.]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])"
_HOST: Final = rf"(?:localhost|(?=[^/]*[.:]){_NAME}(?::[0-9]{{1,5}})?)"
"""The first part is a registry only if it has a dot or a port, or is localhost; else it is a user's name."""
_REFERENCE: Final = re.compile(
    rf"(?P<repository>(?:{_HOST}/)?{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?\Z"
)
_IMAGE_ID: Final = re.compile(r"(?:sha256:)?[0-9a-f]{64}\Z")


class Reference(NamedTuple):
    """An image's name, taken apart."""

    repository: str
    """With the registry, where one is named; empty for an image's id."""
    tag: str
    digest: str
    """``sha256:...`` where the content is pinned; for an image's id that id."""

    @property
    def text(self) -> str:
        """What the engine calls it. A digest says everything, so a tag beside one is left out."""
        if not self.repository:
            return self.digest
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def parse_reference(image: str) -> Reference:
    """Take the name of an image apart; without tag and digest its tag is ``latest``.

    Raises:
        StartFailed: it does not name an image.

    >>> parse_reference("localhost:5000/team/app:1.2")
    Reference(repository='localhost:5000/team/app', tag='1.2', digest='')
    """
    if _IMAGE_ID.match(image):
        return Reference("", "", image if image.startswith("sha256:") else f"sha256:{image}")
    match = _REFERENCE.match(image)
    if match is None:
        raise StartFailed(
            f'"{image[:100]}" does not name an image: write e.g. busybox, python:3.12-slim, '
            "registry.example.com:5000/team/app:1.2 or app@sha256:... (lower case)",
            reason="image_not_found",
        )
    tag, digest = match["tag"] or "", match["digest"] or ""
    return Reference(match["repository"], tag if tag or digest else "latest", digest)
