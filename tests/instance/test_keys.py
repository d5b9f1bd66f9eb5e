"""Which SSH key a VM gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ovtasks.errors import EXIT_INPUT, InputError, Where
from ovtasks.host.run import run
from ovtasks.instance.keys import (
    check_public_key,
    ensure_key_pair,
    generate_host_key,
    generate_key_pair,
    read_public_keys,
    resolve_keys,
)
from ovtasks.project.model import Ssh

AUTO = Ssh()
WHERE = Where("vms.yml", 7, 12)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ~/.ssh."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".ssh"
    folder.mkdir(mode=0o700)
    return folder


def public_key(comment: str = "me@host") -> str:
    return generate_key_pair(comment)[1]


class TestAuto:
    @pytest.mark.parametrize(
        ("there", "taken"),
        [
            (["id_rsa.pub", "id_ed25519.pub"], "id_ed25519.pub"),
            (["id_rsa.pub", "id_ecdsa.pub"], "id_ecdsa.pub"),
            (["id_ecdsa.pub", "id_ed25519_sk.pub"], "id_ed25519_sk.pub"),
            (["id_rsa.pub", "id_ecdsa_sk.pub"], "id_ecdsa_sk.pub"),
            (["aaa.pub", "id_rsa.pub"], "id_rsa.pub"),
            (["work.pub", "home.pub"], "home.pub"),
        ],
    )
    def test_order(self, home: Path, tmp_path: Path, there: list[str], taken: str) -> None:
        for name in there:
            (home / name).write_text(public_key())
        choice = resolve_keys(AUTO, tmp_path / "vm")
        assert choice.public == home / taken
        assert choice.keys == ((home / taken).read_text().strip(),)
        assert not choice.generated
        assert choice.reads[-1] == home / taken

    def test_private_key_beside_it_is_the_identity(self, home: Path, tmp_path: Path) -> None:
        (home / "id_rsa.pub").write_text(public_key())
        assert resolve_keys(AUTO, tmp_path / "vm").private is None
        (home / "id_rsa").write_text("x")
        assert resolve_keys(AUTO, tmp_path / "vm").private == home / "id_rsa"

    def test_none_found_means_a_pair_of_its_own(self, home: Path, tmp_path: Path) -> None:
        choice = resolve_keys(AUTO, tmp_path / "vm")
        assert choice.generated
        assert choice.public == tmp_path / "vm/id_ed25519.pub"
        assert choice.note is not None
        assert f"no public key in {home}" in choice.note
        assert {home, home / "id_ed25519.pub", home / "id_rsa.pub"} <= set(choice.reads)
        assert not (tmp_path / "vm").exists()

    def test_places_looked_at_in_vain_are_watched(self, home: Path, tmp_path: Path) -> None:
        (home / "id_ecdsa.pub").write_text(public_key())
        names = [path.name for path in resolve_keys(AUTO, tmp_path / "vm").reads]
        assert names == ["id_ed25519.pub", "id_ed25519_sk.pub", "id_ecdsa.pub"]

    def test_no_ssh_directory_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
        assert resolve_keys(AUTO, tmp_path / "vm").generated


def test_none_is_no_key(tmp_path: Path) -> None:
    choice = resolve_keys(Ssh(key_source="none"), tmp_path)
    assert (choice.public, choice.keys, choice.reads) == (None, (), ())


class TestGenerate:
    def test_the_pair_is_openssh(self, tmp_path: Path) -> None:
        choice = ensure_key_pair(tmp_path / "a/vm", "ov-web")
        private, public = tmp_path / "a/vm/id_ed25519", tmp_path / "a/vm/id_ed25519.pub"
        assert (choice.private, choice.public) == (private, public)
        assert private.parent.stat().st_mode & 0o777 == 0o700
        assert private.stat().st_mode & 0o777 == 0o600
        assert public.stat().st_mode & 0o777 == 0o644
        assert sorted(p.name for p in private.parent.iterdir()) == ["id_ed25519", "id_ed25519.pub"]
        assert public.read_text().endswith(" ov-web\n")
        derived = run(["ssh-keygen", "-y", "-P", "", "-f", private]).stdout.split()[:2]
        assert derived == public.read_text().split()[:2]
        assert "(ED25519)" in run(["ssh-keygen", "-l", "-f", public]).stdout

    def test_kept_if_there(self, tmp_path: Path) -> None:
        first = ensure_key_pair(tmp_path, "a")
        stamps = [p.stat().st_mtime_ns for p in sorted(tmp_path.iterdir())]
        assert ensure_key_pair(tmp_path, "b") == first
        assert [p.stat().st_mtime_ns for p in sorted(tmp_path.iterdir())] == stamps
        assert resolve_keys(Ssh(key_source="generate"), tmp_path).keys == first.keys

    @pytest.mark.parametrize("spoil", [Path.unlink, lambda p: p.write_text(public_key())])
    def test_the_public_half_follows_the_private_one(self, tmp_path: Path, spoil: Callable[[Path], object]) -> None:
        first = ensure_key_pair(tmp_path, "a")
        spoil(tmp_path / "id_ed25519.pub")
        assert ensure_key_pair(tmp_path, "a").keys == first.keys

    def test_a_public_key_without_its_private_one_is_replaced(self, tmp_path: Path) -> None:
        first = ensure_key_pair(tmp_path, "a")
        (tmp_path / "id_ed25519").unlink()
        assert ensure_key_pair(tmp_path, "a").keys != first.keys

    def test_loose_modes_are_tightened(self, tmp_path: Path) -> None:
        ensure_key_pair(tmp_path, "a")
        tmp_path.chmod(0o755)
        (tmp_path / "id_ed25519").chmod(0o644)
        ensure_key_pair(tmp_path, "a")
        assert tmp_path.stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "id_ed25519").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("passphrase", [True, False])
    def test_an_unusable_private_key_is_never_overwritten(self, tmp_path: Path, passphrase: bool) -> None:
        private = tmp_path / "id_ed25519"
        if passphrase:
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", private])
        else:
            private.write_text("garbage")
        before = private.read_bytes()
        with pytest.raises(InputError, match="is not a private key without passphrase") as e:
            ensure_key_pair(tmp_path, "a")
        assert e.value.hint == f"move it away to get a new pair: mv {private} {private}.old"
        assert private.read_bytes() == before

    def test_host_key(self, tmp_path: Path) -> None:
        private, public = generate_host_key()
        path = tmp_path / "key"
        path.touch(0o600)
        path.write_text(private)
        assert run(["ssh-keygen", "-y", "-f", path]).stdout.split()[:2] == public.split()[:2]
        assert "\n" not in public


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_what_ssh_keygen_makes_is_taken(tmp_path: Path, kind: str) -> None:
    run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "mé, \"x\" 'y'", "-f", tmp_path / "key"])
    choice = resolve_keys(Ssh(key_source=str(tmp_path / "key.pub")), tmp_path / "vm")
    assert choice.keys == ((tmp_path / "key.pub").read_text().strip(),)
    assert choice.private == tmp_path / "key"
    assert choice.reads == (tmp_path / "key.pub",)


def test_several_keys_comments_and_options(tmp_path: Path) -> None:
    one, two = public_key("one").strip(), public_key("two").strip()
    path = tmp_path / "authorized_keys"
    path.write_text(f'# mine\r\n\n  {one}\r\nfrom="10.0.0.0/8",command="echo ssh-rsa no" {two}\n')
    assert read_public_keys(path) == (one, f'from="10.0.0.0/8",command="echo ssh-rsa no" {two}')


def test_every_type_of_key_is_known() -> None:
    import base64

    for kind in ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", "ecdsa-sha2-nistp521"):
        blob = len(kind).to_bytes(4) + kind.encode() + b"rest"
        check_public_key(f"{kind} {base64.b64encode(blob).decode()}")


BAD: list[tuple[str, bytes | None, str, str | None, str | None]] = [
    # name, content, message, hint, place ("" = the file's first line)
    ("missing", None, "the public key {path} does not exist", "key_source: generate", str(WHERE)),
    ("empty", b"", "{path} holds no public key", "key_source: generate", str(WHERE)),
    ("comment", b"# x\n", "{path} holds no public key", "key_source: generate", str(WHERE)),
    ("binary", b"\xff\xfe\x00", "{path} is not a public key: it is not text", "key_source: generate", str(WHERE)),
    ("garbage", b"hello\n", "not an OpenSSH public key", "ssh-ed25519 AAAA", ""),
    ("damaged", b"ssh-ed25519 AAAA x\n", "the ssh-ed25519 key is damaged", "copy the whole line", ""),
    ("not-base64", b"ssh-rsa %%% x\n", "the ssh-rsa key is damaged", "copy the whole line", ""),
    ("swapped", public_key().replace("ssh-ed25519", "ssh-rsa").encode(), "the ssh-rsa key is damaged", "copy", ""),
    ("dsa", b"ssh-dss AAAAB3NzaC1kc3MAAACB x\n", "DSA keys are refused", "ssh-keygen -t ed25519", ""),
    ("rfc4716", b"---- BEGIN SSH2 PUBLIC KEY ----\n", "not an OpenSSH public key", "ssh-keygen -i", ""),
    ("private", generate_key_pair("x")[0].encode(), "{path} is a private key", "ssh-keygen -y -f", str(WHERE)),
    ("large", b"#" * ((1 << 20) + 1), "larger than 1 MiB", None, str(WHERE)),
]


@pytest.mark.parametrize(("name", "content", "message", "hint", "place"), [pytest.param(*b, id=b[0]) for b in BAD])
def test_bad_public_keys(
    tmp_path: Path, name: str, content: bytes | None, message: str, hint: str | None, place: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as e:
        resolve_keys(Ssh(key_source=str(path)), tmp_path / "vm", where=WHERE)
    assert message.format(path=path) in e.value.message
    assert (hint or "") in (e.value.hint or "")
    assert str(e.value.where) == (place or f"{path}:1")
    assert e.value.exit_code == EXIT_INPUT
    assert "PRIVATE KEY" not in str(e.value)


def test_a_bad_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# mine\n{public_key()}oops\n")
    with pytest.raises(InputError) as e:
        read_public_keys(path)
    assert str(e.value.where) == f"{path}:3"


def test_a_private_key_with_its_public_half_beside_it(tmp_path: Path) -> None:
    ensure_key_pair(tmp_path, "x")
    with pytest.raises(InputError) as e:
        read_public_keys(tmp_path / "id_ed25519")
    assert e.value.hint == f"name {tmp_path}/id_ed25519.pub instead"


def test_a_directory_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_public_keys(tmp_path)
