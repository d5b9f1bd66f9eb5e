"""What is secret in a spec decides what is built, and stands nowhere that is shown, kept readable or carried away."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ovtasks.graph.freshness import check
from ovtasks.graph.receipt import Output, Receipt
from ovtasks.graph.step import Step
from ovtasks.images.request import lock_name, public, shown_url
from ovtasks.project.load import load_project
from ovtasks.project.model import CloudInit, Mirrors, OvInstall, User, WriteFile
from ovtasks.sources.secret_inputs import cloud_init_inputs
from ovtasks.values.hidden import SEALED, Hidden, Input, hides, redact, reveal, seal, slow_digest
from ovtasks.values.jsonvalue import plain
from tests.support.workbench import Workbench, cloud_vm, ran

SECRET = "hunter2"


def block(secret: str = SECRET) -> dict[str, Any]:
    return {
        "hostname": "box",
        "packages": ["vim"],
        "users": [{"name": "ann"}],
        "runcmd": [["curl", "-H", f"Authorization: {secret}", "https://example.org"]],
        "bootcmd": [f"echo {secret}"],
        "write_files": [{"path": "/etc/a", "content": "plain"}, {"path": "/etc/b", "content": f"token={secret}"}],
        "mirrors": {"apt": [f"https://me:{secret}@mirror.example.org/debian"]},
        "network": {"version": 2, "wifis": {"wlan0": {"access-points": {"home": {"password": secret}}}}},
        "extra": {
            "users": [{"name": "root", "plain_text_passwd": secret, "lock_passwd": False}],
            "chpasswd": {"expire": False, "users": [{"name": "root", "password": secret, "type": "text"}]},
            "ca_certs": {"trusted": [secret]},
            "unheard_of": secret,
        },
    }


def everything(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.name != "vms.yml":
            yield path, path.read_bytes()


def test_no_file_that_others_read_has_it(bench: Workbench, small_image: Path, tmp_path: Path) -> None:
    bench.write({"a": cloud_vm(small_image, cloud_init=block())})
    bench.ov("vm", "build", "a")
    bench.doit("build:a")
    holders = {path for path, data in everything(tmp_path) if SECRET.encode() in data}
    assert {path.name for path in holders} == {"seed.iso", "spec.cache"}
    for path in (*holders, bench.root / "output/a/qcow2/seed.iso.receipt.json"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


CHANGES: dict[str, tuple[list[Any], Any, str]] = {
    "extra.chpasswd": (["extra", "chpasswd", "users", 0, "password"], "x", "extra.chpasswd.users[0].password"),
    "extra.users": (["extra", "users", 0, "plain_text_passwd"], "x", "extra.users[0].plain_text_passwd"),
    "extra.unheard_of": (["extra", "unheard_of"], "x", "extra.unheard_of"),
    "extra.ca_certs": (["extra", "ca_certs", "trusted"], ["x"], "extra.ca_certs.trusted"),
    "write_files": (["write_files", 1, "content"], "x", "write_files[1].content"),
    "runcmd": (["runcmd"], ["x"], "runcmd"),
    "bootcmd": (["bootcmd"], ["x"], "bootcmd"),
    "mirrors": (["mirrors", "apt"], ["https://me:x@mirror.example.org/debian"], "mirrors.apt[0].secret"),
    "network": (
        ["network", "wifis", "wlan0", "access-points", "home", "password"],
        "x",
        "network.wifis.wlan0.access-points.home.password",
    ),
}


@pytest.mark.slow
def test_plan_and_why_name_the_key_and_nothing_else(bench: Workbench, small_image: Path) -> None:
    def text(words: list[str]) -> str:
        done = bench.ov(*words)
        assert SECRET not in done.stdout + done.stderr
        return done.stdout

    bench.write({"a": cloud_vm(small_image, cloud_init=block())})
    bench.ov("vm", "build", "a")
    for path, value, key in CHANGES.values():
        changed = block()
        inner: Any = changed
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        bench.write({"a": cloud_vm(small_image, cloud_init=changed)})
        assert f"cloud_init.{key}: changed (secret)" in text(["plan", "a"]), key
        text(["plan", "a", "--json"])
        text(["why", "seed:a", "--json"])
        assert f"cloud_init.{key}: changed (secret)" in text(["why", "seed:a"])
    bench.write({"a": cloud_vm(small_image, cloud_init={"packages": ["vim"]})})
    text(["plan", "a"])
    bench.write({"a": cloud_vm(small_image, cloud_init={**block(), "packages": ["vim", "tmux"]})})
    assert bench.reasons("a") == {"seed:a": ['cloud_init.packages: ["vim"] → ["vim","tmux"]']}
    assert ran(bench.ov("vm", "build", "a").stderr) == ["seed:a"]


@pytest.mark.slow
def test_the_receipt_travels_to_who_has_another_key(bench: Workbench, small_image: Path, tmp_path: Path) -> None:
    bench.write({"a": cloud_vm(small_image, cloud_init=block())})
    bench.ov("vm", "build", "a")
    bench.env["XDG_DATA_HOME"] = str(tmp_path / "other data")
    assert ran(bench.doit("build:a").stdout) == []
    bench.write({"a": cloud_vm(small_image, cloud_init=block("other"))})
    assert "cloud_init.bootcmd: changed (secret)" in bench.reasons("a")["seed:a"]
    bench.write({"a": cloud_vm(small_image, cloud_init=block())})
    key = tmp_path / "other data/ov/receipts.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    for damage in (b"", b"short", bytes(33)):
        key.write_bytes(damage)
        assert ran(bench.doit("build:a").stdout) == []
    assert len(key.read_bytes()) == 32


def test_a_receipt_of_the_first_format_is_mended(bench: Workbench, small_image: Path) -> None:
    """Its inputs stand in it as they were."""
    bench.write({"a": cloud_vm(small_image, cloud_init=block())})
    bench.ov("vm", "build", "a")
    path = bench.root / "output/a/qcow2/seed.iso.receipt.json"
    new = json.loads(path.read_text(encoding="utf-8"))
    asked = plain(load_project(bench.root).vms["a"].cloud_init)
    assert isinstance(asked, dict)
    old = {**new, "format": 1, "inputs": {**new["inputs"], "cloud_init": {**asked, "runcmd": [["echo", SECRET]]}}}
    del old["salt"], old["tag"]
    path.write_text(json.dumps(old), encoding="utf-8")
    path.chmod(0o644)
    shutil.rmtree(bench.root / "output/.ov/manifest")
    said = bench.ov("why", "seed:a").stdout + bench.ov("why", "seed:a", "--json").stdout
    assert "cloud_init.runcmd: changed" in said and SECRET not in said
    old["inputs"]["cloud_init"] = asked
    path.write_text(json.dumps(old), encoding="utf-8")
    assert ran(bench.ov("vm", "build", "a").stderr) == []
    assert SECRET not in path.read_text(encoding="utf-8") and stat.S_IMODE(path.stat().st_mode) == 0o600


URLS = {
    "https://example.org/a.img": "https://example.org/a.img",
    "https://bob:pw@example.org/a.img": "https://example.org/a.img",
    "https://bob@example.org:8443/a.img?x=1": "https://example.org:8443/a.img?x=1",
    "https://h/a.img?arch=amd64&token=abc": "https://h/a.img?arch=amd64&token=…",
    "https://h/a.img?sv=2024&sig=a%2Bb%3D&se=2026": "https://h/a.img?sv=…&sig=…&se=…",
    "https://h/a?X-Amz-Date=1&X-Amz-Signature=f&X-Amz-Expires=9": "https://h/a?X-Amz-Date=…&X-Amz-Signature=…"
    "&X-Amz-Expires=…",
    "https://h/a?Expires=1&Signature=f&Key-Pair-Id=K": "https://h/a?Expires=…&Signature=…&Key-Pair-Id=…",
    "https://h/a?md5=f&e=7&tok=x&Ticket=1": "https://h/a?md5=…&e=7&tok=…&Ticket=…",
    "https://h/a?v=4f9QkZ81bLrT0s7Xc2Yp&f=debian-12-generic-amd64.qcow2": "https://h/a?v=…&f=debian-12-generic-amd64.qcow2",
    "https://h/a?x=1&dl=eyJhbGciOiJIUzI1NiIsInR5cCI6.e30.Zm9v": "https://h/a?x=1&dl=…",
    "https://h/a?rel=20240512&img=Fedora-Cloud-Base-40.x86_64": "https://h/a?rel=20240512&img=Fedora-Cloud-Base-40.x86_64",
    "https://h/a?api_key=k&ACCESS_TOKEN=t&password=p": "https://h/a?api_key=…&ACCESS_TOKEN=…&password=…",
    "/srv/a@b?token=x.img": "/srv/a@b?token=x.img",
}


@pytest.mark.parametrize("url", URLS)
def test_urls(url: str) -> None:
    shown = public(url)
    assert shown == URLS[url] == public(shown)
    entered = shown_url(url)
    assert reveal(entered) == url and hides(entered) == (shown != url)
    assert redact(entered) == (url if shown == url else {"public": shown, "secret": "(secret)"})
    assert reveal(shown_url("https://a:b@h/x")) != reveal(shown_url("https://a:c@h/x"))


def test_files_of_the_project_have_relative_names(tmp_path: Path) -> None:
    assert lock_name(str(tmp_path / "images/a b.img"), tmp_path) == "./images/a b.img"
    assert lock_name((tmp_path / "a b.img").as_uri(), tmp_path) == "./a b.img"
    assert lock_name("./a b.img", tmp_path) == "./a b.img"
    assert lock_name("/srv/a.img", tmp_path) == "/srv/a.img"


def test_hidden_values() -> None:
    value: Input = {"a": [1, {"b": Hidden("pw")}, "x"], "c": Hidden({"d": "pw"})}
    sealed = seal(value, "salt")
    assert sealed == {"a": [1, {"b": slow_digest('"pw"', "salt")}, "x"], "c": slow_digest('{"d":"pw"}', "salt")}
    assert hides(value) and hides(sealed) and not hides(reveal(value))
    assert redact(value) == redact(sealed) == {"a": [1, {"b": "(secret)"}, "x"], "c": "(secret)"}
    assert "pw" not in repr(value) and "pw" not in json.dumps(sealed)
    assert seal(value, "other") != sealed
    assert slow_digest("x", "y").startswith(SEALED)


SHOWN_BLOCK = CloudInit(
    hostname="box",
    timezone="UTC",
    locale="C",
    users=(User("ann", groups=("wheel",)),),
    packages=("vim",),
    write_files=(WriteFile("/etc/a", "", "root", "0600"),),
    network={"version": 2, "ethernets": {"eth0": {"dhcp4": True, "addresses": ["10.0.0.1/24"]}}},
    mirrors=Mirrors(apt=("http://m.example.org",)),
    ov_install=OvInstall("url", "https://example.org/ov", "sha256:" + "0" * 64),
    extra={"package_update": True, "timezone": "UTC", "disable_root": False},
)


def test_what_is_harmless_is_shown() -> None:
    assert not hides(cloud_init_inputs(SHOWN_BLOCK))


@pytest.mark.parametrize(
    "extra",
    [
        {"password": "p"},
        {"ssh_keys": {"rsa_private": "k"}},
        {"apt": {"sources": {"x": {"source": "deb https://u:p@h/"}}}},
        {"phone_home": {"url": "https://h/?t=1", "post": "all"}},
        {"power_state": {"message": "p"}},
        {"write_files": [{"path": "/x", "content": "p", "permissions": "0600"}]},
        {"runcmd": ["p", ["q"]]},
        {"pin": 1234},
        {"many": {str(number): f"v{number}" for number in range(40)}},
    ],
)
def test_what_is_not_known_is_hidden(extra: Mapping[str, Any]) -> None:
    found = redact(cloud_init_inputs(CloudInit(extra=extra)))
    text = json.dumps(found)
    assert "(secret)" in text
    for value in ("p", "k", "q", 1234, "v7", "deb https://u:p@h/", "https://h/?t=1", "all"):
        assert json.dumps(value) not in text


def test_an_entry_that_came_or_went(tmp_path: Path) -> None:
    """Lists are compared entry by entry; what is not secret in a new one is shown."""

    def step(*contents: str) -> Step:
        files: list[Input] = [{"path": f"/{name}", "content": Hidden(name)} for name in contents]
        return Step("seed:a", {"files": files}, (tmp_path / "seed",), lambda ws: None, "seed")

    (tmp_path / "seed").write_bytes(b"x")
    receipt = Receipt("seed:a", {}, {}, (Output.of(tmp_path / "seed"),), "d").sealed(step("a", "b").inputs)
    receipt.save(step().receipt)
    assert check(step("a", "b"), {}).fresh

    def reasons(*contents: str) -> list[str]:
        return [reason.text for reason in check(step(*contents), {}).reasons]

    assert reasons("a", "b", "c") == ['files[2]: none → {"content":"(secret)","path":"/c"}']
    assert reasons("a") == ['files[1]: {"content":"(secret)","path":"/b"} → none']
    assert reasons("a", "x") == ["files[1].content: changed (secret)", "files[1].path: /b → /x"]
