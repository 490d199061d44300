"""The contexts of the docker command: where each one's engine is, and its certificates. Read, never written.

They are in ``~/.docker/contexts``, or in the directory that ``DOCKER_CONFIG`` names, under the SHA-256 of the
context's name: ``meta/<hash>/meta.json`` with the address, ``tls/<hash>/docker`` with the certificates.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from minorch.errors import UsageError, did_you_mean

__all__ = ["Endpoint", "find_context"]

_MOST_BYTES: Final = 1024 * 1024


class Endpoint(NamedTuple):
    """Where an engine is."""

    url: str
    certificates: Path | None = None
    """A directory with ``ca.pem``, ``cert.pem`` and ``key.pem``."""


class _Engine(msgspec.Struct):
    host: str = msgspec.field(default="", name="Host")
    skip_verify: bool = msgspec.field(default=False, name="SkipTLSVerify")


class _Endpoints(msgspec.Struct):
    docker: _Engine | None = None


class _Meta(msgspec.Struct):
    name: str = msgspec.field(default="", name="Name")
    endpoints: _Endpoints = msgspec.field(default_factory=_Endpoints, name="Endpoints")


def find_context(name: str) -> Endpoint:
    """Return where the engine of a context is.

    Args:
        name: as ``docker context ls`` shows it. ``default`` is the usual socket.

    Raises:
        UsageError: there is no such context, it cannot be read, has no Docker Engine, or does not check who
            answers.
    """
    if name == "default":
        return Endpoint("unix:///var/run/docker.sock")
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "contexts"
    hashed = hashlib.sha256(name.encode()).hexdigest()
    file = folder / "meta" / hashed / "meta.json"
    try:
        with file.open("rb") as opened:
            context = msgspec.json.decode(opened.read(_MOST_BYTES), type=_Meta)
    except FileNotFoundError:
        known = _names(folder)
        hint, listed = did_you_mean(name, known) or ".", ", ".join(sorted(known))
        raise UsageError(
            f'the docker command knows no context "{name:.70}"{hint} It knows: {listed}'
        ) from None
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f'context "{name:.70}" cannot be read from {file}: {error}') from None
    endpoint = context.endpoints.docker
    if endpoint is None or not endpoint.host:
        raise UsageError(f'context "{name:.70}" has no Docker Engine')
    if endpoint.skip_verify:
        raise UsageError(
            f'context "{name:.70}" does not check whose certificate it is shown (skip-tls-verify): anybody '
            "could be that engine; make it with a ca"
        )
    certificates = folder / "tls" / hashed / "docker"
    return Endpoint(endpoint.host, certificates if certificates.is_dir() else None)


def _names(folder: Path) -> set[str]:
    names = {"default"}
    for file in sorted(folder.glob("meta/*/meta.json"))[:1000]:
        try:
            names.add(msgspec.json.decode(file.read_bytes()[:_MOST_BYTES], type=_Meta).name)
        except (OSError, msgspec.MsgspecError):
            continue  # it is not the one that is asked for
    return names
