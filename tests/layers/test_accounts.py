"""Operations of other accounts, capabilities, and links of users: what only root can try."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.layers.events import What
from ovtasks.layers.guest import LayerFailedError
from tests.support.layers import SHELLS, LocalShell, plan, print_of
from tests.support.programs import call

pytestmark = pytest.mark.root
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder below which other users get; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory(prefix="ov-layers-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def open_folder(room: Path) -> Path:
    """Where everybody may write."""
    place = room / "open"
    place.mkdir()
    place.chmod(0o777)
    return place


ACCOUNTS = {
    "nobody": (NOBODY.pw_uid, NOBODY.pw_gid),
    f"{NOBODY.pw_uid}:{NOBODY.pw_gid}": (NOBODY.pw_uid, NOBODY.pw_gid),
    "4711:4712": (4711, 4712),  # nobody's
}


@pytest.mark.parametrize("shell", SHELLS)
def test_other_accounts(shell: str, room: Path, open_folder: Path) -> None:
    text = "name: a\ntasks:\n"
    for number, (account, ids) in enumerate(ACCOUNTS.items()):
        place = open_folder / str(number)
        place.mkdir()
        (place / "there").write_text("before")
        for path in (place, place / "there"):
            os.chown(path, *ids)
        text += f"""
  - {{write: {place}/new/file, content: secret, mode: "0600", user: "{account}"}}
  - {{write: {place}/there, content: after, user: "{account}"}}
  - {{cmd: 'echo "$(id -u):$(id -g)" >{place}/said', user: "{account}", uninstall: ["{place}/said"]}}
"""
    before = print_of(open_folder)
    guest = LocalShell(room, SHELLS[shell])
    layer = plan(room, text)
    guest.apply(layer)
    for number, ids in enumerate(ACCOUNTS.values()):
        for name in ("new", "new/file", "there", "said"):
            at = (open_folder / f"{number}/{name}").stat()
            assert (at.st_uid, at.st_gid) == ids
        assert (open_folder / f"{number}/said").read_text() == f"{ids[0]}:{ids[1]}\n"
        state = next((room / "record/layers/a/operations").glob(f"{3 * number + 1:03}-*/state"))
        assert state.stat().st_uid == ids[0] and state.stat().st_mode & 0o777 == 0o700
    assert {what for what, _ in guest.apply(layer)} == {What.SAME}
    guest.undo("a")
    assert print_of(open_folder) == before


def test_root_follows_no_link_of_a_user(room: Path, open_folder: Path) -> None:
    inside, outside = open_folder / "mine", room / "outside"
    outside.mkdir()
    inside.symlink_to(outside)
    os.lchown(inside, NOBODY.pw_uid, NOBODY.pw_gid)
    guest = LocalShell(room)
    with pytest.raises(LayerFailedError, match="is a link of another user"):
        guest.apply(plan(room, f"name: a\ntasks: [{{write: {inside}/x, content: a}}]\n"))
    assert not any(outside.iterdir())


@pytest.mark.parametrize("shell", SHELLS)
def test_a_folder_that_gives_its_group(shell: str, tmp_path: Path) -> None:
    os.chown(tmp_path, 0, NOBODY.pw_gid)
    tmp_path.chmod(0o2775)
    text = f"""
name: a
tasks:
  - {{write: {tmp_path}/plain, content: a}}
  - {{write: {tmp_path}/program, content: a, mode: "0755"}}
  - {{mkdir: {tmp_path}/folder, mode: "0750"}}
"""
    guest = LocalShell(tmp_path, SHELLS[shell])
    layer = plan(tmp_path, text)
    guest.apply(layer)
    assert {(tmp_path / name).stat().st_gid for name in ("plain", "program", "folder")} == {0}
    assert (tmp_path / "folder").stat().st_mode & 0o7777 == 0o750
    assert {what for what, _ in guest.apply(layer)} == {What.SAME}


def test_there_is_no_such_account(tmp_path: Path) -> None:
    with pytest.raises(LayerFailedError, match="there is no account mary"):
        LocalShell(tmp_path).apply(plan(tmp_path, "name: a\ntasks: [{cmd: id, user: mary}]\n"))


@pytest.mark.root  # who else gives capabilities?
def test_capabilities(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("plain", "strip", "replaced")]
    for file in files:
        file.write_text("program")
        file.chmod(0o755)
    for file in files[1:]:
        call("setcap", "cap_net_raw+ep", file)
    text = f"""
name: a
tasks:
  - {{setcap: {files[0]}, caps: "cap_net_bind_service,cap_net_raw+ep"}}
  - {{setcap: {files[1]}}}
  - {{write: {files[2]}, content: other, mode: "0755"}}
"""
    guest = LocalShell(tmp_path)
    layer = plan(tmp_path, text)
    guest.apply(layer)
    caps = [call("getcap", file).stdout.partition(" ")[2].strip() for file in files]
    assert caps == ["cap_net_bind_service,cap_net_raw=ep", "", ""]
    assert {what for what, _ in guest.apply(layer)} == {What.SAME}
    guest.undo("a")
    caps = [call("getcap", file).stdout.partition(" ")[2].strip() for file in files]
    assert caps == ["", "cap_net_raw=ep", "cap_net_raw=ep"]
