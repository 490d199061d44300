"""What a worker lets tasks do to its machine. Held by the worker, never by the task."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from typing import Final

import msgspec

from minorch.errors import PolicyError, UsageError
from minorch.model import Mount, Task

__all__ = ["DockerPolicy", "bind_source", "check_policy"]

_SOCKETS: Final = ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock")


class DockerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What tasks may ask of this machine's engine; the default is safe for code that you did not write.

    Whatever the policy: no privileged containers, no devices, no host namespaces but the network's, never
    a mount of ``/`` or of the engine's socket.

    Raises:
        UsageError: a directory is not absolute, or is ``/``.

    >>> DockerPolicy(binds=("/srv/data",)).binds
    ('/srv/data',)
    """

    binds: Sequence[str] = ()
    """Directories of the host beneath which tasks may mount with ``kind="bind"``.

    Who may write to one can, in the moment between the check and the start, put a link in the place of a
    directory beneath it and so have anything mounted: share none with tasks that you do not trust."""
    volumes: bool = True
    """Whether tasks may use the engine's named volumes."""
    tmpfs: bool = True
    """Whether tasks may mount memory."""
    host_network: bool = False
    """Whether tasks may join the host's network: ``networks=["host"]``."""

    def __post_init__(self) -> None:
        if isinstance(self.binds, str):
            raise UsageError("binds is a list of directories")
        for root in self.binds:
            if not root.startswith("/") or posixpath.normpath(root) != root.rstrip("/"):
                raise UsageError(
                    f'"{root}" cannot be allowed for binds: it is a plain absolute path and not "/"'
                )


def check_policy(
    task: Task, policy: DockerPolicy, *, local: bool, engine_socket: str | None, swarm: bool = False
) -> None:
    """Raise :class:`~minorch.errors.PolicyError` if *task* asks for what *policy* forbids.

    Args:
        task: what is to run.
        policy: the worker's.
        local: whether the engine is on this machine, so that links can be resolved.
        engine_socket: where that engine listens.
        swarm: whether it is a Swarm's, which has secrets and configs.
    """
    if "host" in task.networks and not policy.host_network:
        raise PolicyError(
            "the host's network is forbidden on this node; its worker would need "
            "DockerPolicy(host_network=True)"
        )
    for mount in task.mounts:
        if mount.kind == "bind":
            bind_source(mount, policy, local=local, engine_socket=engine_socket)
        elif mount.kind in ("secret", "config") and not swarm:
            raise PolicyError(
                f"only a Docker Swarm keeps a {mount.kind} (at {mount.target}); an engine has none"
            )
        elif (mount.kind == "volume" and not policy.volumes) or (mount.kind == "tmpfs" and not policy.tmpfs):
            raise PolicyError(f"{mount.kind} mounts are forbidden on this node (at {mount.target})")
    if task.security == "restricted" and task.user is not None:
        uid = task.user.partition(":")[0]
        if not (uid.isascii() and uid.isdigit()) or int(uid) == 0:
            raise PolicyError(
                f'security="restricted" needs a numeric user other than 0, such as "1000:1000"; '
                f'got "{task.user[:60]}" (a name might be root in the image)'
            )


def bind_source(mount: Mount, policy: DockerPolicy, *, local: bool, engine_socket: str | None) -> str:
    """Return the directory to mount, symbolic links resolved where the engine is local.

    Raises:
        PolicyError: it is not beneath an allowed directory, or would show the engine's socket.
    """
    resolve = os.path.realpath if local else posixpath.normpath
    source = resolve(mount.source)
    allowed = [resolve(root) for root in policy.binds]
    if source == "/" or not any(_beneath(source, root) for root in allowed):
        listed = ", ".join(policy.binds) or "none"
        shown = mount.source if source == mount.source else f"{mount.source} (which is {source})"
        raise PolicyError(
            f"mounting {shown} is forbidden on this node; its worker allows {listed}: DockerPolicy(binds=...)"
        )
    for socket in (*_SOCKETS, engine_socket):
        if socket and (_beneath(resolve(socket), source) or _beneath(socket, source)):
            raise PolicyError(f"mounting {mount.source} is forbidden: it holds the engine's socket {socket}")
    return source


def _beneath(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
