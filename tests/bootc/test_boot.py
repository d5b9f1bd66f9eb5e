"""From a Containerfile to a login under BIOS, as an ordinary user of the image. (Root and UEFI: test_readme.py.)"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bootc.bench import Bench, bootc_vm, make_bench
from tests.bootc.leftovers import Before
from tests.bootc.room import Room
from tests.bootc.root import USER

pytestmark = pytest.mark.boot
TARGET = "r.example/team/os:1"
QUESTIONS = (
    "id -un; cat /etc/mark; grep -o ov.test=1 /proc/cmdline; test -d /sys/firmware/efi && echo uefi || echo bios; "
    "systemctl --failed --plain --no-legend | wc -l; cat /ostree/deploy/default/deploy/*.origin"
)


@pytest.fixture
def bench(room: Room, clean: Before, tmp_path: Path) -> Iterator[Bench]:
    """Whatever VM the test leaves is destroyed."""
    bench = make_bench(tmp_path / "project", room)
    yield bench
    for vm in json.loads(bench.ov("vm", "list", "-a", "--json").stdout):
        bench.ov("vm", "destroy", "--disk", vm["name"])


def test_from_containerfile_to_login(bench: Bench) -> None:
    """The key comes from SMBIOS."""
    bench.write_image("os", "RUN echo built > /etc/mark")
    source = {"kernel_args": ["console=ttyS0", "ov.test=1"], "target_imgref": TARGET}
    ssh = {"key_source": "generate", "user": USER}
    machine = {"backend": "qemu", "firmware": "bios", "ram": "1G", "cpus": 1}
    bench.write({"web": bootc_vm("os", source=source, ssh=ssh, **machine)})
    bench.ov("vm", "create", "web")
    bench.ov("vm", "wait", "web")
    said = bench.ov("vm", "ssh", "web", "--", QUESTIONS).stdout.splitlines()
    who, mark, argument, booted, failed, *origin = said
    assert (who, mark, argument, booted, failed) == (USER, "built", "ov.test=1", "bios", "0")
    assert origin == ["[origin]", f"container-image-reference=ostree-unverified-registry:{TARGET}"]
    assert json.loads(bench.ov("vm", "status", "web", "--json").stdout)["host_key"] == "confirmed"
