"""Arch Linux and CachyOS by the real pacstrap, from a repository that the test makes: keys, tree, disk, record."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ovtasks.errors import InputError, InputErrors, OvError
from ovtasks.host.programs import as_program
from ovtasks.host.run import run
from ovtasks.project.load import load_project
from ovtasks.project.model import BootstrapSource
from ovtasks.sources.bootstrap import Bootstrap, image, overlay, pacstrap
from ovtasks.sources.bootstrap.recipe import resolve
from tests.bootstrap.repository import BULK, Signer, contents, make_package, make_repository, write_database
from tests.bootstrap.test_build import wait_gone
from tests.bootstrap.workspace import WHERE, run_base
from tests.support.processes import serve
from tests.support.workbench import OV

ARCH = BootstrapSource("bootstrap", {}, distro="archlinux")


@dataclass(frozen=True)
class Mirror:
    """Repositories in a folder, the source that uses them, and who signed the packages."""

    folder: Path
    source: BootstrapSource
    signer: Signer
    stranger: Signer


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    with tempfile.TemporaryDirectory(prefix="ovpac") as name:
        folder = Path(name)
        signer, stranger = Signer(folder / "a", "packager"), Signer(folder / "b", "stranger")
        packages = contents()
        extra = {"extra-tool": packages.pop("extra-tool")}
        server = make_repository(folder, "core", packages, signer)
        make_repository(folder, "extra", extra, signer)
        source = replace(ARCH, mirrors=(server,), keyrings=(signer.keyring,), packages=("extra-tool",))
        yield Mirror(folder, source, signer, stranger)
        signer.close()
        stranger.close()


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def content(disk: Path, name: str, folder: Path) -> str:
    """A file's text on the root partition of a disk."""
    raw, root = folder / "disk.raw", folder / "root.img"
    if not root.exists():
        run(["qemu-img", "convert", "-O", "raw", disk, raw])
        run(["dd", f"if={raw}", f"of={root}", "bs=1M", f"skip={image.ROOT_START >> 20}", "conv=sparse"])
    return run(["debugfs", "-R", f"cat {name}", root]).stdout


@pytest.mark.slow
def test_the_image_and_its_record(mirror: Mirror, tmp_path: Path) -> None:
    workspace, progress = run_base(tmp_path / "p", mirror.source)
    disk = tmp_path / "p" / str(workspace.facts["path"])
    record = json.loads(workspace.step.targets[0].read_text(encoding="utf-8"))
    assert "extra-tool 1-1 any" in record["packages"] and len(record["packages"]) == 13
    assert record["recipe"]["distro"] == "archlinux" and len(record["recipe"]["keys"]) == 1
    assert progress.percent == sorted(progress.percent) and progress.percent[-1] == 100
    (server,) = mirror.source.mirrors
    assert content(disk, "/etc/pacman.d/mirrorlist", tmp_path) == f"Server = {server}\n"
    assert "UUID=" in content(disk, "/etc/fstab", tmp_path), "ours takes the place of the package's"
    assert content(disk, "/etc/enabled", tmp_path).split() == [
        *("sshd.service", "systemd-networkd.service", "ov-pacman-keys.service")
    ]
    menu = content(disk, overlay.BOOT_CFG, tmp_path)
    assert "linux /boot/vmlinuz-linux root=UUID=" in menu and "initrd /boot/initramfs-linux.img" in menu
    assert "autodetect" not in content(disk, "/etc/mkinitcpio.conf.d/ov.conf", tmp_path)
    assert content(disk, "/etc/pacman.d/gnupg/pubring.gpg", tmp_path) == "", "each VM makes its own keys"
    esp = ["mdir", "-b", "-/", "-i", f"{tmp_path / 'disk.raw'}@@{image.ESP_START}", "::"]
    assert "::/EFI/BOOT/BOOTX64.EFI" in run(esp, env={"MTOOLS_SKIP_CHECK": "1"}).stdout
    assert mounts(tmp_path) == [] and list((tmp_path / "p/output/.ov/work").glob("*/")) == []


def mounts(folder: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "message"),
    [("keyring", "a signature of archlinux's packages is not good"), ("bytes", "a signature of .* is not good")],
)
def test_what_is_not_signed_by_a_trusted_key_is_refused(
    mirror: Mirror, tmp_path: Path, wrong: str, message: str
) -> None:
    source = mirror.source
    if wrong == "keyring":
        source = replace(source, keyrings=(mirror.stranger.keyring,))
    else:
        packages = contents()
        server = make_repository(tmp_path / "mirror", "core", packages, mirror.signer)
        make_repository(tmp_path / "mirror", "extra", {}, mirror.signer)
        core = tmp_path / "mirror/core"
        make_package(core, "sudo", {"usr/bin/sudo": b"evil"}, mirror.stranger)
        write_database(core, "core", sorted(core.glob("*.zst")))
        source = replace(source, mirrors=(server,))
    with pytest.raises(OvError, match=message) as caught:
        run_base(tmp_path / "p", source)
    assert "source.keyring" in (caught.value.hint or "") and caught.value.where == WHERE
    assert mounts(tmp_path) == [] and list((tmp_path / "p/output/.ov/work").glob("*/")) == []


@pytest.mark.slow
def test_what_is_not_there(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="archlinux has no package no-such-thing"):
        run_base(tmp_path / "p", replace(mirror.source, packages=("no-such-thing",)))
    with pytest.raises(OvError, match=r"the mirror .* does not give core\.db") as caught:
        run_base(tmp_path / "p", replace(mirror.source, mirrors=(f"file://{tmp_path}/none/$repo",)))
    assert "source.mirror" in (caught.value.hint or "")
    (tmp_path / "empty.gpg").write_bytes(b"")
    with pytest.raises(OvError, match=r"empty\.gpg"):
        run_base(tmp_path / "p", replace(mirror.source, keyrings=(tmp_path / "empty.gpg",)))


def vms(mirror: Mirror, project: Path, **more: object) -> None:
    """Write a vms.yml with one VM of the repository."""
    source = {"kind": "bootstrap", "distro": "archlinux", "mirror": list(mirror.source.mirrors), **more}
    source["keyring"] = str(mirror.signer.keyring)
    vm = {"source": source, "disk_size": "2G", "ssh": {"key_source": "none"}}
    project.mkdir(exist_ok=True)
    (project / "vms.yml").write_text(json.dumps({"vms": {"box": vm}}), encoding="utf-8")


BUILD = (*OV, "vm", "build", "box")


@pytest.mark.slow
def test_killed_and_again_and_a_third_time(mirror: Mirror, tmp_path: Path) -> None:
    """By the command: SIGKILL in the midst of pacstrap leaves no mount; the next run builds; the last does nothing."""
    project = tmp_path / "p"
    vms(mirror, project)
    process = serve(*BUILD, cwd=project)
    end = time.monotonic() + 600
    while not list((project / "output/.ov").glob("work/*/root/var/lib/pacman/local/*/desc")):
        assert process.poll() is None and time.monotonic() < end, "the build does not get that far"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_gone(project)
    said = run([*BUILD, "--console"], cwd=project)
    assert "box" in said.stderr and "installing" in said.stderr + said.stdout
    assert (project / "output/box/qcow2/disk.qcow2").is_file()
    assert list((project / "output/.ov/work").glob("*/")) == []
    assert "nothing to do" in (again := run(BUILD, cwd=project)).stderr + again.stdout


@pytest.mark.slow
def test_cachyos_has_a_repository_and_keys_of_its_own(mirror: Mirror, tmp_path: Path) -> None:
    """Its kernel comes from its repository, signed by its key; the guest's pacman.conf has the repository, too."""
    kernel = {"boot/vmlinuz-linux-cachyos": b"k", "boot/initramfs-linux-cachyos.img": b"i"}
    server = make_repository(
        tmp_path / "own", "cachyos", {"linux-cachyos": kernel, "cachyos-keyring": {}}, mirror.stranger
    )
    keys = (mirror.signer.keyring, mirror.stranger.keyring)
    theirs = {**contents(), "bulk": {"usr/bulk": BULK}}
    arch = make_repository(tmp_path / "arch", "core", theirs, mirror.signer)
    make_repository(tmp_path / "arch", "extra", {}, mirror.signer)
    own = (("cachyos", server),)
    source = replace(ARCH, distro="cachyos", mirrors=(arch,), repositories=own, keyrings=keys, packages=("bulk",))
    workspace, _ = run_base(tmp_path / "p", source)
    disk = tmp_path / "p" / str(workspace.facts["path"])
    packages = json.loads(workspace.step.targets[0].read_text(encoding="utf-8"))["packages"]
    assert "linux-cachyos 1-1 any" in packages and not any(line.startswith("linux ") for line in packages)
    assert "linux /boot/vmlinuz-linux-cachyos " in content(disk, overlay.BOOT_CFG, tmp_path)
    assert f"[cachyos]\nServer = {server}\n" in content(disk, "/etc/pacman.conf", tmp_path)
    with pytest.raises(OvError, match="a signature of cachyos's packages is not good"):
        run_base(tmp_path / "q", replace(source, keyrings=keys[:1]))


def test_what_a_distribution_has_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = resolve(replace(ARCH, distro="cachyos"), WHERE, "x86_64")
    assert recipe.pacman is not None
    assert [name for name, _ in recipe.pacman.repositories] == ["cachyos", "core", "extra"]
    assert [path.name for path in recipe.pacman.keyrings] == ["archlinux.gpg", "cachyos.gpg"]
    assert recipe.kernel == "linux-cachyos"
    assert resolve(replace(ARCH, packages=("linux-lts",)), WHERE, "x86_64").kernel == "linux-lts"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(OvError, match=r"the keys of cachyos's packages are not installed here") as caught:
        pacstrap.check(replace(recipe, pacman=replace(recipe.pacman, keyrings=recipe.pacman.keyrings[1:])))
    assert "source.keyring" in (caught.value.hint or "")
    with pytest.raises(OvError, match="pacstrap needs root"):
        pacstrap.check(replace(recipe, pacman=replace(recipe.pacman, keyrings=())))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (replace(ARCH, builder="mmdebstrap"), "builder 'mmdebstrap' is not supported for archlinux"),
        (replace(ARCH, suite="trixie"), "archlinux has no suites"),
        (replace(ARCH, variant="standard"), "archlinux has no variants"),
        (replace(ARCH, architecture="arm64"), "architecture 'arm64' is not supported"),
        (replace(ARCH, mirrors=("ftp://x",)), "'ftp://x' is not a mirror for pacman"),
        (replace(ARCH, repositories=(("own", "https://x y"),)), "'https://x y' is not a mirror"),
        (replace(ARCH, keyrings=(Path("/none.gpg"),)), "the keyring /none.gpg is not there"),
        (replace(ARCH, distro="debian", mirrors=("https://x",)), "have no meaning for debian"),
    ],
)
def test_refused(source: BootstrapSource, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        resolve(source, WHERE, "x86_64")
    assert caught.value.where == WHERE and caught.value.hint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{kind: bootstrap, builder: pacstrap}", "builder pacstrap does not make debian"),
        ("{kind: bootstrap, distro: cachyos, builder: mmdebstrap}", "builder mmdebstrap does not make cachyos"),
        ("{kind: bootstrap, distro: archlinux, suite: sid}", "suite has no meaning for archlinux"),
        ("{kind: bootstrap, mirror: 'https://x/$repo'}", "mirror has no meaning for debian"),
        ("{kind: bootstrap, distro: archlinux, repositories: {core: 'https://x'}}", "'core'"),
    ],
)
def test_refused_in_the_file(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "vms.yml").write_text(f"vms:\n  a:\n    disk_size: 2G\n    source: {source}\n", encoding="utf-8")
    with pytest.raises(InputErrors, match=re.escape(message)) as caught:
        load_project(tmp_path, cache=False)
    (error,) = caught.value.errors
    assert error.where is not None and error.where.line == 4


def test_the_programs_that_it_needs_have_packages() -> None:
    """Of a host of Debian's, by `ov doctor` and ./doitw; a keyring in the entry replaces the installed one."""
    plugin = Bootstrap()
    needs = {as_program(need).name for need in plugin.programs({"distro": "archlinux"})}
    assert {"pacstrap", "pacman", "pacman-key", "makepkg", "gpg", "archlinux-keyring"} <= needs
    assert "mmdebstrap" not in needs
    assert "archlinux-keyring" not in plugin.programs({"distro": "archlinux", "keyring": "keys.gpg"})
    found = [as_program(name).package("debian") for name in ("pacstrap", "pacman-key", "makepkg", "archlinux-keyring")]
    assert found == ["arch-install-scripts", "pacman-package-manager", "makepkg", "archlinux-keyring"]
