"""The fault matrix: whatever ends a run, the next one makes the right result and leaves nothing behind."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.graph.paused import install
from tests.support.disks import small_disk
from tests.support.programs import mount
from tests.support.workbench import DOIT, OV, ROOT, Workbench, cloud_vm, make_image, ran

pytestmark = pytest.mark.slow

VERBS = ("fetch", "verify", "disk", "key", "seed")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def paused(bench: Workbench, tmp_path: Path) -> Workbench:
    install(tmp_path / "site")
    bench.env.update(PYTHONPATH=f"{tmp_path / 'site'}{os.pathsep}{ROOT}", PAUSE_FILE=str(tmp_path / "paused"))
    return bench


def vm(image: Path, size: str = "1G") -> dict[str, Any]:
    return {
        "source": {"kind": "paused", "url": str(image)},
        "disk_size": size,
        "ssh": {"key_source": "generate", "user": "me"},
    }


def strike(bench: Workbench, point: str, number: signal.Signals) -> None:
    """Start a build, wait until it is at ``point``, send the signal, and wait for the end."""
    flag = Path(bench.env["PAUSE_FILE"])
    flag.unlink(missing_ok=True)
    bench.env["PAUSE_AT"] = point
    with bench.start([*OV, "vm", "build", "a"]) as process:
        deadline = time.monotonic() + 120
        while not flag.exists():
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.01)
        process.send_signal(number)
        _, error = process.communicate(timeout=120)
    del bench.env["PAUSE_AT"]
    assert process.returncode != 0
    assert "Traceback" not in error, error
    if number is not signal.SIGKILL:
        assert process.returncode == 128 + number
        # a download that was complete or under way waits in the store for the next run
        assert [name for name in bench.leftovers() if "/incoming/" not in name] == []


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_killed_in_every_step_then_run_again(paused: Workbench, small_image: Path, tmp_path: Path, verb: str) -> None:
    """Each signal, before and after the work; a first build and a rebuild in turn: over the verbs all pairs meet."""
    other = tmp_path / "other.qcow2"
    make_image(other, "32M", mark=b"other")
    old, new = {"a": vm(small_image)}, {"a": vm(other, "2G")}
    paused.write(new)
    paused.ov("vm", "build", "a")
    expected = paused.contents()
    for turn, (number, moment) in enumerate(itertools.product(SIGNALS, ("before", "after"))):
        rebuild = (turn + turn // 2 + VERBS.index(verb)) % 2
        reset(paused, tmp_path)
        if rebuild and verb != "key":
            paused.write(old)
            paused.ov("vm", "build", "a")
        paused.write(new)
        strike(paused, f"{verb}:{moment}", number)
        reasons = {name.partition(":")[0]: texts for name, texts in paused.reasons("a").items()}
        if number is signal.SIGKILL:
            assert reasons[verb] == ["interrupted"]
        done = [name.partition(":")[0] for name in ran(paused.ov("vm", "build", "a").stderr)]
        assert done[0] == verb, "finished steps are not repeated"
        assert paused.contents() == expected or verb == "key"
        assert paused.leftovers() == []
        assert paused.ov("vm", "build", "a").stderr == "nothing to do\n"


def reset(bench: Workbench, tmp_path: Path) -> None:
    """As on the first day, but for the key pair (another key would make another seed)."""
    shutil.rmtree(bench.root / "output", ignore_errors=True)
    shutil.rmtree(tmp_path / "xdg" / "cache", ignore_errors=True)
    if "key" in os.environ.get("PYTEST_CURRENT_TEST", "").partition("[")[2]:
        shutil.rmtree(tmp_path / "xdg" / "data", ignore_errors=True)


@pytest.mark.slow
def test_kill_9_at_random_moments(bench: Workbench, small_image: Path, tmp_path: Path) -> None:
    """No stop built in: killed after 60 ms to 400 ms, 10 times, without cleaning up between."""
    bench.write({"a": cloud_vm(small_image)})
    bench.ov("vm", "build", "a")
    expected = bench.contents()
    shutil.rmtree(bench.root / "output")
    for attempt in range(10):
        with bench.start([*OV, "vm", "build", "a"]) as process:
            time.sleep(0.06 + attempt * 0.037)
            process.kill()
            process.communicate()
        if attempt % 5 == 4:
            bench.ov("vm", "build", "a")
            assert bench.contents() == expected
            assert bench.leftovers() == []
            shutil.rmtree(bench.root / "output")


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_sigterm_ends_parallel_runs_at_once(paused: Workbench, small_image: Path, kind: str) -> None:
    paused.write({name: {**vm(small_image), "ssh": {"key_source": "none"}} for name in "ab"})
    flag = Path(paused.env["PAUSE_FILE"])
    paused.env["PAUSE_AT"] = "disk:before"
    with paused.start([*DOIT, "-n", "2", "-P", kind, "build"]) as process:
        while not flag.exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        try:
            process.communicate(timeout=60)
        finally:
            process.kill()
        assert gone(process.pid)
    del paused.env["PAUSE_AT"]
    paused.ov("vm", "build")
    assert paused.leftovers() == []


def gone(session: int) -> bool:
    """Whether the session has no process left; zombies are reaped when their parent gets to it."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_a_signal_that_wakes_nobody_ends_a_parallel_run(bench: Workbench, small_image: Path) -> None:
    """It comes just before doit's main thread waits in the kernel; here another thread takes it, which is the same."""
    bench.write({"a": cloud_vm(small_image)})
    own = "\ndef hang():\n    import signal, threading, time\n"
    own += "    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)\n    time.sleep(600)\n\n"
    own += "def task_hang():\n    return {'actions': [hang]}\n"
    with (bench.root / "dodo.py").open("a", encoding="utf-8") as file:
        file.write(own)
    with bench.start([*DOIT, "-n", "2", "-P", "thread", "hang"]) as process:
        try:
            _, error = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM and "interrupted by SIGTERM" in error


def test_two_builds_at_once(bench: Workbench, small_image: Path) -> None:
    bench.write({name: cloud_vm(small_image) for name in "abc"})
    both = [bench.start([*OV, "vm", "build"]) for _ in range(2)]
    ended = [(process.communicate(timeout=60), process.returncode) for process in both]
    assert [code for _, code in ended] == [0, 0], ended
    assert bench.leftovers() == []
    assert bench.ov("vm", "build").stderr == "nothing to do\n"


def test_doit_and_ov_at_once_keep_doits_database(bench: Workbench, small_image: Path) -> None:
    own = "\ndef task_own():\n    return {'file_dep': ['vms.yml'], 'targets': ['own'], 'actions': ['cp vms.yml own']}\n"
    with (bench.root / "dodo.py").open("a", encoding="utf-8") as file:
        file.write(own)
    bench.write({name: cloud_vm(small_image) for name in "ab"})
    both = [bench.start([*DOIT, *words]) for words in (["own", "build:a"], ["build:b"])]
    ended = [(process.communicate(timeout=60), process.returncode) for process in both]
    assert [code for _, code in ended] == [0, 0], ended
    assert ran(bench.doit("own", "build").stdout) == []


@pytest.fixture
def small_output(bench: Workbench) -> Iterator[Path]:
    """``output/`` on a file system of its own, with room for less than a disk and a seed."""
    with small_disk(bench.root / "output", "480k") as output:
        yield output


@pytest.mark.root
def test_full_disk_then_room_again(bench: Workbench, small_image: Path, small_output: Path) -> None:
    bench.write({"a": cloud_vm(small_image)})
    failed = bench.ov("vm", "build", "a", code=1).stderr
    assert re.search(r"no space left|disk is full|No space left", failed), failed
    assert "Traceback" not in failed and "hint:" in failed
    assert bench.leftovers() == []
    mount("-o", "remount,size=64m", small_output)
    bench.ov("vm", "build", "a")
    assert bench.leftovers() == []


@pytest.mark.root
def test_output_on_another_file_system_than_the_cache(bench: Workbench, small_image: Path, small_output: Path) -> None:
    """Hard links are impossible: copies stand in, one for the project."""
    mount("-o", "remount,size=64m", small_output)
    bench.write({"a": cloud_vm(small_image), "b": cloud_vm(small_image)})
    bench.ov("vm", "build")
    image = next((small_output / ".images").glob("*.qcow2"))
    assert image.stat().st_nlink == 3
    assert bench.ov("vm", "build").stderr == "nothing to do\n"


def test_a_user_of_the_disk_keeps_what_it_has_open(bench: Workbench, small_image: Path) -> None:
    """A rebuild makes new files; whoever has the old ones open (a VM started by hand) keeps them."""
    bench.write({"a": cloud_vm(small_image)})
    bench.ov("vm", "build", "a")
    disk = bench.root / "output/a/qcow2/disk.qcow2"
    with disk.open("rb") as held:
        before = held.read()
        bench.ov("vm", "build", "a", "--size", "2G")
        held.seek(0)
        assert held.read() == before
        assert disk.read_bytes() != before
