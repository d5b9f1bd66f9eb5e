"""Whether QEMU may join a bridge: real bridges, and rules and helpers in folders of the test's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.host import bridge as module
from ovtasks.host.bridge import check_bridge, rules
from ovtasks.host.doctor.account import bridge as bridge_of_doctor
from ovtasks.host.doctor.verdict import CheckState, Verdict
from tests.support.bridges import bridge

pytestmark = pytest.mark.xdist_group("bridge")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With one bridge br0 and one card eth0, a setuid helper, and no rules yet."""
    (tmp_path / "net/br0/bridge").mkdir(parents=True)
    (tmp_path / "net/eth0").mkdir()
    helper = tmp_path / "qemu-bridge-helper"
    helper.touch()
    helper.chmod(0o4755)
    monkeypatch.setattr(module, "NETWORK", tmp_path / "net")
    monkeypatch.setattr(module, "HELPERS", (tmp_path / "none", helper))
    monkeypatch.setattr(module, "TUN", tmp_path / "tun")
    (tmp_path / "tun").touch()
    monkeypatch.setattr(module, "RULES", (tmp_path / "bridge.conf", tmp_path / "kvm.conf"))
    return tmp_path


def refused(name: str = "br0") -> OvError:
    with pytest.raises(OvError) as caught:
        check_bridge(name)
    assert caught.value.hint
    return caught.value


def test_no_such_bridge(host: Path) -> None:
    error = refused("br1")
    assert isinstance(error, InputError) and error.field == ("network", "bridge")
    assert error.message == "the bridge br1 does not exist" and "there are br0" in str(error.hint)
    assert "eth0 is a card, no bridge" in refused("eth0").message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("allow br0", None),
        ("# rules\n\nallow all\n", None),
        ("allow br1\nallow br0\n", None),
        ("include {folder}/more.conf\n", None),
        (None, "does not allow the bridge br0"),
        ("", "does not allow the bridge br0"),
        ("allow br1\n", "does not allow the bridge br0"),
        ("#allow br0\n", "does not allow the bridge br0"),
        ("allow all\ndeny br0\n", "denies the bridge br0"),
        ("deny all\nallow br0\n", "denies the bridge br0"),
    ],
)
def test_rules(text: str | None, message: str | None, host: Path) -> None:
    (host / "more.conf").write_text("allow br0\n", encoding="utf-8")
    if text is not None:
        (host / "bridge.conf").write_text(text.format(folder=host), encoding="utf-8")
    if message is None:
        check_bridge("br0")
    else:
        error = refused()
        assert message in error.message and str(host / "bridge.conf") in error.message
    check_bridge("br0", helper=False)


def test_rules_that_include_each_other_end(host: Path) -> None:
    path = host / "bridge.conf"
    path.write_text(f"include {path}\nallow br0\n", encoding="utf-8")
    assert {*rules(path)} == {("allow", "br0")}


def test_the_helper(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (host / "bridge.conf").write_text("allow br0\n", encoding="utf-8")
    helper = module.HELPERS[1]
    helper.chmod(0o755)
    check_bridge("br0") if os.geteuid() == 0 else None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    error = refused()
    assert f"{helper}, which is not setuid root" in error.message and "chmod u+s" in str(error.hint)
    helper.unlink()
    assert "which is not installed" in refused().message


def test_the_device_for_all_of_them(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    error = refused()
    assert f"needs {module.TUN}, which may not be opened" in error.message and "chmod" in str(error.hint)
    module.TUN.unlink()
    assert "does not exist" in refused().message


def test_what_doctor_says(host: Path) -> None:
    found = bridge_of_doctor(host)
    assert found.state is CheckState.NOTE and "does not allow the bridge br0" in found.detail and found.hint
    (host / "bridge.conf").write_text("allow br0\n", encoding="utf-8")
    assert bridge_of_doctor(host) == Verdict(CheckState.OK, "VMs may join br0")
    (host / "net/br0/bridge").rmdir()
    assert bridge_of_doctor(host).state is CheckState.NOTE


@pytest.mark.root
def test_a_real_one() -> None:
    with bridge() as name:
        check_bridge(name, helper=False)
    with pytest.raises(InputError, match=f"{name} does not exist"):
        check_bridge(name, helper=False)
