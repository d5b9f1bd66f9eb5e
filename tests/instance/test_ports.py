"""Leases of host ports: the registry of all instances, with real listeners and real processes."""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ovtasks.errors import OvError, RefusedError, Where
from ovtasks.host.paths import data_home, instance_directory
from ovtasks.instance import ports as registry
from ovtasks.instance.assemble import wanted_ports
from ovtasks.instance.ports import Want, lease, preview, recheck, registered, release
from ovtasks.project.load import load_project
from ovtasks.values.ports import PortForward
from tests.support.processes import talk
from tests.support.projects import CLOUD, write
from tests.support.workbench import ROOT

SSH = Want(22)


@pytest.fixture(autouse=True)
def numbers_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which port comes next depends on what is free on this machine, where other tests lease, too."""
    first = random.randrange(10000, 19900)
    monkeypatch.setattr(registry, "LEASES", range(first, first + 100))


def make(domain: str) -> str:
    instance_directory(domain).mkdir(parents=True)
    return domain


def listen(port: int, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_server((address, port))


def unused() -> int:
    """A port below the leases that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_leased_once_and_kept() -> None:
    make("ov-a")
    wants = (SSH, Want(53, "udp", what="network.port_forwards"), Want(80, what="network.port_forwards"))
    ports = lease("ov-a", wants)
    assert [(p.guest, p.protocol, p.address) for p in ports] == [
        (22, "tcp", "127.0.0.1"),
        (53, "udp", "127.0.0.1"),
        (80, "tcp", "127.0.0.1"),
    ]
    assert all(p.host in registry.LEASES for p in ports)
    file = instance_directory("ov-a") / "ports.json"
    before = file.stat()
    assert lease("ov-a", wants) == recheck("ov-a") == registered("ov-a") == ports
    assert file.stat().st_mtime_ns == before.st_mtime_ns and before.st_mode & 0o777 == 0o600
    assert lease("ov-a", wants[::-1]) == ports[::-1]
    assert lease("ov-a", [SSH]) == ports[:1] == registered("ov-a")


def test_preview_is_what_lease_gives_and_registers_nothing() -> None:
    seen = preview("ov-a", [SSH, Want(80)])
    assert seen == preview("ov-a", [SSH, Want(80)]) and not (data_home() / "vm").exists()
    make("ov-a")
    assert lease("ov-a", [SSH, Want(80)]) == seen == preview("ov-a", [SSH, Want(80)])
    written = unused()
    assert preview("ov-a", [Want(22, host=written)]) == (PortForward(written, 22),)
    assert registered("ov-a") == seen


def test_ports_that_the_spec_leaves_open(tmp_path: Path) -> None:
    texts = "['auto:80', 'auto:80', '[::1]:auto:53/udp', '1234:81']"
    write(tmp_path, f"vms: {{a: {{source: {CLOUD}, network: {{ports: {texts}}}}}}}")
    vm = load_project(tmp_path, cache=False).vms["a"]
    wants = wanted_ports(vm, None)
    assert [(want.host, want.guest) for want in wants] == [(None, 22), (None, 80), (None, 80), (None, 53), (1234, 81)]
    assert [want.address for want in wants][3] == "::1"
    ours = lease(make("ov-a"), wants[:4])
    assert len({(one.host, one.protocol) for one in ours}) == 4 and all(one.host in registry.LEASES for one in ours)
    assert lease("ov-a", wants[:4]) == ours == registered("ov-a")
    others = lease(make("ov-b"), wants[:4]) + lease(make("ov-a-dev"), wanted_ports(vm, "dev")[:4])
    assert len({(one.host, one.protocol) for one in (*ours, *others)}) == 12


def test_the_same_number_comes_back() -> None:
    make("ov-a")
    (first,) = lease("ov-a", [SSH], project=Path("/p"))
    release("ov-a")
    release("ov-a")
    assert registered("ov-a") == ()
    assert lease("ov-a", [SSH], project=Path("/p")) == (first,)
    make("ov-b")
    assert lease("ov-b", [SSH], project=Path("/p")) != (first,)
    release("ov-a")
    assert lease("ov-a", [SSH], project=Path("/q")) != (first,)


def test_two_forwards_to_one_port_of_the_guest() -> None:
    make("ov-a")
    ports = lease("ov-a", [SSH, SSH])
    assert ports[0].host != ports[1].host and lease("ov-a", [SSH, SSH]) == ports


def test_probing_passes_what_is_taken() -> None:
    make("ov-a")
    (first,) = lease("ov-a", [SSH])
    release("ov-a")
    with listen(first.host):
        (second,) = lease("ov-a", [SSH])
    assert second.host == first.host + 1
    assert lease("ov-a", [SSH]) == (second,)  # kept: nothing says that it should move back


def test_written_port_of_another_vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make("ov-a")
    make("ov-b")
    port = unused()
    lease("ov-a", [Want(22, host=port, where=Where("vms.yml", 3, 5))])
    with pytest.raises(RefusedError) as caught:
        lease("ov-b", [Want(80, host=port, where=Where("vms.yml", 9, 5), what="network.port_forwards")])
    error = caught.value
    assert error.message == (
        f"network.port_forwards: host port {port}/tcp is taken by VM ov-a (ssh.port at {tmp_path}/vms.yml:3:5)"
    )
    assert error.where == Where("vms.yml", 9, 5)
    assert registered("ov-b") == ()
    assert lease("ov-b", [Want(53, "udp", host=port)])  # another protocol
    assert lease("ov-b", [Want(80, address="127.0.0.2", host=port)])  # another address
    with pytest.raises(RefusedError):
        lease("ov-b", [Want(80, address="0.0.0.0", host=port)])
    release("ov-a")
    assert lease("ov-b", [Want(80, address="0.0.0.0", host=port)])


def test_written_port_that_another_vm_leased() -> None:
    make("ov-a")
    make("ov-b")
    (port,) = lease("ov-a", [SSH])
    with pytest.raises(RefusedError, match=r"taken by VM ov-a \(leased for ssh.port\)"):
        lease("ov-b", [Want(22, host=port.host)])


def test_written_port_of_a_process() -> None:
    make("ov-a")
    port = unused()
    want = Want(22, host=port, where=Where("vms.yml", 3, 5))
    with listen(port, "0.0.0.0"):
        with pytest.raises(OvError) as caught:
            lease("ov-a", [want])
        assert f"ssh.port: host port {port}/tcp is taken by " in caught.value.message
        assert f"(pid {os.getpid()})" in caught.value.message and caught.value.where == want.where
        assert lease("ov-a", [want], running=True) == (PortForward(port, 22),)  # it is the VM itself
        with pytest.raises(OvError, match="is taken by"):
            recheck("ov-a")
    assert recheck("ov-a") == (PortForward(port, 22),)


def test_leased_port_taken_before_the_start() -> None:
    make("ov-a")
    said: list[str] = []
    (port,) = lease("ov-a", [SSH])
    with listen(port.host):
        assert lease("ov-a", [SSH], running=True) == (port,)
        (other,) = recheck("ov-a", say=said.append)
    assert other.host != port.host and other.guest == 22
    assert len(said) == 1 and f"port {port.host}/tcp was taken by " in said[0] and str(os.getpid()) in said[0]
    assert registered("ov-a") == (other,)


def test_written_becomes_leased_and_back() -> None:
    make("ov-a")
    make("ov-b")
    port = unused()
    lease("ov-a", [Want(22, host=port)])
    (leased,) = lease("ov-a", [SSH])
    assert leased.host in registry.LEASES
    assert lease("ov-b", [Want(22, host=port)]) == (PortForward(port, 22),)  # it was freed
    assert lease("ov-a", [Want(22, host=leased.host)]) == (leased,)


def test_what_is_gone_is_free() -> None:
    make("ov-a")
    make("ov-b")
    port = unused()
    lease("ov-a", [Want(22, host=port)])
    (instance_directory("ov-a") / "ports.json").unlink()
    instance_directory("ov-a").rmdir()
    assert lease("ov-b", [Want(22, host=port)])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1, "ports": [{"host": "x"}]}', "\xff"])
def test_damaged(text: str) -> None:
    make("ov-a")
    make("ov-b")
    lease("ov-a", [SSH])
    file = instance_directory("ov-a") / "ports.json"
    file.write_bytes(text.encode("latin-1"))
    for ask in (recheck, registered):
        with pytest.raises(OvError, match="is damaged") as caught:
            ask("ov-a")
        assert "ov vm create" in (caught.value.hint or "")
    said: list[str] = []
    lease("ov-b", [SSH], say=said.append)  # not stopped by it, but told
    assert said == [f"{file} is damaged"]
    healed = lease("ov-a", [SSH])
    assert healed == registered("ov-a") == recheck("ov-a") == lease("ov-a", [SSH])
    assert [(one.guest, one.host in registry.LEASES) for one in healed] == [(22, True)]


def test_what_the_record_knows_heals_the_registry() -> None:
    make("ov-a")
    port = unused()
    wants = (SSH, Want(80, host=port, what="network.port_forwards"))
    ports = lease("ov-a", wants)
    moved = (PortForward(ports[0].host + 7, 22), ports[1])  # not the number that a new lease would give
    for text in (None, "{"):
        file = instance_directory("ov-a") / "ports.json"
        file.unlink()
        if text is not None:
            file.write_text(text, encoding="utf-8")
        assert recheck("ov-a", known=moved) == moved == registered("ov-a")
    with listen(moved[0].host):
        assert recheck("ov-a") == ports
    with listen(port), pytest.raises(OvError, match=rf"network\.port_forwards: host port {port}/tcp is taken"):
        recheck("ov-a")


def test_of_a_later_version() -> None:
    make("ov-a")
    file = instance_directory("ov-a") / "ports.json"
    file.write_text(json.dumps({"version": 2, "ports": []}), encoding="utf-8")
    with pytest.raises(OvError, match="version 2"):
        lease("ov-a", [SSH])
    assert json.loads(file.read_bytes())["version"] == 2


def test_no_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(OvError, match="not a directory"):
        lease("ov-a", [SSH])


def test_nothing_wanted() -> None:
    assert lease(make("ov-a"), []) == () == recheck("ov-a")
    assert recheck("ov-none") == ()


def test_threads_never_share() -> None:
    domains = [make(f"ov-{n}") for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda domain: lease(domain, [SSH, Want(80)]), domains))
    assert len({port.host for ports in results for port in ports}) == 32


# All begin to look at nearly the same place: without a lock they would collide.
CROWD = """
import sys
from ovtasks.instance import ports
from ovtasks.instance.ports import Want, lease, release
ports.LEASES = range(21000, 21100)
first = int(sys.argv[1])
sys.stdin.readline()
for n in range(first, first + 6):
    domain = f"ov-{n}"
    lease(domain, [Want(22), Want(80)])
    release(domain)
    for port in lease(domain, [Want(22), Want(80)]):
        print(port.host)
"""


def test_processes_never_share() -> None:
    for n in range(24):
        make(f"ov-{n}")
    crowd = [talk(sys.executable, "-c", CROWD, str(first), cwd=ROOT) for first in range(0, 24, 6)]
    for process in crowd:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    texts = [process.communicate(timeout=120)[0] for process in crowd]
    assert not any(process.returncode for process in crowd)
    numbers = Counter(int(line) for text in texts for line in text.split())
    assert len(numbers) == 48 and set(numbers.values()) == {1}
    kept = [port.host for n in range(24) for port in registered(f"ov-{n}")]
    assert sorted(kept) == sorted(numbers)
    assert [path.name for path in data_home().iterdir() if path.is_file()] == ["ports.lock"]


def test_fifty_are_fast() -> None:
    domains = [make(f"ov-{n}") for n in range(50)]
    start = time.process_time()
    for domain in domains:
        lease(domain, [SSH])
    assert time.process_time() - start < 5
    start = time.process_time()
    assert len({registered(domain)[0].host for domain in domains}) == 50
    assert time.process_time() - start < 0.5
