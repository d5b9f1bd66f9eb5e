"""What a user can get wrong about goals, options and folders: exit code, message, hint."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ovtasks.errors import EXIT_FAILED, EXIT_INPUT, EXIT_REFUSED
from tests.support.workbench import OV, Workbench, cloud_vm, make_image

pytestmark = pytest.mark.slow

PARSE = (
    (("--size", "huge"), "--size", "20G"),
    (("--size=-4G",), "--size", "20G"),
    (("--type", "iso"), "--type: unknown disk format 'iso'", "qcow2"),
    (("--type", "vmdk"), "--type: unknown disk format 'vmdk'", "qcow2, raw"),
)


@pytest.mark.parametrize(("words", "message", "hint"), PARSE)
def test_wrong_options(bench: Workbench, small_image: Path, words: tuple[str, ...], message: str, hint: str) -> None:
    bench.write({"a": cloud_vm(small_image)})
    error = bench.ov("vm", "build", "a", *words, code=EXIT_INPUT).stderr
    assert message in error and hint in error and "Traceback" not in error
    error = bench.doit("build:a", *words, code=3).stderr
    assert message in error and "Traceback" not in error


def test_unknown_vm_names_near_ones(bench: Workbench, small_image: Path) -> None:
    bench.write({"arch": cloud_vm(small_image)})
    error = bench.ov("vm", "build", "acrh", code=EXIT_INPUT).stderr
    assert "acrh" in error and "arch" in error
    assert "build:acrh" in bench.doit("build:acrh", code=3).stderr


def test_no_project(tmp_path: Path) -> None:
    error = Workbench(tmp_path).ov("vm", "build", "a", code=EXIT_INPUT).stderr
    assert "vms.yml" in error and "hint:" in error


def test_disk_smaller_than_the_base_names_both(bench: Workbench, tmp_path: Path) -> None:
    image = tmp_path / "image.qcow2"
    make_image(image, "96M")
    bench.write({"a": cloud_vm(image, disk_size="64M")})
    error = bench.ov("vm", "build", "a", code=EXIT_INPUT).stderr
    assert "64M" in error and "96M" in error and "vms.yml:" in error and "hint: set disk_size to 96M or more" in error
    assert bench.leftovers() == []


def test_directory_in_the_way(bench: Workbench, small_image: Path) -> None:
    bench.write({"a": cloud_vm(small_image)})
    folder = bench.root / "output/a/qcow2/disk.qcow2"
    folder.mkdir(parents=True)
    (folder / "notes").write_text("mine")
    error = bench.ov("vm", "build", "a", code=EXIT_REFUSED).stderr
    assert f"{folder} is a folder where a file of ours must be" in error and f"mv {folder} {folder}.old" in error
    (folder / "notes").unlink()  # an empty one holds nothing that could be lost
    bench.ov("vm", "build", "a")
    assert folder.is_file()


def test_missing_qemu_img_names_the_package(bench: Workbench, small_image: Path, tmp_path: Path) -> None:
    bench.write({"a": cloud_vm(small_image)})
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "setpriv", "prlimit", "env"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    bench.env["PATH"] = str(tools)
    error = bench.ov("vm", "build", "a", code=EXIT_FAILED).stderr
    assert "qemu-img is not installed" in error and "install" in error and "qemu" in error.partition("hint:")[2]


def test_read_only_output_folder(bench: Workbench, small_image: Path) -> None:
    """Without root's right to write anywhere, as for an ordinary user."""
    bench.write({"a": cloud_vm(small_image)})
    output = bench.root / "output"
    output.mkdir()
    output.chmod(0o555)
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = bench.run([*without, *OV, "vm", "build", "a"])
    assert done.returncode == EXIT_FAILED, done.stderr
    assert f"permission denied: {output}/.ov" in done.stderr and f"chmod u+w {output}" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_names_every_verb_and_exit_code(bench: Workbench) -> None:
    text = bench.ov("--help").stdout
    for word in ("vm", "plan", "why", "graph", "lock", "gc", "validate", "exit codes"):
        assert word in text
    assert "ov 0." in bench.ov("--version").stdout
