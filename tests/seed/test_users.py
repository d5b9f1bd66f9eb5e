"""Which accounts a seed makes, adopts or extends, and which distribution that rests on."""

from __future__ import annotations

from typing import Any

import pytest

from ovtasks.project.model import CloudInit, Source, User
from ovtasks.seed.distro import detect
from tests.support.specs import DEBIAN, KEY, KEY2, UNKNOWN, bootc, bootstrap, cloud_image, data, vm

FEDORA = "https://images.example/Fedora-Cloud-Base-Generic-43-1.6.x86_64.qcow2"
RULE = "ALL=(ALL) NOPASSWD:ALL"


def test_no_ssh_user_gives_the_key_to_the_default_user() -> None:
    made = data(vm(), KEY, KEY2, KEY)
    assert made["ssh_authorized_keys"] == [KEY, KEY2]
    assert "users" not in made
    assert made["ssh_pwauth"] is False


def test_no_ssh_user_beside_declared_users() -> None:
    made = data(vm(block=CloudInit(users=(User("dan"),))), KEY)
    assert made["users"] == ["default", {"name": "dan"}]
    assert made["ssh_authorized_keys"] == [KEY]


def test_no_key_says_nothing_about_passwords() -> None:
    assert not {"ssh_pwauth", "users", "ssh_authorized_keys", "disable_root"} & set(data(vm()))


def test_base_user_is_adopted() -> None:
    made = data(vm(cloud_image(base_user="debian"), user="debian"), KEY)
    assert made["users"] == ["default", {"name": "debian", "ssh_authorized_keys": [KEY]}]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (cloud_image(DEBIAN), {"groups": ["sudo"], "shell": "/bin/bash"}),
        (cloud_image(FEDORA), {"groups": ["wheel"], "shell": "/bin/bash"}),
        (cloud_image(UNKNOWN), {}),
        (cloud_image(UNKNOWN, distro="opensuse"), {"shell": "/bin/bash"}),
    ],
)
def test_another_user_is_created(source: Source, expected: dict[str, Any]) -> None:
    made = data(vm(source, user="eve"), KEY)
    assert made["users"] == ["default", {"name": "eve", "sudo": RULE, "ssh_authorized_keys": [KEY], **expected}]


def test_created_without_a_key_when_the_channel_is_off() -> None:
    assert data(vm(user="eve"))["users"][1] == {"name": "eve", "sudo": RULE, "groups": ["sudo"], "shell": "/bin/bash"}


def test_declared_ssh_user_gets_the_key_merged() -> None:
    users = (User("dan", groups=("a", "b")), User("eve", True, (), "/bin/zsh", False))
    made = data(vm(user="eve", block=CloudInit(users=users)), KEY)
    assert made["users"] == [
        "default",
        {"name": "dan", "groups": ["a", "b"]},
        {"name": "eve", "sudo": RULE, "shell": "/bin/zsh", "lock_passwd": False, "ssh_authorized_keys": [KEY]},
    ]


def test_root_gets_keys_and_nothing_else() -> None:
    made = data(vm(user="root"), KEY)
    assert made["users"] == ["default", {"name": "root", "ssh_authorized_keys": [KEY]}]
    assert made["disable_root"] is False


@pytest.mark.parametrize("source", [bootc(), bootstrap()])
def test_no_vendor_account_where_the_image_has_none(source: Source) -> None:
    assert [user["name"] for user in data(vm(source, user="eve", block=CloudInit()), KEY)["users"]] == ["eve"]


def test_vendor_account_stays_where_it_is_named() -> None:
    assert data(vm(bootstrap(base_user="debian"), user="eve"), KEY)["users"][0] == "default"
    assert data(vm(bootstrap(), block=CloudInit(users=(User("dan"),))))["users"][0] == "default"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (cloud_image("https://x.example/a.qcow2", distro="ubuntu"), "ubuntu"),
        (cloud_image("https://x.example/a.qcow2", distro="Fedora-43"), "fedora"),
        (cloud_image(DEBIAN, distro="plan9"), None),  # said, not known: nothing is assumed
        (cloud_image(DEBIAN, base_user="fedora"), "fedora"),
        (cloud_image(UNKNOWN, base_user="ec2-user"), None),
        (cloud_image("https://cloud-images.ubuntu.com/noble/current/noble-server-cloudimg-amd64.img"), "ubuntu"),
        (cloud_image("https://x.example/debian-mirror/ubuntu-24.04.img"), "ubuntu"),
        (cloud_image("https://x.example/images/latest/Arch-Linux-x86_64-cloudimg.qcow2"), "arch"),
        (cloud_image("https://x.example/arch/x86_64/disk.qcow2"), None),  # an architecture, not a distribution
        (cloud_image("https://x.example/9-stream/x86_64/images/CentOS-Stream-GenericCloud-9-latest.qcow2"), "centos"),
        (cloud_image("https://x.example/pub/rocky/9/images/Rocky-9-GenericCloud.qcow2"), "rocky"),
        (cloud_image("file:///srv/openSUSE-Leap-15.6.x86_64-NoCloud.qcow2"), "opensuse"),
        (cloud_image(UNKNOWN), None),
        (bootstrap(), "debian"),
        (bootstrap(distro="ubuntu"), "ubuntu"),
        (Source("nbd", {"distro": "arch"}), "arch"),
        (Source("nbd", {"distro": 12}), None),
    ],
)
def test_distribution_is_found_or_left_open(source: Source, name: str | None) -> None:
    found = detect(source)
    assert (found.name if found else None) == name
