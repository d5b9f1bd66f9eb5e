"""The live view of a build on a real terminal: a line a running step, the summary, what Ctrl-C and kill -9 leave."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.graph.paused import install
from tests.support.programs import qemu_io
from tests.support.server import Site, serve
from tests.support.tmux import Tmux, terminal, wait_for
from tests.support.workbench import OV, ROOT, Workbench, cloud_vm, make_image

pytestmark = pytest.mark.slow

BAR = re.compile("[━╸╺]")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A slow server with an image, until it is told to hurry."""
    image = tmp_path / "web.qcow2"
    make_image(image)
    qemu_io("-f", "qcow2", "-c", "write -P 7 1M 4M", image)
    with serve(Site({"/web.qcow2": image.read_bytes()}, {"/web.qcow2": ["slow:0.15"] * 2})) as site:
        yield site


@pytest.fixture
def screen(bench: Workbench, small_image: Path, site: Site, tmp_path: Path) -> Iterator[Tmux]:
    """A project of two VMs: ``web`` is downloaded slowly, a program of ``db`` talks until ``talk`` is removed.

    The shell's ``build`` builds both at once; ``end`` is made at its end.
    """
    install(tmp_path / "site")
    web = cloud_vm(small_image)
    web["source"]["url"] = f"{site.url}/web.qcow2"
    db = {**cloud_vm(small_image), "source": {"kind": "paused", "url": str(small_image)}}
    bench.write({"web": web, "db": db})
    script = f"""cd {shlex.quote(str(bench.root))}
export PYTHONPATH={tmp_path / "site"}{os.pathsep}{ROOT} PAUSE_AT=disk:before PAUSE_TALK=1
export PAUSE_FILE={tmp_path / "talk"}
build() {{
    stty -g >{tmp_path}/before
    {shlex.join(OV)} vm build -n 2; echo "status $?"
    stty -g >{tmp_path}/after
    touch {tmp_path}/end
}}
"""
    (tmp_path / "rc").write_text(script, encoding="utf-8")
    with terminal(tmp_path) as found:
        found.line(". ./rc; clear; PS1='now'' % '")
        found.expect("now % ")
        yield found


def said(screen: Tmux) -> list[str]:
    """What the screen shows behind the last command."""
    return screen.screen.rpartition("now % build")[2].rstrip().splitlines()


def live(lines: list[str]) -> list[str]:
    """The lines of running steps."""
    return [line for line in lines if BAR.search(line)]


def both(screen: Tmux) -> bool:
    """Whether both steps are shown with what they are at."""
    lines = live(said(screen))
    amount = re.compile(r"[Ff]etch.* ━.* \d\.\d/4\.\d MiB +\d+\.\d [kM]B/s +0:00:\d\d +00:\d\d")
    return (
        len(lines) == 2
        and any(amount.search(line) for line in lines)
        and any(re.search(r"db.* 0:00:\d\d .*unpacked \d+ of 900$", line.rstrip()) for line in lines)
    )


def begin(screen: Tmux) -> None:
    screen.line("build")
    assert wait_for(lambda: both(screen)), "\n".join(said(screen))


def ended(screen: Tmux, folder: Path) -> list[str]:
    """What the screen shows when the command has ended; the terminal is as it was."""
    assert wait_for((folder / "end").exists), screen.screen
    (folder / "end").unlink()
    assert screen.cursor_shown
    assert (folder / "before").read_text(encoding="ascii") == (folder / "after").read_text(encoding="ascii")
    return said(screen)


def test_two_steps_side_by_side(screen: Tmux, site: Site, tmp_path: Path) -> None:
    begin(screen)
    assert screen.cursor_shown
    site.hurry.set()
    (tmp_path / "talk").unlink()
    lines = ended(screen, tmp_path)
    assert live(lines) == []
    assert [line for line in lines if re.match(r"\.  (fetch|disk):", line)]
    assert re.search(r"^\d done$", "\n".join(lines), re.MULTILINE) and "critical path" in "\n".join(lines), "\n".join(
        lines
    )
    assert "output/web/qcow2/disk.qcow2" in lines and "status 0" in lines


def test_ctrl_c_then_once_more(screen: Tmux, site: Site, tmp_path: Path) -> None:
    begin(screen)
    screen.type("C-c")
    lines = ended(screen, tmp_path)
    assert live(lines) == []
    assert "interrupted by SIGINT; finished steps are kept, the same command goes on" in lines, "\n".join(lines)
    assert "status 130" in lines and "2 done, 2 stopped" in lines, "\n".join(lines)
    again(screen, site, tmp_path)


def test_kill_9_then_once_more(screen: Tmux, site: Site, tmp_path: Path) -> None:
    begin(screen)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            ours = process.joinpath("cmdline").read_bytes().endswith(b"vm\0build\0-n\x002\0")
            if ours and process.joinpath("cwd").resolve() == tmp_path / "project":
                os.kill(int(process.name), signal.SIGKILL)
    assert "status 137" in ended(screen, tmp_path)
    again(screen, site, tmp_path)


def again(screen: Tmux, site: Site, folder: Path) -> None:
    """The next run works, and shows what it is at as the first one did."""
    begin(screen)
    site.hurry.set()
    (folder / "talk").unlink()
    lines = ended(screen, folder)
    assert live(lines) == []
    assert "status 0" in lines and "output/db/qcow2/disk.qcow2" in lines, "\n".join(lines)
