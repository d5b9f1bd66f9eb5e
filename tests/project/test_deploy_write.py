"""Writing deploy.yml: only the lines of the entry change, and nothing is written when nothing changes."""

from __future__ import annotations

import difflib
from pathlib import Path
from threading import Thread

import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.host.files import flock
from ovtasks.project.deploy_write import EntryChange, change_entry, remove_entry

LONG = (
    "    - {id: x, command: \"grep -c ssh-ed25519 /home/arch/.ssh/authorized_keys && echo 'a very long line' | wc\"}\n"
)
FILE = f"""
# ours
version: 4   # of the format
deploy:
    # the desktop
    web-vm:
        target: vm   # not a pod
        add_layers:
            - base   # first
            - 'tools'
        eval:
        {LONG}
    pod:
        target: pod
        ports: [22:22, 0644, no]

# machines
vm:
    web: {{source: {{kind: bootstrap}}}}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "deploy.yml"
    path.write_text(text, encoding="utf-8")
    return path


def change(path: Path, name: str, *layers: str, disposable: bool | None = None, lifecycle: str | None = None) -> bool:
    wanted = EntryChange(layers or None, disposable, lifecycle)
    return change_entry(path, name, wanted, path.with_name("lock"), lambda who: None)


def remove(path: Path, name: str) -> bool:
    return remove_entry(path, name, path.with_name("lock"), lambda who: None)


def differences(before: str, path: Path) -> list[str]:
    lines = difflib.ndiff(before.splitlines(), path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line[0] in "+-"]


def test_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "deploy.yml"
    assert change(path, "vm:web/dev", "base", disposable=True, lifecycle="dev")
    assert path.read_text() == (
        "deploy:\n  vm:web/dev:\n    disposable: true\n    lifecycle: dev\n    add_layers:\n    - base\n"
    )
    assert not change(path, "vm:web/dev", "base", disposable=True, lifecycle="dev")


def test_only_the_lines_of_the_entry_change(tmp_path: Path) -> None:
    path = write(tmp_path, FILE)
    path.chmod(0o640)
    assert change(path, "web-vm", "base", "more", lifecycle="dev")
    assert differences(FILE, path) == [
        "-             - 'tools'",
        "+             - more",
        "+         lifecycle: dev",
    ]
    assert "- base   # first\n" in path.read_text() and "target: vm   # not a pod\n" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640
    changed = path.read_text()
    assert change(path, "vm:db", "base")
    assert differences(changed, path) == ["+     vm:db:", "+         add_layers:", "+             - base"]
    assert path.read_text().index("vm:db") < path.read_text().index("# machines")
    assert remove(path, "vm:db")
    assert path.read_text() == changed
    assert remove(path, "pod")
    assert differences(changed, path) == [
        "-     pod:",
        "-         target: pod",
        "-         ports: [22:22, 0644, no]",
    ]


def test_nothing_is_written_when_nothing_changes(tmp_path: Path) -> None:
    path = write(tmp_path, FILE)
    before = path.stat()
    assert not change(path, "web-vm", "tools", "base")
    assert not change(path, "web-vm")
    assert not remove(path, "nobody")
    assert path.stat().st_mtime_ns == before.st_mtime_ns and path.read_text() == FILE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "deploy: {web: {target: vm, add_layers: [a]}}\n",
            "deploy: {web: {target: vm, add_layers: [a, b]}}\n",
        ),
        ("deploy:\n  web: # x\n", "deploy:\n  web: # x\n    add_layers:\n    - a\n    - b\n"),
        ("deploy:\n  web: {add_layer: [a]} # x\n", "deploy:\n  web: {add_layer: [a, b]} # x\n"),
        (
            "deployments:\n  images:\n    web: {add_layers: [a]}\n    db: {}\n",
            "deployments:\n  images:\n    web: {add_layers: [a, b]}\n    db: {}\n",
        ),
        ("deploy:\n\nvm: {}\n", "deploy:\n  web:\n    add_layers:\n    - a\n    - b\n\nvm: {}\n"),
        ("a: 1\n---\ndeploy:\n  web: {add_layers: [a]}\n", "a: 1\n---\ndeploy:\n  web: {add_layers: [a, b]}\n"),
        ("deploy:\n  db: {}", "deploy:\n  db: {}\n  web:\n    add_layers:\n    - a\n    - b\n"),
    ],
)
def test_other_layouts(before: str, after: str, tmp_path: Path) -> None:
    path = write(tmp_path, before)
    assert change(path, "web", "a", "b")
    assert path.read_text() == after


def test_the_last_entry_goes(tmp_path: Path) -> None:
    path = write(tmp_path, "deploy:\n  web: {}\n\n# machines\nvm: {}\n")
    assert remove(path, "web")
    assert path.read_text() == "deploy:\n\n# machines\nvm: {}\n"


def test_a_link_stays_one(tmp_path: Path) -> None:
    kept = write(tmp_path, "deploy: {}\n").rename(tmp_path / "kept.yml")
    path = tmp_path / "deploy.yml"
    path.symlink_to(kept.name)
    assert change(path, "web", "a")
    assert path.is_symlink() and "web" in kept.read_text()


def test_what_is_no_yaml(tmp_path: Path) -> None:
    path = write(tmp_path, "deploy: {")
    with pytest.raises(InputError, match="not YAML"):
        change(path, "web", "a")
    assert path.read_text() == "deploy: {"


def test_an_alias_would_change_another_entry(tmp_path: Path) -> None:
    path = write(tmp_path, "deploy:\n  web: {add_layers: &l [a]}\n  db: {add_layers: *l}\n")
    with pytest.raises(OvError, match="would change in other places") as caught:
        change(path, "web", "a", "b")
    assert "by hand" in (caught.value.hint or "") and "*l" in path.read_text()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = write(tmp_path, "deploy: {}\n")
    told: list[str] = []
    lock = tmp_path / "lock"
    with flock(lock):
        other = Thread(target=change_entry, args=(path, "web", EntryChange(("a",)), lock, told.append))
        other.start()
        while not told:
            other.join(0.01)
        assert path.read_text() == "deploy: {}\n"
    other.join()
    assert told[0].startswith("process ") and "web" in path.read_text()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "# c\r\ndeploy:\r\n  a: # d\r\n    target: vm\r\n",
            "# c\r\ndeploy:\r\n  a: # d\r\n    target: vm\r\n    disposable: true\r\n",
        ),
        ("deploy: {a: {target: vm}}\r\n", "deploy: {a: {target: vm, disposable: true}}\r\n"),
        ("# mine alone\n", "# mine alone\ndeploy:\n  a:\n    disposable: true\n"),
        ("# mine alone", "# mine alone\ndeploy:\n  a:\n    disposable: true\n"),
    ],
)
def test_line_ends_and_comments_stay(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "deploy.yml"
    path.write_bytes(before.encode())
    assert change(path, "a", disposable=True)
    assert path.read_bytes() == after.encode()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("  a:\n    target:\tvm\n", "ov reads, and cannot change"),
        ("  a:\t# mine\n    target: vm\n", "ov reads, and cannot change"),
        (f"  a: {{target: vm, description: {'9' * 5000}}}\n", "ov reads, and cannot change"),
        ("  a: {target: vm, env: {A: +.inf}}\n", "in other places, too"),
    ],
)
def test_what_ruamel_reads_otherwise_is_changed_by_hand(tmp_path: Path, entry: str, message: str) -> None:
    path = write(tmp_path, f"deploy:\n{entry}")
    before = path.read_bytes()
    with pytest.raises(OvError, match=message) as caught:
        change(path, "a", disposable=True)
    assert caught.value.hint == "edit it by hand: the entry is a" and path.read_bytes() == before
