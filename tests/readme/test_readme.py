"""README.md and the guides are true: their commands run as shown, in a clone, in the order of the pages."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, clone, environment, run
from tests.support.demo import Demo
from tests.support.readme import BLOCK, PAGES, SHIP, TEXT, blocks
from tests.support.workbench import DODO

ELSEWHERE = {"ci", "bootc", "images"}  # .ci/run, tests/bootc/test_readme.py, tests/containers/test_readme.py


def test_every_command_is_run_by_a_test() -> None:
    tags = {tag for language, tag, _ in BLOCK.findall(TEXT) if language == "sh"}
    assert tags == {"test", *ELSEWHERE}
    assert set(blocks("sh", "ci")) == {"./doitw test\n"}
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("./doitw test")


def test_code_is_what_the_packaging_tests_use() -> None:
    assert blocks("python", "dodo") == [DODO]
    assert blocks("python", "ship") == [SHIP]


def test_sample_is_valid(tmp_path: Path) -> None:
    from ovtasks.project.load import load_project

    (sample,) = blocks("yaml", "vms")
    (tmp_path / "vms.yml").write_text(sample)
    assert list(load_project(tmp_path).vms) == ["debian"]


def test_links_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!http)([^)#`]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_commands_stand_on_pages_that_are_run() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in PAGES or "```sh" not in page.read_text(encoding="utf-8"), page.name


def test_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


def use_local_image(project: Path) -> None:
    """The ``debian`` of vms.yml, with an image of this machine in place of the URL: tests need no server. The demo has
    one processor: without KVM a second one costs more than it gives."""
    image = project.parent / "image.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", image, "64M", cwd=project, check=True)
    digest = hashlib.sha512(image.read_bytes()).hexdigest()
    (image.parent / "SHA512SUMS").write_text(f"{digest}  {image.name}\n")
    spec = project / "vms.yml"
    text, count = re.subn(r"url: https://cloud\.debian\.org\S+", f"url: '{image.as_uri()}'", spec.read_text())
    assert count == 1 and text.count("cpus: 2") == 1
    spec.write_text(text.replace("cpus: 2", "cpus: 1"))


def test_what_ends_a_vm_is_run_too() -> None:
    """The README names it beside its commands, so that the VM lives on for those of the guides."""
    said = re.findall(r"`(ov vm (?:stop|destroy) [^`]+)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    run_lines = {line.partition("#")[0].strip() for text in blocks("sh", "test") for line in text.splitlines()}
    assert len(said) == 2 and {*said} <= run_lines


@pytest.mark.slow
@pytest.mark.xdist_group("boot-layers")  # boots a guest, too
def test_commands(demo: Demo, tmp_path: Path) -> None:
    """All ``sh test`` blocks in one shell, each echoed, so that a failure names its line.

    The demo's base image is there already; tests/packaging makes it by the same command on a fresh machine.
    """
    project = clone(tmp_path / "ovtasks")
    use_local_image(project)
    (project / "output").mkdir()
    run("cp", "-al", demo.project / "output/.images", project / "output", cwd=project, check=True)
    script = "set -eu\n" + "".join(f"set -x\n{text}{{ set +x; }} 2>/dev/null\n" for text in blocks("sh", "test"))
    done = run("bash", "-c", script, cwd=project, env=environment(CI="true", OV_PYTHON=sys.executable))
    assert done.returncode == 0, f"{done.stderr[-6000:]}"
    lines = done.stdout.splitlines()
    assert "output/demo/qcow2/disk.qcow2" in lines and "output/demo/qcow2/seed.iso" in lines
