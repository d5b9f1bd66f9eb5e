"""Services in a Debian whose systemd runs: started, changed, taken back to exactly what was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from ovtasks.layers.kinds.environment import Environment
from ovtasks.layers.kinds.services import Services
from ovtasks.layers.operation import Operation
from ovtasks.values.jsonvalue import Json
from tests.layers.guest import attempt, drift, put, take
from tests.layers.layers import layer, operations
from tests.support.systemd import System

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.xdist_group("systemd")]
UNIT = "[Unit]\nDescription={0}\n[Service]\nExecStart=/bin/sleep inf\n[Install]\nWantedBy=multi-user.target\n"
SLEEP: Mapping[str, Json] = {"name": "app", "exec": "sleep inf", "restart": "always"}
APP = "ov-x-app.service"


def services(*found: Mapping[str, Json], name: str = "x") -> list[Operation]:
    return operations(Services(), layer(name, services=found))


def state(system: System, unit: str) -> str:
    """``enabled active`` and the like."""
    return system.out(f"systemctl is-enabled {unit} || :; systemctl is-active {unit} || :").replace("\n", " ").strip()


@pytest.fixture
def packaged(unchanged: System) -> Iterator[System]:
    """Units that a package might have brought."""
    texts = {
        "p.service": UNIT.format("p") + "Alias=other.service\n",
        "static.service": "[Service]\nExecStart=/bin/sleep inf\n",
        "also.service": UNIT.format("also") + "Also=second.service\n",
        "second.service": UNIT.format("second"),
        "t@.service": UNIT.format("%i"),
        "s.service": UNIT.format("s"),
        "s.socket": "[Socket]\nListenStream=/run/s\n[Install]\nWantedBy=sockets.target\n",
        "once.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
    }
    folder = "/usr/lib/systemd/system"
    for name, text in texts.items():
        unchanged.out(f"printf '{text.replace('%', '%%')}' >{folder}/{name}")
    unchanged.out("systemctl daemon-reload")
    yield unchanged
    names = " ".join(texts)
    unchanged.sh(f"cd {folder}; systemctl disable --now {names.replace('t@', 't@a')} 2>/dev/null; rm -f {names}")
    unchanged.out("systemctl daemon-reload; systemctl reset-failed")


def test_a_written_unit(unchanged: System) -> None:
    system = unchanged
    put(system, "e", operations(Environment(), layer("e", env={"SEEN": "e's", "MINE": "e"}, path_append=["/opt/bin"])))
    system.out("mkdir -p /opt/bin; printf '#!/bin/sh\\nsleep inf\\n' >/opt/bin/app; chmod +x /opt/bin/app")
    service: dict[str, Json] = {
        "name": "app",
        "exec": "app --at '$5 %h' \"a b\"",
        "env": {"MINE": 'x "$y"'.replace("$", "$$")},
        "user": "${USER}",
        "working_directory": "%(ENV_HOME)s",
        "stdout": "file:/var/log/app/out",
        "restart": "always",
    }
    wanted = services(service)
    put(system, "x", wanted)
    assert state(system, APP) == "enabled active"
    pid = system.out(f"systemctl show -p MainPID --value {APP}").strip()
    facts = system.out(
        f"tr '\\0' '\\n' </proc/{pid}/environ; readlink /proc/{pid}/cwd; stat -c %U /proc/{pid}/cwd"
    ).splitlines()
    assert {"SEEN=e's", 'MINE=x "$y"', "HOME=/home/ada", "/home/ada", "ada"} <= set(facts)
    words = system.out(f"tr '\\0' '\\n' </proc/{pid}/cmdline").splitlines()
    assert words == ["/bin/sh", "/opt/bin/app", "--at", "$5 %h", "a b"]
    assert drift(system, "x") == []
    put(system, "x", wanted)
    assert system.out(f"systemctl show -p MainPID --value {APP}").strip() == pid  # nothing was done
    take(system, "x", "e")
    assert state(system, APP).removeprefix("not-found ") == "inactive"
    system.out("rm -r /opt/bin")
    assert system.out("ls /var/log/app || echo gone").strip() == "out"  # what it wrote is its own
    system.out("rm -r /var/log/app")


def test_changed_settings_restart_it(unchanged: System) -> None:
    system = unchanged
    put(system, "x", services(SLEEP))
    before = system.out(f"systemctl show -p MainPID --value {APP}")
    put(system, "x", services({**SLEEP, "env": {"A": "1"}}))
    after = system.out(f"systemctl show -p MainPID --value {APP}").strip()
    assert after != before.strip()
    assert "A=1" in system.out(f"tr '\\0' '\\n' </proc/{after}/environ")
    system.out(f"systemctl stop {APP}")
    assert drift(system, "x") == [f"service {APP}"]
    put(system, "x", services({**SLEEP, "env": {"A": "1"}}))
    assert state(system, APP) == "enabled active"
    system.out(f"systemctl disable --quiet {APP}")
    assert drift(system, "x") == [f"service {APP}"]
    take(system, "x")


def test_what_does_not_start_fails(unchanged: System) -> None:
    system = unchanged
    for command in ("/nowhere/app", "sh -c 'echo at the end of its tether; exit 3'"):
        done = attempt(system, "x", services({"name": "app", "exec": command, "start_secs": 1}))
        assert done.returncode != 0
        assert f"{APP} does not start, or does not stay up" in done.stdout
    assert "at the end of its tether" in done.stdout
    take(system, "x")
    ends: dict[str, Json] = {"name": "app", "exec": "true", "start_secs": 1}
    put(system, "x", services(ends))
    assert drift(system, "x") == []
    take(system, "x")


@pytest.mark.parametrize(
    ("before", "prepare", "name", "changed"),
    [
        ("disabled inactive", "", "p", False),
        ("disabled inactive", "", "other.service", True),  # as Debian's sshd.service: nobody knows it yet
        ("enabled active", "enable --now", "other", False),
        ("enabled active", "enable --now", "p.service", True),
        ("enabled inactive", "enable", "p", True),
        ("disabled active", "start", "p", True),
        ("masked inactive", "mask", "p", False),
        ("masked-runtime inactive", "mask --runtime", "p", True),
        ("enabled-runtime inactive", "enable --runtime", "p", False),
    ],
)
def test_packaged(packaged: System, before: str, prepare: str, name: str, changed: bool) -> None:
    system, links = packaged, "find /etc/systemd /run/systemd/system -type l -printf '%p %l\\n' | sort"
    was = system.out(f"[ -z '{prepare}' ] || systemctl --quiet {prepare} p; {links}")
    assert state(system, "p") == before
    overrides: dict[str, Json] = {"overrides": {"env": {"A": "1"}, "exec": "/bin/sleep 1000"}} if changed else {}
    put(system, "x", services({"name": "p", "use_packaged": name, **overrides}))
    assert state(system, "p") == ("enabled-runtime active" if "enable --runtime" in prepare else "enabled active")
    found = system.out(
        "cd /proc/$(systemctl show -p MainPID --value p); tr '\\0' '\\n' <environ; tr '\\0' ' ' <cmdline"
    )
    assert ("A=1" in found, "sleep 1000" in found) == (changed, changed)
    assert drift(system, "x") == []
    take(system, "x")
    assert state(system, "p") == before
    assert system.out(links) == was
    assert "sleep 1000" not in system.out("systemctl show -p ExecStart p")
    system.out(
        "systemctl unmask --quiet p; systemctl unmask --quiet --runtime p; systemctl disable --quiet --now p;"
        "systemctl disable --quiet --runtime p; rm -f /run/systemd/system/p.service; systemctl daemon-reload"
    )


def test_other_kinds_of_units(packaged: System) -> None:
    system = packaged
    system.out("systemctl enable --quiet second; systemctl start s.service")
    names = ["static", "also", "t@a", "s.socket", "once"]
    put(
        system,
        "x",
        services(*({"name": name.partition(".")[0].strip("@a") or name, "use_packaged": name} for name in names)),
    )
    found = {name: state(system, name) for name in names}
    assert found == {
        "static": "static active",
        "also": "enabled active",
        "t@a": "enabled active",
        "s.socket": "enabled active",
        "once": "enabled inactive",
    }
    assert state(system, "s.service") == "disabled active"
    assert drift(system, "x") == []
    take(system, "x")
    assert {name: state(system, name) for name in names} == {
        "static": "static inactive",
        "also": "disabled inactive",
        "t@a": "disabled inactive",
        "s.socket": "disabled inactive",
        "once": "disabled inactive",
    }
    assert state(system, "s.service") == "disabled active"
    assert state(system, "second") == "enabled inactive"  # disabling the one would have disabled it, too
    system.out("systemctl disable --quiet second")


def test_a_unit_that_is_not_there(unchanged: System) -> None:
    done = attempt(unchanged, "x", services({"name": "no", "use_packaged": "nothing.service"}))
    assert done.returncode != 0
    assert "there is no unit nothing.service: which package brings it?" in done.stdout
    take(unchanged, "x")


def test_services_of_the_user(unchanged: System) -> None:
    system = unchanged
    control = "XDG_RUNTIME_DIR=/run/user/1000 runuser -u ada -- systemctl --user"
    mine: dict[str, Json] = {**SLEEP, "scope": "user", "env": {"A": "1"}}
    system.out("loginctl disable-linger ada; systemctl stop user@1000 || :")
    put(system, "x", services(mine))
    put(system, "y", services({**mine, "name": "two"}, name="y"))
    assert system.out("ls /var/lib/systemd/linger").strip() == "ada"
    shown = system.out(
        f"{control} is-enabled {APP}; {control} is-active {APP}; stat -c %U /home/ada/.config/systemd/user/*"
    )
    assert set(shown.split()) == {"enabled", "active", "ada"}
    assert drift(system, "x", "y") == []
    take(system, "x")  # the other layer still needs it
    assert system.out("ls /var/lib/systemd/linger").strip() == "ada"
    assert system.out(f"{control} is-active ov-y-two.service").strip() == "active"
    take(system, "y")
    assert system.out("ls /var/lib/systemd/linger").strip() == ""
    left = "find /home/ada/.config -not -type d"  # folders that both needed, and the first to come had made
    assert system.out(f"{left}; find /home/ada/.config -type d -empty -delete") == ""


def test_a_packaged_service_of_the_user(unchanged: System) -> None:
    system, unit = unchanged, "/usr/lib/systemd/user/pu.service"
    text = UNIT.format("pu").replace("multi-user", "default")
    system.out(f"loginctl enable-linger ada; systemctl start user@1000; printf '{text}' >{unit}")
    control = "XDG_RUNTIME_DIR=/run/user/1000 runuser -u ada -- systemctl --user"
    for running in (True, False):
        offline = "" if running else "loginctl disable-linger ada; systemctl stop user@1000; "
        system.out(f"{offline}[ -n '{offline}' ] || {control} daemon-reload")
        found = services({"name": "pu", "use_packaged": "pu", "scope": "user", "overrides": {"env": {"A": "1"}}})
        put(system, "x", found)
        shown = system.out(f"{control} is-enabled pu; {control} is-active pu; {control} show -p EnvironmentFiles pu")
        assert shown.startswith("enabled\nactive\n") and ".config/systemd/user/ov-x-pu.env" in shown
        assert drift(system, "x") == []
        take(system, "x")
    system.out(f"rm {unit}")


def test_linger_that_was_on_stays(unchanged: System) -> None:
    system = unchanged
    system.out("loginctl enable-linger ada")
    put(system, "x", services({**SLEEP, "scope": "user"}))
    take(system, "x")
    assert system.out("ls /var/lib/systemd/linger").strip() == "ada"
    system.out("loginctl disable-linger ada")


def test_an_image_starts_nothing(packaged: System) -> None:
    system = packaged
    found = services({"name": "p", "use_packaged": "other"}, SLEEP, {**SLEEP, "name": "mine", "scope": "user"})
    put(system, "x", [replace(one, do=one.in_image, look="") for one in found])
    assert state(system, "p") == "enabled inactive"
    assert state(system, APP) == "enabled inactive"
    link = "/home/ada/.config/systemd/user/default.target.wants/ov-x-mine.service"
    assert system.out(f"stat -c %U {link}").strip() == "ada"
    assert system.out("ls /var/lib/systemd/linger").strip() == "ada"
    take(system, "x")
