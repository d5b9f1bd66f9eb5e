"""Every file that a run leaves, in every kind of damage: no traceback, no hang, and then it is as it was."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.damage import kinds
from tests.damage.essence import differences
from tests.damage.kinds import ANY, JSON
from tests.damage.world import Done, World
from tests.support.programs import attempt

pytestmark = pytest.mark.slow
CODES = {0, 1, 2, 3, 4}
CREATE, BUILD = ("vm", "create", "a", "--no-start"), ("vm", "build", "a")
READERS = (
    ("vm", "build", "a"),
    ("plan", "a"),
    ("why", "disk:a"),
    ("gc", "--dry-run"),
    ("lock", "--check"),
    ("vm", "list", "-a"),
    ("vm", "status", "a"),
    ("ssh-config", "a"),
    ("settings", "list"),
    ("validate",),
)
USERS = ("project/vms.yml", "project/dodo.py", "home/.ssh/config")
"""Written by the user, not by a run."""
LOCKS = re.compile(r"/locks/|\.lock$(?<!ovtasks\.lock)")
CONTENT = ("empty", "cut", "zeros", "one byte", "not text")
SETTINGS = "config/ov/settings.yml"
DISKS = re.compile(r"^data/.*\.qcow2$")
"""What the guest wrote, and what it stands on: nothing here makes that anew."""


def state_files(world: World) -> list[str]:
    """What a run left: files, without those that are the user's, each name of a hard link by itself."""
    return [name for name, kept in world.kept.items() if kept.is_file and name not in USERS and not DISKS.search(name)]


def judge(done: Done) -> list[str]:
    """What is wrong with how a run ended, whatever it found."""
    wrong = []
    if done.code is None:
        wrong.append("hangs")
    elif done.code not in CODES:
        wrong.append(f"ends with {done.code}")
    if "Traceback" in done.err + done.out:
        wrong.append("traceback")
    if done.code in {1, 2, 3} and "ov: " not in done.err and "!! " not in done.err:
        wrong.append("no message")
    return [f"{' '.join(done.words)}: {what}\n{done.err[-1500:]}" for what in wrong]


def command(done: Done) -> str | None:
    """The one command that the last hint names."""
    hints = re.findall(r"hint: .*?\b((?:mv|rm|ov|mkdir|touch) [^,;`\n]*)", done.err)
    return hints[-1] if hints else None


def obey(world: World, text: str) -> list[str]:
    words = shlex.split(text)
    if words[0] == "ov":
        return judge(world.run(*words[1:]))
    env = {**world.env, "PATH": f"{Path(sys.executable).parent}:{world.env['PATH']}"}
    done = attempt("sh", "-c", text, cwd=world.project, env=env)
    return [] if done.returncode == 0 else [f"the command {text!r} fails: {done.stderr}"]


def heal(world: World, name: str) -> list[str]:
    """Run until all is well: once, once more, and once after the command that was named."""
    verb = BUILD if name.startswith(("project/output/", "cache/")) else CREATE
    done = world.run(*verb)
    wrong = judge(done)
    if done.code != 0 and not wrong:
        done = world.run(*verb)
        wrong = judge(done)
    if done.code != 0 and not wrong:
        if Path(name).name not in done.err:
            wrong.append(f"the message does not name the file: {done.err}")
        text = command(done)
        if text is None:
            wrong.append(f"no command is named: {done.err}")
        else:
            wrong += obey(world, text)
            done = world.run(*verb)
            wrong += judge(done)
            if done.code != 0:
                wrong.append(f"not well after {text!r}: {done.err}")
    return wrong


def examine(world: World, name: str, kind: str, reader: tuple[str, ...] | None) -> list[str]:
    """Damage one file, read it by ``reader`` (None: that is another state's), heal, compare. Returns what is wrong."""
    path = world.root / name
    {**ANY, **JSON}[kind](path, world.kept[name].content)
    damaged = world.state(name)
    world.site.requests.clear()
    wrong = judge(world.run(*reader)) if reader else []
    wrong += heal(world, name)
    if name == SETTINGS and not path.exists():  # moved away or reset, as we were told
        wrong += judge(world.run("settings", "set", "vm.backend", "qemu"))
    if not wrong and world.state(name) == damaged and differences(world, name):
        wrong += dig(world, name, damaged)
    elif not wrong:
        wrong += differences(world, name)
    if reader and not wrong and (done := world.run("plan", "--exit-code", "a")).code != 0:
        wrong.append(f"something would run again: {done}")
    return wrong


def dig(world: World, name: str, damaged: object) -> list[str]:
    """Nothing asked for the file, because all that it is for is there. Make it needed."""
    if (world.project / "output").is_dir():
        shutil.rmtree(world.project / "output")
    wrong = judge(world.run("lock", "--update")) + heal(world, name)
    users = [("settings", "reset"), ("settings", "set", "vm.backend", "qemu")] if name == SETTINGS else []
    for words in (*users, ("settings", "set", "vm.accel", "auto"), ("ssh-config", "--install")):
        done = world.run(*words)
        wrong += judge(done)
        if done.code != 0 and (text := command(done)) is not None:
            wrong += obey(world, text) + judge(world.run(*words))
    wrong += judge(world.run("settings", "reset", "vm.accel"))
    if name.startswith("cache/") and world.state(name) == damaged:
        return wrong + judge(world.run("gc"))  # of a request that nobody makes any more
    return wrong + [one for one in differences(world, name) if "/incoming/" not in one]  # for a next build of it


def applicable(world: World, kind: str) -> list[str]:
    """Three of four files in which there can be such damage, for each kind others: each file meets most kinds.

    What a lock file holds means nothing.
    """
    files = [name for name in state_files(world) if kind not in CONTENT or not LOCKS.search(name)]
    files = [name for name in files if kind in ANY or kinds.is_json(world.kept[name].content)]
    return [name for number, name in enumerate(files) if (number + [*ANY, *JSON].index(kind)) % 4]


@pytest.mark.parametrize("kind", [*ANY, *JSON])
def test_a_damaged_file_heals(kind: str, world: World) -> None:
    failures = {}
    for number, name in enumerate(applicable(world, kind)):
        world.restore()
        turn, rest = divmod(number + sum(kind.encode()), 3)
        reader = READERS[turn % len(READERS)] if rest == 0 else None
        if wrong := examine(world, name, kind, reader):
            failures[name] = wrong
    world.restore()
    assert not failures, json.dumps(failures, indent=1).replace("\\n", "\n")


def test_the_matrix_is_large(world: World) -> None:
    """New files come in by themselves; that none falls out is seen here."""
    states = [(kind, name) for kind in (*ANY, *JSON) for name in applicable(world, kind)]
    assert len(states) >= 500, len(states)
    assert len(state_files(world)) >= 40


def test_an_undamaged_world_stays_as_it_is(world: World) -> None:
    """What the matrix compares with: nothing differs where nothing was damaged, and a difference is seen."""
    world.restore()
    assert heal(world, "") == [] and differences(world, "") == []
    (world.project / "output/a/qcow2/seed.iso").write_bytes(b"")
    assert differences(world, "")
    world.restore()


@pytest.mark.parametrize("name", ["vms.yml", "image.yml", "overthink.yml", "deploy.yml", "ovtasks.lock"])
def test_what_a_user_nests_without_end_is_told_with_its_place(name: str, world: World) -> None:
    world.restore()
    for text in ("[" * 10_000 + "]" * 10_000, '{"a":' * 10_000 + "1" + "}" * 10_000):
        (world.project / name).write_text(text)
        done = world.run("lock", "--check")
        assert done.code == 2 and judge(done) == [], done
        assert name in done.err and "nested" in done.err and len(done.err) < 600, done
    world.restore()
