"""What a cloned repository, an archive or another user can put where files of ours go: a victim of it stays as it is.

For every file that a run writes, locks or cuts off, and for every folder that it goes into: a link, a hard link, a pipe
or a folder in its place. After every verb the victim's bytes, mode and time are what they were.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.damage.kinds import remove
from tests.damage.test_damage import judge, state_files
from tests.damage.world import Kept, World

pytestmark = pytest.mark.slow
SECRET = b"-----BEGIN OPENSSH PRIVATE KEY-----\nthe only copy\n"
Plant = Callable[[Path, Path], object]
VERBS = (
    ("vm", "build", "a"),
    ("vm", "create", "a", "--no-start"),
    ("gc",),
    ("lock", "--update"),
    ("ssh-config", "--install"),
    ("settings", "set", "vm.accel", "auto"),
    ("vm", "destroy", "--disk", "a"),
)
PLANTS: dict[str, Plant] = {
    "link": lambda path, victim: path.symlink_to(victim),
    "relative link": lambda path, victim: path.symlink_to(os.path.relpath(victim, path.parent)),
    "hard link": lambda path, victim: os.link(victim, path),
    "link to its folder": lambda path, victim: path.symlink_to(victim.parent),
    "pipe": lambda path, victim: os.mkfifo(path),
}
USERS_OWN = ("config/ov/settings.yml",)
"""A user's dotfiles are often links into a repository of theirs: what the user changes there is changed there."""


class Victims:
    """A folder outside of the world, with one file in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.file = folder / "id_ed25519"
        self.file.write_bytes(SECRET)
        self.file.chmod(0o640)
        self.before = self._look()

    def _look(self) -> tuple[object, ...]:
        found = self.file.stat()
        return (
            sorted(path.name for path in self.folder.iterdir()),
            self.file.read_bytes(),
            found.st_mode,
            found.st_mtime_ns,
            found.st_uid,
        )

    def harmed(self) -> str | None:
        """What changed; it is put right for the next one."""
        now = self._look() if self.file.exists() else ("gone",)
        if now == self.before:
            return None
        for path in self.folder.iterdir():
            remove(path)
        self.file.write_bytes(SECRET)
        self.file.chmod(0o640)
        os.utime(self.file, ns=(self.before[3], self.before[3]))  # type: ignore[arg-type]
        return f"{now} was {self.before}"


@pytest.fixture
def victims(world: World) -> Victims:
    number = len(list(world.root.parent.glob("victims*")))
    return Victims(world.root.parent / f"victims{number}")


def places(world: World) -> list[str]:
    """Every name that a run writes to: state files, and what they are made under."""
    names = [name for name in state_files(world) if name not in USERS_OWN]

    def beside(end: str, among: str) -> list[str]:
        return [str(Path(one).with_name(f".{Path(one).name}{end}")) for one in names if re.search(among, one)]

    keys = {Path(name).stem.partition(".")[0] for name in names if "/by-url/" in name}
    incoming = [
        f"cache/ov/images/incoming/{key}{end}" for key in sorted(keys) for end in (".part", ".raw.part", ".json")
    ]
    own = r"^(cache|data|project/output)/.*(?<!\.lock)$"
    return [
        *names,
        *beside(".part", own),
        *beside(".running", r"\.(qcow2|iso)$"),
        *beside(".link", "/.images/"),
        *incoming,
    ]


def attack(world: World, victims: Victims, name: str, plant: Plant, verbs: tuple[tuple[str, ...], ...]) -> list[str]:
    """Plant one thing, run verbs, look after the victim."""
    path = world.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    remove(path)
    plant(path, victims.file)
    wrong = []
    for verb in verbs:
        wrong += judge(world.run(*verb))
        if (harm := victims.harmed()) is not None:
            wrong.append(f"{' '.join(verb)}: {harm}")
    return wrong


@pytest.mark.parametrize("kind", PLANTS)
def test_what_is_planted_in_a_files_place_harms_nobody(kind: str, world: World, victims: Victims) -> None:
    failures = {}
    for number, name in enumerate(places(world)[sum(kind.encode()) % 2 :: 2]):
        world.restore()
        empty = (number + sum(kind.encode())) % 3 > 0
        if empty and name.startswith("project/"):  # a fresh clone: everything is written anew
            for path in (world.project / "output").iterdir():
                remove(path)
        verbs = (VERBS[number % 2], VERBS[2 + number % 5]) if number % 2 else (VERBS[number // 2 % 2],)
        if wrong := attack(world, victims, name, PLANTS[kind], verbs):
            failures[name] = wrong
    world.restore()
    assert not failures, json.dumps(failures, indent=1).replace("\\n", "\n")


def folders(world: World) -> list[str]:
    """Every folder of ours, and the project's output itself. The three that XDG names are where the user wants them."""
    mine = ("project/output", "cache/ov/", "data/ov/", "config/ov/")
    return [name for name, kept in world.kept.items() if not kept.is_file and name.startswith(mine)]


@pytest.mark.parametrize("empty", [False, True], ids=["all is there", "nothing is built"])
def test_no_folder_is_entered_by_a_link(empty: bool, world: World, victims: Victims) -> None:
    failures = {}
    for number, name in enumerate(folders(world)):
        world.restore()
        if empty:
            for path in (world.project / "output").iterdir():
                remove(path)
        verbs = (VERBS[1], VERBS[2 + number % 5])
        if wrong := attack(world, victims, name, PLANTS["link to its folder"], verbs):
            failures[name] = wrong
    world.restore()
    assert not failures, json.dumps(failures, indent=1).replace("\\n", "\n")


def test_output_elsewhere_is_the_users_word(world: World, victims: Victims) -> None:
    """The whole way: refused, the hint's command, done."""
    world.restore()
    output = world.project / "output"
    elsewhere = victims.folder / "big disk"
    remove(output)
    output.symlink_to(elsewhere)
    for _ in range(2):  # the folder is not there; it is, but nobody agreed
        done = world.run("vm", "build", "a")
        assert done.code == 3 and f"{output} is a symbolic link to {elsewhere}" in done.err, done
        elsewhere.mkdir(exist_ok=True)
    hint = done.err.partition("hint: to keep it there: ")[2].splitlines()[0]
    assert hint == f"touch '{elsewhere}/.ov-output'"
    (elsewhere / ".ov-output").touch()
    assert world.run("vm", "build", "a").code == 0
    assert (elsewhere / "a" / "qcow2" / "disk.qcow2").is_file()
    assert world.run("plan", "--exit-code", "a").code == 0
    world.restore()


def test_a_receipt_names_no_file_of_others(world: World, victims: Victims) -> None:
    """A cloned repository's receipt could name a file, to have it removed as a leftover or linked as a base image."""
    for name in [name for name in state_files(world) if name.endswith(".receipt.json") and "/output/" in name]:
        world.restore()
        path = world.root / name
        for change in (_other_output, _more_outputs, _other_base):
            data = json.loads(world.kept[name].content)
            change(data, os.path.relpath(victims.file, path.parent), os.path.relpath(victims.file, world.project))
            path.write_text(json.dumps(data))
            for disk in (world.project / "output/a/qcow2").glob("disk.qcow2"):
                disk.unlink()
            for verb in (("vm", "build", "a"), ("gc",)):
                assert judge(world.run(*verb)) == []
                assert victims.harmed() is None, f"{name}: {verb}"
            assert judge(world.run("clean", "build:a", program="doit")) == []
            assert victims.harmed() is None, f"{name}: clean"
            assert victims.file.stat().st_nlink == 1
            world.restore()
    world.restore()


def _other_output(data: dict[str, object], beside: str, below: str) -> None:
    data["outputs"][0]["path"] = beside  # type: ignore[index]


def _more_outputs(data: dict[str, object], beside: str, below: str) -> None:
    data["outputs"].append({**data["outputs"][0], "path": beside})  # type: ignore[attr-defined, index]


def _other_base(data: dict[str, object], beside: str, below: str) -> None:
    data["facts"] = {**data["facts"], "path": below}  # type: ignore[dict-item]


def test_the_matrix_is_large(world: World) -> None:
    assert len(places(world)) * len(PLANTS) // 2 >= 250
    assert len(folders(world)) >= 15
    assert isinstance(next(iter(world.kept.values())), Kept)
