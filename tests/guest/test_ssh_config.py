"""ssh_config, read by ssh itself; and the edit of the user's own file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovtasks.errors import InputError
from ovtasks.guest.ssh_config import Host, config, known_hosts_line, stanza, with_include, without_include
from ovtasks.host.run import run
from tests.support.specs import KEY

WEB = Host("ov-web", "127.0.0.1", 20022, Path("/data/ov-web/known_hosts"), "demo", (Path("/data/ov-web/id_ed25519"),))


def effective(file: Path, name: str) -> dict[str, list[str]]:
    """What ssh would do for ``ssh name``: option → its values."""
    options: dict[str, list[str]] = {}
    for line in run(["ssh", "-G", "-F", file, name]).stdout.splitlines():
        key, _, value = line.partition(" ")
        options.setdefault(key, []).append(value)
    return options


def asked(tmp_path: Path, host: Host, name: str | None = None) -> dict[str, list[str]]:
    file = tmp_path / "config"
    file.write_text(stanza(host))
    return effective(file, name or host.name)


def test_all_options(tmp_path: Path) -> None:
    options = asked(tmp_path, WEB)
    expected = {
        "hostname": "127.0.0.1",
        "port": "20022",
        "user": "demo",
        "identityfile": "/data/ov-web/id_ed25519",
        "identitiesonly": "yes",
        "hostkeyalias": "ov-web",
        "userknownhostsfile": "/data/ov-web/known_hosts",
        "globalknownhostsfile": "/dev/null",
        "stricthostkeychecking": "true",
        "updatehostkeys": "false",
        "checkhostip": "no",
        "serveraliveinterval": "15",
        "loglevel": "ERROR",
    }
    assert {key: options[key] for key in expected} == {key: [value] for key, value in expected.items()}


def test_an_agents_key_and_a_key_taken_once(tmp_path: Path) -> None:
    host = Host("ov-web", "192.0.2.7", 22, Path("/k"), strict=False)
    options = asked(tmp_path, host)
    assert options["identitiesonly"] == ["no"]
    assert options["stricthostkeychecking"] == ["accept-new"]
    assert len(options["identityfile"]) > 1  # ssh's defaults
    assert "    User " not in stanza(host)


def test_more_names_and_more_identities(tmp_path: Path) -> None:
    host = Host("ov-web-dev", "::1", 1, Path("/k"), "a", (Path("/1"), Path("/2")), aliases=("web", "dev.example"))
    for name in ("ov-web-dev", "web", "dev.example"):
        options = asked(tmp_path, host, name)
        assert (options["hostname"], options["hostkeyalias"]) == (["::1"], ["ov-web-dev"])
        assert options["identityfile"] == ["/1", "/2"]
    assert asked(tmp_path, host, "ov-web")["hostname"] == ["ov-web"]


@pytest.mark.parametrize(
    "folder", ["a b", "a  b ", "a%hb", "a#b", "a=b", "a'b", 'a"b', "a\\b", "ä", "~a", "=", "$HOME"]
)
def test_odd_paths(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder
    options = asked(tmp_path, Host("ov-web", "127.0.0.1", 1, path / "known", "u", (path / "id",)))
    assert options["userknownhostsfile"] == [str(path / "known")]
    assert [value.replace("%%", "%") for value in options["identityfile"]] == [str(path / "id")]  # printed as written


@pytest.mark.parametrize("path", ["/a\nb", "/a\rb", "/a${HOME}b"])
def test_paths_that_the_format_cannot_hold(path: str) -> None:
    with pytest.raises(InputError, match="cannot be written in ssh_config"):
        stanza(Host("ov-web", "127.0.0.1", 1, Path(path)))


def test_identity_of_an_odd_path_is_really_used(tmp_path: Path) -> None:
    """ssh says which file it opens only when it connects: to itself, through a program that ends at once."""
    folder = tmp_path / "my %h keys"
    folder.mkdir()
    key = folder / "id"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    file = tmp_path / "config"
    file.write_text(stanza(Host("ov-web", "127.0.0.1", 1, folder / "known", "u", (key,))))
    said = run(["ssh", "-v", "-F", file, "-oLogLevel=DEBUG", "-oProxyCommand=false", "ov-web"], check=False).stderr
    assert re.search(rf"identity file {re.escape(str(key))} type [23]\b", said)  # -1: not there; 2 in newer OpenSSH


def test_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(config([WEB, Host("ov-db", "127.0.0.1", 20023, Path("/k"), "root")]))
    assert effective(file, "ov-web")["port"] == ["20022"]
    assert effective(file, "ov-db")["user"] == ["root"]
    assert effective(file, "ov-web-2")["port"] == ["22"]
    file.write_text(config([]))
    assert effective(file, "x")["port"] == ["22"]


def test_known_hosts_line(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(known_hosts_line("ov-web", KEY))
    assert run(["ssh-keygen", "-F", "ov-web", "-f", file]).stdout.splitlines()[-1] == " ".join(
        ["ov-web", *KEY.split()[:2]]
    )
    with pytest.raises(InputError):
        known_hosts_line("ov-web", "ssh-ed25519")


MINE = "Port 2200\n\nHost *\n    User me\n"


def test_include_goes_in_front_and_changes_nothing_else(tmp_path: Path) -> None:
    included = tmp_path / "with [odd] name*"
    included.write_text(config([WEB]))
    file = tmp_path / "mine"
    file.write_text(with_include(MINE, included))
    assert effective(file, "ov-web")["port"] == ["20022"]
    assert effective(file, "ov-web")["user"] == ["demo"]
    other = effective(file, "elsewhere")
    assert (other["port"], other["user"]) == (["2200"], ["me"])
    assert file.read_text().endswith(MINE)


TEXTS = ["", "\n", MINE, MINE.rstrip(), MINE.replace("\n", "\r\n"), "Host a\r\n  Port 1", "# é \x0c\x85 x\n", "\n\n# c"]


@pytest.mark.parametrize("text", TEXTS)
def test_include_comes_and_goes(text: str) -> None:
    once = with_include(text, Path("/c/ssh_config"))
    assert once.endswith(text)
    assert with_include(once, Path("/c/ssh_config")) == once
    assert without_include(once) == without_include(text) == text
    moved = with_include(once, Path("/d/ssh_config"))
    assert moved.count("Include") == 1 and "/d/ssh_config" in moved
    if "\r\n" in text:
        assert "\n" not in once.replace("\r\n", "")


@given(st.text(alphabet='ab \t\r\n#="\u2028\x1c', max_size=40))
def test_any_text_survives(text: str) -> None:
    assert without_include(with_include(text, Path("/c"))) == text


def test_block_that_moved_or_lost_a_part() -> None:
    block = with_include("", Path("/c"))
    begin, include, end = block.splitlines(keepends=True)
    assert with_include("Host a\n" + block + "  Port 1\n", Path("/c")) == block + "Host a\n  Port 1\n"
    mine = "Include mine\n"
    assert without_include(begin + include + mine) == mine
    assert without_include(begin + include + mine + end) == mine
    assert without_include(begin + "Host a\n" + include + end) == "Host a\n" + include
    assert without_include(mine + end + mine) == mine + mine
