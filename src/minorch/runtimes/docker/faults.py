"""What went wrong, in minorch's words: refusals of the engine, broken connections, failed starts.

Nothing here calls an engine.  No exception of docker-py, requests or urllib3 leaves the package;
they all pass through here first.
"""

from __future__ import annotations

import errno
import functools
import http.client
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from minorch.errors import EngineUnavailable, RuntimeFault, StartFailed
from minorch.model import redact
from minorch.states import Reason

__all__ = [
    "DEFAULT_URL",
    "ConnectionBroke",
    "NotReady",
    "Refused",
    "failures",
    "hide",
    "start_failure",
    "unreachable",
]

DEFAULT_URL: Final = "unix:///var/run/docker.sock"
"""Where an engine is of which nothing is said."""
_MOST_TEXT: Final = 2000

_REASONS: Final[tuple[tuple[re.Pattern[str], Reason], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"port is already allocated|address already in use", Reason.PORT_TAKEN),
        (
            r"no such image|pull access denied|manifest unknown|manifest for .* not found",
            Reason.IMAGE_NOT_FOUND,
        ),
        (r"repository .* not found|not found: does not exist", Reason.IMAGE_NOT_FOUND),
        (
            r"executable file not found|exec: .*no such file or directory|no command specified",
            Reason.COMMAND_NOT_FOUND,
        ),
    )
)
_EXIT_CODES: Final = {Reason.COMMAND_NOT_FOUND: 127}
_ADVICE: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in (
        (
            r"port is already allocated|address already in use",
            "free the port, or leave host= out of Port(...) to get one that is free",
        ),
        (r"network \S+ not found", "make it with: docker network create NAME"),
        (
            r"dial tcp|no such host|connection refused|i/o timeout",
            "is the image's name right, and its registry up?",
        ),
    )
)


_TLS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        (r"mismatch|doesn't match", "its certificate is for another name or address"),
        (r"certificate has expired", "its certificate has expired"),
        (r"not yet valid", "its certificate is not valid yet: is the time of day right on both machines?"),
        (r"certificate verify failed", "its certificate is not signed by the authority in ca.pem"),
        (
            r"alert unknown ca|alert bad certificate|alert certificate|alert decrypt|alert handshake",
            "it does not accept our certificate: is cert.pem signed by the authority that it trusts?",
        ),
        (r"wrong version number|record layer failure", "what answers there does not speak TLS"),
    )
)


class ConnectionBroke(EngineUnavailable):
    """A connection ended within a call; a kept one may have been stale, so asking again may help."""


class NotReady(EngineUnavailable):
    """What answered is something between us and the engine, or an engine that does not do such things now.

    Attributes:
        status: the HTTP status: 502, 503 or 504.
        text: its own words.
    """

    def __init__(self, status: int, text: str, url: str) -> None:
        self.status = status
        self.text = text[:_MOST_TEXT]
        super().__init__(f"the Docker Engine at {url} is not ready ({status}): {text}")


class Refused(RuntimeFault):
    """The engine answered, and said no.

    Attributes:
        status: the HTTP status, such as 409.
        text: the engine's own words.
    """

    def __init__(self, status: int, text: str, asked: str) -> None:
        self.status = status
        self.text = text[:_MOST_TEXT] if len(text) > _MOST_TEXT else text.strip() or "no reason given"
        super().__init__(f"the Docker Engine refused to {asked} ({status}): {self.text}")


def start_failure(text: str, *, default: Reason = Reason.START_FAILED) -> StartFailed:
    """Return the error for a start that the engine refused with *text*.

    A text that was cut may end within a secret, which :func:`hide` sees at the end alone: nothing is added.
    """
    reason = next((reason for pattern, reason in _REASONS if pattern.search(text)), default)
    advice = next((f" ({advice})" for pattern, advice in _ADVICE if pattern.search(text)), "")
    words = text[:_MOST_TEXT] if len(text) >= _MOST_TEXT else text.strip() + advice
    return StartFailed(words, reason=reason.value, exit_code=_EXIT_CODES.get(reason))


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return *text* without *secrets*, also where the engine echoes them quoted (as it does a NUL in env)."""
    forms = {form for secret in secrets for form in (secret, *_quoted(secret))}
    return redact(text, tuple(forms))


def _quoted(secret: str) -> tuple[str, str]:
    return json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]


def unreachable(error: BaseException, url: str) -> EngineUnavailable:
    """Return the error for a connection to *url* that failed with *error*: what it means and what to do."""
    causes = list(_causes(error))
    numbers = {cause.errno for cause in causes if isinstance(cause, OSError)}
    names = {type(cause).__name__ for cause in causes}
    # before the numbers: those of TLS mean something else
    if any("SSL" in name or "Certificate" in name for name in names):
        said = " ".join(str(cause) for cause in causes)
        what = next((words for pattern, words in _TLS if pattern.search(said)), "are the certificates right?")
        return EngineUnavailable(f"no TLS to the Docker Engine at {url}: {what} ({_last(causes)})")
    if errno.EACCES in numbers or errno.EPERM in numbers:
        return EngineUnavailable(
            f"no permission to use the Docker Engine at {url}: run as root, or add your user to the "
            "docker group (sudo usermod -aG docker $USER) and log in again"
        )
    if numbers & {errno.ENOENT, errno.ECONNREFUSED}:
        advice = "? DOCKER_HOST names another one" if url == DEFAULT_URL else ", and is that its address?"
        return EngineUnavailable(
            f"no Docker Engine answers at {url}: is it running there (sudo systemctl start docker){advice}"
        )
    if "gaierror" in names or "NameResolutionError" in names:
        return EngineUnavailable(f"the name in {url} cannot be resolved: is it right? ({_last(causes)})")
    if any("Timeout" in name for name in names) or any("timed out" in str(cause) for cause in causes):
        return EngineUnavailable(
            f"the Docker Engine at {url} did not answer in time: it is overloaded, hangs, or is cut off"
        )
    return ConnectionBroke(f"the connection to the Docker Engine at {url} broke: {_last(causes)}")


def _causes(error: BaseException, depth: int = 0) -> Iterator[BaseException]:
    """*error* and what is behind it: requests and urllib3 wrap through args and ``reason`` as well."""
    yield error
    if depth > 6:
        return
    behind = [error.__cause__, error.__context__, getattr(error, "reason", None), *error.args]
    for inner in behind:
        if isinstance(inner, BaseException):
            yield from _causes(inner, depth + 1)


def _last(causes: list[BaseException]) -> str:
    return f"{type(causes[-1]).__name__}: {causes[-1]}"[:300]


@functools.cache
def failures() -> tuple[type[BaseException], ...]:
    """Everything a broken connection shows itself as."""
    import docker
    import requests
    import urllib3

    return (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        docker.errors.DockerException,
        http.client.HTTPException,
        OSError,
        EOFError,
    )
