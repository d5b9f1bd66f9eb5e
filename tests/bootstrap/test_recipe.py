"""Which sources are refused and why; what decides an image; what is written into it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.errors import EXIT_INPUT, InputError, OvError, Where
from ovtasks.graph.step import BuildOptions, Step
from ovtasks.project.model import BootstrapSource, Project, Ssh, VmSpec
from ovtasks.sources.bootstrap import Bootstrap, image, overlay
from ovtasks.sources.bootstrap.recipe import Recipe, resolve
from ovtasks.sources.bootstrap.tree import RootTree, sweep

WHERE = Where("vms.yml", 3, 5)
DEBIAN = BootstrapSource("bootstrap", {}, suite="bookworm")


def recipe(source: BootstrapSource = DEBIAN, machine: str = "x86_64") -> Recipe:
    return resolve(source, WHERE, machine)


def base(source: BootstrapSource, root: Path, name: str = "one", options: BuildOptions | None = None) -> Step:
    vm = VmSpec(name, source, WHERE, ssh=Ssh(key_source="none"))
    return Bootstrap().steps(vm, Project(root, {name: vm}, ()), options or BuildOptions())[0]


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        (replace(DEBIAN, distro="arch"), "cannot make distro 'arch'", "debian, ubuntu.*cloud_image"),
        (replace(DEBIAN, builder="pacstrap"), "builder 'pacstrap' is not supported", "mmdebstrap.*cloud_image"),
        (replace(DEBIAN, builder_image="debian:12"), "builder_image has no meaning", "leave builder_image out"),
        (replace(DEBIAN, architecture="s390x"), "architecture 's390x' is not supported", "amd64, arm64"),
        (replace(DEBIAN, rootfs="xfs"), "rootfs 'xfs' is not supported", "ext4, btrfs"),
        (replace(DEBIAN, variant="essential"), "variant 'essential' is not supported", "minbase"),
        (replace(DEBIAN, suite="--x y"), "'--x y' is not the name of a suite", "trixie"),
        (replace(DEBIAN, packages=("vim", "?essential,x")), "is not the name of a package", "name=version"),
        (replace(DEBIAN, packages=("-y",)), "'-y' is not the name of a package", "name=version"),
        (replace(DEBIAN, kernel_args=("a\nb",)), "kernel argument 'a\\\\nb' cannot", "printable"),
        (replace(DEBIAN, kernel_args=("",)), "kernel argument '' cannot", "printable"),
        (replace(DEBIAN, kernel_args=("a='b'",)), "kernel argument", "without single quotes"),
    ],
)
def test_refused(source: BootstrapSource, message: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        base(source, tmp_path)
    assert caught.value.where == WHERE and caught.value.exit_code == EXIT_INPUT
    assert re.search(hint, caught.value.hint or "")


def test_unknown_host_machine_is_named() -> None:
    with pytest.raises(InputError, match="architecture 'riscv64' is not supported"):
        recipe(machine="riscv64")


def test_equal_recipes_are_one_step(tmp_path: Path) -> None:
    one = base(replace(DEBIAN, packages=("vim", "tmux")), tmp_path, "one")
    two = base(replace(DEBIAN, packages=("tmux", "vim", "vim"), base_user="x", builder="debootstrap"), tmp_path, "two")
    assert (one.name, one.inputs, one.targets) == (two.name, two.inputs, two.targets)
    assert one.shared and one.name.startswith("base:@")


@pytest.mark.parametrize(
    "other",
    [
        replace(DEBIAN, suite="trixie"),
        replace(DEBIAN, distro="ubuntu"),
        replace(DEBIAN, packages=("vim",)),
        replace(DEBIAN, architecture="arm64"),
        replace(DEBIAN, variant="important"),
        replace(DEBIAN, rootfs="btrfs"),
        replace(DEBIAN, kernel_args=("quiet",)),
    ],
)
def test_every_field_makes_another_image(other: BootstrapSource, tmp_path: Path) -> None:
    assert base(DEBIAN, tmp_path).name != base(other, tmp_path).name
    assert recipe().identifier("root") != recipe(other).identifier("root")


def test_refresh_is_a_reason(tmp_path: Path) -> None:
    assert base(DEBIAN, tmp_path).refresh is None
    assert "--refresh" in (base(DEBIAN, tmp_path, options=BuildOptions(refresh=True)).refresh or "")


def test_defaults_are_the_distributions() -> None:
    assert recipe(replace(DEBIAN, suite=None)).suite == "trixie"
    assert recipe(replace(DEBIAN, suite=None, distro="ubuntu")).suite == "noble"
    assert recipe(machine="aarch64").architecture == "arm64"


def test_packages_by_distribution() -> None:
    debian = recipe().all_packages()
    assert {"linux-image-cloud-amd64", "systemd-resolved", "e2fsprogs"} <= set(debian)
    assert list(debian) == sorted(debian)
    ubuntu = recipe(replace(DEBIAN, distro="ubuntu", suite="jammy", rootfs="btrfs")).all_packages()
    assert {"linux-image-virtual", "btrfs-progs"} <= set(ubuntu)
    assert "systemd-resolved" not in ubuntu  # inside systemd there


def test_own_kernel_replaces_the_default() -> None:
    packages = recipe(replace(DEBIAN, packages=("linux-image-amd64",))).all_packages()
    assert "linux-image-amd64" in packages and "linux-image-cloud-amd64" not in packages


def test_kernel_arguments_reach_the_menu() -> None:
    made = recipe(replace(DEBIAN, kernel_args=("quiet", 'dyndbg="file x +p"')))
    (line, _) = re.findall(r"^  linux (.*)$", overlay.boot_cfg(made), re.MULTILINE)
    root = made.identifier("root")
    assert line.startswith(f"/boot/vmlinuz root=UUID={root} ro no_timer_check console=tty0 console=ttyS0,115200 ")
    assert line.endswith("""'quiet' 'dyndbg="file x +p"'""")
    arm = overlay.boot_cfg(recipe(machine="aarch64"))
    assert "console=ttyAMA0,115200" in arm and "no_timer_check" not in arm


def test_partition_table_names_types_and_leaves_the_end_to_root() -> None:
    lines = image.partition_table(recipe()).splitlines()
    assert [image.BIOS_BOOT_TYPE in line for line in lines[-3:]] == [True, False, False]
    assert "size=" not in lines[-1] and "4F68BCE3" in lines[-1]
    assert image.BIOS_BOOT_TYPE not in image.partition_table(recipe(machine="aarch64"))


def test_boot_sectors_point_at_the_partition() -> None:
    first, core = image.boot_sectors(bytes(512), bytes(4096))
    assert len(first) == 440 and first[0x5C:0x64] == (2048).to_bytes(8, "little") and first[0x66:0x68] == b"\x90\x90"
    assert core[0x1F4:0x1FC] == (2049).to_bytes(8, "little")


@pytest.mark.parametrize(("boot", "core"), [(511, 4096), (512, 100), (512, 2 << 20)])
def test_boot_sectors_refuse_what_is_not_grub(boot: int, core: int) -> None:
    with pytest.raises(OvError, match="cannot be right"):
        image.boot_sectors(bytes(boot), bytes(core))


def test_root_size_has_room() -> None:
    tree = RootTree(Path("/r"), Path("/b"), 0, blocks=100_000, inodes=14_000, packages=())
    assert image.root_size(tree) % image.ROUND == 0
    assert 500 << 20 < image.root_size(tree) < 700 << 20


def test_sweep_removes_what_killed_runs_left(tmp_path: Path) -> None:
    (tmp_path / "aaa/root").mkdir(parents=True)
    (tmp_path / "aaa/root/file").touch()
    (tmp_path / "aaa.lock").touch()
    (tmp_path / "bbb").mkdir()  # no lock: not ours
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aaa.lock", "bbb"]


def test_sweep_leaves_what_is_in_use(tmp_path: Path) -> None:
    from ovtasks.host.files import flock

    (tmp_path / "aaa").mkdir()
    with flock(tmp_path / "aaa.lock"):
        sweep(tmp_path)
    assert (tmp_path / "aaa").is_dir()
