"""Files, folders, links and commands: put in, left alone when they are so, looked at, and undone to the last bit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ovtasks.errors import Where
from ovtasks.layers.events import What
from ovtasks.layers.fragments import text_upload
from ovtasks.layers.guest import installed, look
from ovtasks.layers.operation import Operation
from ovtasks.layers.plan import LayerPlan
from ovtasks.layers.script import prelude
from tests.support.layers import ME, SHELLS, LocalShell, plan, print_of
from tests.support.programs import attempt

TASKS = """
name: a
vars: {WHO: it's "me"}
tasks:
  - mkdir: ROOT/new/deep
    user: "${USER}"
  - {mkdir: ROOT/old/folder, mode: "0750", user: "${USER}"}
  - {mkdir: ROOT/old, user: "${USER}"}
  - write: ROOT/old/file
    mode: "0600"
    user: "${USER}"
    content: |
      it's $new, "quoted" `and` \\\\ more
  - {write: ROOT/old/link, content: "instead of a link", user: "${USER}"}
  - {write: ROOT/a b/c'd/empty, content: "", user: "${USER}"}
  - {link: ROOT/link, target: "old file", user: "${USER}"}
  - {link: ROOT/old/relink, target: /nowhere, user: "${USER}"}
  - {copy: one.sh, to: ROOT/bin/, mode: "0755", user: "${USER}"}
  - {copy: tree, to: ROOT/old/tree, user: "${USER}"}
  - cmd: |
      echo "$WHO" "$GREETING" "$(cat /ctx/one.sh)" >ROOT/said
      cat
    env: {GREETING: "hello ${WHO}"}
    user: "${USER}"
    uninstall: [ROOT/said]
"""


def make(folder: Path) -> Path:
    """What is there before the layer comes."""
    root = folder / "root"
    (root / "old/folder").mkdir(parents=True)
    (root / "old/folder/inside").write_text("stays")
    (root / "old/file").write_text("before\n")
    (root / "old/file").chmod(0o640)
    (root / "old/target").write_text("target")
    (root / "old/link").symlink_to("target")
    (root / "old/relink").symlink_to("target")
    (root / "old/tree/sub").mkdir(parents=True)
    (root / "old/tree/sub/two").write_text("two, before")
    (root / "old/tree/other").write_text("of others")
    for path in (root / "old/file", root / "old/link", root / "old/relink", root / "old/tree/sub/two"):
        os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)
    beside = folder / "layers/a/tree"
    (beside / "sub").mkdir(parents=True)
    (beside / "one").write_text("one")
    (beside / "one").chmod(0o755)
    (beside / "sub/two").write_bytes(b"two\0\xff")
    (beside / "link").symlink_to("sub/two")
    return root


@pytest.mark.parametrize("shell", SHELLS)
def test_put_in_and_undone(shell: str, tmp_path: Path) -> None:
    root = make(tmp_path)
    before = print_of(root)
    guest = LocalShell(tmp_path, SHELLS[shell])
    layer = plan(tmp_path, TASKS.replace("ROOT", str(root)), one__sh="#!/bin/sh\n")
    told = guest.apply(layer)
    kept = f"mkdir {root}/old"
    assert told == [(What.KEPT if one.name == kept else What.DONE, one.name) for one in layer.operations]
    assert (root / "old/file").read_text() == 'it\'s $new, "quoted" `and` \\\\ more\n'
    assert (root / "old/file").stat().st_mode & 0o777 == 0o600
    assert (root / "old/folder").stat().st_mode & 0o777 == 0o750
    assert (root / "old/link").read_text() == "instead of a link" and (root / "old/target").read_text() == "target"
    assert str((root / "link").readlink()) == "old file" and str((root / "old/relink").readlink()) == "/nowhere"
    assert os.access(root / "bin/one.sh", os.X_OK) and os.access(root / "old/tree/one", os.X_OK)
    assert (root / "old/tree/sub/two").read_bytes() == b"two\0\xff" and (root / "old/tree/link").is_symlink()
    assert (root / "said").read_text() == 'it\'s "me" hello it\'s "me" #!/bin/sh\n'
    done = print_of(root)
    assert {what for what, _ in guest.apply(layer)} == {What.SAME}
    assert print_of(root) == done
    found = look(guest, ["a"], how=guest.how)
    assert [event.what for event in found] == [What.SO] * 10 + [What.UNSEEN]
    (recorded,) = installed(guest, how=guest.how)
    assert recorded.receipt == "{}" and [one.digest for one in recorded.operations] == [*layer.digests]
    guest.undo("a")
    assert print_of(root) == before
    assert installed(guest, how=guest.how) == ()
    assert not any((tmp_path / "record/layers").iterdir()) and not (tmp_path / "record/run").exists()


def test_drift_is_seen_and_put_right(tmp_path: Path) -> None:
    root = make(tmp_path)
    guest = LocalShell(tmp_path)
    layer = plan(tmp_path, TASKS.replace("ROOT", str(root)), one__sh="#!/bin/sh\n")
    before = print_of(root)
    guest.apply(layer)
    (root / "old/file").chmod(0o644)
    (root / "old/tree/one").write_text("other")
    (root / "link").unlink()
    (root / "old/folder").chmod(0o755)
    differs = [event.operation for event in look(guest, ["a"], how=guest.how) if event.what is What.DIFFERS]
    assert differs == [layer.operations[n].name for n in (1, 3, 6, 9)]
    assert [name for what, name in guest.apply(layer) if what is What.DONE] == differs
    assert {event.what for event in look(guest, ["a"], how=guest.how)} == {What.SO, What.UNSEEN}
    guest.undo("a")
    assert print_of(root) == before


WRITES = "name: a\ntasks:\n" + "".join(
    f'  - {{write: ROOT/{name}, content: "TEXT {name}", user: "${{USER}}"}}\n' for name in "abc"
)


def test_an_edited_operation_is_undone_and_redone_with_those_after_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "b").write_text("before")
    before = print_of(root)
    guest = LocalShell(tmp_path)
    text = WRITES.replace("ROOT", str(root))
    guest.apply(plan(tmp_path, text))
    edited = text.replace("TEXT b", "other b").replace(f"{root}/b", f"{root}/d")
    told = guest.apply(plan(tmp_path, edited))
    assert told == [
        (What.UNDONE, f"write {root}/c"),
        (What.UNDONE, f"write {root}/b"),
        (What.SAME, f"write {root}/a"),
        (What.DONE, f"write {root}/d"),
        (What.DONE, f"write {root}/c"),
    ]
    assert (root / "b").read_text() == "before" and (root / "d").read_text() == "other b"
    fewer = "".join(text.splitlines(keepends=True)[:3])
    assert guest.apply(plan(tmp_path, fewer))[:2] == [
        (What.UNDONE, f"write {root}/c"),
        (What.UNDONE, f"write {root}/d"),
    ]
    assert guest.apply(plan(tmp_path, fewer.replace("name: a", "name: b"), "b"), remove=("a",))[0] == (
        What.UNDONE,
        f"write {root}/a",
    )
    guest.undo("b")
    assert print_of(root) == before


def test_what_was_so_before_stays_after_undo(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_text("TEXT a")
    (root / "a").chmod(0o644)
    before = print_of(root)
    guest = LocalShell(tmp_path)
    layer = plan(tmp_path, WRITES.replace("ROOT", str(root)))
    assert guest.apply(layer)[0] == (What.KEPT, f"write {root}/a")
    assert (What.UNTOUCHED, f"write {root}/a") in guest.undo("a")
    assert print_of(root) == before


def test_what_others_put_into_our_folder_stays(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    guest = LocalShell(tmp_path)
    guest.apply(plan(tmp_path, f'name: a\ntasks: [{{write: {root}/x/y/z, content: a, user: "${{USER}}"}}]\n'))
    (root / "x/mine").write_text("mine")
    guest.undo("a")
    assert sorted(print_of(root)) == ["x", "x/mine"]


def test_big_uploads_come_beside_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    root.mkdir()
    guest = LocalShell(tmp_path)
    layer = tmp_path / "layers/a"
    layer.mkdir(parents=True)
    content = os.urandom(100_000)
    (layer / "big").write_bytes(content)
    copies = "".join(f'  - {{copy: big, to: {root}/{name}, user: "${{USER}}"}}\n' for name in ("one", "two"))
    sent: list[str] = []
    upload = guest.upload

    def counted(content: bytes | Path, path: str, **more: Any) -> None:
        sent.append(path)
        upload(content, path, **more)

    monkeypatch.setattr(guest, "upload", counted)
    guest.apply(plan(tmp_path, f"name: a\ntasks:\n{copies}"))
    assert len(sent) == 1
    assert (root / "one").read_bytes() == (root / "two").read_bytes() == content
    assert max(map(len, guest.scripts)) < 60_000 and not any((tmp_path / "record/uploads").iterdir())
    assert {what for what, _ in guest.apply(plan(tmp_path, f"name: a\ntasks:\n{copies}"))} == {What.SAME}
    assert len(sent) == 1  # the guest has it
    (root / "two").write_text("other")
    told = guest.apply(plan(tmp_path, f"name: a\ntasks:\n{copies}"))
    assert What.FAILED not in dict(told) and told[-1][0] is What.DONE and len(sent) == 2
    assert (root / "two").read_bytes() == content


def test_a_link_that_is_gone_from_a_folder_is_seen(tmp_path: Path) -> None:
    root = make(tmp_path)
    guest = LocalShell(tmp_path)
    layer = plan(tmp_path, f'name: a\ntasks: [{{copy: tree, to: {root}/old/tree, user: "${{USER}}"}}]\n')
    guest.apply(layer)
    (root / "old/tree/link").unlink()
    assert [event.what for event in look(guest, ["a"], how=guest.how)] == [What.DIFFERS]
    assert guest.apply(layer) == [(What.DONE, layer.operations[0].name)]
    assert (root / "old/tree/link").is_symlink()


def test_a_thousand_uploads(tmp_path: Path) -> None:
    """Their sums are more than one variable of the environment can hold: 128 KiB."""
    uploads = tuple(text_upload(f"it's {number:090}", "") for number in range(1000))
    operation = Operation("x", "x", do=f"uname >{tmp_path}/done\n", where=Where("x"), user=ME.pw_name, uploads=uploads)
    guest = LocalShell(tmp_path)
    guest.apply(LayerPlan("a", Where("x"), (operation,), ("0",)))
    assert (tmp_path / "done").read_text() == "Linux\n"


def test_a_step_of_the_environment_that_fails_ends_it() -> None:
    text = f"{prelude()}\npam=x login=y units= folders= layer=a\nbroken() {{ false; echo on; }}\nset -eu\n"
    done = attempt("sh", "-c", f"{text}ov_environment_each broken\n")
    assert done.returncode == 1 and done.stdout == ""
