#!/usr/bin/env python3
"""Bring up a Docker Engine, and a ``busybox:latest`` image, without a registry or an init system.

What belongs here: everything between "root on Debian" and "``docker run --rm busybox echo hi`` works".
What does not: anything the library needs when it runs. Only the standard library is imported, so that the
script runs before anything is installed.

    python tools/engine.py up         # install what is missing, start, wait, make the image; safe to repeat
    python tools/engine.py status     # say what answers, change nothing
    python tools/engine.py down       # stop an engine that `up` started by hand

The engine's flags are not fixed: the first of a short list of flag sets with which it answers is taken
(the default storage driver before ``vfs``, networks with iptables before none at all).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlencode

DEFAULT_SOCKET = "/var/run/docker.sock"
IMAGE = "busybox:latest"
PACKAGES = {
    "dockerd": "docker.io",
    "iptables": "iptables",
    "docker-registry": "docker-registry",  # only the tests of pulling need one
    "ip": "iproute2",
    "unshare": "util-linux",  # and only the tests of outages a second engine in a network of its own
}
LOG = Path("/var/log/minorch-dockerd.log")
PID = Path("/var/run/docker.pid")
LOCK = Path("/run/minorch-engine.lock")

NO_NETWORKS = ("--iptables=false", "--ip6tables=false", "--bridge=none")
FLAG_SETS: tuple[tuple[str, ...], ...] = (
    (),
    ("--storage-driver=vfs",),
    NO_NETWORKS,
    ("--storage-driver=vfs", *NO_NETWORKS),
)
"""Tried in this order; an engine that exits before it answers hands over to the next."""


class EngineError(Exception):
    """The engine cannot be had here. The message says what to do."""


# -- asking an engine ----------------------------------------------------------------------------------------


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)  # where this raises, `close` closes the socket all the same


def request(
    socket_path: str, method: str, path: str, body: bytes | None = None, timeout_s: float = 30
) -> tuple[int, bytes]:
    """Send one request and return its status and body. Raises ``OSError`` where nothing answers."""
    connection = UnixConnection(socket_path, timeout_s)
    try:
        headers = {"Content-Type": "application/x-tar"} if body is not None else {}
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise OSError(f"{socket_path} does not speak HTTP: {error!r}") from error
    finally:
        connection.close()


def answers(socket_path: str, timeout_s: float = 5) -> bool:
    """Whether an engine answers a ping."""
    try:
        return request(socket_path, "GET", "/_ping", timeout_s=timeout_s)[0] == 200
    except OSError:
        return False


def describe(socket_path: str) -> str:
    """One line about the engine that answers."""
    info = json.loads(request(socket_path, "GET", "/info")[1])
    return (
        f"Docker Engine {info['ServerVersion']} at unix://{socket_path}: storage {info['Driver']}, "
        f"cgroup v{info.get('CgroupVersion', '1')} ({info['CgroupDriver']}), kernel {info['KernelVersion']}"
    )


def socket_of(url: str) -> str:
    """The path in a ``unix://`` URL; this script handles no other kind."""
    if not url.startswith("unix://"):
        raise EngineError(
            f"DOCKER_HOST is {url!r}: only unix:// engines can be set up here. Unset it, or skip this step."
        )
    return url.removeprefix("unix://")


# -- the image -----------------------------------------------------------------------------------------------


def is_static(path: Path) -> bool:
    """Whether an ELF file asks for no dynamic linker, so that it runs in an otherwise empty root."""
    data = path.read_bytes()
    if data[:4] != b"\x7fELF" or data[4] != 2:
        return False
    order = "little" if data[5] == 1 else "big"
    offset = int.from_bytes(data[32:40], order)  # type: ignore[arg-type]
    size = int.from_bytes(data[54:56], order)  # type: ignore[arg-type]
    count = int.from_bytes(data[56:58], order)  # type: ignore[arg-type]
    interpreter = 3
    kinds = [data[at : at + 4] for at in range(offset, offset + size * count, size)]
    return all(int.from_bytes(kind, order) != interpreter for kind in kinds)  # type: ignore[arg-type]


def static_busybox() -> bytes:
    """The bytes of a static busybox: from PATH or from Debian's package.

    The package is unpacked, not installed: ``busybox-static`` would replace ``busybox``.
    """
    found = shutil.which("busybox")
    if found and is_static(Path(found)):
        return Path(found).read_bytes()
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise EngineError(
            "No static busybox on PATH and no apt-get to fetch one: install a static busybox first."
        )
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        if subprocess.run(
            ["apt-get", "-qq", "download", "busybox-static"], cwd=directory, check=False
        ).returncode:
            run(["apt-get", "-qq", "update"])
            run(["apt-get", "-qq", "download", "busybox-static"], cwd=directory)
        (package,) = Path(directory).glob("*.deb")
        run(["dpkg-deb", "-x", str(package), f"{directory}/root"])
        for candidate in ("bin/busybox", "usr/bin/busybox"):
            path = Path(directory, "root", candidate)
            if path.exists():
                return path.read_bytes()
    raise EngineError("Debian's busybox-static holds no bin/busybox: the package has changed its layout.")


def applets(busybox: bytes) -> list[str]:
    """The applets a busybox offers, as paths such as ``bin/sh``."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "busybox")
        path.write_bytes(busybox)
        path.chmod(0o755)
        listed = subprocess.run([str(path), "--list-full"], check=True, capture_output=True, text=True).stdout
    return sorted(line.strip() for line in listed.splitlines() if line.strip())


def rootfs_tar(busybox: bytes) -> bytes:
    """A root file system as a tar: busybox, its applets as symlinks, ``/tmp``, root and nobody."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def add(name: str, kind: bytes, mode: int = 0o755, data: bytes = b"", link: str = "") -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(data), link
            tar.addfile(entry, io.BytesIO(data))

        for name in (
            "bin",
            "dev",
            "etc",
            "home",
            "proc",
            "root",
            "sbin",
            "sys",
            "usr",
            "usr/bin",
            "usr/sbin",
            "var",
        ):
            add(name, tarfile.DIRTYPE)
        add("tmp", tarfile.DIRTYPE, 0o1777)
        add("var/tmp", tarfile.DIRTYPE, 0o1777)
        users = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
        add("etc/passwd", tarfile.REGTYPE, 0o644, users)
        add("etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\nnogroup:x:65534:\n")
        add("bin/busybox", tarfile.REGTYPE, 0o755, busybox)
        for applet in applets(busybox):
            if applet != "bin/busybox":
                add(applet, tarfile.SYMTYPE, 0o777, link="/bin/busybox")
    return buffer.getvalue()


def has_image(socket_path: str) -> bool:
    """Whether the engine has ``busybox:latest``."""
    return request(socket_path, "GET", f"/images/{IMAGE}/json")[0] == 200


def make_image(socket_path: str) -> None:
    """Import ``busybox:latest`` from a tar made here. A second call makes it anew."""
    repository, tag = IMAGE.split(":")
    query = [
        ("fromSrc", "-"),
        ("repo", repository),
        ("tag", tag),
        ("changes", 'CMD ["sh"]'),
        ("changes", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ]
    body = rootfs_tar(static_busybox())
    status, answer = request(socket_path, "POST", f"/images/create?{urlencode(query)}", body, timeout_s=120)
    records = [json.loads(line) for line in answer.splitlines() if line.strip()]
    errors = [record for record in records if "error" in record]
    if status != 200 or errors or not has_image(socket_path):
        raise EngineError(
            f"The engine did not take the image (HTTP {status}): {answer.decode(errors='replace')[:500]}"
        )


# -- the daemon ----------------------------------------------------------------------------------------------


def run(command: Sequence[str], cwd: str | None = None) -> None:
    """Run a command; a failure raises :class:`EngineError` with its output's last lines."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.decode(errors="replace").splitlines()[-20:])
        raise EngineError(f"{' '.join(command)} exited {done.returncode}:\n{tail}")


def install() -> None:
    """Install the Debian packages whose commands are missing."""
    missing = sorted(package for command, package in PACKAGES.items() if not shutil.which(command))
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise EngineError(
            "No dockerd here, and no apt-get to install it: install Docker by hand, then run this again."
        )
    say(f"installing {' '.join(missing)}")
    run(["apt-get", "-qq", "update"])
    run(["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing])


def mount_cgroups() -> None:
    """Mount a cgroup hierarchy where nobody has: without one no container starts."""
    kinds = {line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()}
    if kinds & {"cgroup", "cgroup2"}:
        return
    say("no cgroup hierarchy is mounted: mounting cgroup2 at /sys/fs/cgroup")
    run(["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"])


@contextlib.contextmanager
def path_with_working_iptables() -> Iterator[str]:
    """Give the PATH for dockerd; where only the legacy iptables works, that one comes first."""
    path = os.environ.get("PATH", "")
    for sbin in ("/usr/sbin", "/sbin"):
        if sbin not in path.split(os.pathsep):
            path = f"{path}{os.pathsep}{sbin}"

    def works(command: str) -> bool:
        found = shutil.which(command, path=path)
        return (
            bool(found)
            and not subprocess.run(
                [found or "", "-t", "nat", "-S"], capture_output=True, check=False
            ).returncode
        )

    if works("iptables") or not works("iptables-legacy"):
        yield path
        return
    directory = Path("/run/minorch-iptables")
    directory.mkdir(exist_ok=True)
    for command in ("iptables", "ip6tables"):
        link = directory / command
        link.unlink(missing_ok=True)
        link.symlink_to(shutil.which(f"{command}-legacy", path=path) or f"/usr/sbin/{command}-legacy")
    yield f"{directory}{os.pathsep}{path}"


def running_dockerd() -> int | None:
    """The pid in dockerd's pid file if it is a dockerd's; a stale file is removed: dockerd trips over it."""
    try:
        pid = int(PID.read_text())
        if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd":
            return pid
    except (OSError, ValueError):
        pass
    PID.unlink(missing_ok=True)
    return None


def start_by_hand(socket_path: str, timeout_s: float) -> None:
    """Start dockerd in a session of its own, with the first set of flags it lives with."""
    mount_cgroups()
    failures = []
    with path_with_working_iptables() as path:
        for flags in FLAG_SETS:
            command = ["dockerd", "--host", f"unix://{socket_path}", "--pidfile", str(PID), *flags]
            say(f"starting: {' '.join(command)} (log: {LOG})")
            with LOG.open("ab") as log:
                daemon = subprocess.Popen(
                    command,
                    env={**os.environ, "PATH": path},
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            if wait_until_answering(socket_path, timeout_s, daemon):
                say(f"dockerd has pid {daemon.pid}")
                return
            stop_process(daemon)
            failures.append(f"{' '.join(flags) or '(no flags)'}: exit {daemon.returncode}")
    tail = "\n".join(LOG.read_text(errors="replace").splitlines()[-15:])
    raise EngineError(
        f"dockerd does not stay up with any flags ({'; '.join(failures)}). The end of {LOG}:\n{tail}"
    )


def wait_until_answering(
    socket_path: str, timeout_s: float, daemon: subprocess.Popen[bytes] | None = None
) -> bool:
    """Wait for the engine's answer; give up at the time-out, or at once when the given daemon has exited."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answers(socket_path):
            return True
        if daemon is not None and daemon.poll() is not None:
            return False
        time.sleep(0.1)
    return False


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """End one process that we started, and wait for it."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Hold a lock, so that two runs at the same time start one engine."""
    with LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# -- the commands --------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """Print one line at once (the output is read through a pipe)."""
    print(f"engine: {text}", flush=True)


def up(socket_path: str, timeout_s: float) -> None:
    """Have an engine answering at the socket, with the busybox image in it."""
    if not answers(socket_path):
        if os.geteuid() != 0:
            raise EngineError(f"Nothing answers this user at {socket_path}; only root can start an engine.")
        if not Path("/etc/debian_version").exists() and not shutil.which("dockerd"):
            raise EngineError(
                "This is not Debian: install and start Docker by hand, then run this again for the image."
            )
        with only_one():
            if not answers(socket_path):
                bring_up(socket_path, timeout_s)
    say(describe(socket_path))
    if not has_image(socket_path):
        say(f"making {IMAGE}")
        make_image(socket_path)
    say(f"{IMAGE} is there")


def bring_up(socket_path: str, timeout_s: float) -> None:
    """Install and start: through the init system where there is one, by hand elsewhere."""
    install()
    if Path("/run/systemd/system").is_dir() and socket_path == DEFAULT_SOCKET:
        say("starting through systemd")
        run(["systemctl", "start", "docker"])
    elif running_dockerd() is None:
        start_by_hand(socket_path, timeout_s)
    if not wait_until_answering(socket_path, timeout_s):
        raise EngineError(
            f"The engine runs but nothing answers at {socket_path} after {timeout_s:g} s: see {LOG}."
        )


def down(timeout_s: float) -> None:
    """Stop a dockerd that was started by hand. Its containers end with it."""
    pid = running_dockerd()
    if pid is None:
        say("no dockerd started by hand is running")
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while running_dockerd() is not None:
        if time.monotonic() > deadline:
            raise EngineError(f"dockerd (pid {pid}) has not ended {timeout_s:g} s after SIGTERM: see {LOG}.")
        time.sleep(0.1)
    say(f"stopped pid {pid}")


def status(socket_path: str) -> None:
    """Say what answers."""
    if not answers(socket_path):
        raise EngineError(
            f"Nothing answers at {socket_path}. `python tools/engine.py up` (as root) starts an engine."
        )
    say(describe(socket_path))
    say(f"{IMAGE} is {'there' if has_image(socket_path) else 'missing'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(
        description="Bring up a Docker Engine and a busybox image for the tests."
    )
    parser.add_argument("command", nargs="?", choices=("up", "status", "down"), default="up")
    parser.add_argument(
        "--timeout-s", type=float, default=60, help="seconds to wait for the engine (default 60)"
    )
    options = parser.parse_args(arguments)
    try:
        socket_path = socket_of(os.environ.get("DOCKER_HOST") or f"unix://{DEFAULT_SOCKET}")
        if options.command == "up":
            up(socket_path, options.timeout_s)
        elif options.command == "down":
            down(options.timeout_s)
        else:
            status(socket_path)
    except EngineError as error:
        print(f"engine: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
