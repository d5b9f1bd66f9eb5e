"""The rules of a VM's blocks for cloud-init: they are read as cloud-init reads them, and must not lock the user out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ovtasks.errors import InputError, Where
from ovtasks.project.declared import DeclaredVm
from ovtasks.values.cloud_init import DEFAULT_USER, is_true
from ovtasks.values.jsonvalue import Json
from ovtasks.values.passed import Yaml, decode
from ovtasks.values.yamlio import Key, parse_yaml

EXTRA = ("cloud_init", "extra")

# How cloud-init recognises kinds of user-data, and where the same is written here.
HEADERS = {
    "## template: jinja": "ov knows the values when it makes the seed: write them out",
    "#!": "put the script into cloud_init.write_files, and its path into cloud_init.runcmd",
    "#cloud-boothook": "cloud_init.bootcmd runs as early, at every boot",
    "#include": "fetch it in cloud_init.bootcmd, or write here what it says",
    "#cloud-config-archive": "merge its parts into one mapping",
    "#cloud-config-jsonp": "write the result of the patch",
    "#part-handler": "put the program into the image",
    "#upstart-job": "put the unit into cloud_init.write_files",
    "content-type:": "merge its parts into one mapping",
    "mime-version:": "merge its parts into one mapping",
}
LISTS = frozenset({"runcmd", "bootcmd", "write_files", "packages"})
MAPPINGS = frozenset({"apt", "yum_repos", "ssh_keys"})
MODULES = ("users-groups", "ssh")
"""The modules of cloud-init that let the key's user in. By default they are in ``cloud_init_modules``."""
_NO_SHELL = re.compile(r".*/(nologin|false|true)")


def pass_on(vm: DeclaredVm) -> tuple[DeclaredVm, list[InputError]]:
    """``vm`` with its blocks for cloud-init as cloud-init reads them, and what is wrong with them."""
    block = vm.mapping("cloud_init")
    changed: dict[str, Json] = {}
    errors: list[InputError] = []
    for key, read in (("network", _block), ("extra", _extra)):
        if key not in block:
            continue
        try:
            changed[key] = read(vm, key)
        except InputError as e:
            errors.append(e)
            changed[key] = {}
    if not changed:
        return vm, errors
    data = {**vm.data, "cloud_init": {**block, **changed}}
    return replace(vm, data=data), errors


def _block(vm: DeclaredVm, key: str) -> Json:
    if not isinstance(vm.get("cloud_init", key), Mapping):  # the schema check has reported it
        return {}
    try:
        return vm.document.written.passed(*(str(step) for step in vm.path), "cloud_init", key)
    except InputError as e:
        where = e.where or Where(vm.document.file, *(e.at or ()))
        raise InputError(e.message, hint=e.hint, where=where) from None


def _extra(vm: DeclaredVm, key: str) -> Json:
    """``extra`` as a mapping; it may be written as YAML text."""
    text = vm.text(*EXTRA)
    if text is None:
        return _block(vm, key)
    begin = text.lstrip().lower()
    for header in sorted(HEADERS, key=len, reverse=True):
        if begin.startswith(header) and not re.match(r"#cloud-config\s", begin):
            shown = text.lstrip()[: len(header)]
            line = text[: len(text) - len(text.lstrip())].count("\n") + 1
            message = f"cloud_init.extra begins with '{shown}': only cloud-config can be merged with what ov writes"
            raise InputError(message, hint=HEADERS[header], where=vm.document.where(*vm.path, *EXTRA, at=(line, 1)))
    try:
        documents = parse_yaml(text.encode(), "extra", lambda path: True)
        if not documents:
            return {}
        if len(documents) == 1 and isinstance(documents[0].data, Mapping):
            return documents[0].written.passed()
    except InputError as e:
        at = e.at or ((e.where.line, e.where.column) if e.where else (1, 1))
        lines = text.split("\n")
        if at[0] > len(lines):  # the error is at the end of the text
            at = (len(lines), len(lines[-1]) + 1)
        where = vm.document.where(*vm.path, *EXTRA, at=at)
        message = f"cloud_init.extra, line {at[0]} of the text: {e.message}"
        raise InputError(message, hint=e.hint or "write a mapping", where=where) from None
    message = "cloud_init.extra must be one YAML mapping"
    raise vm.error(message, *EXTRA, hint="write a mapping, here or as the text")


def passed_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """``cloud_init.extra`` fits the rest of the seed, and the key's owner can log in."""
    extra = decode(vm.get(*EXTRA))
    extra = extra if isinstance(extra, dict) else {}
    yield from _shapes(vm, extra)
    login = vm.text("ssh", "user") or vm.text("source", "base_user")
    login = login or ("root" if vm.text("source", "kind") == "bootc" else DEFAULT_USER)
    if not _brings_key(vm):
        return
    for rule in (_root_rule, _module_rule):
        yield from rule(vm, extra, login)
    for index, user in enumerate(vm.list("cloud_init", "users")):
        if isinstance(user, dict) and user.get("name") == login:
            yield from _account(vm, user, login, ("cloud_init", "users", index))
    users = extra.get("users")
    entries = users.items() if isinstance(users, dict) else enumerate(users) if isinstance(users, list) else ()
    for step, user in entries:
        if isinstance(user, dict) and str(user.get("name", step if isinstance(users, dict) else DEFAULT_USER)) == login:
            yield from _account(vm, user, login, (*EXTRA, "users", step))


def _brings_key(vm: DeclaredVm) -> bool:
    """Whether somebody will log in with a key from the seed."""
    return vm.text("ssh", "key_source") != "none" and vm.get("ssh", "key_injection", "cloud_init") != "disabled"


def _shapes(vm: DeclaredVm, extra: Mapping[Yaml, Yaml]) -> Iterator[InputError]:
    """Values of a type that cloud-init does not accept there; with them, what ov writes there would be lost."""
    for key, value in extra.items():
        if value is None:
            continue
        if key in LISTS and not isinstance(value, list):
            hint = f"{key}: [ … ], or a hyphen before each"
            yield _error(vm, f"cloud_init.extra.{key} must be a list", *EXTRA, str(key), hint=hint)
        elif key in MAPPINGS and not isinstance(value, dict):
            yield _error(vm, f"cloud_init.extra.{key} must be a mapping", *EXTRA, str(key), hint="key: value")
        elif key == "users" and not isinstance(value, list | dict | str):
            hint = "users: [default, {name: …}]"
            yield _error(vm, "cloud_init.extra.users must be a list of accounts", *EXTRA, "users", hint=hint)
    keys = extra.get("ssh_keys")
    for key in keys if isinstance(keys, dict) else ():
        if str(key).startswith("ed25519_"):
            message = f"cloud_init.extra.ssh_keys.{key}: the ed25519 host key is ov's, which knows the VM by it"
            hint = "remove it; other types of host keys may stand there"
            yield _error(vm, message, *EXTRA, "ssh_keys", str(key), hint=hint, key=True)


def _root_rule(vm: DeclaredVm, extra: Mapping[Yaml, Yaml], login: str) -> Iterator[InputError]:
    if login == "root" and is_true(extra.get("disable_root")):
        message = "cloud_init.extra.disable_root locks root out, and root is who logs in with the key"
        yield _error(vm, message, *EXTRA, "disable_root", hint="remove it, or name another ssh.user", key=True)


def _module_rule(vm: DeclaredVm, extra: Mapping[Yaml, Yaml], login: str) -> Iterator[InputError]:
    if not isinstance(extra.get("cloud_init_modules"), list):
        return
    lists = (extra.get(f"cloud_{stage}_modules") for stage in ("init", "config", "final"))
    modules = [
        one[0] if isinstance(one, list) and one else one for found in lists if isinstance(found, list) for one in found
    ]
    names = {str(one).replace("_", "-") for one in modules}
    for module in MODULES:
        if module not in names:
            message = f"cloud_init.extra.cloud_init_modules leaves out {module}: {_who(login)} would get no key"
            yield _error(vm, message, *EXTRA, "cloud_init_modules", hint=f"add {module}", key=True)


def _account(vm: DeclaredVm, user: Mapping[Yaml, Yaml], login: str, path: tuple[Key, ...]) -> Iterator[InputError]:
    """Settings of the key's user that would lock that user out."""
    words = {str(key).replace("-", "_").strip(): key for key in user}
    tests: dict[str, Callable[[Yaml], bool]] = {
        "ssh_redirect_user": is_true,
        "shell": lambda value: bool(_NO_SHELL.fullmatch(str(value))),
        "inactive": lambda value: value is not None and value is not False,
    }
    for word, locks in tests.items():
        if word in words and locks(user[words[word]]):
            message = f"{'.'.join(str(step) for step in path)}.{word} locks {_who(login)} out, who logs in with the key"
            hint = "remove it, or name another ssh.user"
            yield _error(vm, message, *path, str(words[word]), hint=hint, key=True)


def _who(login: str) -> str:
    return "the image's default user" if login == DEFAULT_USER else login


def _error(vm: DeclaredVm, message: str, *path: Key, hint: str, key: bool = False) -> InputError:
    """An error at ``path``, which may lie inside the text of ``extra``."""
    text: Json = vm.document.data
    for step in (*vm.path, *EXTRA):
        text = text.get(str(step)) if isinstance(text, Mapping) else None
    if not isinstance(text, str) or path[:2] != EXTRA:
        return vm.error(message, *path, hint=hint, key=key)
    (inner,) = parse_yaml(text.encode(), "extra", lambda path: True)
    found = inner.where(*path[2:], key=key)
    where = vm.document.where(*vm.path, *EXTRA, at=(found.line, found.column))
    return InputError(message, hint=hint, where=where)
