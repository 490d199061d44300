"""The processes of a cluster whose messages go over one of the transports in ``examples/transports``.

Each may be killed without farewell and started again.  What the cluster's tasks really did, they write down
themselves in a file: the ledger.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOSE = "0.1"


def free_port() -> int:
    """A port that nobody else is given either while who listens there is dead for a while.

    So it is none of those that the system gives to outgoing connections, of which a busy machine has many.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, max(10_001, min(first, 32_000)))
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


class Member:
    """A process that can be killed and started again."""

    def __init__(self, directory: Path, name: str, command: list[str], **env: str) -> None:
        self._command, self.name = command, name
        self._log = directory / f"{name}.log"
        # Its runs get HOME, TMPDIR and the like of it, and nothing else.
        self._env = {**os.environ, "XDG_STATE_HOME": str(directory / name), "PYTHONUNBUFFERED": "1", **env}
        self._env["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self.answer: dict[str, Any] = {}
        """The latest of a manager."""

    def start(self) -> Member:
        with open(self._log, "a") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        return self

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """Kill it, and what shares its process group, without any farewell."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._bury()

    def _bury(self) -> None:
        self.process.wait(30)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def end(self, timeout_s: float = 30.0) -> int:
        """Close its standard input and wait for its end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        status = self.process.wait(timeout_s)
        self._bury()
        return status

    def tell(self, command: dict[str, Any]) -> dict[str, Any]:
        """Give a manager a command and return what it answers; empty if it dies meanwhile."""
        with self._lock:
            process = self.process
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(command) + "\n")
                process.stdin.flush()
                self.answer = json.loads(process.stdout.readline() or "{}")
            except (OSError, ValueError):
                self.answer = {}
            return self.answer


class Members:
    """A manager, workers ``a`` and ``b``, and what else their transport needs."""

    module = ""
    others: tuple[str, ...] = ()
    """Other processes than the manager and the workers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ledger = directory / "ledger"
        self.members: dict[str, Member] = {}
        self.prepare()

    def prepare(self) -> None:
        """Make the members."""
        raise NotImplementedError

    def add(self, name: str, *arguments: str, command: list[str] | None = None, **env: str) -> None:
        python = [sys.executable, "-m", f"examples.transports.{self.module}"]
        self.members[name] = Member(
            self.directory, name, command or [*python, *arguments], MINORCH_LOSE=LOSE, **env
        )

    @property
    def manager(self) -> Member:
        return self.members["manager"]

    def start(self) -> None:
        for member in self.members.values():
            member.start()
        self.until("both workers are ready", lambda: self.nodes() == {"a": "ready", "b": "ready"})

    def nodes(self) -> dict[str, Any]:
        return self.manager.tell({"nodes": True})

    def kill_worker(self, name: str) -> None:
        self.members[name].kill()

    def restart_worker(self, name: str) -> None:
        self.members[name].start()

    def close(self) -> None:
        for member in self.members.values():
            if member._process is not None:
                member.kill()
        for pid in self.runs():  # of a test that failed
            with contextlib.suppress(ProcessLookupError):
                os.killpg(os.getpgid(pid), signal.SIGKILL)

    # -- tasks and what they wrote ------------------------------------------------------------

    def task(self, name: str, rest: str, **fields: Any) -> dict[str, Any]:
        """A task that writes down when a run of it begins."""
        note = f'echo "$MINORCH_TASK_ID $MINORCH_ATTEMPT $MINORCH_RUN %s" >> {self.ledger}'
        script = f"{note % 'begin'}; {rest.replace('NOTE_END', note % 'end')}"
        return {"name": name, "command": ["sh", "-c", script], **fields}

    def runs(self) -> list[int]:
        """The processes that run tasks: their command names the ledger."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(self.ledger).encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def written(self) -> Counter[tuple[str, int, int, str]]:
        """How often each thing was written."""
        found: Counter[tuple[str, int, int, str]] = Counter()
        if self.ledger.exists():
            for line in self.ledger.read_text().splitlines():
                task_id, attempt, run, what = line.split()
                found[task_id, int(attempt), int(run), what] += 1
        return found

    def count(self, what: str) -> int:
        return sum(number for (*_, written), number in self.written().items() if written == what)

    def until(self, what: str, true: Callable[[], object], timeout_s: float = 90.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not true():
            if time.monotonic() > deadline:
                logs = "\n".join(f"-- {name}:\n{one.log[-3000:]}" for name, one in self.members.items())
                pytest.fail(
                    f"still not true after {timeout_s:g} s: {what}\n{logs}\n"
                    f"-- the manager's latest answer: {self.members['manager'].answer}"
                )
            time.sleep(0.05)


class Http(Members):
    """The manager serves HTTPS, with a certificate that is made here."""

    module = "over_http"
    tokens = {"a": "token-of-a", "b": "token-of-b"}  # noqa: RUF012  never changed

    def prepare(self) -> None:
        authority, certificate, key = make_certificates(self.directory)
        self.authority = authority
        port = str(free_port())
        self.url = f"https://localhost:{port}"
        tokens = self.directory / "tokens.json"
        tokens.write_text(json.dumps(self.tokens))
        files = [str(path) for path in (tokens, certificate, key)]
        self.add("manager", "manager", str(self.directory / "jobs.db"), port, *files)
        for name, token in self.tokens.items():
            self.add(name, "worker", self.url, name, str(authority), TOKEN=token)

    def impostor(self) -> Member:
        """A worker that calls itself b, with the token of a."""
        self.add("impostor", "worker", self.url, "b", str(self.authority), TOKEN=self.tokens["a"])
        return self.members["impostor"].start()


class Nats(Members):
    """A broker stands between the manager and the workers."""

    module = "over_nats"
    others = ("broker",)

    def prepare(self) -> None:
        server = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")
        if server is None:
            pytest.fail("there is no nats-server") if os.environ.get(
                "MINORCH_REQUIRE_DOCKER"
            ) == "1" else pytest.skip("there is no nats-server (apt-get install nats-server)")
        port = str(free_port())
        self.url = f"nats://127.0.0.1:{port}"
        words = {f"{name.upper()}_PASSWORD": f"word_of_{name}" for name in ("manager", "a", "b")}
        conf = str(ROOT / "examples" / "transports" / "nats-server.conf")
        self.add("broker", command=[server, "-c", conf, "-a", "127.0.0.1", "-p", port], **words)
        self.add("manager", "manager", str(self.directory / "jobs.db"), self.url, PASSWORD="word_of_manager")
        for name in "ab":
            self.add(name, "worker", self.url, name, PASSWORD=f"word_of_{name}")

    def impostor(self) -> Member:
        """A worker that calls itself b, with the password of a."""
        self.add("impostor", "worker", self.url, "b", PASSWORD="word_of_a")
        return self.members["impostor"].start()


class Pipe(Members):
    """The manager starts the workers itself."""

    module = "over_pipe"

    def prepare(self) -> None:
        self.pids = {name: self.directory / f"{name}.pid" for name in "ab"}
        workers = []
        for name, pid in self.pids.items():
            state = self.directory / name
            worker = f"exec {sys.executable} -m examples.transports.over_pipe worker {name}"
            script = f"echo $$ > {pid}; export XDG_STATE_HOME={state}; {worker}"
            workers.append(f"{name}=setsid sh -c '{script}'")
        self.add("manager", "manager", str(self.directory / "jobs.db"), *workers)

    def kill_worker(self, name: str) -> None:
        os.kill(int(self.pids[name].read_text()), signal.SIGKILL)

    def restart_worker(self, name: str) -> None:
        """The manager does."""

    def close(self) -> None:
        super().close()
        for name, file in self.pids.items():  # they end by themselves when the manager is gone
            if not file.exists():
                continue
            pid = int(file.read_text())
            self.until(f"the end of worker {name}", lambda: not Path(f"/proc/{pid}").exists())  # noqa: B023


def make_certificates(directory: Path) -> tuple[Path, Path, Path]:
    """An authority's certificate, and one for ``localhost`` that it signed, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def certify(
        name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        called = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, issuer)]
        builder = (
            x509.CertificateBuilder()
            .subject_name(called[0])
            .issuer_name(called[1])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if name == issuer:
            usage = x509.KeyUsage(
                key_cert_sign=True,
                crl_sign=True,
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(usage, critical=True)
        else:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, hashes.SHA256())

    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    pem = serialization.Encoding.PEM
    files = {
        "authority.pem": certify("authority", keys[0], "authority", keys[0]).public_bytes(pem),
        "manager.pem": certify("localhost", keys[1], "authority", keys[0]).public_bytes(pem),
        "manager.key": keys[1].private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    for name, data in files.items():
        (directory / name).write_bytes(data)
    authority, certificate, key = (directory / name for name in files)
    return authority, certificate, key


@contextlib.contextmanager
def running(kind: type[Members], directory: Path) -> Iterator[Members]:
    """Members that have found each other; none is left at the end."""
    members = kind(directory)
    try:
        members.start()
        yield members
    finally:
        members.close()
