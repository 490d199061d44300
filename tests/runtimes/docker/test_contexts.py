"""Contexts of the docker command, as it writes them, and what nodes are called."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from minorch.errors import UsageError
from minorch.runtimes.docker import DockerEngine, DockerFleet
from minorch.runtimes.docker.contexts import Endpoint, find_context
from minorch.runtimes.docker.fleet import _good_labels


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where contexts are kept."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "contexts"


def write(folder: Path, name: str, endpoint: object, *, tls: bool = False) -> Path:
    """Write a context as ``docker context create`` does."""
    hashed = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "meta" / hashed
    meta.mkdir(parents=True)
    endpoints = {} if endpoint is None else {"docker": endpoint}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints}))
    certificates = folder / "tls" / hashed / "docker"
    if tls:
        certificates.mkdir(parents=True)
    return certificates


def test_a_context_tells_where_its_engine_is_and_has_its_certificates(folder: Path):
    write(folder, "plain", {"Host": "ssh://deploy@a", "SkipTLSVerify": False})
    certificates = write(folder, "safe", {"Host": "tcp://b:2376", "SkipTLSVerify": False}, tls=True)
    assert find_context("plain") == Endpoint("ssh://deploy@a")
    assert find_context("safe") == Endpoint("tcp://b:2376", certificates)
    assert find_context("default") == Endpoint("unix:///var/run/docker.sock")


def test_a_context_that_nobody_made_is_refused_with_those_there_are(folder: Path):
    write(folder, "staging", {"Host": "tcp://b:2376"})
    (folder / "meta" / "broken").mkdir()
    (folder / "meta" / "broken" / "meta.json").write_text("{")
    with pytest.raises(UsageError, match=r'no context "stagin"; did you mean "staging"'):
        find_context("stagin")


def test_without_any_context_there_is_the_default(folder: Path):
    with pytest.raises(UsageError, match=r'knows no context "\.\./x"\. It knows: default'):
        DockerFleet(["context:../x"])


@pytest.mark.parametrize("endpoint", [None, {"SkipTLSVerify": False}, {"Host": ""}])
def test_a_context_without_an_engine_is_refused(folder: Path, endpoint: object):
    write(folder, "empty", endpoint)
    with pytest.raises(UsageError, match='context "empty" has no Docker Engine'):
        find_context("empty")


def test_a_context_that_trusts_anybody_is_refused(folder: Path):
    write(folder, "rash", {"Host": "tcp://b:2376", "SkipTLSVerify": True})
    with pytest.raises(UsageError, match="does not check whose certificate it is shown"):
        find_context("rash")


def test_a_context_that_cannot_be_read_is_told(folder: Path):
    write(folder, "broken", {"Host": 7})
    with pytest.raises(UsageError, match=r'context "broken" cannot be read from .*meta\.json'):
        find_context("broken")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("ssh://deploy@build-1.example.com:2222", "build-1.example.com"),
        ("tcp://10.0.0.7:2376", "10.0.0.7"),
        ("tcp://[fd00::7]:2376", "fd00--7"),
        ("unix:///run/docker.sock", "local"),
        ("context:staging", "staging"),
    ],
)
def test_a_node_is_called_as_its_address_says(url: str, name: str):
    assert DockerEngine(url).called == name
    assert DockerEngine(url, name="mine").called == "mine"


def test_labels_that_a_node_cannot_have_are_told_and_left_out(caplog: pytest.LogCaptureFixture):
    labels = ["disk=ssd", "zone", "node.name=x", "=", "url=a=b"]
    assert _good_labels(labels, "n") == {"disk": "ssd", "zone": "", "url": "a=b"}
    assert sum("is left out" in record.message for record in caplog.records) == 2


def test_a_fleet_shows_its_machines_and_not_more():
    fleet = DockerFleet([DockerEngine("tcp://a:2376", certificates="/etc/secret"), "ssh://b"])
    assert repr(fleet) == "<DockerFleet a, b>"
    fleet.close()
