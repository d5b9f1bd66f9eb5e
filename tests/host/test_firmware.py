"""Firmware: descriptors in every shape, the tables below a root of their own, and what is really installed here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.host.firmware import Files, default_folders, descriptors, find, make_nvram, nvram_name
from ovtasks.host.run import run, which
from ovtasks.values.firmware import Firmware
from ovtasks.values.jsonvalue import Json
from tests.host.conftest import INSECURE, SECURE, SECURE_FEATURES, Host


def test_bios_needs_no_file(host: Host) -> None:
    assert find(Firmware.BIOS, "x86_64", "q35", host.folders, root=host.root) is None
    for arch in ("aarch64", "riscv64"):
        with pytest.raises(InputError, match=f"{arch} machines have no BIOS"):
            find(Firmware.BIOS, arch, "virt", host.folders, root=host.root)


def test_a_descriptor_is_read(host: Host) -> None:
    path = host.describe(
        "40-secure",
        features=SECURE_FEATURES,
        executable={"filename": host.pair("a")[0], "format": "qcow2"},
        nvram_template={"filename": host.pair("b")[1], "format": "qcow2"},
    )
    assert host.found(SECURE) == Files(
        code=host.images / "a_CODE.fd",
        template=host.images / "b_VARS.fd",
        code_format="qcow2",
        nvram_format="qcow2",
        smm=True,
        secure_boot=True,
        enrolled=True,
        descriptor=path,
    )
    host.nothing(INSECURE)


def test_order_is_by_name_over_all_folders(host: Host) -> None:
    for name, folder in (("50-b", 2), ("40-c", 2), ("45-a", 0), ("60-x", 1)):
        host.describe(name, folder=folder)
    assert [path.stem for path in descriptors(host.folders)] == ["40-c", "45-a", "50-b", "60-x"]
    assert host.name() == "40-c"


def test_same_name_is_masked_by_the_folder_of_higher_priority(host: Host) -> None:
    host.describe("50-one", folder=2, image="usr")
    assert host.found().code.name == "usr_CODE.fd"
    host.describe("50-one", folder=1, image="etc")
    assert host.found().code.name == "etc_CODE.fd"
    host.describe("50-one", folder=0, image="user")
    assert host.found().code.name == "user_CODE.fd"


@pytest.mark.parametrize("how", ["empty", "null", "broken", "other"])
def test_what_masks_needs_no_content(host: Host, how: str) -> None:
    host.describe("50-one")
    host.describe("60-two")
    mask = host.folders[0] / "50-one.json"
    if how == "null":
        mask.symlink_to("/dev/null")
    elif how == "other":
        host.describe("50-one", folder=0, arch="aarch64")
    else:
        mask.write_text("" if how == "empty" else "{")
    assert host.name() == "60-two"


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", "null", '"text"', "\0\0", "[" * 100000),
        *('{"mapping": [], "targets": {}}', '{"targets": [1, null, {"machines": 3}], "features": 7}'),
        '{"interface-types": "uefi", "mapping": {"device": "flash", "executable": "x"}, "targets": []}',
    ],
)
def test_broken_descriptor_is_passed_over(host: Host, text: str, recwarn: pytest.WarningsRecorder) -> None:
    host.describe("60-good")
    (host.folders[2] / "10-bad.json").write_text(text)
    assert host.name() == "60-good"
    assert not recwarn.list


def test_what_is_no_descriptor(host: Host) -> None:
    path = host.describe("60-good")
    for name in ("10-readme.txt", ".20-hidden.json", "30-old.json.bak"):
        (path.parent / name).write_text(path.read_text())
    (path.parent / "40-folder.json").mkdir()
    (path.parent / "50-dangling.json").symlink_to("nowhere")
    assert host.name() == "60-good"


@pytest.mark.parametrize(
    "change",
    [
        {"arch": "aarch64", "machines": ("virt-*",)},
        {"machines": ("pc-i440fx-*", "microvm")},
        {"change": {"interface-types": ["bios"]}},
        {"change": {"targets": []}},
        {"device": "memory"},
        {"device": "kernel"},
        {"mode": "stateless"},
        {"mode": "combined"},
        {"nvram_template": {"filename": "/nowhere/VARS.fd", "format": "raw"}},
        {"executable": {"filename": "/nowhere/CODE.fd", "format": "raw"}},
        {"executable": {"filename": "relative.fd", "format": "raw"}},
        {"executable": {"format": "raw"}},
        {"executable": {"filename": "/dev/null", "format": "raw"}},
        {"nvram_template": {"filename": 5}},
    ],
    ids=lambda change: json.dumps(change),
)
def test_what_does_not_fit(host: Host, change: dict[str, object]) -> None:
    host.describe("10-first", **change)  # type: ignore[arg-type]
    host.nothing()
    host.describe("60-good", mode="split")
    assert host.name() == "60-good"


def test_unknown_format_is_passed_over(host: Host) -> None:
    host.describe("10-vdi", executable={"filename": host.pair("a")[0], "format": "vdi"})
    host.nothing()


def test_format_defaults_to_raw(host: Host) -> None:
    code, template = host.pair("a")
    host.describe("10-a", executable={"filename": code}, nvram_template={"filename": template})
    assert (host.found().code_format, host.found().nvram_format) == ("raw", "raw")


def test_several_targets(host: Host) -> None:
    targets: list[Json] = [
        {"architecture": "i386", "machines": ["pc-q35-*"]},
        {"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]},
    ]
    host.describe("50-both", change={"targets": targets})
    for machine in ("q35", "pc", "pc-q35-9.2", "pc-i440fx-7.2", "pc-q35-rhel9.6.0"):
        assert host.name(machine=machine) == "50-both"
    host.nothing(machine="microvm")
    host.nothing(arch="riscv64", machine="virt")


@pytest.mark.parametrize("arch", ["aarch64", "riscv64"])
@pytest.mark.parametrize("pattern", ["virt-*", "virt", "virt*"])
def test_virt_machines(host: Host, arch: str, pattern: str) -> None:
    host.describe("50-virt", arch=arch, machines=(pattern,))
    assert host.name(arch=arch, machine="virt") == "50-virt"
    host.nothing()


def test_insecure_means_nothing_is_enforced(host: Host) -> None:
    """Debian's three, in their order; each is taken away in turn."""
    enrolled = host.describe("40-enrolled", features=["verbose-dynamic", *SECURE_FEATURES])
    empty = host.describe("50-secure", features=["requires-smm", "secure-boot"])
    plain = host.describe("60-plain", features=["acpi-s3", "amd-sev"])
    assert host.name(INSECURE) == plain.stem
    plain.unlink()
    assert host.name(INSECURE) == empty.stem
    assert host.found(INSECURE).smm
    empty.unlink()
    host.nothing(INSECURE)
    assert host.name(SECURE) == enrolled.stem


@pytest.mark.parametrize("missing", SECURE_FEATURES)
def test_secure_wants_all_of_it(host: Host, missing: str) -> None:
    host.describe("40-almost", features=[feature for feature in SECURE_FEATURES if feature != missing])
    host.nothing(SECURE)


def test_secure_elsewhere_needs_no_smm(host: Host) -> None:
    host.describe("40-a", arch="aarch64", machines=("virt-*",), features=["enrolled-keys", "secure-boot"])
    found = host.found(SECURE, "aarch64", "virt")
    assert found.enrolled
    assert not found.smm


@pytest.mark.parametrize("machine", ["pc", "pc-i440fx-9.2", "microvm"])
def test_secure_needs_a_machine_with_smm(host: Host, machine: str) -> None:
    with pytest.raises(InputError, match=f"machine {machine} cannot have uefi-secure") as caught:
        host.found(SECURE, machine=machine)
    assert caught.value.hint == "machine: q35"


def test_default_folders_are_those_of_the_format(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    expected = (str(tmp_path / "settings/qemu/firmware"), "/etc/qemu/firmware", "/usr/share/qemu/firmware")
    assert tuple(map(str, default_folders())) == expected


TABLES = [
    ("debian", INSECURE, "x86_64", "OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_VARS_4M.fd"),
    ("debian", SECURE, "x86_64", "OVMF/OVMF_CODE_4M.ms.fd", "OVMF/OVMF_VARS_4M.ms.fd"),
    ("fedora", INSECURE, "x86_64", "edk2/ovmf/OVMF_CODE_4M.qcow2", "edk2/ovmf/OVMF_VARS_4M.qcow2"),
    ("fedora", INSECURE, "x86_64", "edk2/ovmf/OVMF_CODE.fd", "edk2/ovmf/OVMF_VARS.fd"),
    ("fedora", SECURE, "x86_64", "OVMF/OVMF_CODE.secboot.fd", "OVMF/OVMF_VARS.secboot.fd"),
    ("arch", INSECURE, "x86_64", "edk2/x64/OVMF_CODE.4m.fd", "edk2/x64/OVMF_VARS.4m.fd"),
    ("suse", INSECURE, "x86_64", "qemu/ovmf-x86_64-code.bin", "qemu/ovmf-x86_64-vars.bin"),
    ("suse", SECURE, "x86_64", "qemu/ovmf-x86_64-smm-ms-code.bin", "qemu/ovmf-x86_64-smm-ms-vars.bin"),
    ("debian", INSECURE, "aarch64", "AAVMF/AAVMF_CODE.fd", "AAVMF/AAVMF_VARS.fd"),
    ("debian", SECURE, "aarch64", "AAVMF/AAVMF_CODE.secboot.fd", "AAVMF/AAVMF_VARS.ms.fd"),
    ("fedora", INSECURE, "aarch64", "edk2/aarch64/QEMU_EFI-pflash.raw", "edk2/aarch64/vars-template-pflash.raw"),
    ("arch", INSECURE, "aarch64", "edk2/aarch64/QEMU_CODE.fd", "edk2/aarch64/QEMU_VARS.fd"),
    ("suse", INSECURE, "aarch64", "qemu/aavmf-aarch64-code.bin", "qemu/aavmf-aarch64-vars.bin"),
    ("debian", INSECURE, "riscv64", "qemu-efi-riscv64/RISCV_VIRT_CODE.fd", "qemu-efi-riscv64/RISCV_VIRT_VARS.fd"),
    ("fedora", INSECURE, "riscv64", "edk2/riscv/RISCV_VIRT_CODE.qcow2", "edk2/riscv/RISCV_VIRT_VARS.qcow2"),
]


@pytest.mark.parametrize(("family", "firmware", "arch", "code", "template"), TABLES)
@pytest.mark.parametrize("own", [True, False])
def test_tables(host: Host, family: str, firmware: Firmware, arch: str, code: str, template: str, own: bool) -> None:
    """Also on a distribution that we do not know: whatever is there is found."""
    machine = "q35" if arch == "x86_64" else "virt"
    host.install(code)
    host.nothing(firmware, arch, machine)
    host.install(template)
    found = host.found(firmware, arch, machine, family=family if own else "unheard-of")
    assert (found.code, found.template) == (host.root / "usr/share" / code, host.root / "usr/share" / template)
    assert found.code_format == ("qcow2" if code.endswith("qcow2") else "raw")
    assert found.enrolled == found.secure_boot == (firmware is SECURE)
    assert found.smm == (firmware is SECURE and arch == "x86_64")
    assert found.descriptor is None


def test_tables_begin_with_the_own_family(host: Host) -> None:
    for family, firmware, arch, code, template in TABLES:
        if (firmware, arch) == (INSECURE, "x86_64"):
            host.install(code, template)
            assert host.found(family=family).code.is_relative_to(host.root)
    assert host.found(family="suse").code.name == "ovmf-x86_64-code.bin"
    assert host.found(family="arch").code.name == "OVMF_CODE.4m.fd"


def test_descriptors_win_over_tables(host: Host) -> None:
    host.install("OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_VARS_4M.fd")
    host.describe("60-good")
    assert host.name() == "60-good"


@pytest.mark.parametrize(
    ("family", "firmware", "arch", "hint"),
    [
        ("debian", INSECURE, "x86_64", "apt-get install ovmf"),
        ("fedora", SECURE, "x86_64", "dnf install edk2-ovmf"),
        ("arch", INSECURE, "x86_64", "pacman -S edk2-ovmf"),
        ("arch", SECURE, "x86_64", "no package here is known to bring it; firmware: uefi-insecure"),
        ("suse", INSECURE, "x86_64", "zypper install qemu-ovmf-x86_64"),
        ("debian", INSECURE, "aarch64", "apt-get install qemu-efi-aarch64"),
        ("suse", INSECURE, "aarch64", "zypper install qemu-uefi-aarch64"),
        ("debian", INSECURE, "riscv64", "apt-get install qemu-efi-riscv64"),
        ("debian", SECURE, "riscv64", "no package here is known to bring it; firmware: uefi-insecure"),
        ("debian", INSECURE, "s390x", "no package here is known to bring it; firmware: bios"),
    ],
)
def test_nothing_installed_names_the_package(host: Host, family: str, firmware: Firmware, arch: str, hint: str) -> None:
    with pytest.raises(OvError) as caught:
        host.found(firmware, arch, "q35" if arch == "x86_64" else "virt", family=family)
    assert caught.value.hint == hint


@pytest.mark.parametrize("firmware", [INSECURE, SECURE])
@pytest.mark.parametrize("described", [True, False])
def test_real_firmware_is_taken_by_qemu(firmware: Firmware, described: bool, tmp_path: Path) -> None:
    """What is installed here, by descriptor and by table, makes a machine; it runs no instruction."""
    emulator = which("qemu-system-x86_64")
    assert emulator is not None
    files = find(firmware, "x86_64", "q35", None if described else [])
    assert files is not None
    if not described:
        assert files.descriptor is None
    assert files.enrolled == files.smm == (firmware is SECURE)
    nvram = tmp_path / nvram_name(files)
    make_nvram(files.template, nvram)
    words = ["-machine", f"q35,accel=tcg,smm={'on' if files.smm else 'off'}", "-nodefaults", "-display", "none", "-S"]
    words += ["-drive", f"if=pflash,readonly=on,format={files.code_format},file={files.code}"]
    words += ["-drive", f"if=pflash,format={files.nvram_format},file={nvram}"]
    said = run([emulator, *words, "-monitor", "stdio"], stdin=b"info block\nquit\n", timeout=60).stdout
    assert str(nvram) in said
    assert str(files.code) in said
