"""A guest that stands still goes on; firmware state comes along; declared snapshots are made once. Without a guest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ovtasks.backends.contract import Handle, VmState, VmStatus
from ovtasks.errors import OvError, RefusedError
from ovtasks.host.progress import SilentProgress
from ovtasks.instance import declared_snapshots, firmware_state, snapshots, standstill
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import Record
from ovtasks.instance.snapshot_list import DiskSnapshot, save_snapshots, snapshots_of
from ovtasks.machine.machine import Machine
from ovtasks.project.model import Snapshot
from ovtasks.values.jsonvalue import Json


class Guest:
    """A backend with one guest that has an agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.refuses = ""
        self.there = True

    def ask_agent(self, handle: Handle, command: str, arguments: Mapping[str, Json], seconds: float) -> Json:
        self.asked.append(command)
        if command == self.refuses or not self.there:
            raise OvError(f"the agent refuses {command}")
        return 1

    def firmware_state(self, handle: Handle, machine: Machine) -> Mapping[str, Path]:
        return {"nvram": self.folder / "nvram.fd", "tpm": self.folder / "tpm"}


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = Folder(tmp_path / "ov" / "vm" / "ov-web")
    folder.make()
    return Record("web", folder.path, "u", "m", "qemu", "now", folder.path / "run")


@pytest.fixture
def guest(record: Record, monkeypatch: pytest.MonkeyPatch) -> Guest:
    made = Guest(record.folder.path)
    for module in (standstill, firmware_state):
        monkeypatch.setattr(module, "backend", lambda kind: made)
    monkeypatch.setattr(standstill, "known", lambda record: VmStatus(VmState.RUNNING))
    monkeypatch.setattr(snapshots, "known", lambda record: VmStatus(VmState.RUNNING))
    monkeypatch.setattr(standstill, "spawn", lambda argv, log: None)
    return made


FREEZE, THAW = "guest-fsfreeze-freeze", "guest-fsfreeze-thaw"


def test_thawed_however_it_ends(guest: Guest, record: Record) -> None:
    with standstill.frozen_files(record):
        assert record.folder.standstill.exists()
    with pytest.raises(KeyboardInterrupt), standstill.frozen_files(record):
        raise KeyboardInterrupt
    guest.refuses = FREEZE
    with pytest.raises(OvError, match="refuses guest-fsfreeze-freeze"), standstill.frozen_files(record):
        raise AssertionError
    assert guest.asked == [FREEZE, THAW] * 3
    assert not record.folder.standstill.exists()


def test_what_could_not_be_thawed_is_thawed_by_the_next(guest: Guest, record: Record) -> None:
    guest.refuses = THAW
    with pytest.raises(OvError, match="refuses guest-fsfreeze-thaw"), standstill.frozen_files(record):
        pass
    guest.refuses, guest.asked = "", []
    standstill.let_go_on(record)
    standstill.let_go_on(record)
    assert guest.asked == [THAW]


@pytest.mark.parametrize(
    ("wanted", "there", "freezes"),
    [(None, True, True), (None, False, False), (False, True, False), (True, True, True)],
)
def test_an_agent_is_asked(wanted: bool | None, there: bool, freezes: bool, guest: Guest, record: Record) -> None:
    guest.there = there
    assert snapshots._freezes(record, wanted) == freezes


def test_an_agent_is_needed(guest: Guest, record: Record) -> None:
    guest.there = False
    with pytest.raises(RefusedError, match="no guest agent"):
        snapshots._freezes(record, True)


def test_firmware_state(guest: Guest, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """NVRAM and TPM become what they were: changed, new and missing files."""
    monkeypatch.setattr(firmware_state, "load_machine", lambda path: object())
    place = record.folder.path
    firmware_state.keep_firmware(record, "disk.1.qcow2")
    (place / "tpm").mkdir()
    (place / "nvram.fd").write_text("one")
    (place / "tpm" / "state").write_text("one")
    firmware_state.keep_firmware(record, "disk.2.qcow2")
    (place / "nvram.fd").write_text("two")
    (place / "tpm" / "state").unlink()
    (place / "tpm" / "more").write_text("two")
    firmware_state.bring_firmware_back(record, "disk.2.qcow2")
    assert (place / "nvram.fd").read_text() == "one"
    assert {path.name: path.read_text() for path in (place / "tpm").iterdir()} == {"state": "one"}
    firmware_state.bring_firmware_back(record, "disk.3.qcow2")
    assert (place / "nvram.fd").read_text() == "one"
    firmware_state.bring_firmware_back(record, "disk.1.qcow2")
    assert not (place / "nvram.fd").exists() and not (place / "tpm").exists()
    firmware_state.drop_states(record.folder, {"disk.2.qcow2"})
    assert [path.name for path in place.glob("*.state")] == ["disk.2.state"]


def test_declared_snapshots_are_made_once(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, str, bool, bool]] = []

    def create(record: Record, name: str, description: str, *, quiesce: bool, memory: bool) -> None:
        made.append((name, description, quiesce, memory))
        save_snapshots(record.folder, (*snapshots_of(record.folder), DiskSnapshot(name, f"{name}.qcow2", "now")), name)

    monkeypatch.setattr(declared_snapshots, "create_snapshot", create)
    declared = [Snapshot("a", "first", quiesce=True), Snapshot("b", mode="internal")]
    for _ in range(2):
        declared_snapshots.make_declared(record, declared, SilentProgress())
    assert made == [("a", "first", True, False), ("b", "", False, True)]
    save_snapshots(record.folder, (), None)  # the user deletes them
    declared_snapshots.make_declared(record, [*declared, Snapshot("c")], SilentProgress())
    assert [one[0] for one in made] == ["a", "b", "c"]
