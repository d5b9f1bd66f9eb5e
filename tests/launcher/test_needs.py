"""What goals need of the host, read from the command line and vms.yml."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ovtasks.cli.checkout import BENCH, TEST
from ovtasks.cli.needs import answer, needed, spec_files
from ovtasks.host import packages
from ovtasks.sources.bootstrap.programs import OF_ROOT, PROGRAMS
from ovtasks.values.arch import arch_of

VMS = """
vms:
  web: {source: {kind: cloud_image, url: "https://x/y.qcow2"}}
  signed: {source: {kind: cloud_image, url: "https://x/y.qcow2", checksum: {keyring: /k.gpg}}}
  demo: {source: {kind: bootstrap, distro: debian}}
  box: {source: {kind: bootc, image: quay.io/example/os}}
"""
BOX = {"qemu-img", "podman", "losetup"} | (set() if os.geteuid() == 0 else {"newuidmap"})
DEMO = {*PROGRAMS, *OF_ROOT["ext4"]} | (set() if os.geteuid() == 0 else {"newuidmap"})
RUNNING = {f"qemu-system-{arch_of(os.uname().machine).qemu}", "ssh", "ssh-keyscan"}
WEB = {"qemu-img"}
SIGNED = {"qemu-img", "gpgv"}


@pytest.mark.parametrize(
    ("words", "programs"),
    [
        ([], DEMO | SIGNED | BOX),
        (["build"], DEMO | SIGNED | BOX),
        (["build:box"], BOX),
        (["install:box", "convert:box"], BOX),
        (["image:box"], {"podman"}),
        (["image:desktop"], {"podman"}),
        (["build:web"], WEB),
        (["build:w*"], WEB),
        (["run", "build:web"], WEB),
        (["-n", "4", "-P", "thread", "build:web", "--size", "40G"], WEB),
        (["build:signed", "build:web"], SIGNED),
        (["fetch:signed"], SIGNED),
        (["seed:demo"], DEMO),
        (["disk"], DEMO | SIGNED | BOX),
        (["output/demo/qcow2/disk.qcow2"], DEMO),
        (["build:nobody"], set()),
        (["demo"], DEMO | RUNNING),
        (["test"], set(TEST)),
        (["test", "--fast", "--", "-k", "build:demo"], set(TEST)),
        (["bench"], set(BENCH)),
        (["list"], set()),
        (["list", "--all"], set()),
        (["clean", "build:demo"], set()),
        (["info", "build:demo"], set()),
        (["help", "run"], set()),
        (["--version"], set()),
        (["size=40G", "build:web"], WEB),
        (["ship"], set()),
    ],
)
def test_goals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], programs: set[str]) -> None:
    monkeypatch.setattr(packages, "os_release", lambda: {"ID": "debian"})
    (tmp_path / "vms.yml").write_text(VMS)
    assert set(needed(words, tmp_path)) == programs


@pytest.mark.parametrize(
    ("host", "distro", "more"),
    [
        ("debian", "debian", set()),
        ("ubuntu", "ubuntu", set()),
        ("ubuntu", "debian", {"debian-keyring", "gpg"}),
        ("debian", "ubuntu", {"ubuntu-keyring", "gpg"}),
        ("fedora", "ubuntu", {"ubuntu-keyring", "gpg"}),
        ("linuxmint", "debian", {"debian-keyring", "gpg"}),
    ],
)
def test_another_distributions_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, distro: str, more: set[str]
) -> None:
    monkeypatch.setattr(packages, "os_release", lambda: {"ID": host})
    (tmp_path / "vms.yml").write_text(f"vms: {{it: {{source: {{kind: bootstrap, distro: {distro}}}}}}}\n")
    assert set(needed(["build:it"], tmp_path)) == DEMO | more


@pytest.mark.parametrize(
    ("release", "program", "package"),
    [
        ({"ID": "debian", "VERSION_CODENAME": "bookworm"}, "qemu-spice", "qemu-system-common"),
        ({"ID": "debian", "VERSION_CODENAME": "trixie"}, "qemu-spice", "qemu-system-modules-spice"),
        ({"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_CODENAME": "noble"}, "virtiofsd", "virtiofsd"),
        ({"ID": "debian", "VERSION_CODENAME": "bookworm"}, "virtiofsd", "qemu-system-common"),
        ({"ID": "debian", "VERSION_CODENAME": "bookworm"}, "ubuntu-keyring", None),
        ({"ID": "debian"}, "ubuntu-keyring", "ubuntu-keyring"),
        ({"ID": "fedora"}, "ubuntu-keyring", "ubu-keyring"),
    ],
)
def test_packages_by_release(
    monkeypatch: pytest.MonkeyPatch, release: dict[str, str], program: str, package: str | None
) -> None:
    monkeypatch.setattr(packages, "os_release", lambda: release)
    family = packages.family()
    assert family is not None
    assert packages.package_of(program, family) == package


def test_included_files_and_one_vm_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "os_release", lambda: {"ID": "debian"})
    (tmp_path / "overthink.yml").write_text("includes: [more/*.yml]\n---\nvm: {name: x, source: {kind: cloud_image}}\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.yml").write_text("includes: ../overthink.yml\nvm:\n  d: {source: {kind: bootstrap}}\n")
    assert set(needed(["build:x"], tmp_path)) == WEB
    assert set(needed(["build:d"], tmp_path)) == DEMO
    assert spec_files(tmp_path)[-1] == tmp_path / "more" / "a.yml"


@pytest.mark.parametrize(
    "text", ["a: [", "vms: 3", "vms: {x: 3}", "[]", "", "vms: {x: {source: []}}", "\0", "a: &a [*a]"]
)
def test_wrong_files_are_left_to_the_build(tmp_path: Path, text: str) -> None:
    (tmp_path / "vms.yml").write_text(text)
    assert needed(["build"], tmp_path) == ()


def test_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vms.yml").write_text(VMS)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "gpgv").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(programs))
    lines = list(answer(["build:signed"], tmp_path, "debian"))
    assert f"found {programs}/gpgv" in lines
    assert "missing qemu-utils qemu-img" in lines
    assert f"read {tmp_path}/vms.yml" in lines
    assert "unknown qemu-img" in list(answer(["build:web"], tmp_path, None))


def test_a_package_is_known_for_every_need() -> None:
    for program in {*TEST, *BENCH, "newuidmap"}:
        assert packages.package_of(program, "debian") and packages.package_of(program, "fedora")
