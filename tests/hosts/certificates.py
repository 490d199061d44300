"""Certificates for hosts, made on the spot: an authority, what it signed, and another authority.

Directories are laid out as ``DOCKER_CERT_PATH`` wants them: ``ca.pem``, ``cert.pem``, ``key.pem``.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["Authority"]

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


class Authority:
    """A certificate authority in a directory of its own.

    Args:
        folder: is made.
        name: the subject's.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True)
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca-key.pem"
        uses = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
        _request(name, self.certificate, self._key, uses)

    def sign(self, folder: Path, name: str, *, addresses: tuple[str, ...] = ()) -> Path:
        """Make a certificate with its key, and put both beside this authority's own; returns the folder.

        Args:
            folder: is made.
            name: the subject's.
            addresses: of a server; without any, it is a client's.
        """
        folder.mkdir(parents=True)
        names = ",".join([f"DNS:{name}", *(f"IP:{address}" for address in addresses)])
        uses = (
            f"subjectAltName={names}",
            f"extendedKeyUsage={'serverAuth' if addresses else 'clientAuth'}",
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
        )
        by = ("-CA", str(self.certificate), "-CAkey", str(self._key))
        _request(name, folder / "cert.pem", folder / "key.pem", uses, *by)
        (folder / "ca.pem").write_bytes(self.certificate.read_bytes())
        return folder


def _request(name: str, certificate: Path, key: Path, uses: tuple[str, ...], *by: str) -> None:
    extensions = [word for use in uses for word in ("-addext", use)]
    command = ["openssl", "req", "-x509", *_KEY, "-subj", f"/CN={name}", *extensions, *by]
    subprocess.run(
        [*command, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=30
    )
