"""``ov vm xml | argv | diff`` of the backend qemu: what would be used, printed, and nothing done."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from ovtasks.host.paths import data_home
from tests.support.workbench import Workbench, cloud_vm

pytestmark = pytest.mark.slow


def declare(bench: Workbench, image: Path, **fields: Any) -> None:
    ssh = {"user": "tester", "key_source": "generate"}
    bench.write({"web": cloud_vm(image, **{"ram": "128M", "cpus": 1, "ssh": ssh, **fields})})


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))} if folder.exists() else {}


def words(bench: Workbench, *options: str) -> list[str]:
    found: list[str] = json.loads(bench.ov("vm", "argv", "web", "--json", *options).stdout)
    return found


def test_argv_before_and_after_create(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    bench.ov("vm", "build", "web")
    before = files(data_home() / "vm")
    done = bench.ov("vm", "argv", "web")
    assert done.stderr == "web is not created yet\n"
    assert files(data_home() / "vm") == before
    first = words(bench)
    assert shlex.split(done.stdout.replace("\\\n", " ")) == first
    assert done.stdout.splitlines()[1].startswith("  -")
    assert "ov-web" in first[2] and any(re.search(r"hostfwd=tcp:127\.0\.0\.1:2\d{4}-:22", word) for word in first)

    bench.ov("vm", "create", "web", "--no-start")
    made = words(bench)
    assert made == json.loads((data_home() / "vm" / "ov-web" / "argv.json").read_text(encoding="utf-8"))
    assert made == first
    other = words(bench, "-i", "dev")
    assert "guest=ov-web-dev" in other[2] and not (data_home() / "vm" / "ov-web-dev").exists()


def test_diff(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    new = bench.ov("vm", "diff", "web", code=4)
    assert "is not created yet" in new.stderr and '+ "-uuid",' in new.stdout and "\n-" not in new.stdout[4:]
    bench.ov("vm", "create", "web", "--no-start")
    assert bench.ov("vm", "diff", "web").stdout == ""
    same = json.loads(bench.ov("vm", "diff", "web", "--json").stdout)
    assert (same["state"], same["same"], same["diff"], same["backend"]) == ("same", True, "", "qemu")

    declare(bench, empty_image, ram="192M")
    assert re.search(r'(?m)^- +"size=128M",\n\+ +"size=192M",$', bench.ov("vm", "diff", "web", code=4).stdout)
    other = json.loads(bench.ov("vm", "diff", "web", "--json", code=4).stdout)
    assert (other["state"], other["same"], other["domain"]) == ("differs", False, "ov-web")
    bench.ov("vm", "create", "web", "--no-start")
    bench.ov("vm", "diff", "web")
    bench.ov("vm", "destroy", "web")
    gone = json.loads(bench.ov("vm", "diff", "web", "--json", code=4).stdout)
    assert gone["state"] == "not defined"


def test_names_and_projects(bench: Workbench, empty_image: Path, tmp_path: Path) -> None:
    declare(bench, empty_image)
    for verb in ("xml", "argv", "diff"):
        error = bench.ov("vm", verb, "wep", code=2).stderr
        assert "no VM 'wep'" in error and "did you mean 'web'?" in error
    bench.ov("vm", "create", "web", "--no-start")
    made = words(bench)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    there = bench.ov("-C", str(elsewhere), "vm", "argv", "web", "--json")
    assert json.loads(there.stdout) == made and there.stderr == ""
    assert "there is no VM db" in bench.ov("-C", str(elsewhere), "vm", "xml", "db", code=2).stderr
    bench.write({"db": cloud_vm(empty_image)})
    gone = bench.ov("vm", "argv", "web", "--json")
    assert json.loads(gone.stdout) == made and "is no longer declared" in gone.stderr
    bench.ov("vm", "destroy", "web")
    assert "neither declared nor defined" in bench.ov("vm", "diff", "web", code=2).stderr


def test_errors_name_the_line(bench: Workbench, empty_image: Path) -> None:
    snippets = {"snippets": ["<rng model='virtio'/>", "<redirdev bus='usb' type='spicevmc'/>"]}
    declare(bench, empty_image, libvirt=snippets, backend="qemu")
    error = bench.ov("vm", "argv", "web", code=2).stderr
    assert re.search(r"vms\.yml:\d+:\d+: libvirt\.snippets\[1\]: the backend qemu cannot use", error)
    declare(bench, empty_image, libvirt=snippets)  # which backend it gets was not written for this VM
    said = bench.ov("vm", "argv", "web").stderr
    assert "libvirt.snippets[1]: <redirdev> is libvirt's; the backend qemu leaves it out" in said and "rng" not in said


def test_xml_of_a_vm_of_qemu_where_libvirt_cannot_be_used(bench: Workbench, empty_image: Path) -> None:
    declare(bench, empty_image)
    bench.ov("vm", "create", "web", "--no-start")
    bench.env["OV_LIBVIRT_URI"] = f"qemu:///session?socket={bench.root}/none"
    error = bench.ov("vm", "xml", "web", "--for-host", code=1).stderr
    assert "ov vm argv web prints what qemu uses" in error
    shown = bench.ov("vm", "xml", "web")
    assert shown.stdout.startswith("<domain ") and "ov vm create refuses" in shown.stderr


def test_any_host_prints_what_another_one_would_run(bench: Workbench, empty_image: Path) -> None:
    """No libvirt, no QEMU, no KVM for such a guest: the definition comes all the same, and a note says what lacks."""
    bench.env["OV_LIBVIRT_URI"] = f"qemu:///session?socket={bench.root}/none"
    bench.env["PATH"] = "/nowhere"
    bench.env["OV_VM_BACKEND"] = ""
    declare(bench, empty_image, accel="kvm", libvirt={"devices": {"tpm": [{}]}})
    before = files(data_home() / "vm")
    for verb, begins in (("xml", '<domain type="kvm"'), ("argv", "qemu-system-")):
        assert "Traceback" not in bench.ov("vm", verb, "web", "--for-host", code=1).stderr
        shown = bench.ov("vm", verb, "web")
        assert shown.stdout.startswith(begins) and "ov vm create refuses" in shown.stderr, shown
        assert "tpm" in shown.stdout
    assert files(data_home() / "vm") == before
