"""Real builds: what comes out, that it comes out the same again, what a killed one leaves, errors from the mirror."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.errors import EXIT_FAILED, EXIT_INPUT, InputError, OvError
from ovtasks.graph.receipt import sha256_of
from ovtasks.host.run import MissingProgramError, require, run, which
from ovtasks.project.model import BootstrapSource
from ovtasks.sources.bootstrap import chain, image, sandbox
from ovtasks.sources.bootstrap.recipe import resolve
from ovtasks.sources.bootstrap.sandbox import prefix
from ovtasks.sources.bootstrap.tree import RootTree, sweep
from tests.bootstrap.workspace import WHERE, run_base
from tests.support.demo import BUILD, ENVIRONMENT, ROOT, Demo, make_project
from tests.support.processes import Server, serve
from tests.support.programs import attempt
from tests.support.user import User, may_sudo

BOOKWORM = BootstrapSource("bootstrap", {}, suite="bookworm")


def processes_of(folder: Path) -> list[str]:
    """Command lines that name ``folder``, and processes whose working directory or root is below it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            places = [str((entry / name).readlink()) for name in ("cwd", "root")]
        except OSError:
            continue  # it has ended meanwhile
        if str(folder) in words or any(place.startswith(str(folder)) for place in places):
            found.append(f"{entry.name} {words}")
    return found


def wait_gone(folder: Path) -> None:
    end = time.monotonic() + 120
    while (left := processes_of(folder)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left
    assert str(folder) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")


def start_build(project: Path) -> Server:
    """Begin to build the demo by its command and return when the packages' own programs run in the tree."""
    make_project(project)
    process = serve(*BUILD, cwd=project, env={**os.environ, **ENVIRONMENT})
    end = time.monotonic() + 1200
    while not list(project.glob("output/.ov/work/*/root/usr/bin/dpkg")):
        assert process.poll() is None and time.monotonic() < end, "the build does not get that far"
        time.sleep(0.1)
    return process


def scratch_folders(project: Path) -> list[Path]:
    return [path for path in (project / "output/.ov/work").iterdir() if path.is_dir()]


@pytest.mark.slow
def test_record_describes_the_image(demo: Demo) -> None:
    path, facts = demo.base()
    assert sha256_of(path) == f"sha256:{facts['sha256']}"
    info = json.loads(run(["qemu-img", "info", "--output=json", path]).stdout)
    assert (info["format"], info["virtual-size"]) == (facts["format"], facts["virtual_size"])
    assert "backing-filename" not in info
    assert path.stat().st_size < 400 << 20
    packages = facts["packages"]
    assert isinstance(packages, list)
    assert any(str(line).startswith("shim-signed ") for line in packages)
    assert packages == sorted(packages)


@pytest.mark.slow
def test_partitions_and_file_system_are_sound(demo: Demo, tmp_path: Path) -> None:
    path, _ = demo.base()
    raw, root = tmp_path / "disk.raw", tmp_path / "root.img"
    run(["qemu-img", "convert", "-O", "raw", path, raw])
    run(["sfdisk", "--verify", raw])
    table = json.loads(run(["sfdisk", "--json", raw]).stdout)["partitiontable"]
    assert [p["name"] for p in table["partitions"]] == ["bios", "esp", "root"]
    last = table["partitions"][2]
    count = str(last["size"] // 2048)
    run(["dd", f"if={raw}", f"of={root}", "bs=1M", f"skip={last['start'] // 2048}", f"count={count}", "conv=sparse"])
    run(["e2fsck", "-f", "-n", root])
    esp = f"{raw}@@{image.ESP_START}"
    listed = run(["mdir", "-b", "-/", "-i", esp, "::"], env={"MTOOLS_SKIP_CHECK": "1"}).stdout.split()
    assert {"::/EFI/BOOT/BOOTX64.EFI", "::/EFI/BOOT/grubx64.efi", "::/EFI/debian/grub.cfg"} <= set(listed)

    def content(name: str) -> str:
        return run(["debugfs", "-R", f"cat {name}", root]).stdout

    assert content("/etc/machine-id") == ""
    assert "ssh_host_" not in run(["debugfs", "-R", "ls -p /etc/ssh", root]).stdout
    assert "random-seed" not in run(["debugfs", "-R", "ls -p /var/lib/systemd", root]).stdout
    assert re.search(r"^root:[*!]", content("/etc/shadow"), re.MULTILINE)


@pytest.mark.slow
def test_ordinary_user_killed_and_again_makes_the_same_bytes(demo: Demo, someone: User) -> None:
    """SIGKILL while packages are installed; then again: another user, folder and time than the demo's, same image."""
    project = someone.home / "a project"
    killed = someone.start("tests.bootstrap.workspace", str(project))
    assert killed.stdout is not None
    for line in killed.stdout:
        if line.rstrip().isdigit() and int(line) >= 30:
            break
    killed.kill()
    said = killed.communicate()[0].decode()
    wait_gone(project)
    assert scratch_folders(project), f"it ended too early to leave something to clean: {said}"

    again = someone.start("tests.bootstrap.workspace", str(project))
    said = again.communicate(timeout=600)[0].decode()
    assert again.returncode == 0, said
    assert scratch_folders(project) == []
    percent = [int(line) for line in said.splitlines() if line.isdigit()]
    assert percent == sorted(percent) and percent[-1] == 100
    (record,) = (project / "output/.images").glob("bootstrap-????????????.json")
    assert json.loads(record.read_text(encoding="utf-8")) == demo.base()[1]
    wait_gone(project)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_ended_build_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    project = tmp_path / "project"
    process = start_build(project)
    start = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert time.monotonic() - start < 60  # on a quiet machine one or two
    wait_gone(project)
    assert not list(project.glob("output/.images/*.receipt.json"))
    if number == signal.SIGKILL:
        assert process.returncode == -number
        assert scratch_folders(project)
        sweep(project / "output/.ov/work")  # as the next run begins
    else:
        assert process.returncode == 128 + number
    assert scratch_folders(project) == []


def test_user_who_may_not_build_learns_what_to_do(nobody_special: User) -> None:
    process = nobody_special.start("tests.bootstrap.workspace", str(nobody_special.home / "project"))
    said = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 1
    if which("newuidmap") is None:
        assert "newuidmap is not installed\n  hint: " in said
        return
    assert f"{nobody_special.name} has no entry in /etc/subuid" in said
    assert f"hint: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {nobody_special.name}" in said


def test_ordinary_user_needs_newuidmap(monkeypatch: pytest.MonkeyPatch) -> None:
    import ovtasks.host.which as gateway

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(gateway, "which", lambda name: None)
    with pytest.raises(MissingProgramError, match="newuidmap is not installed") as caught:
        prefix()
    assert "uidmap" in (caught.value.hint or "")


def test_btrfs_is_filled_from_the_folder(tmp_path: Path) -> None:
    source = replace(BOOKWORM, rootfs="btrfs")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/hostname").write_text("demo\n" * 2000, encoding="ascii")
    tree = RootTree(root, tmp_path, 10**9, blocks=10, inodes=3, packages=())
    made = image.root_filesystem(resolve(source, WHERE, "x86_64"), tree, tmp_path / "root.img")
    run(["btrfs", "check", made])
    assert "demo\ndemo\n" in made.read_bytes().decode("ascii", errors="replace")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        (BootstrapSource("bootstrap", {}, suite="bookwurm"), "debian has no suite bookwurm on its mirrors", "trixie"),
        (
            BootstrapSource("bootstrap", {}, suite="bookworm", packages=("no-such-package",)),
            "debian bookworm (amd64) has no package no-such-package",
            "packages.debian.org",
        ),
        (
            BootstrapSource("bootstrap", {}, suite="bookworm", packages=("bash=1:99",)),
            "debian bookworm: Version '1:99' for 'bash' was not found",
            None,
        ),
    ],
)
def test_what_the_mirror_does_not_have(source: BootstrapSource, message: str, hint: str | None, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        run_base(tmp_path, source)
    error = caught.value
    assert (error.message, error.where, error.exit_code) == (message, WHERE, EXIT_INPUT)
    assert hint is None or hint in (error.hint or "")
    assert not list((tmp_path / "output/.ov/work").glob("*/"))


@pytest.mark.slow  # apt tries again, after growing pauses
def test_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # discard: nobody listens
    with pytest.raises(OvError, match="mirror of debian cannot be reached") as caught:
        run_base(tmp_path, BOOKWORM)
    assert caught.value.exit_code == EXIT_FAILED
    assert "http_proxy" in (caught.value.hint or "")
    assert not list((tmp_path / "output/.images").iterdir())


def test_missing_program_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ovtasks.host.which as gateway

    real = gateway.which
    monkeypatch.setattr(gateway, "which", lambda name: None if name == "mkfs.fat" else real(name))
    with pytest.raises(MissingProgramError, match=r"mkfs\.fat is not installed") as caught:
        run_base(tmp_path, BOOKWORM)
    assert "dosfstools" in (caught.value.hint or "")


def test_full_disk_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ovtasks.sources.bootstrap import tree

    monkeypatch.setattr(tree, "SCRATCH_NEED", 1 << 60)
    with pytest.raises(OvError, match="MiB free; a bootstrap build needs about") as caught:
        run_base(tmp_path, BOOKWORM)
    assert "free some space" in (caught.value.hint or "")


def stand_in(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is found first."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    "said",
    [
        "unshare: unshare failed: Operation not permitted",
        "unshare: write failed /proc/self/uid_map: Operation not permitted",
        "newuidmap: uid range [0-65536) -> [100000-165536) not allowed",
    ],
)
def test_refused_sandbox_is_told_before_the_work(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """unshare of util-linux 2.39 and newer leaves a helper behind that has its pipes and waits for ever."""
    stand_in(tmp_path, "unshare", f"sleep 300 & echo $! >'{tmp_path}/pid'; echo '{said}' >&2; exit 1", monkeypatch)
    stand_in(tmp_path, "sudo", "exit 1", monkeypatch)
    for module in (chain, sandbox):  # what it remembers is of the real programs
        monkeypatch.setattr(module, "by_sudo", sandbox.by_sudo.__wrapped__)
    start = time.monotonic()
    with pytest.raises(OvError, match="does not permit what a bootstrap build needs: ") as caught:
        run_base(tmp_path / "project", BOOKWORM)
    assert time.monotonic() - start < 60
    assert caught.value.message.endswith(said) and "podman run --privileged" in str(caught.value.hint)
    assert not list((tmp_path / "project/output/.ov").rglob("root"))


def enter_chroot(user: User) -> None:
    """The kernel refuses user namespaces there."""
    inner = f'mount --rbind / "$1" && cd "$1" && exec {require("chroot")} "$1" "${{@:2}}"'
    (user.home / "root").mkdir()
    argv = ["unshare", "--mount", "--", "bash", "-c", inner, "bash", str(user.home / "root")]
    user.words = (*argv, *user.words)


@pytest.mark.root
def test_ordinary_user_in_a_chroot_is_told_at_once(someone: User) -> None:
    """A real refusal by the real unshare."""
    enter_chroot(someone)
    start = time.monotonic()
    process = someone.start("tests.bootstrap.workspace", str(someone.home / "project"))
    said = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 1, said
    assert "does not permit what a bootstrap build needs: unshare: " in said
    assert time.monotonic() - start < 60


@pytest.mark.slow
@pytest.mark.root
def test_where_user_namespaces_are_refused_sudo_is_the_way(someone: User) -> None:
    enter_chroot(someone)
    with may_sudo(someone):
        process = someone.start("tests.bootstrap.by_sudo")
        said = process.communicate(timeout=60)[0].decode()
    assert said == "sudo 0 http://127.0.0.1:9 root\ngone\n"


@pytest.mark.parametrize(("there", "hint"), [((), "gpg"), (("gpg",), "ubuntu")])
def test_keys_of_another_distribution(
    there: tuple[str, ...], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ovtasks.host import which as gateway
    from ovtasks.sources.bootstrap import tree

    real = gateway.which
    monkeypatch.setattr(gateway, "which", lambda name: None if name == "gpg" and name not in there else real(name))
    monkeypatch.setattr(tree, "os_release", lambda: {"ID": "debian"})
    monkeypatch.setattr(tree, "KEYRINGS", tmp_path)
    foreign = resolve(BootstrapSource("bootstrap", {}, distro="ubuntu"), WHERE, "x86_64")
    with pytest.raises(OvError, match="installed") as caught:
        tree.check_keys(foreign)
    assert hint in str(caught.value.hint)
    tree.check_keys(resolve(BOOKWORM, WHERE, "x86_64"))
    (tmp_path / "ubuntu-archive-keyring.gpg").touch()
    monkeypatch.setattr(gateway, "which", real)
    tree.check_keys(foreign)


@pytest.mark.root
def test_root_of_a_container_that_may_not_mount_is_told_at_once(tmp_path: Path) -> None:
    """As docker's and podman's containers are by default: user number 0, without the right to namespaces."""
    bare = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    start = time.monotonic()
    done = attempt(*bare, sys.executable, "-m", "tests.bootstrap.workspace", tmp_path / "project", cwd=ROOT)
    assert done.returncode == 1
    assert "does not permit what a bootstrap build needs: unshare: " in done.stderr
    assert "podman run --privileged" in done.stderr
    assert time.monotonic() - start < 60
