"""``ov vm wait`` with a real QEMU whose guest says its last word on the console: the wait ends with it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support.processes import DEVNULL, PIPE
from tests.support.programs import qemu_img
from tests.support.workbench import OV, Workbench, cloud_vm

pytestmark = pytest.mark.slow
# cli; ds = 0; si = text; dx = COM1: write bytes until the zero byte, then halt for ever
CODE = b"\xfa\x31\xc0\x8e\xd8\xfc\xbe\x17\x7c\xba\xf8\x03\xac\x84\xc0\x74\x03\xee\xeb\xf8\xf4\xeb\xfd"

LAST_WORDS = {
    "panic": (
        "Linux version 6.1.0\r\n[    2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\r\n"
        "[    2.2] ---[ end Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b ]---\r\n",
        "the guest's kernel panicked: Attempted to kill init! exitcode=0x0000000b",
    ),
    "dracut": ("\r\nEntering emergency mode. Exit the shell to continue.\r\ndracut:/# ", "find its root file system"),
    "grub": ("\r\nGRUB loading.\r\nerror: unknown filesystem.\r\nEntering rescue mode...\r\ngrub rescue> ", "prompt"),
}


def boot_disk(path: Path, text: str) -> None:
    """A disk whose boot sector says ``text`` on the first serial port."""
    assert len(CODE) == 0x17
    sector = (CODE + text.encode("ascii") + b"\0").ljust(510, b"\0") + b"\x55\xaa"
    assert len(sector) == 512
    raw = path.with_suffix(".raw")
    raw.write_bytes(sector + bytes((1 << 20) - 512))
    qemu_img("convert", "-O", "qcow2", raw, path)


@pytest.mark.parametrize("name", LAST_WORDS)
def test_the_wait_ends_with_the_last_word(name: str, bench: Workbench, tmp_path: Path) -> None:
    text, said = LAST_WORDS[name]
    boot_disk(tmp_path / "disk.qcow2", text)
    keys = {"user": "tester", "key_source": "generate"}
    bench.write({"web": cloud_vm(tmp_path / "disk.qcow2", ram="128M", cpus=1, disk_size="64M", ssh=keys)})
    bench.ov("vm", "create", "web")
    begun = time.monotonic()
    failed = bench.ov("vm", "wait", "web", "--timeout", "100", code=1).stderr
    assert time.monotonic() - begun < 60, "it waited although nothing can come any more"
    assert "it is stuck after" in failed and said in failed and "hint:" in failed
    assert json.loads(bench.ov("vm", "status", "web", "--json").stdout)["state"] == "running"


def test_a_console_that_nobody_reads(bench: Workbench, empty_image: Path) -> None:
    """Its reader goes away: that ends the console, not the VM."""
    bench.write({"web": cloud_vm(empty_image, ram="128M", cpus=1)})
    bench.ov("vm", "create", "web")
    for stdin in (DEVNULL, PIPE):
        with bench.start([*OV, "vm", "console", "web"], stdin=stdin) as console:
            assert console.stdout is not None and console.stderr is not None
            assert console.stderr.readline() == "connected to web\n"
            console.stdout.close()
            assert console.wait(30) == 0
            assert console.stderr.read() == ""
    assert json.loads(bench.ov("vm", "status", "web", "--json").stdout)["state"] == "running"
