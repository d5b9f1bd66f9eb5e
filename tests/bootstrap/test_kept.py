"""A recipe's image is made once on a machine, and the next build knows when it will be done."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.graph.step import BuildOptions, Workspace
from ovtasks.host.paths import image_store
from ovtasks.images.store import Store
from ovtasks.project.model import BootstrapSource, Project, VmSpec
from ovtasks.sources.bootstrap import chain, image, kept, tree
from ovtasks.sources.bootstrap.recipe import Recipe, resolve
from tests.bootstrap.workspace import WHERE, Recorder

SOURCE = BootstrapSource("bootstrap", {}, suite="bookworm")
LAST = ((25.0, 10.0), (75.0, 60.0), (85.0, 70.0), (100.0, 100.0))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Root trees and disks take no time; the names of what was built."""
    names: list[str] = []

    def root_tree(recipe: Recipe, scratch: Path, *_: object, **__: object) -> tree.RootTree:
        names.append(recipe.suite)
        return tree.RootTree(scratch, scratch, 10**9, 1, 1, ("bash 5.2 amd64",))

    def disk(recipe: Recipe, _: tree.RootTree, scratch: Path) -> image.Raw:
        path = scratch / "disk.raw"
        path.write_bytes(recipe.key.encode() * 1000)
        return image.Raw(path, path.stat().st_size)

    monkeypatch.setattr(tree, "make", root_tree)
    monkeypatch.setattr(tree, "check_keys", lambda recipe: None)
    monkeypatch.setattr(image, "assemble", disk)
    monkeypatch.setattr(chain, "require", lambda program: None)
    monkeypatch.setattr(chain, "probe", lambda: None)
    return names


def build(root: Path, source: BootstrapSource = SOURCE, *, refresh: bool = False) -> tuple[Workspace, Recorder]:
    """Run the base step of a project in ``root``."""
    vm = VmSpec("demo", source, WHERE)
    step = chain.base_step(vm, Project(root, {"demo": vm}, ()), replace(BuildOptions(), refresh=refresh))
    step.targets[0].parent.mkdir(parents=True, exist_ok=True)
    workspace = Workspace(step, {}, progress := Recorder())
    step.run(workspace)
    return workspace, progress


def test_another_checkout_takes_the_image_from_the_store(made: list[str], tmp_path: Path) -> None:
    first, _ = build(tmp_path / "a")
    second, progress = build(tmp_path / "b")
    assert made == ["bookworm"]
    assert first.facts == second.facts and "in the store already" in progress.notes[0]
    (one,), (other,) = (list((tmp_path / name / "output/.images").glob("*.qcow2")) for name in "ab")
    assert one.samefile(other)
    build(tmp_path / "c", replace(SOURCE, packages=("htop",)))
    assert len(made) == 2, "another recipe is another image"


def test_refresh_makes_it_anew(made: list[str], tmp_path: Path) -> None:
    build(tmp_path / "a")
    build(tmp_path / "b", refresh=True)
    assert len(made) == 2


def test_what_was_damaged_or_removed_is_made_anew(made: list[str], tmp_path: Path) -> None:
    build(tmp_path / "a")
    store = Store(image_store())
    (entry,) = store.entries()
    entry.path.chmod(0o600)
    entry.path.write_bytes(b"x" * entry.size)
    build(tmp_path / "b")
    (entry,) = store.entries()
    entry.path.unlink()
    build(tmp_path / "c")
    assert len(made) == 3
    recipe = resolve(SOURCE, WHERE, "x86_64")
    store.by_recipe(recipe.key).write_text('{"sha256": 3}', encoding="ascii")
    build(tmp_path / "d")
    assert len(made) == 4


def test_second_build_says_how_long_the_first_took(made: list[str], tmp_path: Path) -> None:
    _, first = build(tmp_path / "a")
    store = Store(image_store())
    assert not [note for note in first.notes if note.startswith("about ")]
    assert kept.seconds_last_time(store) is not None
    store.by_recipe("times").write_text('{"timeline": [[75, 40], [100, 61.7]]}', encoding="ascii")
    _, second = build(tmp_path / "b", refresh=True)
    assert second.notes[0] == "about 62 s, like the last one"
    assert second.percent[-1] == 100 and second.percent == sorted(second.percent)


@pytest.mark.parametrize("text", ["", "[]", '{"timeline": 3}', '{"timeline": [[1]]}', '{"timeline": [[9, 2], [5, 3]]}'])
def test_times_that_cannot_be_read_count_for_nothing(made: list[str], tmp_path: Path, text: str) -> None:
    store = Store(image_store())
    file = store.by_recipe("times")
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="ascii")
    _, progress = build(tmp_path)
    assert progress.percent == [75, 85, 100]
    assert kept.seconds_last_time(store) is not None, "replaced by this run's"


@pytest.mark.parametrize(("percent", "part"), [(0, 0), (25, 0.1), (50, 0.35), (75, 0.6), (80, 0.65), (100, 1)])
def test_percents_grow_with_the_time_of_the_last_build(percent: float, part: float) -> None:
    assert kept.part_of_time(LAST, percent) == pytest.approx(part)


def test_clock_moves_the_count_up_to_what_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 95 of 100 s, with 85 % reported (that is 70 s): the clock says 95, but 100 only comes with the report."""
    progress = Recorder()
    paced = kept._Paced(progress, LAST)
    paced.update(85, 100, "%")
    paced._began -= 95
    ended = threading.Event()
    monkeypatch.setattr(kept, "TICK", 0.01)
    thread = threading.Thread(target=paced.follow_the_clock, args=(ended,))
    thread.start()
    while len(progress.percent) < 2:
        assert thread.is_alive()
    paced._began -= 1000  # much slower than the last time
    while progress.percent[-1] < 99:
        assert thread.is_alive()
    ended.set()
    thread.join()
    assert progress.percent[0] == 70 and progress.percent[-1] == 99
