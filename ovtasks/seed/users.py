"""The guest's accounts: those that are declared, and the one for SSH."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.project.model import User, VmSpec
from ovtasks.seed.distro import Distro, attribute
from ovtasks.seed.merge import deep_merge
from ovtasks.values.cloud_init import DEFAULT_USER, is_true
from ovtasks.values.jsonvalue import Json
from ovtasks.values.passed import Yaml

SUDO_RULE = "ALL=(ALL) NOPASSWD:ALL"


def accounts(vm: VmSpec, keys: Sequence[str], distro: Distro | None) -> dict[str, Json]:
    """The keys ``users``, ``ssh_authorized_keys``, ``ssh_pwauth`` and ``disable_root`` of user-data, where needed.

    * No SSH user is given: the image's default user gets the keys.
    * It is declared in ``cloud_init.users``: the keys join that entry.
    * It is ``source.base_user`` or root: the account exists, so it gets the keys and nothing else.
    * Otherwise it is created, with sudo rights that need no password.
    """
    login = vm.ssh.user
    declared = vm.cloud_init.users if vm.cloud_init else ()
    entries = [_entry(user, keys if user.name == login else ()) for user in declared]
    data: dict[str, Json] = {}
    if login is None:
        if keys:
            data["ssh_authorized_keys"] = list(keys)
    elif all(user.name != login for user in declared):
        if login in {"root", attribute(vm.source, "base_user")}:
            entries += [{"name": login, "ssh_authorized_keys": list(keys)}] if keys else []
        else:
            entries.append(_login(login, keys, distro))
    if entries:
        data["users"] = [*([DEFAULT_USER] if _keeps_default(vm) else []), *entries]
    if keys:
        data["ssh_pwauth"] = False
    if login == "root":
        data["disable_root"] = False  # otherwise cloud-init puts a "log in as …" command before root's keys
    return data


def takes_default_user(vm: VmSpec, keys: Sequence[str]) -> bool:
    """Whether the keys go to the image's default user, which then has to stay."""
    return bool(keys) and vm.ssh.user in {None, attribute(vm.source, "base_user")}


def join_users(ours: Yaml, theirs: Yaml, *, keeps_default: bool) -> list[Yaml]:
    """Join our ``users`` with those of ``cloud_init.extra``, in any form that cloud-init takes.

    Of two entries with one name cloud-init would take the first, so they become one entry here. If only ``extra`` lists
    users, its list decides whether the image's default user is made, unless the keys need that user.
    """
    joined: list[Yaml] = list(ours) if isinstance(ours, list) else []
    if keeps_default and DEFAULT_USER not in joined:
        joined.insert(0, DEFAULT_USER)
    places = {_name(entry): index for index, entry in enumerate(joined)}
    for entry in _entries(theirs):
        index = places.get(_name(entry))
        if index is None:
            joined.append(entry)
        elif isinstance(entry, dict):
            before = joined[index] if isinstance(joined[index], dict) else {"name": _name(entry)}
            joined[index] = deep_merge(before, _with_lists(entry))
    return joined


def _entries(users: Yaml) -> list[Yaml]:
    """A list with one item for each account. cloud-init also takes a text with commas, and a mapping by name."""
    if isinstance(users, str):
        return [name for name in users.strip().split(",") if name]
    if isinstance(users, dict):
        return [
            {**entry, "name": name} if isinstance(entry, dict) else str(name)
            for name, entry in users.items()
            if isinstance(entry, dict) or is_true(entry)
        ]
    if isinstance(users, list):
        return [one for item in users for one in (_entries(item) if isinstance(item, str) else [item])]
    return []


def _name(entry: Yaml) -> Yaml:
    name = entry.get("name", DEFAULT_USER) if isinstance(entry, dict) else entry
    return name if isinstance(name, str) else str(name)


def _with_lists(entry: dict[Yaml, Yaml]) -> dict[Yaml, Yaml]:
    """The entry with cloud-init's own spellings, and with its keys as a list that can join ours."""
    words = {key.replace("-", "_").strip() if isinstance(key, str) else key: value for key, value in entry.items()}
    if "ssh_authorized_keys" in words:
        words["ssh_authorized_keys"] = listed(words["ssh_authorized_keys"])
    return words


def listed(value: Yaml) -> Yaml:
    """``value`` as a list: a text becomes one item, a mapping its values."""
    return [value] if isinstance(value, str) else list(value.values()) if isinstance(value, dict) else value


def _keeps_default(vm: VmSpec) -> bool:
    """Whether the image's default user stays.

    To cloud-init, a ``users`` list that does not begin with ``default`` means "no default user". That is right if the
    image has no vendor's account (bootc, bootstrap) and another account is asked for.
    """
    if vm.source.kind not in {"bootc", "bootstrap"} or vm.ssh.user is None:
        return True
    return attribute(vm.source, "base_user") is not None


def _entry(user: User, keys: Sequence[str]) -> dict[str, Json]:
    entry: dict[str, Json] = {"name": user.name}
    if user.sudo:
        entry["sudo"] = SUDO_RULE
    if user.groups:
        entry["groups"] = list(user.groups)
    if user.shell is not None:
        entry["shell"] = user.shell
    if user.lock_passwd is not None:
        entry["lock_passwd"] = user.lock_passwd
    if keys:
        entry["ssh_authorized_keys"] = list(keys)
    return entry


def _login(name: str, keys: Sequence[str], distro: Distro | None) -> dict[str, Json]:
    """The entry that creates the SSH user; with admin group and bash only if the distribution is known to have them."""
    groups = (distro.admin_group,) if distro and distro.admin_group else ()
    return _entry(User(name, sudo=True, groups=groups, shell="/bin/bash" if distro else None), keys)
