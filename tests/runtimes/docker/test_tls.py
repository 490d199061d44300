"""TLS that comes to nothing: certificates out of their time, and connections that are reset."""

from __future__ import annotations

import contextlib
import datetime
import gc
import http.server
import ipaddress
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from minorch.errors import EngineUnavailable
from minorch.runtimes.docker import DockerRuntime

DAY = datetime.timedelta(days=1)


def certify(folder: Path, begins: datetime.timedelta, ends: datetime.timedelta) -> None:
    """Make a certificate for this machine that signs itself, with its time as it is from now."""
    now = datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "engine")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now + begins, now + ends)
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    for file in ("ca.pem", "cert.pem"):
        (folder / file).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Have something answer with the certificate of a folder; give its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("begins", "ends", "words"),
    [(-3, -1, "its certificate has expired"), (1, 3, "its certificate is not valid yet: is the time of day")],
)
def test_a_certificate_whose_time_is_over_or_has_not_come_is_told(
    tmp_path: Path, begins: int, ends: int, words: str
):
    certify(tmp_path, begins * DAY, ends * DAY)
    with (
        served(tmp_path) as url,
        contextlib.closing(DockerRuntime(url, certificates=tmp_path)) as runtime,
        pytest.raises(EngineUnavailable, match=words) as told,
    ):
        runtime.describe()
    assert url in str(told.value)


def test_connections_that_are_reset_before_the_handshake_leave_no_socket(tmp_path: Path):
    certify(tmp_path, -DAY, DAY)
    with (
        socket.create_server(("127.0.0.1", 0), backlog=100) as server,
        contextlib.closing(
            DockerRuntime(f"tcp://127.0.0.1:{server.getsockname()[1]}", certificates=tmp_path)
        ) as runtime,
        warnings.catch_warnings(record=True) as seen,
    ):
        warnings.simplefilter("always")

        def reset_all() -> None:
            with contextlib.suppress(OSError):  # the end of the test
                while True:
                    client, _address = server.accept()
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.close()

        thread = threading.Thread(target=reset_all)
        thread.start()
        for _ in range(100):  # some of them come before the handshake
            with pytest.raises(EngineUnavailable):
                runtime.describe()
        server.shutdown(socket.SHUT_RDWR)  # wakes who waits for a connection
        thread.join()
        gc.collect()
    assert [str(one.message) for one in seen if "SSLSocket" in str(one.message)] == []
