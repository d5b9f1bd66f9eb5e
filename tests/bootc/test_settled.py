"""An image that is gone from podman's storage is brought again only for what must be made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.graph.execute import execute
from ovtasks.graph.receipt import Receipt
from ovtasks.graph.step import Step, Workspace
from ovtasks.host.progress import SilentProgress
from ovtasks.sources.bootc.chain import unless_settled
from ovtasks.sources.bootc.stamp import GONE


def step(name: str, target: Path, *needs: str) -> Step:
    def run(ws: Workspace) -> None:
        ws.write(target, name)
        ws.commit(target)

    return Step(name, {"recipe": 1}, (target,), run, name, needs)


@pytest.fixture
def chain(tmp_path: Path) -> list[Step]:
    """Built: image, key, install, convert; the image is gone since."""
    made = [
        step("image:@1", tmp_path / ".images" / "1.json"),
        step("key:a", tmp_path / "key"),
        step("install:a", tmp_path / "a" / "install.json", "image:@1", "key:a"),
        step("convert:a", tmp_path / "a" / "qcow2" / "disk.qcow2", "install:a"),
    ]
    receipts: dict[str, Receipt] = {}
    for one in made:
        execute(one, {name: receipts[name] for name in one.needs}, tmp_path / "locks", SilentProgress())
        found = Receipt.load(one.receipt)
        assert found
        receipts[one.name] = found
    return [replace(made[0], refresh=f"localhost/x:latest {GONE}"), *made[1:]]


def refreshes(chain: list[Step]) -> list[str | None]:
    return [one.refresh for one in unless_settled(chain[:1], chain[1], chain[2:])]


def test_a_restored_disk_needs_no_image(chain: list[Step]) -> None:
    assert refreshes(chain) == [None]


@pytest.mark.parametrize("number", [2, 3])
def test_what_is_made_of_it_must_be_made_anew(chain: list[Step], number: int) -> None:
    chain[number].targets[0].unlink()
    assert refreshes(chain) == [chain[0].refresh]


@pytest.mark.parametrize("number", range(4))
def test_other_inputs(chain: list[Step], number: int) -> None:
    chain[number] = replace(chain[number], inputs={"recipe": 2})
    assert refreshes(chain) == [chain[0].refresh]


def test_other_reasons_stay(chain: list[Step]) -> None:
    chain[0] = replace(chain[0], refresh="localhost/x:latest is another image now")
    assert refreshes(chain) == [chain[0].refresh]
