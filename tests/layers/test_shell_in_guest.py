"""What shells read, in a Debian that has bash, zsh, fish and dash."""

from __future__ import annotations

import pytest

from ovtasks.layers.kinds.shell import ShellFiles
from ovtasks.values.jsonvalue import Json
from tests.layers.guest import drift, put, take
from tests.layers.layers import layer, operations
from tests.support.systemd import System

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.xdist_group("systemd")]


def run(system: System, shell: str, words: str = "-i") -> str:
    """What an interactive shell of the user knows of the test's settings."""
    show = 'echo "[$GREETING] $PATH"'
    clean = "env -i HOME=/home/ada USER=ada PATH=/usr/bin:/bin TERM=dumb"
    return system.out(f"cd /home/ada; runuser -u ada -- {clean} {shell} {words} -c '{show}' 2>/dev/null").strip()


def test_shells_read_it(unchanged: System) -> None:
    system = unchanged
    system.out("cd /home/ada; printf 'export MINE=1\\nexport MINE=2' >.zshrc; chown ada: .zshrc; chmod 0600 .zshrc")
    written: dict[str, Json] = {"init": "export GREETING='hi '${SHELL_NAME}", "path_append": ["~/p q"]}
    written |= {"fish": {"init": "set -gx GREETING f"}, "sh": {"init": "export GREETING=s"}}
    wanted = operations(ShellFiles(), layer(shells=written))
    put(system, "x", wanted)
    assert run(system, "bash").startswith("[hi bash]") and run(system, "bash").endswith(":/home/ada/p q")
    assert run(system, "zsh").startswith("[hi zsh]") and run(system, "zsh").endswith(":/home/ada/p q")
    assert run(system, "fish").startswith("[f]") and run(system, "fish").endswith("/home/ada/p q")
    assert run(system, "sh", "-l").startswith("[s]") and run(system, "sh", "-l").endswith(":/home/ada/p q")
    assert system.out("stat -c '%a %U' /home/ada/.zshrc").strip() == "600 ada"
    assert drift(system, "x") == []
    system.out(
        "cd /home/ada; rm -rf .cache .local .config/fish/fish_variables .config/fish/functions .config/fish/completions"
    )
    take(system, "x")
    assert system.out("cat /home/ada/.zshrc") == "export MINE=1\nexport MINE=2"
    system.out("cd /home/ada; rm -f .zshrc .zcompdump; rmdir .config/fish .config 2>/dev/null || :")


def test_ranks_and_edits(unchanged: System) -> None:
    system = unchanged
    system.out("cp -p /home/ada/.bashrc /root/before")
    for name, rank in {"one": 50, "two": 70, "three": 20, "four": 50}.items():
        bash: dict[str, Json] = {"init": f": {name}", "priority": rank}
        put(system, name, operations(ShellFiles(), layer(name, shells={"bash": bash})))
    shown = system.out("grep '^: ' /home/ada/.bashrc").split()
    assert shown[1::2] == ["three", "one", "four", "two"]
    assert drift(system, "one", "two", "three", "four") == []
    system.out("echo ': mine' >>/home/ada/.bashrc")
    take(system, "one", "three")
    take(system, "two", "four")
    assert system.out("cat /home/ada/.bashrc") == system.out("cat /root/before; echo ': mine'")
    system.out("mv /root/before /home/ada/.bashrc")


def test_dotfiles_that_are_links(unchanged: System) -> None:
    system = unchanged
    system.out("cd /home/ada; mkdir dot; mv .bashrc dot/rc; ln -s dot/rc .bashrc; chown -h ada: dot .bashrc")
    put(system, "x", operations(ShellFiles(), layer(shells={"bash": {"init": "export GREETING=link"}})))
    assert run(system, "bash").startswith("[link]")
    assert system.out("readlink /home/ada/.bashrc").strip() == "dot/rc"
    take(system, "x")
    system.out("cd /home/ada; mv -f dot/rc .bashrc; rmdir dot")
