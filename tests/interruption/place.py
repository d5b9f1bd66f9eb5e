"""A machine of its own for a run of the tests, made of namespaces: processes, network, mounts, /etc, /tmp.

``unshare --pid --fork --mount --net --mount-proc python -m tests.interruption.place SIGNAL TO TESTS PYTEST-ARGUMENT…``
runs the tests of ``holding``, sends ``SIGNAL`` when all that they hold stands, waits, after SIGKILL runs pytest once
more, and prints what is there that was not there before, a line each. ``TO``: ``pytest``; ``group``, as a terminal
does; ``doit``, which has started pytest.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ovtasks.host import bridge as rules
from tests.support.processes import serve
from tests.support.programs import call, mount, umount

ROOT = Path(__file__).parents[2]
HOLDING = Path("/run/holding")
TEMPORARY = Path("/tmp/place")
"""Where pytest has its folders: loop devices are the whole machine's, and by their files we know those of this run."""
TESTS = "tests/interruption/holding.py"
READY_SECONDS = 240.0
END_SECONDS = 60.0


def separate() -> None:
    """Folders that tests of another run use, too, become our own; the checkout stays where it is."""
    for folder in (Path("/tmp"), Path("/var/tmp"), Path("/run")):
        scratch = Path("/mnt")
        mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", scratch)
        if ROOT.is_relative_to(folder):
            inner = scratch / ROOT.relative_to(folder)
            inner.mkdir(parents=True)
            mount("--bind", ROOT, inner)
        mount("--rbind", scratch, folder)
        umount("--lazy", scratch)
    mount("-t", "tmpfs", "tmpfs", "/mnt")
    call("cp", "-a", "/etc/.", "/mnt")
    mount("--bind", "/mnt", "/etc")
    mount("-t", "tmpfs", "tmpfs", "/var/lib/misc")
    mount("-t", "sysfs", "sysfs", "/sys")  # of our network
    call("ip", "link", "set", "lo", "up")
    HOLDING.mkdir()


def present() -> Iterator[str]:
    """What tests could leave, a line each."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in (1, os.getpid()):
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if words:
                yield f"process {entry.name} {words}"
    yield from (f"link {path.name}" for path in Path("/sys/class/net").iterdir())
    for name in ("passwd", "subuid", "subgid"):
        yield from (f"{name} {line}" for line in Path("/etc", name).read_text(encoding="utf-8").splitlines())
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        yield f"mount {line.split()[4]}"
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        if (backing := path.read_text(encoding="utf-8").strip()).startswith(f"{TEMPORARY}/"):
            yield f"loop {backing}"
    for folder in (Path("/etc/qemu"), Path("/var/lib/misc")):
        yield from (f"file {path} {path.read_bytes()!r}" for path in folder.rglob("*") if path.is_file())
    yield from (f"mode {path} {path.stat().st_mode:o}" for path in (*rules.HELPERS, rules.TUN) if path.exists())
    for folder in (Path("/tmp"), Path("/var/tmp")):
        yield from (f"entry {path}" for path in folder.iterdir() if path != TEMPORARY)
    yield from (f"journal {path}" for path in Path("/tmp").glob("ov-tests-*/*"))


def pytest(*words: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS, *words]


def until(condition: object, seconds: float) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(condition())


def reap(child: int) -> int:
    """What the first process of a machine does until ``child`` ends, whose status it returns: orphans that end are not
    left as zombies, for whose end libvirt waits half a minute each."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def main(number: int, to: str, names: list[str], words: list[str]) -> int:
    separate()
    (Path("/tmp") / f"ov-tests-{os.geteuid()}").mkdir()
    TEMPORARY.mkdir()
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(TEMPORARY)
    before = set(present())
    chosen = ("-k", " or ".join(names))
    log = Path("/mnt/log")
    argv = pytest(*chosen, *words)
    if to == "doit":
        argv = [sys.executable, "-m", "doit", "test", "--", TESTS, *chosen, *words]
    with log.open("wb") as file:
        run = serve(*argv, cwd=ROOT, log=file, env={**os.environ, "OV_HOLDING": str(HOLDING)})
    stands = until(lambda: run.poll() is not None or all((HOLDING / n).exists() for n in names), READY_SECONDS)
    if not stands or run.poll() is not None:
        print(f"it does not come to stand: {log.read_text(errors='replace')}")
        return 1
    time.sleep(0.3)
    os.killpg(run.pid, number) if to == "group" else run.send_signal(number)
    status = run.wait(END_SECONDS)
    if number == signal.SIGKILL:
        until(lambda: not any("pytest" in line for line in present() if line.startswith("process ")), END_SECONDS)
        print(call(*pytest("-k", "quick"), cwd=ROOT).stdout, file=sys.stderr)
    elif status == 0:
        print("the run ended well")
    time.sleep(0.5)
    left = sorted(set(present()) - before) + [f"gone: {line}" for line in sorted(before - set(present()))]
    left = [line for line in left if not line.startswith("gone: mount ")]  # another run's, whose folder went
    print("\n".join(left))
    if left:
        print(log.read_text(errors="replace"))
    return 1 if left else 0


if __name__ == "__main__":
    if child := os.fork():
        sys.exit(reap(child))
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3].split(","), sys.argv[4:]))
