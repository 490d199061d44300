"""Doors for ssh: an sshd for each host, a key that opens them, and what a client must know.

What belongs here: files. A host starts its own sshd, with the configuration that is written here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["Doors"]


class Doors:
    """Keys for the hosts of a network.

    Args:
        folder: is made, and is a home as well: it holds ``.ssh``.
        addresses: of the hosts.
    """

    def __init__(self, folder: Path, addresses: Sequence[str]) -> None:
        home = folder / ".ssh"
        home.mkdir(parents=True, mode=0o700)
        self._home = home
        self._host_key, self._key = folder / "host_key", home / "id_ed25519"
        for path in (self._host_key, self._key):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
            subprocess.run(command, check=True, capture_output=True, timeout=30)
        kind, public, *_comment = self._host_key.with_suffix(".pub").read_text().split()
        known = home / "known_hosts"
        known.write_text("".join(f"{address} {kind} {public}\n" for address in addresses))
        (home / "config").write_text(
            f"Host *\n  IdentityFile {self._key}\n  UserKnownHostsFile {known}\n"
            "  StrictHostKeyChecking yes\n  BatchMode yes\n  IdentitiesOnly yes\n"
        )
        program = folder / "bin" / "ssh"  # it reads the home that /etc/passwd names, and no other
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nPATH={os.environ["PATH"]} exec ssh -F {home / "config"} "$@"\n')
        program.chmod(0o755)
        self.environment = {
            "HOME": str(folder),
            "PATH": f"{program.parent}:{os.environ['PATH']}",
        }
        """With it, ``ssh`` and paramiko find the key, and know the hosts."""

    def write(self, folder: Path, address: str) -> None:
        """Write what the sshd of a host needs into the host's folder."""
        (folder / "sshd_config").write_text(
            f"ListenAddress {address}\nPort 22\nHostKey {self._host_key}\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self._key.with_suffix('.pub')}\nStrictModes no\nPermitRootLogin yes\n"
            "PasswordAuthentication no\nMaxStartups 100\nMaxSessions 100\n"
            # Not at home: what root's shell does here when it starts is nothing that a host should wait for.
            f"SetEnv HOME={folder} PATH={os.environ['PATH']}:/usr/sbin:/sbin\n"
        )
