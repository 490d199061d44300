"""What tasks may not do, on a real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from minorch.errors import PolicyError, StartFailed
from minorch.model import Mount
from minorch.runtimes.docker import DockerPolicy, DockerRuntime
from tests.engines.docker.conftest import Story


@pytest.fixture
def permitted(engine_url: str, story: Story, tmp_path: Path):
    """The story's runtime, allowed to bind what is beneath tmp_path/open."""
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "closed").mkdir()
    runtime = DockerRuntime(engine_url, policy=DockerPolicy(binds=(str(tmp_path / "open"),)))
    story.runtime = runtime
    yield story
    runtime.close()


def output(story: Story, *command: str, **fields) -> tuple[int | None, str]:
    """Exit code and output of a command."""
    launch = story.start(*command, **fields)
    status = story.ended(launch)
    return status.exit_code, b"".join(story.runtime.logs(launch.key)).decode()


def test_a_bind_is_denied_by_default(story: Story, tmp_path: Path):
    with pytest.raises(PolicyError, match="forbidden"):
        story.start("true", mounts=[Mount("/x", source=str(tmp_path), kind="bind")])
    assert story.listed() == []


def test_a_bind_beneath_an_allowed_directory_is_mounted(permitted: Story, tmp_path: Path):
    (tmp_path / "open/file").write_text("seen")
    mount = Mount("/x", source=str(tmp_path / "open"), kind="bind", read_only=True)
    assert output(permitted, "cat", "/x/file", mounts=[mount]) == (0, "seen")
    code, _text = output(permitted, "touch", "/x/new", mounts=[mount])
    assert code == 1


def test_a_link_out_of_the_allowed_directory_is_denied(permitted: Story, tmp_path: Path):
    (tmp_path / "open/way").symlink_to(tmp_path / "closed")
    with pytest.raises(PolicyError, match="closed"):
        permitted.start("true", mounts=[Mount("/x", source=str(tmp_path / "open/way"), kind="bind")])


def test_a_bind_of_what_is_not_there_fails_and_makes_no_directory(permitted: Story, tmp_path: Path):
    missing = tmp_path / "open/missing"
    with pytest.raises(StartFailed, match="does not exist"):
        permitted.start("true", mounts=[Mount("/x", source=str(missing), kind="bind")])
    assert not missing.exists()
    assert permitted.listed() == []


@pytest.mark.parametrize("source", ["/var/run/docker.sock", "/run", "/var/run"])
def test_the_engines_socket_is_denied_even_where_its_directory_is_allowed(
    story: Story, engine_url: str, source: str
):
    runtime = DockerRuntime(engine_url, policy=DockerPolicy(binds=("/run", "/var/run")))
    with pytest.raises(PolicyError, match="socket"):
        runtime.start(story.launch("true", mounts=[Mount("/x", source=source, kind="bind")]))
    runtime.close()


def test_the_hosts_network_is_denied_unless_the_policy_allows_it(story: Story, engine_url: str):
    with pytest.raises(PolicyError, match="network"):
        story.start("true", networks=["host"])
    runtime = DockerRuntime(engine_url, policy=DockerPolicy(host_network=True))
    story.runtime = runtime
    assert output(story, "true", networks=["host"]) == (0, "")
    runtime.close()


def test_joining_another_containers_network_is_refused(story: Story):
    other = story.start("sleep", "60")
    with pytest.raises(StartFailed, match="not the name of a network"):
        story.start("true", networks=[f"container:{other.key.name}"])


def test_a_tmpfs_has_its_size(story: Story):
    mount = Mount("/scratch", kind="tmpfs", size="1MiB")
    code, text = output(story, "sh", "-c", "df -k /scratch | tail -1", mounts=[mount])
    assert code == 0
    assert text.split()[1] == "1024"


def test_named_volumes_keep_their_contents(story: Story):
    name = f"minorch-{story.owner.cluster_id}"
    try:
        mount = Mount("/data", source=name)
        assert output(story, "sh", "-c", "echo kept >/data/x", mounts=[mount])[0] == 0
        assert output(story, "cat", "/data/x", mounts=[mount]) == (0, "kept\n")
        story.clean_up()
    finally:
        story.api.remove_volume(name)


def test_baseline_cannot_send_raw_packets_or_gain_privileges(story: Story):
    _code, text = output(story, "grep", "-E", "CapEff|NoNewPrivs", "/proc/self/status")
    fields = dict(line.split(":\t") for line in text.splitlines())
    effective = int(fields["CapEff"], 16)
    assert fields["NoNewPrivs"] == "1"
    assert not effective & (1 << 13)  # NET_RAW
    assert not effective & (1 << 27)  # MKNOD
    assert not effective & (1 << 21)  # SYS_ADMIN


def test_restricted_is_nobody_without_capabilities_on_a_read_only_root(story: Story):
    script = "exec 2>&1; id -u; grep CapBnd /proc/self/status; touch /x; touch /tmp/y && echo tmp"
    _code, text = output(story, "sh", "-c", script, security="restricted")
    assert text.splitlines()[0] == "65534"
    assert "CapBnd:\t0000000000000000" in text
    assert "Read-only file system" in text
    assert text.endswith("tmp\n")


def test_restricted_takes_a_numeric_user_and_never_root(story: Story):
    assert output(story, "id", "-u", security="restricted", user="1000:1000") == (0, "1000\n")
    for user in ("0", "root", "00:5", "daemon"):
        with pytest.raises(PolicyError, match="restricted"):
            story.start("true", security="restricted", user=user)


def test_the_number_of_processes_is_limited(story: Story):
    _code, text = output(story, "sh", "-c", "for n in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait", pids=4)
    assert "fork" in text
