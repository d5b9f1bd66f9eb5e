"""The ladder against a real sshd: every rung, every way to fail, and the end of the VM in between."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.guest.cloud_init import CloudInitState
from ovtasks.guest.deadline import Deadline, growing
from ovtasks.guest.readiness import Level, NotReadyError, Ready, Stage, Wait
from ovtasks.guest.target import WrongHostKeyError
from tests.support.sshd import Sshd, new_sshd, write


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with new_sshd(tmp_path / "sshd") as server:
        yield server


def climb(
    server: Sshd,
    level: Level,
    *,
    seconds: float = 60.0,
    alive: Callable[[], str | None] = lambda: None,
    serial: str = "",
    probe: str | None = None,
    **target: object,
) -> tuple[Ready, list[Stage]]:
    stages: list[Stage] = []
    log = server.folder / "serial.log"
    if serial:
        log.write_text(serial)
    wait = Wait(
        target=replace(server.target, **target),  # type: ignore[arg-type]
        deadline=Deadline.after(seconds),
        alive=alive,
        serial=log,
        on_stage=lambda stage, after: stages.append(stage),
    )
    return wait.until(level, probe), stages


def fails(server: Sshd, level: Level, **options: object) -> NotReadyError:
    with pytest.raises(NotReadyError) as caught:
        climb(server, level, **options)  # type: ignore[arg-type]
    return caught.value


def cloud_init(server: Sshd, json: str, code: int = 0) -> None:
    server.program("cloud-init", f"case \"$*\" in *--wait*) ;; *) echo '{json}' ;; esac\nexit {code}")


def test_the_whole_ladder(server: Sshd) -> None:
    server.start()
    cloud_init(server, '{"status": "done", "errors": []}')
    server.program("probe", "exit 0")
    ready, stages = climb(server, Level.CLOUD_INIT, probe="probe")
    assert stages == [Stage.ANSWERS, Stage.LOGGED_IN, Stage.CLOUD_INIT, Stage.PROBED]
    assert (ready.cloud_init, ready.exit_code, ready.notes) == (CloudInitState.DONE, 0, ())
    assert ready.facts()["stage"] == "the probe succeeded"


def test_waits_for_a_server_that_comes_later(server: Sshd) -> None:
    timer = threading.Timer(1.0, server.start)
    timer.start()
    try:
        ready, _ = climb(server, Level.SSH)
    finally:
        timer.join()
    assert ready.stage is Stage.LOGGED_IN and ready.seconds >= 0.9


def test_waits_for_what_restarts_the_server(server: Sshd) -> None:
    """cloud-init's second stage is still queued; then it runs; then it is over."""
    log = server.folder / "asked"
    script = f"""echo >> {log}
case $(wc -l < {log}) in
  1) echo '126 cloud-config.service start waiting' ;;
  2) echo '126 cloud-config.service start running' ;;
  *) echo '127 cloud-final.service start running' ;;
esac"""
    server.program("systemctl", script)
    server.start()
    ready, stages = climb(server, Level.SSH)
    assert ready.stage is Stage.LOGGED_IN and stages == [Stage.ANSWERS, Stage.LOGGED_IN]
    assert log.read_text() == "\n" * 3


def test_a_login_counts_though_cloud_init_never_ends(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ovtasks.guest.readiness.SETTLE_SECONDS", 0.5)
    server.program("systemctl", "echo 126 cloud-config.service start running")
    server.start()
    assert climb(server, Level.SSH)[0].stage is Stage.LOGGED_IN


def test_boot_is_seen_on_the_console(server: Sshd) -> None:
    ready, stages = climb(server, Level.BOOT, serial="Debian GNU/Linux 12 web ttyS0\r\n\r\nweb login: ")
    assert stages == [Stage.BOOTED] and ready.stage is Stage.BOOTED


def test_an_earlier_boot_on_the_console_does_not_count(server: Sshd) -> None:
    log = server.folder / "serial.log"
    log.write_text("web login: \n")
    wait = Wait(server.target, Deadline.after(1.0), lambda: None, log, log_start=log.stat().st_size)
    with pytest.raises(NotReadyError, match="has not said a word"):
        wait.until(Level.BOOT)


CLOUD_INIT = [
    ('{"status": "done", "extended_status": "degraded done", "errors": ["bad"]}', 2, CloudInitState.DEGRADED, 2),
    ('{"status": "disabled"}', 0, CloudInitState.DISABLED, 0),
]


@pytest.mark.parametrize(("json", "code", "state", "exit_code"), CLOUD_INIT)
def test_cloud_init(json: str, code: int, state: CloudInitState, exit_code: int, server: Sshd) -> None:
    server.start()
    cloud_init(server, json, code)
    ready, _ = climb(server, Level.CLOUD_INIT)
    assert (ready.cloud_init, ready.exit_code) == (state, exit_code)
    assert ready.notes


def test_no_cloud_init_in_the_guest(server: Sshd) -> None:
    server.bare()
    server.program("true", "exit 0")
    server.start()
    ready, _ = climb(server, Level.CLOUD_INIT)
    assert (ready.cloud_init, ready.exit_code) == (CloudInitState.ABSENT, 0)
    assert ready.notes == ("cloud-init is absent in this guest",)


def test_cloud_init_failed(server: Sshd) -> None:
    server.start()
    cloud_init(server, '{"status": "error", "errors": ["scripts-user broke"]}', 1)
    error = fails(server, Level.CLOUD_INIT)
    assert "scripts-user broke" in error.message and error.kind == "cloud-init"
    assert "ov vm ssh web" in str(error.hint)


def test_a_key_that_is_refused(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ovtasks.guest.readiness.REFUSALS_SECONDS", 1.0)
    server.start()
    write(server.folder / "authorized_keys", "")
    error = fails(server, Level.SSH)
    assert error.kind == "key-refused" and "lets nobody in" in error.message


def test_another_host_key_fails_at_once(server: Sshd) -> None:
    server.new_host_key()
    server.start()
    started = time.monotonic()
    error = fails(server, Level.SSH)
    assert error.kind == "host-key" and time.monotonic() - started < 60


def test_a_probe_that_never_succeeds(server: Sshd) -> None:
    server.start()
    error = fails(server, Level.SSH, probe="false", seconds=3.0)
    assert re.search(r"not ready after \d+ s", error.message) and error.stage is Stage.LOGGED_IN


def test_nobody_answers(server: Sshd) -> None:
    error = fails(server, Level.SSH, seconds=1.0, serial="grub rescue> ")
    assert error.kind == "boot-loader" and "| grub rescue>" in error.message
    assert "came as far as: started" in error.message


@pytest.mark.slow
def test_a_port_that_is_open_and_silent(server: Sshd) -> None:
    """As QEMU's user network does before the guest listens."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", server.port))
        silent.listen()
        error = fails(server, Level.SSH, seconds=1.0)
    assert error.stage is Stage.STARTED


@pytest.mark.parametrize("rung", ["boot", "cloud-init"])
def test_the_end_of_the_vm_ends_the_wait(rung: str, server: Sshd) -> None:
    if rung == "cloud-init":
        server.start()
        server.program("cloud-init", "exec sleep 60")
    started = time.monotonic()
    error = fails(
        server, Level.CLOUD_INIT, alive=lambda: "powered off" if time.monotonic() - started > 2 else None, seconds=100.0
    )
    assert "the VM ended" in error.message and "powered off" in error.message
    assert time.monotonic() - started < 60


def test_pauses_grow_to_a_limit() -> None:
    pauses = growing()
    values = [next(pauses) for _ in range(12)]
    assert values[0] == 0.2 and values == sorted(values) and values[-1] == 2.0


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds


def test_deadlines_are_longer_where_guests_are_slow() -> None:
    clock = Clock()
    deadline = Deadline.after(6.0, factor=10.0, clock=clock)
    assert deadline.remaining == 60.0
    deadline.pause(1000.0)
    assert deadline.expired and deadline.elapsed == 60.0


CONSOLES = {
    "panic-root.txt": "panic",
    "emergency.txt": "emergency",
    "grub.txt": "boot-loader",
    "ovmf.txt": "no-boot-device",
}


@pytest.mark.parametrize("name", CONSOLES)
def test_a_guest_that_stands_still_ends_the_wait(name: str, server: Sshd) -> None:
    text = (Path(__file__).parent / "samples" / name).read_text(encoding="utf-8", errors="replace")
    begun = time.monotonic()
    error = fails(server, Level.SSH, serial=text, seconds=600.0)
    assert time.monotonic() - begun < 60 and error.kind == CONSOLES[name]
    assert "it is stuck after" in error.message and error.hint


def test_a_panic_in_the_middle_of_a_wait(server: Sshd) -> None:
    """Also while a command runs in the guest."""
    server.start()
    log = server.folder / "serial.log"
    text = "web login: \n---[ end Kernel panic - not syncing: Fatal exception in interrupt ]---\n"
    timer = threading.Timer(1.0, lambda: log.write_text(text))
    timer.start()
    begun = time.monotonic()
    try:
        error = fails(server, Level.SSH, seconds=600.0, probe="sleep 60")
    finally:
        timer.join()
    assert time.monotonic() - begun < 60 and error.kind == "panic" and "Fatal exception in interrupt" in error.message


@pytest.mark.slow
def test_a_wrong_host_key_ends_the_wait(server: Sshd) -> None:
    """Not at once: an image's own SSH server may be there for a moment before cloud-init starts it anew."""
    server.start()

    def contact() -> None:
        raise WrongHostKeyError("shows another host key: SHA256:x", hint="--accept-new-host-key")

    wait = Wait(server.target, Deadline.after(600.0), lambda: None, server.folder / "serial.log", contact=contact)
    begun = time.monotonic()
    with pytest.raises(NotReadyError) as caught:
        wait.until(Level.SSH)
    assert 4 < time.monotonic() - begun < 40 and caught.value.kind == "host-key"
    assert "SHA256:x" in caught.value.message and "--accept-new-host-key" in str(caught.value.hint)
