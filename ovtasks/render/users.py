"""Accounts of the guest: declared ones, and the one that SSH logs in to."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.jsonvalue import Json
from ovtasks.render.distro import Distro, attribute
from ovtasks.spec.model import User, VmSpec

SUDO_RULE = "ALL=(ALL) NOPASSWD:ALL"
DEFAULT_USER = "default"  # cloud-init's word for the account that the image's own configuration describes


def accounts(vm: VmSpec, keys: Sequence[str], distro: Distro | None) -> dict[str, Json]:
    """The keys ``users``, ``ssh_authorized_keys``, ``ssh_pwauth`` and ``disable_root`` of user-data, where needed.

    * no SSH user: the image's default user gets the keys;
    * it is declared in ``cloud_init.users``: the keys join that entry;
    * it is ``source.base_user`` or root: adopted, nothing but the keys is said about it;
    * otherwise it is created, with sudo rights without a password.
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
        data["disable_root"] = False  # else cloud-init puts a "log in as …" command before root's keys
    return data


def _keeps_default(vm: VmSpec) -> bool:
    """Whether the image's default user stays.

    A ``users`` list without the word ``default`` first means "no default user" to cloud-init. That is right where the
    image brings no account of a vendor (bootc, bootstrap) and another one is asked for.
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
    """The admin group and bash only where the distribution is known to have them."""
    groups = (distro.admin_group,) if distro and distro.admin_group else ()
    return _entry(User(name, sudo=True, groups=groups, shell="/bin/bash" if distro else None), keys)
