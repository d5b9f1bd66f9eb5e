"""A repository as each package manager wants it: its file, its key, and the operation that puts them there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from ovtasks.errors import Where
from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import text_upload
from ovtasks.layers.kinds.functions import call
from ovtasks.layers.kinds.packages.scripts import with_scripts
from ovtasks.layers.kinds.repositories.operations import KIND, brought
from ovtasks.layers.operation import Bringer, Gate, Operation, Upload
from ovtasks.layers.sections import words
from ovtasks.project.layer_model import LayerPart

_APT_ONLY = ("suite", "components", "architectures")
_RPM_ONLY = ("rpm", "priority")
_PACMAN_ONLY = ("server", "siglevel")
NOT_READ: Mapping[str, tuple[str, ...]] = {
    "apt": (*_RPM_ONLY, *_PACMAN_ONLY),
    "dnf": (*_APT_ONLY, *_PACMAN_ONLY),
    "zypper": (*_APT_ONLY, *_PACMAN_ONLY),
    "pacman": (*_APT_ONLY, *_RPM_ONLY),
    "apk": (*_APT_ONLY, *_RPM_ONLY, *_PACMAN_ONLY, "gpgcheck"),
}
"""Package manager → fields of a repository that mean nothing to it."""
_ARMOR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"


@dataclass(frozen=True)
class _SigningKey:
    """A key to download. ``digest``: the sha256 that pins it."""

    url: str
    digest: str | None
    where: Where

    def bring(self, bringer: Bringer) -> bytes:
        return brought(bringer, self.url, self.digest, self.where, "the key")


def repository(manager: str, part: LayerPart, context: LayerContext) -> Operation | None:
    """The operation that adds a repository; None if it is skipped.

    :raises InputError: a field that is needed is missing.
    """
    if manager == "apk" and part.data.get("enabled") is False:
        context.skip("a repository that is not enabled", "apk has nothing like it", part.place("enabled"))
        return None
    needed = "server" if manager == "pacman" and "server" in part.data else "url"
    if needed not in part.data:
        raise part.error("a repository needs its url", hint="or rpm: a package that brings it, for dnf and zypper")
    return _MAKERS[manager](part, context)


def _name(part: LayerPart) -> str:
    if "name" in part.data:
        return str(part.data["name"])
    path = PurePosixPath(urlsplit(str(part.data.get("url", part.data.get("server")))).netloc or "repository")
    return re.sub(r"[^A-Za-z0-9-]+", "-", path.name).strip("-")


def _key(part: LayerPart) -> _SigningKey | None:
    if "key" not in part.data:
        return None
    pinned = part.data.get("key_sha256")
    return _SigningKey(str(part.data["key"]), str(pinned) if pinned else None, part.place("key"))


Complete = Callable[[Operation, Bringer], Operation]


def _operation(name: str, part: LayerPart, complete: Complete, functions: str, *words: str) -> Operation:
    """Before it is completed, its ``do`` tells it from others: the repository as the layer has it."""
    told = "\n".join(f"# {key}: {part.data[key]}" for key in sorted(part.data))
    return Operation(
        kind=KIND,
        name=f"add the repository {name}",
        where=part.where,
        do=f"{told}\n{call(f'{functions}_do', *words)}",
        gate=Gate.REPOSITORY,
        complete=complete,
    )


def _fill(
    operation: Operation,
    manager: str,
    functions: str,
    uploads: tuple[Upload, ...],
    words: tuple[str, ...],
    saved: tuple[str, ...],
) -> Operation:
    """The operation with its texts and uploads. ``words`` go to each function, ``saved`` to the one that saves."""
    own = "ov_repo" if functions == "ov_apt_repo" else functions
    done = replace(
        operation,
        look=call(f"{functions}_look", *words),
        save=call(f"{functions}_save", *saved),
        do=call(f"{functions}_do", *words),
        undo=call(f"{own}_undo", *(words[:1] if functions == "ov_pac_repo" else ())),
        in_image=call(f"{functions}_image", *words) if functions in {"ov_apt_repo", "ov_ini"} else "",
        uploads=uploads,
    )
    return with_scripts(done, manager, repositories=True)


def _apt(part: LayerPart, context: LayerContext) -> Operation:
    name, key = _name(part), _key(part)
    suite = str(part.data.get("suite") or context.facts.codename)
    if not suite:
        raise part.error("nothing says which suite of the repository to use", hint="add suite:")
    components = () if suite.endswith("/") else words(part.data.get("components")) or ("main",)

    def complete(operation: Operation, bringer: Bringer) -> Operation:
        content = key.bring(bringer) if key else b""
        suffix = "asc" if content.lstrip().startswith(_ARMOR) else "gpg"
        place = f"/etc/apt/keyrings/{name}.{suffix}" if key else ""
        lines = {
            "Types": "deb",
            "URIs": str(part.data["url"]),
            "Suites": suite,
            "Components": " ".join(components),
            "Architectures": " ".join(words(part.data.get("architectures"))),
            "Signed-By": place,
            "Trusted": "yes" if part.data.get("gpgcheck") is False else "",
            "Enabled": "no" if part.data.get("enabled") is False else "",
        }
        text = "".join(f"{field}: {value}\n" for field, value in lines.items() if value)
        uploads = (text_upload("source", text), *((text_upload("key", content),) if key else ()))
        saved = (f"/etc/apt/sources.list.d/{name}.sources", *((place,) if key else ()))
        return _fill(operation, "apt", "ov_apt_repo", uploads, (name, place), saved)

    return _operation(name, part, complete, "ov_apt_repo", name, suite, *components)


def _ini(manager: str) -> Callable[[LayerPart, LayerContext], Operation]:
    folder = "/etc/zypp/repos.d" if manager == "zypper" else "/etc/yum.repos.d"

    def make(part: LayerPart, context: LayerContext) -> Operation:
        name, key = _name(part), _key(part)
        url = str(part.data["url"])

        def complete(operation: Operation, bringer: Bringer) -> Operation:
            keys = [key] if key else []
            if urlsplit(url).path.endswith(".repo"):
                text = bringer.download(url, None, part.place("url")).read_bytes()
                if manager == "zypper" and not keys:  # dnf takes the keys that such a file names by itself
                    keys = [
                        _SigningKey(found, None, part.place("url")) for found in _keys_of(text.decode(errors="replace"))
                    ]
            else:
                text = _ini_text(name, url, part, bool(key)).encode()
            places = [
                f"/etc/pki/rpm-gpg/RPM-GPG-KEY-{name}{'' if n == 1 else f'-{n}'}" for n in range(1, len(keys) + 1)
            ]
            uploads = [text_upload("source", text)]
            uploads += [text_upload(f"key{n}", one.bring(bringer)) for n, one in enumerate(keys, 1)]
            paths = (f"{folder}/{name}.repo", *places)
            return _fill(operation, manager, "ov_ini", tuple(uploads), paths, paths)

        return _operation(name, part, complete, "ov_ini", folder, name)

    return make


def _ini_text(name: str, url: str, part: LayerPart, key: bool) -> str:
    lines = {
        "name": name,
        "baseurl": url,
        "enabled": "0" if part.data.get("enabled") is False else "1",
        "autorefresh": "1",
        "gpgcheck": "0" if part.data.get("gpgcheck") is False else "1",
        "gpgkey": f"file:///etc/pki/rpm-gpg/RPM-GPG-KEY-{name}" if key else "",
        "priority": str(part.data.get("priority", "")),
    }
    return f"[{name}]\n" + "".join(f"{field}={value}\n" for field, value in lines.items() if value)


def _keys_of(text: str) -> list[str]:
    found = re.findall(r"^\s*gpgkey\s*=\s*(.+(?:\n[ \t]+.+)*)", text, re.MULTILINE)
    urls = [url for value in found for url in re.split(r"[\s,]+", value.strip()) if url.startswith("https://")]
    return list(dict.fromkeys(urls))


def _pacman(part: LayerPart, context: LayerContext) -> Operation:
    name, key = _name(part), _key(part)
    server = str(part.data.get("server", part.data.get("url")))
    unsigned = "Optional TrustAll" if part.data.get("gpgcheck") is False else ""
    level = str(part.data.get("siglevel", unsigned))
    lines = [f"[{name}]", *([f"SigLevel = {level}"] if level else []), f"Server = {server}"]
    if part.data.get("enabled") is False:
        lines.insert(1, "Usage = Search")
    text = "\n".join(lines) + "\n"

    def complete(operation: Operation, bringer: Bringer) -> Operation:
        uploads = (text_upload("source", text), *((text_upload("key", key.bring(bringer)),) if key else ()))
        return _fill(operation, "pacman", "ov_pac_repo", uploads, (name, "yes" if key else ""), (name,))

    return _operation(name, part, complete, "ov_pac_repo", name)


def _apk(part: LayerPart, context: LayerContext) -> Operation:
    name, key = _name(part), _key(part)
    line = str(part.data["url"])
    # apk finds a key by the name that the signature has, and that is the name of the file.
    place = f"/etc/apk/keys/{PurePosixPath(urlsplit(key.url).path).name}" if key else ""

    def complete(operation: Operation, bringer: Bringer) -> Operation:
        uploads = (text_upload("key", key.bring(bringer)),) if key else ()
        return _fill(operation, "apk", "ov_apk_repo", uploads, (line, place), (place,))

    return _operation(name, part, complete, "ov_apk_repo", line)


_MAKERS: Mapping[str, Callable[[LayerPart, LayerContext], Operation]] = {
    "apt": _apt,
    "dnf": _ini("dnf"),
    "zypper": _ini("zypper"),
    "pacman": _pacman,
    "apk": _apk,
}
