"""Settings: environment over file over default; wrong ones are shown with their place; comments survive a change."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ovtasks.errors import InputError, InputErrors, OvError
from ovtasks.host import settings
from ovtasks.host.paths import VM_VARIABLES
from ovtasks.host.settings import Origin, get, put, reset
from ovtasks.host.settings_table import SETTINGS
from ovtasks.project.schema import schema_text


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in SETTINGS.values():
        monkeypatch.delenv(key.variable, raising=False)


def write(text: str) -> Path:
    file = settings.path()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


def test_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert get("vm.backend") == settings.SettingValue("auto", Origin.DEFAULT, "the default")
    file = write("# mine\nvm:\n  backend: qemu\n")
    assert get("vm.backend") == settings.SettingValue("qemu", Origin.FILE, f"{file}:3:12")
    monkeypatch.setenv("OV_VM_BACKEND", "libvirt")
    assert get("vm.backend") == settings.SettingValue("libvirt", Origin.ENVIRONMENT, "OV_VM_BACKEND")
    monkeypatch.setenv("OV_VM_BACKEND", "")
    assert get("vm.backend").value == "qemu"
    assert get("vm.accel").origin is Origin.DEFAULT


@pytest.mark.parametrize("text", ["", "# nothing\n", "vm:\n", "vm:\nengine: {}\n", "{}\n"])
def test_a_file_that_says_nothing(text: str) -> None:
    write(text)
    assert get("vm.backend").origin is Origin.DEFAULT


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ("vm:\n  backend: qeum\n", "2:12", "vm.backend must be one of auto, libvirt, qemu, not 'qeum'", "'qemu'?"),
        ("vm:\n  accel: true\n", "2:10", "vm.accel must be one of auto, kvm, tcg, not true", ""),
        ("vm:\n  backend:\n", "2:11", "vm.backend must be one of auto, libvirt, qemu, not nothing", ""),
        ("vm:\n  backend: [qemu]\n", "2:12", "vm.backend must be one of auto, libvirt, qemu, not a list", ""),
        ("vm:\n  bakend: qemu\n", "2:3", "unknown key 'vm.bakend'", "did you mean 'vm.backend'?"),
        ("vm: {size: 4G}\n", "1:6", "unknown key 'vm.size'", ""),
        ("vm: {ram: 4Q}\n", "1:11", "vm.ram: '4Q' is not a size", "20G"),
        ("vm: {ram: auto}\n", "1:11", "vm.ram: 'auto' is not a size", "20G"),
        ("vm: {ram: 1M}\n", "1:11", "vm.ram: 1M is too small: at least 32M", ""),
        ("vm: {disk_size: []}\n", "1:17", "vm.disk_size must be a size such as 8G or auto, not a list", ""),
        ("vm: {cpus: 0}\n", "1:12", "vm.cpus: '0' is not a number of processors", "1 to 4096"),
        ("vm: {cpus: true}\n", "1:12", "vm.cpus must be a number, not true", ""),
        ("vm: {transport: oci}\n", "1:17", "vm.transport must be one of auto, registry, containers-storage", ""),
        ("vm: {root_size: 1M}\n", "1:17", "vm.root_size: 1M is too small", ""),
        ("engine: {build: docker}\n", "1:17", "engine.build must be one of auto, podman, not 'docker'", ""),
        ("engine: {rootful: root}\n", "1:19", "engine.rootful must be one of auto, native, sudo, machine", ""),
        (
            "images: {mirror: m.example.org}\n",
            "1:18",
            "images.mirror: 'm.example.org' is not a web address",
            "https://",
        ),
        ("images: {mirror: 'http://'}\n", "1:18", "images.mirror: is not a URL: '' is not a host name", ""),
        ("images: {mirror: 'https://me:secret@m.example.org'}\n", "1:18", "images.mirror: has a password", ".netrc"),
        ("images: {mirror: []}\n", "1:18", "images.mirror must be a web address or auto, not a list", ""),
        ("backend: qemu\n", "1:1", "unknown key 'backend'", "did you mean 'vm.backend'?"),
        ("vm: qemu\n", "1:1", "vm must be a mapping", "vm: {backend: …}"),
        ("engine: [sudo]\n", "1:1", "engine must be a mapping", "engine: {rootful: …}"),
        ("vm.cpus: 3\n", "1:1", "unknown key 'vm.cpus'", "write vm: {cpus: …}"),
        ("vm: {cpus: 1}\nengine.run: podman\n", "2:1", "unknown key 'engine.run'", "write engine: {run: …}"),
        (f"vm: {{cpus: {'9' * 5000}}}\n", "1:12", "is not a number of processors", "1 to 4096"),
        ("vm: {cpus: ٣}\n", "1:12", "vm.cpus: '٣' is not a number of processors", "1 to 4096"),
        ("- vm\n", "1:1", "the top level must be a mapping", "vm: {backend: qemu}"),
        ("vm: {}\n---\nvm: {}\n", "3:1", "settings are one YAML document", ""),
        ("vm:\n\tbackend: qemu\n", "2:1", "not YAML", "spaces"),
    ],
)
def test_wrong_file(text: str, place: str, message: str, hint: str) -> None:
    file = write(text)
    with pytest.raises(InputError) as caught:
        get("vm.backend")
    assert message in caught.value.message and hint in (caught.value.hint or "")
    assert str(caught.value.where) == f"{file}:{place}"


def test_what_others_read_is_passed_over_and_told() -> None:
    file = write("hosts:\n  big: me@big.example.org\nvm: {backend: qemu}\n")
    assert get("vm.backend").value == "qemu"
    assert settings.passed_over() == [
        f"{file}:1:1: hosts: without effect: destinations for `ov --host`, which there is not here"
    ]
    put("vm.backend", "libvirt")
    assert file.read_text(encoding="utf-8").startswith("hosts:\n  big: me@big.example.org\n")


def test_every_key_from_every_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable wins over the file, the file over the default; each says where it stands."""
    values = {"vm.backend": ("qemu", "libvirt"), "vm.accel": ("tcg", "kvm"), "vm.ram": ("8G", "9G")}
    values |= {"vm.cpus": ("8", "9"), "vm.disk_size": ("8G", "9G"), "vm.root_size": ("8G", "9G")}
    values |= {"vm.rootfs": ("xfs", "btrfs"), "vm.transport": ("registry", "containers-storage")}
    values |= {"engine.rootful": ("sudo", "native"), "engine.build": ("podman", "auto")}
    values |= {"engine.run": ("podman", "auto"), "images.mirror": ("https://m.example.org/i", "http://127.0.0.1:8080")}
    assert values.keys() == SETTINGS.keys()
    for name, (one, two) in values.items():
        assert get(name) == settings.SettingValue(SETTINGS[name].default, Origin.DEFAULT, "the default")
        put(name, one)
        found = get(name)
        assert (found.value, found.origin) == (one, Origin.FILE)
        assert re.fullmatch(rf"{re.escape(str(settings.path()))}:\d+:\d+", found.source)
        monkeypatch.setenv(SETTINGS[name].variable, two)
        assert get(name) == settings.SettingValue(two, Origin.ENVIRONMENT, SETTINGS[name].variable)
        monkeypatch.setenv(SETTINGS[name].variable, "\N{GRINNING FACE}")
        with pytest.raises(InputError, match=SETTINGS[name].variable):
            get(name)
        monkeypatch.delenv(SETTINGS[name].variable)
        reset(name)
    assert settings.path().read_text(encoding="utf-8") == ""


def test_every_wrong_thing_at_once() -> None:
    write("vm:\n  backend: x\n  accel: y\n")
    with pytest.raises(InputErrors) as caught:
        get("engine.rootful")
    assert [error.where.line for error in caught.value.errors if error.where] == [2, 3]


def test_wrong_variable_and_unknown_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OV_VM_ACCEL", "kmv")
    with pytest.raises(InputError) as caught:
        get("vm.accel")
    assert caught.value.message == "OV_VM_ACCEL must be one of auto, kvm, tcg, not 'kmv'"
    assert caught.value.hint == "did you mean 'kvm'?"
    for ask in (get, reset, lambda name: put(name, "auto")):
        with pytest.raises(InputError, match=r"no setting 'vm\.bakend'") as caught:
            ask("vm.bakend")
        assert caught.value.hint == "did you mean 'vm.backend'?"


def test_a_plug_in_is_a_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError):
        put("vm.backend", "cloudy")
    info = tmp_path / "cloudy-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cloudy\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[ovtasks.backends]\ncloudy = cloudy:Backend\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    put("vm.backend", "cloudy")
    assert get("vm.backend").value == "cloudy"
    with pytest.raises(InputError, match="auto, libvirt, qemu, cloudy, not"):
        put("vm.backend", "cloudi")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "vm:\n  backend: qemu\n"),
        ("# only this", "# only this\nvm:\n  backend: qemu\n"),
        ("vm:  # VMs\n# end\n", "vm:  # VMs\n  backend: qemu\n# end\n"),
        ("vm:\n  backend: libvirt  # why\n", "vm:\n  backend: qemu  # why\n"),
        ("vm:\n  backend: 'lib''virt'  # why\n", "vm:\n  backend: qemu  # why\n"),
        ('vm: {backend: "libvirt", accel: tcg}  # one\n', "vm: {backend: qemu, accel: tcg}  # one\n"),
        ("# a\nvm:\n    # b\n    accel: tcg # c\n", "# a\nvm:\n    # b\n    backend: qemu\n    accel: tcg # c\n"),
        ("engine:\n  rootful: sudo # c", "engine:\n  rootful: sudo # c\nvm:\n  backend: qemu\n"),
        ("vm:\n  backend:   # none yet\n", None),
        ("vm: {accel: tcg}\n", None),
        ("vm: {}\n", None),
        ("vm:\n  backend: |\n    libvirt\n  accel: tcg\n", None),
        ("x: &a {accel: tcg}\nvm:\n  <<: *a\n", None),
    ],
)
def test_put(before: str, after: str | None) -> None:
    """``after`` None: how the text looks is not promised, what it means is."""
    file = write(before)
    put("vm.backend", "qemu")
    text = file.read_text(encoding="utf-8")
    if after is not None:
        assert text == after
    if "x:" not in before:
        assert get("vm.backend").value == "qemu"
        assert get("vm.accel").value == ("tcg" if "tcg" in before else "auto")
    else:
        assert "backend: qemu" in text and "x:" in text
    put("vm.backend", "qemu")
    assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# a\nvm:\n  backend: qemu\n# b\n", "# a\n# b\n"),
        ("vm:\n  accel: tcg # c\n  backend: qemu\n", "vm:\n  accel: tcg # c\n"),
        ("vm: {backend: qemu, accel: tcg}\n", None),
        ("vm: {backend: qemu}\nengine: {rootful: sudo}\n", None),
        ("vm: {backend: qemu}", None),
        ("engine: {rootful: sudo} # c\n", "engine: {rootful: sudo} # c\n"),
        ("", ""),
        ("vm:\n  backend: qemu\n\n# e\nengine:\n  rootful: sudo\n", "\n# e\nengine:\n  rootful: sudo\n"),
        ("engine:\n  rootful: sudo # c\nvm:\n  backend: qemu\n# end\n", "engine:\n  rootful: sudo # c\n# end\n"),
        ("vm:\n  backend: qemu\n  # about accel\n  accel: tcg\n", "vm:\n  # about accel\n  accel: tcg\n"),
    ],
)
def test_reset(before: str, after: str | None) -> None:
    file = write(before)
    reset("vm.backend")
    if after is not None:
        assert file.read_text(encoding="utf-8") == after
    assert get("vm.backend").origin is Origin.DEFAULT
    assert get("vm.accel").value == ("tcg" if "tcg" in before else "auto")
    assert get("engine.rootful").value == ("sudo" if "sudo" in before else "auto")


def test_put_numbers_and_keep_comments() -> None:
    file = write("# top\n\nvm: # VMs\n    ram: 8G   # much\n\n# engines\nengine:\n    rootful: sudo\n# end\n")
    put("vm.cpus", "8")
    put("vm.ram", "16G")
    text = "# top\n\nvm: # VMs\n    cpus: 8\n    ram: 16G   # much\n\n# engines\nengine:\n    rootful: sudo\n# end\n"
    assert file.read_text(encoding="utf-8") == text
    assert get("vm.cpus").value == "8"


def test_repair_of_a_wrong_file() -> None:
    file = write("vm:\n  backend: nonsense # x\n")
    put("vm.backend", "qemu")
    assert file.read_text(encoding="utf-8") == "vm:\n  backend: qemu # x\n"
    write("vm: [\n")
    with pytest.raises(InputError):
        put("vm.backend", "qemu")
    reset()
    assert not file.exists()
    reset()
    reset("vm.backend")
    write("vm: here\n")
    with pytest.raises(InputError, match="vm must be a mapping"):
        put("vm.backend", "qemu")


def test_permissions(tmp_path: Path) -> None:
    put("vm.backend", "qemu")
    assert settings.path().stat().st_mode & 0o777 == 0o600 and settings.warning() is None
    settings.path().chmod(0o640)
    assert "has mode 0640" in (settings.warning() or "")
    elsewhere = tmp_path / "dotfiles.yml"
    settings.path().rename(elsewhere)
    settings.path().symlink_to(elsewhere)
    put("vm.backend", "libvirt")
    assert settings.path().is_symlink() and "libvirt" in elsewhere.read_text(encoding="utf-8")


def test_no_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    assert get("vm.backend").origin is Origin.DEFAULT
    with pytest.raises(OvError, match=r"cannot write .*settings\.yml"):
        put("vm.backend", "qemu")


def test_schema_and_table_agree() -> None:
    schema: dict[str, Any] = json.loads(schema_text("settings"))
    Draft202012Validator.check_schema(schema)
    fields = {f"{s}.{name}": field for s, v in schema["properties"].items() for name, field in v["properties"].items()}
    assert fields.keys() == SETTINGS.keys()
    for name, field in fields.items():
        key = SETTINGS[name]
        if key.read is None:
            assert tuple(field["examples" if key.plugins else "enum"]) == key.allowed
        assert str(field["default"]) == key.default
        assert field["description"].endswith(f"{key.variable} wins.")


def test_variables_that_the_fast_path_watches() -> None:
    assert tuple(key.variable for key in SETTINGS.values() if key.name.startswith("vm.")) == VM_VARIABLES


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("vm:\r\n  cpus: 3 # mine\r\n", "vm:\r\n  cpus: 5 # mine\r\n"),
        ("# mine\r\n", "# mine\r\nvm:\r\n  cpus: 5\r\n"),
        ("engine: {run: podman} # it\r\n", "engine: {run: podman} # it\r\nvm:\r\n  cpus: 5\r\n"),
    ],
)
def test_line_ends_stay(text: str, after: str) -> None:
    file = write("")
    file.write_bytes(text.encode())
    put("vm.cpus", "5")
    assert file.read_bytes() == after.encode()


@pytest.mark.parametrize("written", [" 4 GiB ", "4 GiB\n", "\t4 GiB"])
def test_blanks_around_a_value_do_not_count(written: str) -> None:
    put("vm.ram", written)
    assert get("vm.ram").value == "4 GiB"


@pytest.mark.parametrize("text", ["vm:\n  cpus:\t3\n", "vm:\t# mine\n  cpus: 3\n", f"vm: {{cpus: {'9' * 5000}}}\n"])
def test_what_ruamel_does_not_read_is_changed_by_hand(text: str) -> None:
    file = write(text)
    with pytest.raises(OvError, match="ov reads, and cannot change") as caught:
        put("vm.cpus", "5")
    assert caught.value.hint == "edit it by hand: vm.cpus" and str(caught.value.where).startswith(str(file))
    assert file.read_text(encoding="utf-8") == text


def test_a_link_that_leads_to_itself() -> None:
    file = settings.path()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.symlink_to(file.with_name("other.yml"))
    assert get("vm.cpus").origin is Origin.DEFAULT  # where it leads is not there yet
    file.with_name("other.yml").symlink_to(file)
    for act in (lambda: get("vm.cpus"), lambda: put("vm.cpus", "2")):
        with pytest.raises(InputError, match="is not a file") as caught:
            act()
        assert "mv " in (caught.value.hint or "")
    reset()
    assert get("vm.cpus").origin is Origin.DEFAULT
