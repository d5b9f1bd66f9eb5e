"""What an instance remembers comes back as it was; names, addresses and places follow from it."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.host.paths import SUN_PATH, instance_directory
from ovtasks.instance.folder import Folder, sockets_folder
from ovtasks.instance.record import HostKey, Overrides, Record, domain_of, load, new_record, stable_mac
from ovtasks.instance.saved_machine import load_machine, save_machine
from ovtasks.machine.machine import Boot, Machine, Nic
from ovtasks.values.firmware import Firmware
from ovtasks.values.ports import PortForward


def record(vm: str = "web", instance: str | None = None) -> Record:
    return new_record(vm, instance, Path("/project"), "qemu", None, None)


def test_a_record_comes_back(tmp_path: Path) -> None:
    full = replace(
        record("web", "dev"),
        overrides=Overrides(ram=1 << 30, ssh_key="none"),
        forwards=(PortForward(20022, 22), PortForward(53, 5353, "udp", "0.0.0.0")),
        ssh_port=20022,
        identity=Path("/home/me/.ssh/id with blank"),
        host_key=HostKey.CONFIRMED,
        instance_id="ov-1",
        built="sha256:1",
    )
    for one in (full, record()):
        one.folder.make()
        one.save()
        assert load(one.folder) == one
        assert one.folder.record.stat().st_mode & 0o777 == 0o600


def test_a_machine_comes_back(tmp_path: Path) -> None:
    machine = Machine(
        domain="ov-web",
        uuid="u",
        vm="web",
        project=Path("/p"),
        disk=Path("/d"),
        serial_log=Path("/l"),
        sockets=Path("/s"),
        nic=Nic("52:00:00:00:00:01", forwards=(PortForward(1, 2),)),
        boot=Boot(Firmware.UEFI_SECURE, code=Path("/c"), template=Path("/t"), nvram=Path("/n"), smm=True),
        seed=Path("/seed"),
        oem_strings=("a", "b"),
        credentials={"x": Path("/y")},
        libvirt={"devices": {"video": [{"model": "none"}]}},
    )
    save_machine(tmp_path / "machine.json", machine)
    assert load_machine(tmp_path / "machine.json") == machine
    assert load_machine(tmp_path / "none.json") is None


DAMAGED = ["", "{", "[]", '{"version": 1}', '{"version": 1, "vm": "web", "surprise": 1}']


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_record_says_so(text: str) -> None:
    folder = record().folder
    folder.make()
    folder.record.write_text(text, encoding="utf-8")
    with pytest.raises(OvError, match=r"instance\.json is damaged") as caught:
        load(folder)
    assert str(folder.path) in str(caught.value.hint)


def test_a_record_of_a_later_version_is_left_alone() -> None:
    folder = record().folder
    folder.make()
    folder.record.write_text(json.dumps({"version": 2}), encoding="utf-8")
    with pytest.raises(OvError, match="version 2"):
        load(folder)


def test_identity_is_stable_and_differs_between_instances() -> None:
    assert record() == replace(record(), created=record().created)
    uuids = {record().uuid, record("web", "dev").uuid, record("other").uuid}
    assert len(uuids) == 3


def test_mac_is_locally_administered_and_unicast() -> None:
    macs = {stable_mac(str(number)) for number in range(500)}
    assert len(macs) == 500
    for mac in macs:
        first = int(mac[:2], 16)
        assert first & 2 and not first & 1
    assert stable_mac("a") == stable_mac("a")


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a/b", "a" * 31, "a\n"])
def test_names_of_instances(name: str) -> None:
    with pytest.raises(InputError, match="is not a valid instance name"):
        domain_of("web", name)
    assert domain_of("web", "a-1") == "ov-web-a-1"


def test_sockets_get_a_short_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Folder(Path("/home/me/.local/share/ov/vm/ov-web")).choose_sockets().name == "run"
    deep = Folder(instance_directory("ov-" + "x" * 60) / ("y" * 60))
    runtime = tmp_path / "r"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    assert str(deep.choose_sockets()).startswith("/tmp/ov-")
    if len(str(runtime)) < 60:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        assert runtime in deep.choose_sockets().parents
    place = deep.choose_sockets()
    try:
        assert len(str(place / "console.sock")) < SUN_PATH
        with sockets_folder(place), socket.socket(socket.AF_UNIX) as s:
            s.bind(str(place / "console.sock"))
        assert place.stat().st_mode & 0o777 == 0o700
    finally:
        (place / "console.sock").unlink(missing_ok=True)
        place.rmdir()


def test_a_socket_folder_of_another_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "ov").symlink_to(tmp_path / "real")
    with pytest.raises(OvError, match="is not ours"), sockets_folder(tmp_path / "ov" / "name"):
        pass
