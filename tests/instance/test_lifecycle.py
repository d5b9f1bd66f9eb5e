"""Create, start, stop, destroy by the command line, with a real QEMU on an empty disk."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from ovtasks.graph.receipt import sha256_of
from ovtasks.host import vsock
from ovtasks.host.paths import data_home
from tests.support.programs import call
from tests.support.qemu import free_port
from tests.support.workbench import OV, Workbench, cloud_vm

pytestmark = pytest.mark.slow
KEYS = {"ssh": {"user": "tester", "key_source": "generate"}}


def folder(domain: str) -> Path:
    return data_home() / "vm" / domain


def listed(bench: Workbench, *words: str) -> dict[str, dict[str, Any]]:
    return {vm["domain"]: vm for vm in json.loads(bench.ov("vm", "list", "--json", *words).stdout)}


def state(bench: Workbench, domain: str) -> str:
    return str(listed(bench, "-a")[domain]["state"])


def declare(bench: Workbench, image: Path, **fields: Any) -> None:
    bench.write({"web": cloud_vm(image, **{"ram": "128M", "cpus": 1, **KEYS, **fields})})


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def wait_gone(pid: int) -> None:
    end = time.monotonic() + 120
    while alive(pid):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_life(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    made = bench.ov("vm", "create", "web")
    assert "disk made, seed rendered, defined, started" in made.stderr
    vm = listed(bench)["ov-web"]
    assert (vm["state"], vm["backend"], vm["stale"]) == ("running", "qemu", [])
    assert vm["ssh"]["address"] == "127.0.0.1"
    disk = folder("ov-web") / "disk.qcow2"
    inode = disk.stat().st_ino

    again = bench.ov("vm", "create", "web")
    assert "web: nothing to do" in again.stderr
    assert listed(bench)["ov-web"]["pid"] == vm["pid"]
    assert "is running already" in bench.ov("vm", "start", "web").stderr

    assert "plug pulled" in bench.ov("vm", "stop", "--force", "web").stderr
    wait_gone(vm["pid"])
    assert state(bench, "ov-web") == "stopped"
    assert "was stopped" in bench.ov("vm", "stop", "web").stderr
    assert listed(bench) == {}

    bench.ov("vm", "start", "web")
    assert state(bench, "ov-web") == "running"
    assert disk.stat().st_ino == inode

    pid = listed(bench)["ov-web"]["pid"]
    bench.ov("vm", "destroy", "web")
    wait_gone(pid)
    assert disk.exists()
    assert "is not defined" in bench.ov("vm", "start", "web", code=2).stderr
    assert "web: defined" in bench.ov("vm", "create", "--no-start", "web").stderr
    assert disk.stat().st_ino == inode
    bench.ov("vm", "destroy", "--disk", "web")
    assert not folder("ov-web").exists()
    assert "does not exist" in bench.ov("vm", "destroy", "--disk", "web").stderr
    assert [path for path in data_home().rglob("*") if path.is_file() and "locks" not in path.parts] == [
        data_home() / "ports.lock"
    ]


def test_stop_says_when_it_had_to_pull_the_plug(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    bench.ov("vm", "create", "web")
    started = time.monotonic()
    assert "it was powered off" in bench.ov("vm", "stop", "--timeout", "1", "web").stderr
    assert time.monotonic() - started < 60
    assert state(bench, "ov-web") == "stopped"


def test_two_instances_share_nothing_but_what_was_built(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    processes = [bench.start([*OV, "vm", "create", "web", "-i", name]) for name in ("dev", "staging")]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    vms = listed(bench)
    assert {vm["instance"] for vm in vms.values()} == {"dev", "staging"}
    assert len({vm["ssh"]["port"] for vm in vms.values()}) == 2
    records = [json.loads((folder(domain) / "instance.json").read_text()) for domain in vms]
    for key in ("uuid", "mac", "instance_id"):
        assert len({record[key] for record in records}) == 2, key
    for name in ("disk.qcow2", "seed.iso", "ssh_host_ed25519_key", "id_ed25519"):
        assert len({sha256_of(folder(domain) / name) for domain in vms if name != "disk.qcow2"}) in {0, 2}
    built = {(folder(domain) / "built/disk.qcow2").stat().st_ino for domain in vms}
    assert built == {(bench.root / "output/web/qcow2/disk.qcow2").stat().st_ino}
    bench.ov("vm", "destroy", "--disk", "web", "-i", "dev")
    assert [*listed(bench)] == ["ov-web-staging"]


def test_a_name_that_another_instance_has_is_refused_with_both_owners(bench: Workbench, empty_image: Path) -> None:
    vm = cloud_vm(empty_image, ram="128M", **KEYS)
    bench.write({"a": vm, "a-b": vm})
    bench.ov("vm", "create", "--no-start", "a", "-i", "b")
    refused = bench.ov("vm", "create", "--no-start", "a-b", code=3)
    assert "instance b of VM a" in refused.stderr and "VM a-b" in refused.stderr


def test_another_project_does_not_get_the_instance(bench: Workbench, empty_image: Path, tmp_path: Path) -> None:
    declare(bench, empty_image)
    bench.ov("vm", "create", "--no-start", "web")
    other = Workbench(tmp_path / "other", bench.env)
    other.root.mkdir()
    declare(other, empty_image)
    refused = other.ov("vm", "create", "--no-start", "web", code=3)
    assert f"belongs to VM web of the project {bench.root}" in refused.stderr
    bench.root.rename(tmp_path / "moved")
    moved = Workbench(tmp_path / "moved", bench.env)
    assert "is older" not in moved.ov("vm", "create", "--no-start", "web").stderr
    bench.root = moved.root


def test_a_build_never_touches_a_running_vm(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    bench.ov("vm", "create", "web")
    files = [folder("ov-web") / "built/disk.qcow2", *folder("ov-web").glob("base-*")]
    before = [(path.stat().st_ino, sha256_of(path)) for path in files]
    pid = listed(bench)["ov-web"]["pid"]
    declare(bench, empty_image, disk_size="2G")
    assert listed(bench)["ov-web"]["stale"] != []
    bench.ov("vm", "build", "web")
    assert [(path.stat().st_ino, sha256_of(path)) for path in files] == before
    vm = listed(bench)["ov-web"]
    assert (vm["pid"], vm["stale"]) == (pid, ["built anew since"])
    assert "is older than the build" in bench.ov("vm", "create", "web").stderr
    call("rm", "-r", bench.root / "output")
    bench.ov("vm", "stop", "--force", "web")
    bench.ov("vm", "start", "web")


def test_overrides_are_remembered_and_shown(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    bench.ov("vm", "create", "--no-start", "web", "--ram", "192M", "--cpus", "2")
    assert "definition changed" not in bench.ov("vm", "create", "--no-start", "web").stderr
    assert "--ram 192M --cpus 2" in bench.ov("vm", "status", "web").stdout
    assert '"size=192M"' in (folder("ov-web") / "argv.json").read_text()
    assert "definition changed" in bench.ov("vm", "create", "--no-start", "--reset", "web").stderr
    assert '"size=128M"' in (folder("ov-web") / "argv.json").read_text()


def test_plan_shows_the_definitions_difference(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    assert "create:web: new instance" in bench.ov("plan", "create:web").stdout
    bench.ov("vm", "create", "web")
    assert "create:web: nothing to do" in bench.ov("plan", "create:web", "--exit-code").stdout
    declare(bench, empty_image, ram="192M")
    plan = bench.ov("plan", "create:web", "--exit-code", code=4).stdout
    assert "definition differs" in plan and re.search(r"(?m)^- +\"size=128M\",\n\+ +\"size=192M\",$", plan)
    assert "in effect from its next start" in bench.ov("vm", "create", "web").stderr
    bench.ov("vm", "restart", "--force", "web")
    assert state(bench, "ov-web") == "running"


def test_a_changed_seed_keeps_the_disk(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    bench.ov("vm", "create", "--no-start", "web")
    disk, seed = folder("ov-web") / "disk.qcow2", folder("ov-web") / "seed.iso"
    before = (disk.stat().st_ino, json.loads((folder("ov-web") / "instance.json").read_text())["instance_id"])
    digest = sha256_of(seed)
    declare(bench, empty_image, cloud_init={"runcmd": ["true"]})
    assert "web: seed rendered anew\n" in bench.ov("vm", "create", "--no-start", "web").stderr
    assert sha256_of(seed) != digest
    assert (disk.stat().st_ino, json.loads((folder("ov-web") / "instance.json").read_text())["instance_id"]) == before


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_qemu_killed_from_outside_is_stopped_and_starts_again(
    signal_: signal.Signals, bench: Workbench, empty_image: Path
) -> None:
    declare(bench, empty_image)
    bench.ov("vm", "create", "web")
    pid = listed(bench)["ov-web"]["pid"]
    os.kill(pid, signal_)
    wait_gone(pid)
    assert state(bench, "ov-web") == "stopped"
    assert "web: started" in bench.ov("vm", "create", "web").stderr
    assert state(bench, "ov-web") == "running"


def test_create_killed_at_any_moment_and_repeated(bench: Workbench, empty_image: Path) -> None:
    """A kill after 0.3 s, 0.4 s … of a create: the next one comes to the same end, and one QEMU runs."""
    declare(bench, empty_image)
    bench.ov("vm", "build", "web")
    for tenths in range(3, 13, 2):
        process = bench.start([*OV, "vm", "create", "web"])
        time.sleep(tenths / 10)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.communicate()
        done = bench.ov("vm", "create", "web")
        assert state(bench, "ov-web") == "running", done.stderr
        pid = listed(bench)["ov-web"]["pid"]
        bench.ov("vm", "destroy", "--disk", "web")
        wait_gone(pid)
    assert not folder("ov-web").exists()


def test_two_creates_at_once_make_one_vm(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    processes = [bench.start([*OV, "vm", "create", "web"]) for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert [*listed(bench)] == ["ov-web"]
    assert sum("disk made" in err for _, err in outputs) == 1


def test_a_leased_port_that_somebody_took_is_exchanged(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    bench.ov("vm", "create", "--no-start", "web")
    port = listed(bench, "-a")["ov-web"]["ssh"]["port"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert f"port {port}" in bench.ov("vm", "start", "web").stderr
        vm = listed(bench)["ov-web"]
    assert vm["ssh"]["port"] != port
    assert f"Port {vm['ssh']['port']}" in (folder("ov-web") / "ssh_config").read_text()


def test_further_cards_of_a_second_instance(bench: Workbench, empty_image: Path) -> None:
    """Their written ports are the first one's, their written address the VM's own."""
    port = free_port()
    card: dict[str, Any] = {"mac": "52:54:00:12:34:99", "port_forwards": [{"start": str(port), "to": 80}]}
    declare(bench, empty_image, libvirt={"devices": {"interfaces": [card]}})
    bench.ov("vm", "create", "--no-start", "web")
    assert "52:54:00:12:34:99" in (folder("ov-web") / "argv.json").read_text()
    failed = bench.ov("vm", "create", "--no-start", "-i", "dev", "web", code=3).stderr
    place = "libvirt.devices.interfaces[0].port_forwards[0]"
    assert f"{place}: host port {port}/tcp is taken by VM ov-web ({place} at " in failed
    assert "or use network.port_forwards, of which every instance gets its own" in failed
    with socket.create_server(("127.0.0.1", port)):
        taken = bench.ov("vm", "start", "web", code=1).stderr
    assert f"{place}: host port {port}/tcp is taken by" in taken and f"pid {os.getpid()}" in taken

    bench.ov("vm", "destroy", "web")
    bench.ov("vm", "create", "-i", "dev", "web")
    words = (folder("ov-web-dev") / "argv.json").read_text()
    assert f"hostfwd=tcp:127.0.0.1:{port}-:80" in words and "52:54:00:12:34:99" not in words
    assert "nothing to do" in bench.ov("vm", "create", "-i", "dev", "web").stderr


def test_a_host_that_has_lost_its_vsock(bench: Workbench, empty_image: Path) -> None:
    """The module was unloaded after the create, or the guest came from elsewhere: it starts without."""
    declare(bench, empty_image)
    bench.ov("vm", "create", "--no-start", "web")
    for name in ("machine.json", "instance.json"):
        path = folder("ov-web") / name
        path.write_text(json.dumps({**json.loads(path.read_text()), "cid": 70000}))
    bench.ov("vm", "start", "web")
    assert state(bench, "ov-web") == "running"
    words = (folder("ov-web") / "argv.json").read_text()
    assert ("vhost-vsock-pci" in words) == (vsock.problem() is None)


def test_a_fixed_port_names_who_has_it(bench: Workbench, empty_image: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        declare(bench, empty_image, ssh={**KEYS["ssh"], "port": port})
        failed = bench.ov("vm", "create", "web", code=1)
        assert f"ssh.port: host port {port}/tcp is taken by" in failed.stderr and f"pid {os.getpid()}" in failed.stderr
    other = {**cloud_vm(empty_image, ram="128M"), "ssh": {**KEYS["ssh"], "port": port}}
    bench.write({"web": other, "other": {**other, "ssh": {**KEYS["ssh"]}}})
    bench.ov("vm", "create", "--no-start", "web")
    assert listed(bench, "-a")["ov-web"]["ssh"]["port"] == port


MISSING = [
    ("disk.qcow2", "the disk of web is missing", "ov vm create web"),
    ("seed.iso", "the seed of web is missing", "ov vm create web"),
    ("built/disk.qcow2", "the disk of web stands on ", "ov vm create web"),
]


@pytest.mark.parametrize(("name", "message", "hint"), MISSING)
def test_what_is_missing_is_named(name: str, message: str, hint: str, bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    bench.ov("vm", "create", "--no-start", "web")
    (folder("ov-web") / name).unlink()
    failed = bench.ov("vm", "start", "web", code=1)
    assert message in failed.stderr and hint in failed.stderr
    bench.ov("vm", "create", "web")
    assert state(bench, "ov-web") == "running"


def test_a_half_written_folder_is_made_whole(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    place = folder("ov-web")
    place.mkdir(parents=True, mode=0o700)
    (place / ".disk.qcow2.part").write_bytes(b"half")
    (place / "built").mkdir()
    bench.ov("vm", "create", "web")
    assert state(bench, "ov-web") == "running"
    assert not (place / ".disk.qcow2.part").exists()


def test_a_damaged_record_is_told_and_hides_no_other(bench: Workbench, empty_image: Path) -> None:
    vm = cloud_vm(empty_image, ram="128M", **KEYS)
    bench.write({"web": vm, "other": vm})
    for name in ("web", "other"):
        bench.ov("vm", "create", "--no-start", name)
    (folder("ov-web") / "instance.json").write_text("{", encoding="utf-8")
    failed = bench.ov("vm", "list", "-a", "--json", code=1)
    assert [one["name"] for one in json.loads(failed.stdout)] == ["other", "web"]
    assert "instance.json is damaged" in failed.stderr and "ov vm create" in failed.stderr


ERRORS = [
    (("start", "wbe"), 2, "there is no VM wbe", "web"),
    (("create", "wbe"), 2, "no VM 'wbe' is declared", "did you mean 'web'?"),
    (("start", "web"), 2, "web is not created yet", "ov vm create web"),
    (("create", "web", "-i", "No"), 2, "'No' is not a valid instance name", "a-z"),
    (("create", "web", "--ram", "many"), 2, "--ram:", ""),
    (("create", "web", "--ram", "1M"), 2, "--ram: 1M is too small: at least 32M", ""),
    (("create", "web", "--ssh-key", "/nowhere.pub"), 2, "the public key /nowhere.pub does not exist", ""),
    (("destroy", "wbe"), 2, "there is no VM wbe", ""),
]


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"), ERRORS, ids=lambda v: " ".join(v) if isinstance(v, tuple) else None
)
def test_input_errors(
    words: tuple[str, ...], code: int, message: str, hint: str, bench: Workbench, empty_image: Path
) -> None:
    declare(bench, empty_image)
    failed = bench.ov("vm", *words, code=code)
    assert message in failed.stderr and hint in failed.stderr, failed.stderr


def test_a_stopped_vm_asked_for_ssh(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    bench.ov("vm", "create", "--no-start", "web")
    for verb in ("ssh", "console", "ip"):
        failed = bench.ov("vm", verb, "web", code=1)
        assert "web is stopped" in failed.stderr and "ov vm start web" in failed.stderr


def test_as_doit_tasks(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    first = bench.doit("create:web")
    assert ".  create:web" in first.stdout
    assert "-- create:web" in bench.doit("create:web").stdout
    assert state(bench, "ov-web") == "running"
    assert "-- start:web" in bench.doit("start:web").stdout
    bench.doit("stop:web", "--force")
    assert state(bench, "ov-web") == "stopped"
    bench.doit("start:web")
    bench.doit("create:web", "-i", "dev")
    assert {*listed(bench)} == {"ov-web", "ov-web-dev"}
    bench.doit("destroy:web", "--disk")
    assert {*listed(bench)} == {"ov-web-dev"}
    bench.doit()
    assert {*listed(bench)} == {"ov-web-dev"}, "plain doit builds; it neither creates nor destroys"


def test_doit_creates_several_at_once(bench: Workbench, empty_image: Path) -> None:
    vm = cloud_vm(empty_image, ram="128M", cpus=1, **KEYS)
    bench.write({"a": vm, "b": vm, "c": vm})
    bench.doit("-n", "3", "-P", "thread", "create")
    assert {*listed(bench)} == {"ov-a", "ov-b", "ov-c"}
