"""Waits for a guest, step by step: it runs, it has booted, its SSH server answers, it lets us in, cloud-init is done,
the user's own probe succeeds.

Events are watched as they happen (messages of systemd, the serial console, the end of the VM), while the SSH server is
polled with growing pauses. The end of the VM always ends the wait.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ovtasks.errors import EXIT_DONE, OvError
from ovtasks.guest.cloud_init import SCRIPT, CloudInitState, CloudInitStatus, parse
from ovtasks.guest.connection import Connection, connect
from ovtasks.guest.connection_errors import ConnectionFailedError, KeyRefusedError, TookTooLongError
from ovtasks.guest.deadline import Deadline, growing
from ovtasks.guest.diagnosis import clean, diagnose, stands_still
from ovtasks.guest.notify import Listener
from ovtasks.guest.session import Finished
from ovtasks.guest.target import Target, WrongHostKeyError
from ovtasks.host.state import StateError, open_log

LOGIN = re.compile(r"^\S+ login:|Reached target .*(?:Multi-User|Graphical)|multi-user\.target", re.MULTILINE)
"""What a getty or systemd prints on the console after the boot."""
BANNER_SECONDS = 5.0
REFUSALS_SECONDS = 20.0
"""Seconds, times the deadline's factor, for which a key may be refused: it may still be on its way into the guest."""
WRONG_KEY_SECONDS = 5.0
"""The same for another host key: it may be the image's own SSH server, which cloud-init is about to restart."""
SETTLED = b"! systemctl list-jobs 2>/dev/null | grep -q cloud-config"
"""Succeeds unless systemd has cloud-init's second stage still before it, which may restart the SSH server."""
SETTLE_SECONDS = 60.0
"""Seconds, times the deadline's factor, to wait for that stage."""
LOOK_SECONDS = 2.0
"""Seconds between two looks at the console and the VM, at most."""
TAIL_BYTES = 64 << 10
TAIL_LINES = 15
EXIT_DEGRADED = 2


class Level(StrEnum):
    """What can be waited for."""

    BOOT = "boot"
    SSH = "ssh"
    CLOUD_INIT = "cloud-init"


class Stage(StrEnum):
    """How far a guest has come."""

    STARTED = "started"
    BOOTED = "booted"
    ANSWERS = "its SSH server answers"
    LOGGED_IN = "lets its user in"
    CLOUD_INIT = "cloud-init has finished"
    PROBED = "the probe succeeded"


class NotReadyError(OvError):
    """The guest did not become ready; ``kind`` is the finding's."""

    def __init__(self, message: str, hint: str, kind: str, stage: Stage) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.stage = stage


@dataclass(frozen=True)
class Ready:
    """The result: how far the guest came, after how many seconds, and notes for the user."""

    stage: Stage
    seconds: float
    cloud_init: CloudInitState | None = None
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """2 if cloud-init finished degraded, as its own status does; else 0."""
        return EXIT_DEGRADED if self.cloud_init is CloudInitState.DEGRADED else EXIT_DONE

    def facts(self) -> dict[str, object]:
        """As JSON data."""
        state = self.cloud_init.value if self.cloud_init else None
        return {"stage": self.stage.value, "seconds": round(self.seconds, 1), "cloud_init": state, "notes": self.notes}


@dataclass
class Wait:
    """One wait. ``alive`` returns None while the VM runs, else why it ended.

    ``contact`` is called at the SSH server's first answer, and prepares ``known_hosts``. ``log_start`` is where this
    boot's part of ``serial`` begins, in bytes. ``listener`` receives messages of the guest's systemd; None if it cannot
    send any.
    """

    target: Target
    deadline: Deadline
    alive: Callable[[], str | None]
    serial: Path
    log_start: int = 0
    contact: Callable[[], None] = lambda: None
    on_stage: Callable[[Stage, float], None] = lambda stage, seconds: None
    listener: Listener | None = None
    stage: Stage = Stage.STARTED
    ssh_error: str = ""
    notes: list[str] = field(default_factory=list)
    _asked: float = -1.0
    _wrong_since: float | None = None
    _guest: Connection | None = None
    _failure: OvError | None = None

    def until(self, level: Level, probe: str | None = None) -> Ready:
        """Wait for ``level``, then for the success of ``probe``, a command for the guest's shell.

        :raises NotReadyError: the VM ended, the time is up, or the guest cannot get there any more.
        """
        cloud_init: CloudInitState | None = None
        try:
            self._boot(level)
            if level is not Level.BOOT or probe is not None:
                self._log_in()
            if level is Level.CLOUD_INIT:
                cloud_init = self._cloud_init()
            if probe is not None:
                self._probe(probe)
        finally:
            self._hang_up()
        return Ready(self.stage, self.deadline.elapsed, cloud_init, tuple(self.notes))

    def _boot(self, level: Level) -> None:
        """Wait until systemd reports the boot, the console shows a login prompt, or the SSH server answers.

        For higher levels only the SSH server counts.
        """
        for pause in growing():
            if banner(self.target.host, self.target.port):
                self._reach(Stage.ANSWERS)
                return
            if self.stage is Stage.STARTED and (self._announced() or LOGIN.search(clean(self._said()))):
                self._reach(Stage.BOOTED)
            if level is Level.BOOT and self.stage is Stage.BOOTED:
                return
            self._go_on(pause)

    def _log_in(self) -> None:
        """Wait until two logins have run ``true``, and between them cloud-init has done what restarts the SSH server.

        A wrong host key never gets better, and a refused key rarely does.
        """
        refused_since: float | None = None
        contacted = again = False
        for pause in growing():
            if not contacted:
                contacted = self._contacted()
            if contacted:
                self._hang_up()
                done = self._command("true")
                if done is not None and done.status == 0:
                    if again:
                        self._reach(Stage.LOGGED_IN)
                        return
                    again = True
                    self._settle()
                    continue
                again = False
                if isinstance(self._failure, KeyRefusedError):
                    refused_since = self.deadline.elapsed if refused_since is None else refused_since
                    if self.deadline.elapsed - refused_since > REFUSALS_SECONDS * self.deadline.factor:
                        raise self._failed("it lets nobody in")
            self._go_on(pause)

    def _settle(self) -> None:
        """Wait for the end of what may restart the SSH server; not for ever, since a login works already."""
        end = self.deadline.elapsed + SETTLE_SECONDS * self.deadline.factor
        for pause in growing():
            done = self._command("sh", SETTLED)
            if done is None or done.status == 0 or self.deadline.elapsed > end or self.deadline.expired:
                return
            self._go_on(pause)

    def _contacted(self) -> bool:
        try:
            self.contact()
        except NotReadyError:
            raise
        except WrongHostKeyError as e:
            now = self.deadline.elapsed
            self._wrong_since = now if self._wrong_since is None else self._wrong_since
            if now - self._wrong_since > WRONG_KEY_SECONDS * self.deadline.factor or self.deadline.expired:
                raise NotReadyError(f"{self.target.name}: {e.message}", e.hint or "", "host-key", self.stage) from e
            return False
        except OvError as e:
            self.ssh_error = e.message
            return False
        return True

    def _cloud_init(self) -> CloudInitState:
        for pause in growing(1.0, 5.0):
            done = self._command("sh", SCRIPT.encode())
            if done is not None:  # cloud-init may reboot the guest
                found = parse(done.text, done.status)
                if found.state is CloudInitState.ERROR:
                    raise self._cloud_init_failed(found)
                if found.state is not CloudInitState.RUNNING:
                    self._reach(Stage.CLOUD_INIT)
                    if found.state in {CloudInitState.ABSENT, CloudInitState.DISABLED}:
                        self.notes.append(f"cloud-init is {found.state.value} in this guest")
                    self.notes += [f"cloud-init: {error}" for error in found.errors]
                    return found.state
            self._go_on(pause)
        raise AssertionError("growing() has no end")

    def _cloud_init_failed(self, found: CloudInitStatus) -> NotReadyError:
        errors = "".join(f"\n  | {error}" for error in found.errors)
        hint = f"ov vm ssh {self.target.name} -- sudo cat /var/log/cloud-init-output.log"
        return NotReadyError(f"{self.target.name}: cloud-init failed:{errors}", hint, "cloud-init", self.stage)

    def _probe(self, command: str) -> None:
        for pause in growing():
            done = self._command(command)
            if done is not None and done.status == 0:
                self._reach(Stage.PROBED)
                return
            self._go_on(pause)

    def _command(self, line: str, stdin: bytes = b"") -> Finished | None:
        """Run a line of the guest's shell; None: no connection, or it took too long. Then we try again, anew."""
        try:
            if self._guest is None:
                self._guest = connect(self.target, limit=self._limit(), check=self._check)
            done = self._guest.command(line, stdin=stdin, timeout=self._limit(), check=self._check)
        except WrongHostKeyError:
            self.ssh_error = "Host key verification failed"
            raise self._failed("the host key is not the expected one") from None
        except (ConnectionFailedError, TookTooLongError) as e:
            self._hang_up()
            self._failure = e
            self.ssh_error = e.said if isinstance(e, ConnectionFailedError) else e.message
            return None
        self._failure, self.ssh_error = None, done.error
        return done

    def _hang_up(self) -> None:
        if self._guest is not None:
            self._guest.close()
            self._guest = None

    def _limit(self) -> float:
        return max(1.0, self.deadline.remaining)

    def _reach(self, stage: Stage) -> None:
        self.stage = stage
        self.on_stage(stage, self.deadline.elapsed)

    def _go_on(self, pause: float) -> None:
        """Pause, if time is left and the VM still runs."""
        self._check()
        if self.deadline.expired:
            raise self._failed(f"not ready after {self.deadline.elapsed:.0f} s")
        if self.listener is None:
            self.deadline.pause(min(pause, LOOK_SECONDS))
        else:
            self.listener.pause(min(pause, LOOK_SECONDS, self.deadline.remaining))

    def _announced(self) -> bool:
        if self.listener is None:
            return False
        self.listener.pause(0.0)
        return self.listener.booted

    def _check(self) -> None:
        """Check that the VM runs and is not stuck, at most once a second."""
        now = self.deadline.elapsed
        if now - self._asked < 1.0 and self._asked >= 0:
            return
        self._asked = now
        if (reason := self.alive()) is not None:
            raise self._failed(f"the VM ended after {now:.0f} s: {reason}")
        reached = self.stage not in {Stage.STARTED, Stage.BOOTED}
        if stands_still(self._said(), reached=reached, silent=self._silent()):
            raise self._failed(f"it is stuck after {now:.0f} s")

    def _silent(self) -> float:
        """How many seconds the guest has said nothing."""
        with contextlib.suppress(OSError):
            return max(0.0, time.time() - self.serial.stat().st_mtime)
        return 0.0

    def _said(self) -> str:
        """The end of what the guest has said since its start."""
        try:
            with open_log(self.serial) as file:
                size = file.seek(0, 2)
                start = self.log_start if self.log_start <= size else 0  # a long log was moved away and started again
                file.seek(max(start, size - TAIL_BYTES))
                return file.read().decode(errors="replace")
        except (FileNotFoundError, StateError):
            return ""

    def _failed(self, what: str) -> NotReadyError:
        name, said = self.target.name, self._said()
        reached = self.stage not in {Stage.STARTED, Stage.BOOTED}
        finding = diagnose(said, self.ssh_error, name, reached=reached)
        lines = [line for line in clean(said).splitlines() if line.strip()][-TAIL_LINES:]
        tail = "".join(f"\n  | {line}" for line in lines)
        came = f"it came as far as: {self.stage.value}"
        return NotReadyError(f"{name}: {what}; {finding.message}; {came}{tail}", finding.hint, finding.kind, self.stage)


def banner(host: str, port: int) -> str | None:
    """The first line of an SSH server; None if it says nothing within a few seconds.

    An accepted connection proves little: QEMU's user network accepts before the guest listens.
    """
    try:
        with socket.create_connection((host, port), timeout=BANNER_SECONDS) as connection:
            connection.settimeout(BANNER_SECONDS)
            line = connection.makefile("rb").readline(255).decode(errors="replace").strip()
    except OSError:
        return None
    return line if line.startswith("SSH-") else None
