"""What the guest agent does, with a stand-in that answers at a socket as its protocol says."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from ovtasks.backends.contract import Handle
from ovtasks.backends.libvirt.probing import agent_error
from ovtasks.backends.qemu import agent as protocol
from ovtasks.errors import OvError
from ovtasks.instance.record import Record
from ovtasks.probes import machine
from ovtasks.probes.agent import CHUNK, frozen, read_guest_file, run_in_guest, write_guest_file
from ovtasks.probes.guest_methods import GUEST
from ovtasks.probes.machine import UnableError, ask_agent
from ovtasks.probes.method import Said
from ovtasks.values.jsonvalue import Json

METHODS = {one.name: one for one in GUEST}


class StandIn:
    """An agent: files in memory, commands that end as the test says, file systems that freeze."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.opened: dict[int, tuple[str, int]] = {}
        self.frozen = False
        self.polls = 0
        self.status: dict[str, Json] = {"exited": True, "exitcode": 0}
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.most = 100_000
        """Bytes that one write takes."""

    def answer(self, command: str, arguments: Mapping[str, Any]) -> Json:
        self.asked.append((command, arguments))
        method = getattr(self, command.replace("-", "_"), None)
        if method is None:
            raise LookupError(f"The command {command} has not been found")
        return cast(Json, method(**{key.replace("-", "_"): value for key, value in arguments.items()}))

    def guest_sync(self, id: int) -> int:
        return id

    def guest_ping(self) -> Json:
        return {}

    def guest_get_time(self) -> int:
        return 1_000_000_000 * 60

    def guest_get_host_name(self) -> Json:
        return {"host-name": "stand-in"}

    def guest_exec(self, path: str, arg: list[str], capture_output: bool) -> Json:
        return {"pid": 7}

    def guest_exec_status(self, pid: int) -> Json:
        self.polls += 1
        return self.status if self.polls > 2 else {"exited": False}

    def guest_file_open(self, path: str, mode: str) -> int:
        if mode == "r" and path not in self.files:
            raise LookupError(f"failed to open file '{path}' (mode: '{mode}'): No such file or directory")
        if mode == "w":
            self.files[path] = bytearray()
        self.opened[1000] = (path, 0)
        return 1000

    def guest_file_read(self, handle: int, count: int) -> Json:
        path, at = self.opened[handle]
        data = bytes(self.files[path][at : at + count])
        self.opened[handle] = (path, at + len(data))
        return {"count": len(data), "buf-b64": base64.b64encode(data).decode(), "eof": len(data) < count}

    def guest_file_write(self, handle: int, buf_b64: str) -> Json:
        data = base64.b64decode(buf_b64)[: self.most]
        self.files[self.opened[handle][0]] += data
        return {"count": len(data), "eof": False}

    def guest_file_flush(self, handle: int) -> Json:
        return {}

    def guest_file_close(self, handle: int) -> Json:
        del self.opened[handle]
        return {}

    def guest_fsfreeze_freeze(self) -> int:
        self.frozen = True
        return 2

    def guest_fsfreeze_thaw(self) -> int:
        self.frozen = False
        return 2

    def serve(self, listener: socket.socket) -> None:
        """One client after another, until the listener ends."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, connection.makefile("rwb") as stream, contextlib.suppress(OSError):
                    for line in stream:
                        question = json.loads(line.lstrip(b"\xff"))
                        try:
                            said = {"return": self.answer(question["execute"], question.get("arguments", {}))}
                        except LookupError as e:
                            said = {"error": {"class": "GenericError", "desc": str(e.args[0])}}
                        stream.write(json.dumps(said).encode() + b"\n")
                        stream.flush()


class ByAgent:
    """A backend that has an agent and nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ask_agent(self, handle: Handle, command: str, arguments: Mapping[str, Json], seconds: float) -> Json:
        return protocol.ask(self.path, command, arguments, seconds)


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    stand_in = StandIn()
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=stand_in.serve, args=(listener,), daemon=True)
        thread.start()
        monkeypatch.setattr(machine, "backend", lambda kind: ByAgent(path))
        yield stand_in
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(30)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record("web", tmp_path, "u", "m", "qemu", "now", tmp_path)


def said(record: Record, name: str, **values: object) -> Said:
    defaults = {one.field: one.default for one in METHODS[name].arguments}
    found = METHODS[name].run(record, {**defaults, **values})
    assert isinstance(found, Said)
    return found


def test_answers_and_refusals(guest: StandIn, record: Record) -> None:
    assert "responsive" in said(record, "guest/ping").note
    assert said(record, "guest/hostname").data == {"host-name": "stand-in"}
    clock = said(record, "guest/time").data
    assert isinstance(clock, dict) and clock["guest"] == 60.0
    with pytest.raises(OvError, match="refuses: The command guest-get-disks has not been found"):
        said(record, "guest/disks")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ({"exited": True, "exitcode": 0}, 0),
        ({"exited": True, "exitcode": 42}, 42),
        ({"exited": True, "signal": 9}, 137),
        ({"exited": True, "exitcode": 256}, 255),
        ({"exited": True, "exitcode": -1073741819}, 255),
    ],
)
def test_a_command_ends_with_its_own_status(guest: StandIn, record: Record, status: dict[str, Json], code: int) -> None:
    guest.status = {"exited": True, **status, "out-data": base64.b64encode(b"out\xff").decode(), "err-data": "ZXJy"}
    done = run_in_guest(record, ["sh", "-c", "exit 42"])
    assert (done.code, done.out, done.errors) == (code, b"out\xff", b"err")
    assert ("guest-exec", {"path": "sh", "arg": ["-c", "exit 42"], "capture-output": True}) in guest.asked
    assert said(record, "guest/exec", rest="sh -c 'exit 42'").code == code


@pytest.mark.parametrize(
    "answer",
    [
        {"exitcode": "none"},
        {"exitcode": 0, "out-data": "not base64!"},
        {"exitcode": True},
        {"exitcode": 0, "err-data": "a"},
    ],
)
def test_an_agent_that_answers_nonsense_is_told(guest: StandIn, record: Record, answer: dict[str, Json]) -> None:
    guest.status = {"exited": True, **answer}
    with pytest.raises(OvError, match="the guest agent answers") as caught:
        run_in_guest(record, ["true"])
    assert "qemu-guest-agent" in str(caught.value.hint)


def test_output_that_the_agent_cut_off_is_told(guest: StandIn, record: Record) -> None:
    guest.status = {"exited": True, "exitcode": 0, "out-data": "YQ==", "out-truncated": True}
    found = said(record, "guest/exec", rest="yes")
    assert (found.out, "keeps 16 MiB" in found.note) == (b"a", True)


def test_a_command_that_goes_on_is_told_with_its_process(guest: StandIn, record: Record) -> None:
    guest.status = {"exited": False}
    with pytest.raises(OvError, match="has not ended") as caught:
        run_in_guest(record, ["sleep", "9"], seconds=0.05)
    assert "process 7" in str(caught.value.hint)


@pytest.mark.parametrize("size", [0, 1, CHUNK, 3 * CHUNK + 17])
def test_files_of_any_size_go_there_and_back(guest: StandIn, record: Record, size: int) -> None:
    data = bytes(n * 31 % 251 for n in range(size))
    assert write_guest_file(record, "/x", io.BytesIO(data)) == size
    assert b"".join(read_guest_file(record, "/x")) == data
    assert not guest.opened


def test_a_missing_file_is_told(guest: StandIn, record: Record) -> None:
    with pytest.raises(OvError, match="No such file"):
        next(read_guest_file(record, "/none"))


def _fails(guest: StandIn, record: Record) -> None:
    with pytest.raises(ZeroDivisionError), frozen(record):
        assert guest.frozen
        raise ZeroDivisionError


def _interrupted(guest: StandIn, record: Record) -> None:
    with pytest.raises(KeyboardInterrupt), frozen(record):
        raise KeyboardInterrupt


def _ends(guest: StandIn, record: Record) -> None:
    found = said(record, "guest/fsfreeze/freeze", rest=["sh", "-c", "echo a; exit 3"])
    assert (found.out, found.code) == (b"a\n", 3)


def _no_command(guest: StandIn, record: Record) -> None:
    with pytest.raises(OvError):
        said(record, "guest/fsfreeze/freeze", rest=["/none/such"])


@pytest.mark.parametrize("how", [_fails, _interrupted, _ends, _no_command])
def test_what_was_frozen_is_thawed(guest: StandIn, record: Record, how: Callable[[StandIn, Record], None]) -> None:
    how(guest, record)
    assert not guest.frozen
    assert [name for name, _ in guest.asked if name.startswith("guest-fs")] == [
        "guest-fsfreeze-freeze",
        "guest-fsfreeze-thaw",
    ]


def test_nobody_at_the_socket_is_told(record: Record, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "backend", lambda kind: ByAgent(tmp_path / "none"))
    with pytest.raises(OvError, match="no guest agent answers") as caught:
        ask_agent(record, "guest-ping", 1.0)
    assert "qemu-guest-agent" in str(caught.value.hint)


def test_a_backend_without_an_agent_says_so(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "backend", lambda kind: object())
    for ask in (
        lambda: ask_agent(record, "guest-ping"),
        lambda: machine.picture(record),
        lambda: machine.press(record, []),
    ):
        with pytest.raises(UnableError, match="the backend qemu cannot") as caught:
            ask()
        assert caught.value.hint == "libvirt and qemu can"


@pytest.mark.parametrize(
    ("text", "silent", "message", "hint"),
    [
        (
            "No complete agent response found in 10485760 bytes: Numerical result out of range",
            *(False, "answered with more than libvirt passes on", "guest file read"),
        ),
        (
            "Guest agent is not responding: QEMU guest agent is not available due to an error",
            *(True, "libvirt has lost contact with it", "systemctl restart qemu-guest-agent"),
        ),
        ("Guest agent is not responding: QEMU guest agent is not connected", True, "not connected", "must run"),
        ("argument unsupported: QEMU guest agent is not configured", False, "not configured", "must run"),
        (
            "internal error: unable to execute QEMU agent command 'guest-x': The command guest-x has not been found",
            *(False, "refuses: internal error", "guest info"),
        ),
    ],
)
def test_what_libvirt_says_of_an_agent_has_a_way_out(text: str, silent: bool, message: str, hint: str) -> None:
    error = agent_error("ov-web", text, silent=silent)
    assert error is not None and message in error.message and hint in str(error.hint)


def test_other_errors_of_libvirt_are_left_alone() -> None:
    assert agent_error("ov-web", "Domain not found", silent=False) is None
