"""``ov image`` and doit's ``image:`` tasks as a user meets them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from ovtasks.errors import EXIT_FAILED, EXIT_INPUT
from tests.containers.podman import Podman
from tests.containers.test_steps import a_base, a_command, declare, write
from tests.support.output import checked
from tests.support.workbench import DODO, Workbench, ran

pytestmark = pytest.mark.slow  # each starts podman many times


def bootc_vm(bench: Workbench, image: str, name: str = "v") -> None:
    source = {"kind": "bootc", "image": image}
    bench.write({name: {"source": source, "disk_size": "2G", "ssh": {"key_source": "none"}}})


@pytest.fixture
def project(bench: Workbench) -> Workbench:
    """Image ``desk``, built here, of which VM ``v`` is made; image ``other`` by reference."""
    declare(bench, desk={"context": "files"}, other={"ref": "localhost/other"})
    write(bench, "files/Containerfile", "FROM scratch\nLABEL containers.bootc=1\n")
    write(bench, "dodo.py", DODO)
    bootc_vm(bench, "desk")
    return bench


def test_list(project: Workbench, podman: Podman) -> None:
    table = project.ov("image", "list").stdout.splitlines()
    assert table[0].split() == ["NAME", "FROM", "ID", "SIZE", "CREATED", "BOOTC", "VMS"]
    assert table[1].split() == ["desk", "files", "-", "-", "-", "-", "v"]
    assert table[2].split() == ["other", "localhost/other:latest", "-", "-", "-", "-", "-"]
    name, _, full = project.ov("image", "build").stdout.strip().partition(" sha256:")
    assert name == "localhost/desk:latest"
    row = re.split(r"\s{2,}", project.ov("image", "list").stdout.splitlines()[1])
    assert row[:3] == ["desk", "files", full[:12]] and row[4:] == ["just now", "yes", "v"]
    desk, other = checked("ov image list", project.ov("image", "list", "--json").stdout)
    assert (desk["id"], desk["present"], desk["vms"]) == (f"sha256:{full}", True, ["v"])
    assert desk["bootc"] == "containers.bootc=1" and desk["size"] > 0 and desk["context"].endswith("/files")
    assert (other["id"], other["present"], other["reference"]) == (None, False, "localhost/other:latest")


def test_list_knows_images_that_only_a_vm_names(bench: Workbench, podman: Podman) -> None:
    assert "no images are declared" in bench.ov("image", "list").stderr
    bootc_vm(bench, "localhost/base")
    a_base(podman, "1")
    row = re.split(r"\s{2,}", bench.ov("image", "list").stdout.splitlines()[1])
    assert row[:2] == ["localhost/base", "localhost/base:latest"] and row[5:] == ["no label", "v"]


def test_names(project: Workbench) -> None:
    error = project.ov("image", "build", "deks", code=EXIT_INPUT).stderr
    assert "no image 'deks' is declared" in error and "did you mean 'desk'?" in error
    error = project.ov("image", "build", "other", code=EXIT_INPUT).stderr
    assert "image.yml:1:" in error and "is not built here: it is localhost/other:latest" in error
    assert "ov image pull other" in error
    error = project.ov("image", "pull", "desk", code=EXIT_INPUT).stderr
    assert "is built here, not pulled" in error and "ov image build desk --refresh" in error
    error = project.ov("image", "pull", "other", code=EXIT_FAILED).stderr
    assert "localhost/other:latest is not in podman's storage, and no registry has names of localhost" in error
    error = project.ov("image", "inspect", "desk", code=EXIT_FAILED).stderr
    assert "localhost/desk:latest is not in podman's storage" in error and "ov image build desk" in error
    error = project.ov("image", "inspect", "quay.io/a/b", code=EXIT_FAILED).stderr
    assert "podman pull quay.io/a/b" in error
    assert project.ov("image", "build", "v").stdout == project.ov("image", "build", "desk").stdout
    project.write({"c": {"source": {"kind": "cloud_image", "url": "/x"}}})
    error = project.ov("image", "build", "c", code=EXIT_INPUT).stderr
    assert "VM 'c' has no container image" in error and "cloud_image" in error
    (project.root / "image.yml").unlink()
    error = project.ov("image", "build", code=EXIT_INPUT).stderr
    assert "no image with a containerfile is declared" in error


def test_quiet_prints_the_result_only(project: Workbench) -> None:
    done = project.ov("-q", "image", "build")
    assert done.stderr == "" and done.stdout.startswith("localhost/desk:latest sha256:")


def test_console(project: Workbench) -> None:
    assert "STEP 1/3: FROM scratch" in project.ov("image", "build", "--console").stderr


def test_tasks(project: Workbench, podman: Podman) -> None:
    listed = project.doit("list", "--all").stdout
    assert re.search(r"^image:desk +container image desk$", listed, re.MULTILINE)
    assert re.search(r"^image:other +container image localhost/other:latest$|^image:other ", listed, re.MULTILINE)
    assert re.search(r"^image:v ", listed, re.MULTILINE)
    done = project.doit("image:v")
    assert [name.partition(":")[0] for name in ran(done.stdout + done.stderr)] == ["image"]
    done = project.doit("image:desk", "--refresh")
    assert ran(done.stdout + done.stderr) == []
    error = project.doit("image:desk", "--zzz", code=None)
    assert error.returncode and "zzz" in error.stderr + error.stdout
    a_base(podman, "1", "localhost/other")
    done = project.doit("image")
    assert len(ran(done.stdout + done.stderr)) == 1


def test_the_name_of_a_vm_means_its_own_image(project: Workbench, podman: Podman) -> None:
    a_base(podman, "1", "localhost/one")
    a_base(podman, "2", "localhost/two")
    declare(project, desk={"context": "files"}, lower={"context": "lower"})
    write(project, "lower/Containerfile", "FROM scratch\nLABEL lower=1\n")
    text = (
        "FROM localhost/lower AS a\nFROM localhost/one AS b\nFROM localhost/two\nCOPY --from=a / /\nCOPY --from=b / /\n"
    )
    write(project, "files/Containerfile", text)
    done = project.doit("base:v")
    assert [name.partition(":")[0] for name in ran(done.stdout + done.stderr)] == ["base", "base"]
    assert project.ov("image", "build", "v").stdout.startswith("localhost/desk:latest ")
    assert "container image desk" in project.ov("why", "image:v").stdout


def test_vms_share_the_step_of_their_image(project: Workbench) -> None:
    source = {"kind": "bootc", "image": "desk"}
    vms = {name: {"source": source, "disk_size": "2G", "ssh": {"key_source": "none"}} for name in ("v", "w")}
    project.write(vms)
    lines = [line for line in project.ov("plan").stdout.splitlines() if " image:@" in line]
    assert len(lines) == 1 and "(v, w)" in lines[0]


def test_a_broken_image_is_listed_and_breaks_nothing_else(project: Workbench) -> None:
    declare(project, desk={"context": "files"}, broken={"context": "gone"})
    assert "is not a folder" in project.doit("list", "--all").stdout
    done = project.doit("image:broken", code=None)
    assert done.returncode and "is not a folder" in done.stderr + done.stdout
    assert "image.yml" in project.ov("image", "build", "broken", code=EXIT_INPUT).stderr
    project.doit("image:desk")


def test_plan_and_why(project: Workbench) -> None:
    assert list(project.plan("image:desk").values()) == ["run"]
    project.ov("image", "build")
    assert list(project.plan("image:desk").values()) == ["fresh"]
    why = project.ov("why", "image:desk").stdout
    assert "container image desk" in why and "name: localhost/desk:latest" in why
    assert project.ov("why", "image:v").stdout == why
    error = project.ov("plan", "image:deks", code=EXIT_INPUT).stderr
    assert "no step is named 'image:deks'" in error


@pytest.fixture
def machine(project: Workbench) -> Workbench:
    """``desk`` has a shell, a program bootc and a kernel."""
    a_command(project.root / "files" / "root", "sh")
    write(project, "files/root/usr/bin/bootc", f"#!{shutil.which('sh')}\necho bootc 1.2.3\n")
    (project.root / "files" / "root" / "usr" / "bin" / "bootc").chmod(0o755)
    write(project, "files/root/usr/lib/modules/6.1.0-9-amd64/vmlinuz", "")
    write(project, "files/Containerfile", "FROM scratch\nCOPY root /\nLABEL containers.bootc=1 a=b\n")
    project.ov("image", "build")
    return project


def test_inspect(machine: Workbench, podman: Podman) -> None:
    text = machine.ov("image", "inspect", "desk").stdout
    rows = {row[0]: row[1] for line in text.splitlines()[1:] if (row := re.split(r"\s{2,}", line.strip(), maxsplit=1))}
    assert text.splitlines()[0] == "localhost/desk:latest"
    assert rows["bootc"] == "yes: bootc 1.2.3, containers.bootc=1"
    assert (rows["kernel"], rows["VMs"], rows["label a"]) == ("6.1.0-9-amd64", "v", "b")
    assert rows["platform"].startswith("linux/")
    found = checked("ov image inspect", machine.ov("image", "inspect", "v", "--json").stdout)
    assert (found["installable"], found["bootc_version"], found["kernel"]) == (True, "bootc 1.2.3", "6.1.0-9-amd64")
    assert found["labels"]["a"] == "b" and found["id"] == rows["id"]
    assert json.loads(machine.ov("image", "inspect", "localhost/desk", "--json").stdout)["installable"] is True


def test_inspect_says_what_is_no_bootc_image(machine: Workbench) -> None:
    write(machine, "files/Containerfile", "FROM scratch\nCOPY root /\n")
    machine.ov("image", "build")
    assert "bootc 1.2.3, but it carries no label of bootc images" in machine.ov("image", "inspect", "desk").stdout
    shutil.rmtree(machine.root / "files" / "root" / "usr" / "lib" / "modules")
    (machine.root / "files" / "root" / "usr" / "bin" / "bootc").unlink()
    machine.ov("image", "build")
    text = machine.ov("image", "inspect", "desk").stdout
    assert "no: there is no program bootc in it; no VM can be made from it" in text
    assert "none: it does not boot" in text
    write(machine, "files/Containerfile", "FROM scratch\nLABEL containers.bootc=1\n")
    machine.ov("image", "build")
    text = machine.ov("image", "inspect", "desk").stdout
    assert "no program bootc in it although it says containers.bootc=1" in text
    found = checked("ov image inspect", machine.ov("image", "inspect", "desk", "--json").stdout)
    assert (found["installable"], found["bootc_version"], found["kernel"]) == (False, None, None)


def test_without_podman(project: Workbench, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "setpriv").symlink_to(shutil.which("setpriv") or "")
    project.env["PATH"] = str(programs)
    error = project.ov("image", "build", code=EXIT_FAILED).stderr
    assert "podman is not installed" in error and "hint" in error and "Traceback" not in error
    assert "podman is not installed" in project.ov("image", "list", code=EXIT_FAILED).stderr
    assert project.plan("image:desk").popitem()[1] == "run"
