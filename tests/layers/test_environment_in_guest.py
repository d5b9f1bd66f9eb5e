"""Variables and PATH in a Debian whose systemd and sshd run: what really sees them, and what is left of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ovtasks.layers.kinds.environment import Environment
from tests.layers.guest import drift, put, take
from tests.layers.layers import layer, operations
from tests.support.systemd import System

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.xdist_group("systemd")]
HARD = {
    "PLAIN": "a b",
    "FOLDERS": "~/x:~/y",
    "OTHER": "<${PLAIN}>",
    "DOLLAR": "$$HOME costs $5 and 100%",
    "SINGLE": "it's",
    "DOUBLE": 'say "hi"',
    "BOTH": 'it\'s "both"',
    "BACK": "a\\b \\n",
    "TICK": "`id` $(id)",
    "LEAD": "  two",
    "EMPTY": "",
}
VALUES = HARD | {"FOLDERS": "/home/ada/x:/home/ada/y", "OTHER": "<a b>", "DOLLAR": "$HOME costs $5 and 100%"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games"


def seen(output: str) -> dict[str, str]:
    """The variables that env(1) printed."""
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)


def user_service(system: System) -> dict[str, str]:
    """What a new service of the user has."""
    system.out("systemctl start user@1000")
    run = "XDG_RUNTIME_DIR=/run/user/1000 systemd-run --user --quiet --wait --pipe env"
    return seen(system.out(f"exec runuser -u ada -- sh -c '{run}'"))


@pytest.fixture(params=["/bin/bash", "/bin/sh", "/usr/bin/zsh", "/usr/bin/fish"])
def shell(request: pytest.FixtureRequest, unchanged: System) -> Iterator[str]:
    """The user's shell."""
    unchanged.out(f"sed -i '/^ada:/s|[^:]*$|{request.param}|' /etc/passwd")
    yield str(request.param)
    unchanged.out("sed -i '/^ada:/s|[^:]*$|/bin/bash|' /etc/passwd; cd /home/ada; rm -rf .cache .config .local")


def test_every_way_in(unchanged: System, shell: str) -> None:
    system = unchanged
    put(system, "x", operations(Environment(), layer(env=HARD, path_append=["~/my bin", "/opt/x", "/usr/bin"])))
    command = seen(system.ssh("env"))
    assert {name: command[name] for name in VALUES} == VALUES
    assert command["PATH"] == f"{PATH}:/home/ada/my bin:/opt/x"
    login = seen(system.ssh(f"exec {shell} -l -c env"))
    assert {name: login[name] for name in VALUES} == VALUES
    folders = login["PATH"].split(":")
    assert folders[-2:] == ["/home/ada/my bin", "/opt/x"] and len(set(folders)) == len(folders)
    clean = seen(system.out(f"exec env -i HOME=/home/ada {shell} -l -c env")) if "fish" not in shell else login
    if shell in {"/bin/bash", "/bin/sh"}:  # without PAM
        assert {name: clean[name] for name in VALUES} == VALUES
        assert clean["PATH"].endswith(":/home/ada/my bin:/opt/x")
    assert drift(system, "x") == []
    take(system, "x")
    assert not VALUES.keys() & seen(system.ssh("env")).keys()


def test_services_of_the_user(unchanged: System) -> None:
    system = unchanged
    put(system, "x", operations(Environment(), layer(env={**HARD, "COLOR": "#fff"}, path_append=["/opt/x"])))
    service = user_service(system)
    filled = {name: value for name, value in VALUES.items() if value}  # to systemd, empty means unset
    assert {name: service[name] for name in filled} == filled
    assert service["COLOR"] == "#fff"
    assert service["PATH"] == f"{PATH}:/opt/x"
    take(system, "x")
    assert not VALUES.keys() & user_service(system).keys()


def test_layers_one_after_the_other(unchanged: System) -> None:
    system = unchanged
    system.out("printf 'MINE=1\\nPATH=/usr/bin:/mine' >/etc/environment")  # no line break at its end
    for name, folders in {"one": ["/1"], "two": ["/2", "/1"], "three": ["/3"]}.items():
        put(system, name, operations(Environment(), layer(name, env={name.upper(): name}, path_append=folders)))
    assert seen(system.ssh("env"))["PATH"] == "/usr/bin:/mine:/1:/2:/3"
    assert drift(system, "one", "two", "three") == []
    take(system, "one")
    found = seen(system.ssh("env"))
    assert found["PATH"] == "/usr/bin:/mine:/2:/1:/3" and "ONE" not in found and found["TWO"] == "two"
    assert drift(system, "two", "three") == []
    system.out("sed -i 's/^MINE=1/MINE=2/' /etc/environment")  # the user's own edit stays
    take(system, "three", "two")
    assert system.out("cat /etc/environment") == "MINE=2\nPATH=/usr/bin:/mine"
    system.out(": >/etc/environment")


def test_no_file_before(unchanged: System) -> None:
    system = unchanged
    system.out("rm /etc/environment")
    put(system, "one", operations(Environment(), layer("one", env={"A": "1"})))
    put(system, "two", operations(Environment(), layer("two", env={"B": "2"})))
    take(system, "one")
    assert "B=2" in system.out("cat /etc/environment")
    take(system, "two")
    assert system.out("ls /etc/environment || echo gone").strip() == "gone"
    system.out(": >/etc/environment")


def test_an_edit_is_seen_and_put_right(unchanged: System) -> None:
    system = unchanged
    wanted = operations(Environment(), layer(env={"A": "1"}, path_append=["/x"]))
    put(system, "x", wanted)
    system.out("sed -i s/A=1/A=9/ /etc/environment")
    assert drift(system, "x") == ["environment: A, PATH"]
    put(system, "x", wanted)
    assert seen(system.ssh("env"))["A"] == "1"
    system.out("sed -i '/<<< ov layer/d' /etc/environment; echo MINE=1 >>/etc/environment")
    done = system.sh("true")
    assert done.returncode == 0
    assert drift(system, "x") == ["environment: A, PATH"]
    system.out("sed -i 's/^MINE=1/# <<< ov layer x <<</' /etc/environment")
    take(system, "x")


def test_secrets(unchanged: System) -> None:
    system = unchanged
    one = layer(env={"KEY": "id-${TOKEN}", "A": "1"})
    put(system, "x", operations(Environment(), one, secrets={"TOKEN": "s3'cr$t #1"}))
    assert seen(system.ssh("exec bash -l -c env"))["KEY"] == "id-s3'cr$t #1"
    assert user_service(system)["KEY"] == "id-s3'cr$t #1"
    readable = "find / -xdev -type f -perm /044 -newer /root/mark -exec grep -l s3.cr {} + || :"
    system.out("touch -d '1 hour ago' /root/mark")
    assert system.out(f"cd /; {readable}") == ""
    assert "0600 ada" in system.out("stat -c '%04a %U' /home/ada/.config/environment.d/ov-x.conf")
    assert drift(system, "x") == []
    system.out("rm /root/mark")
    take(system, "x")
