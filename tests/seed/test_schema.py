"""cloud-init accepts what we render, and every field of the spec's block arrives in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ovtasks.host.run import run
from ovtasks.instance.keys import generate_host_key
from ovtasks.project.model import CloudInit, Mirrors, OvInstall, Ssh, User, VmSpec, WriteFile
from tests.seed.cloudinit import Judge, schema_command
from tests.support.specs import DEBIAN, KEY, UNKNOWN, bootc, bootstrap, cloud_image, data, files, vm

FULL = CloudInit(
    hostname="host.example.org",
    timezone="Europe/Vienna",
    locale="de_AT.UTF-8",
    users=(User("dan", True, ("a",), "/bin/sh", True),),
    packages=("htop",),
    runcmd=("echo hi", ("echo", "it's")),
    bootcmd=("echo boot", ("true",)),
    write_files=(WriteFile("/a", "text", "www-data:dan", "0640", "b64", True, True),),
    network={"ethernets": {"id0": {"dhcp4": True}}},
    mirrors=Mirrors(("http://a/debian", "http://b/debian"), ("http://c",), ("http://d",)),
    ov_install=OvInstall("url", "http://e/ov", "sha256:" + "0" * 64),
    extra={"swap": {"filename": "/swap", "size": 1024}},
)
SPECS: dict[str, VmSpec] = {
    "empty": vm(cloud_image(UNKNOWN)),
    "default user": vm(),
    "adopted": vm(cloud_image(base_user="debian"), user="debian"),
    "created": vm(user="eve"),
    "created, unknown distribution": vm(cloud_image(UNKNOWN), user="eve"),
    "root": vm(user="root"),
    "bootstrap": vm(bootstrap(), user="demo"),
    "bootc": vm(bootc(), user="core", block=CloudInit()),
    "full": vm(block=FULL, user="dan"),
    "one apt mirror": vm(block=CloudInit(mirrors=Mirrors(apt=("http://a/ubuntu",)))),
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as one:
        yield one


@pytest.mark.parametrize("name", SPECS)
def test_accepted_by_the_schema(name: str, judge: Judge) -> None:
    for keys in ((), (KEY,)):
        made = files(SPECS[name], *keys, host_key=generate_host_key() if keys else None)
        assert judge.faults(made["user-data"]) == []


def test_accepted_by_the_command(tmp_path: Path) -> None:
    said = run(schema_command(files(SPECS["full"], KEY)["user-data"], tmp_path))
    assert "Valid cloud-config" in said.stdout or "Valid schema" in said.stdout  # the second: cloud-init since 23.1
    assert "deprecat" not in said.stdout + said.stderr


def test_the_judge_does_find_faults(judge: Judge) -> None:
    broken = vm(block=CloudInit(extra={"runcmd": "no list", "growpart": {"mode": 3}}))
    assert "growpart" in judge.faults(files(broken)["user-data"])[0]


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
names = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
commands = st.lists(st.one_of(words, st.lists(words, min_size=1, max_size=3).map(tuple)), max_size=3).map(tuple)
urls = st.lists(st.from_regex(r"https?://[a-z]{1,9}/[a-z0-9/]{0,9}", fullmatch=True), max_size=2).map(tuple)
users = st.builds(
    User,
    names,
    sudo=st.booleans(),
    groups=st.lists(names, max_size=2).map(tuple),
    shell=st.none() | st.just("/bin/sh"),
    lock_passwd=st.none() | st.booleans(),
)
write_files = st.builds(
    WriteFile,
    words,
    content=st.text(st.characters(codec="utf-8"), max_size=40),
    owner=st.none() | names,
    perms=st.none() | st.sampled_from(["0644", "600", "0o755"]),
    encoding=st.none() | st.sampled_from(["b64", "gz", "gz+b64"]),
    append=st.booleans(),
    defer=st.booleans(),
)
blocks = st.builds(
    CloudInit,
    hostname=st.none() | names,
    timezone=st.none() | words,
    locale=st.none() | words,
    users=st.lists(users, max_size=3).map(tuple),
    packages=st.lists(words, max_size=4).map(tuple),
    runcmd=commands,
    bootcmd=commands,
    write_files=st.lists(write_files, max_size=3).map(tuple),
    mirrors=st.builds(Mirrors, apt=urls, dnf=urls, pacman=urls),
    ov_install=st.just(OvInstall()) | st.just(OvInstall("url", "http://e/ov", None)),
    extra=st.just({}) | st.fixed_dictionaries({"packages": st.lists(words, min_size=1, max_size=2)}),
)
specs = st.builds(
    vm,
    st.sampled_from([cloud_image(), cloud_image(UNKNOWN), cloud_image(DEBIAN, base_user="debian"), bootstrap()]),
    user=st.none() | st.sampled_from(["root", "debian"]) | names,
    block=blocks,
)


@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=specs, keys=st.sampled_from([(), (KEY,)]))
def test_whatever_is_written_is_accepted_and_comes_back(spec: VmSpec, keys: tuple[str, ...], judge: Judge) -> None:
    import yaml

    made = files(spec, *keys)["user-data"]
    assert yaml.safe_load(made) == data(spec, *keys)
    assert judge.faults(made) == []


def changes() -> Iterator[tuple[str, CloudInit]]:
    """Every field of the block, and of the values in it, put back to its default, one at a time."""
    for field in dataclasses.fields(FULL):
        value = getattr(FULL, field.name)
        default = getattr(CloudInit(), field.name)
        yield field.name, dataclasses.replace(FULL, **{field.name: default})
        many = isinstance(value, tuple)
        item: Any = value[0] if many else value
        if not dataclasses.is_dataclass(item) or isinstance(item, type):
            continue
        for inner in dataclasses.fields(item):
            other = inner.default if inner.default is not dataclasses.MISSING else "other"
            changed: Any = dataclasses.replace(item, **{inner.name: other})
            whole: dict[str, Any] = {field.name: (changed,) if many else changed}
            yield f"{field.name}.{inner.name}", dataclasses.replace(FULL, **whole)


@pytest.mark.parametrize(("name", "changed"), [pytest.param(n, c, id=n) for n, c in changes()])
def test_every_field_counts(name: str, changed: CloudInit) -> None:
    assert files(vm(block=changed)) != files(vm(block=FULL))


def test_every_field_has_a_value_in_the_full_example() -> None:
    for value in (FULL, FULL.users[0], FULL.write_files[0], FULL.mirrors, FULL.ov_install):
        for field in dataclasses.fields(value):
            assert getattr(value, field.name) not in (None, (), {}, "", False), field.name


def test_ssh_fields_count() -> None:
    base = files(vm(ssh=Ssh(user="eve")), KEY)
    assert files(vm(ssh=Ssh(user="dan")), KEY) != base
