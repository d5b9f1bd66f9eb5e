"""Sets the guest's package mirrors before its first package is installed.

The order of cloud-init's modules (its ``cloud.cfg``): bootcmd and write_files in the init stage, apt_configure in the
config stage, packages in the final stage.
"""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.project.model import Mirrors
from ovtasks.seed.apt_sources import apt_command
from ovtasks.seed.distro import Distro
from ovtasks.values.jsonvalue import Json

PACMAN_LIST = "/etc/pacman.d/ov-mirrorlist"
# A vendor's repository file names a metalink or mirror list for each repository; a mirror is the root of that tree.
# (pattern of the list's URL after "repo=" or the like, the repository's place in the tree)
_DNF_TREE = (
    (r".*[?&]repo=fedora-(\$releasever|[0-9]+)&arch=([^&]+).*", r"releases/\2/Everything/\3/os/"),
    (r".*[?&]repo=updates-released-f(\$releasever|[0-9]+)&arch=([^&]+).*", r"updates/\2/Everything/\3/"),
    (r".*[?&]repo=centos-baseos-(\$stream|[0-9]+-stream)&arch=([^&]+).*", r"\2/BaseOS/\3/os/"),
    (r".*[?&]repo=centos-appstream-(\$stream|[0-9]+-stream)&arch=([^&]+).*", r"\2/AppStream/\3/os/"),
    (r".*[?&]repo=centos-crb-(\$stream|[0-9]+-stream)&arch=([^&]+).*", r"\2/CRB/\3/os/"),
    (r".*[?&]arch=([^&]+)&repo=(BaseOS|AppStream|CRB|extras)-([^&]+)\$rltype.*", r"\4/\3/\2/os/"),
    (r".*/mirrorlist/(\$releasever|[0-9]+)/baseos$", r"\2/BaseOS/$basearch/os/"),
    (r".*/mirrorlist/(\$releasever|[0-9]+)/appstream$", r"\2/AppStream/$basearch/os/"),
    (r".*/mirrorlist/(\$releasever|[0-9]+)/crb$", r"\2/CRB/$basearch/os/"),
    (r".*/mirrorlist/(\$releasever|[0-9]+)/extras$", r"\2/extras/$basearch/os/"),
)
_DNF_SCRIPT = 'for f in /etc/yum.repos.d/*.repo; do if [ -f "$f" ]; then sed -E -i "$1" "$f"; fi; done'
_PACMAN_CONF = "/etc/pacman.conf"
_PACMAN_SCRIPT = 'if [ -f "$2" ]; then sed -i "s|^Include = /etc/pacman.d/mirrorlist$|Include = $1|" "$2"; fi'


def mirrors(wanted: Mirrors, distro: Distro | None) -> dict[str, Json]:
    """Parts of user-data (``apt``, ``write_files``, ``bootcmd``) that set the mirrors, to be merged with the rest.

    Every entry is the root of a distribution's tree, as vendors' documentation calls it: the part before ``dists``
    (apt), ``releases`` or ``9-stream`` (dnf), ``core/os`` (pacman; ``$repo`` and ``$arch`` may also be written out).
    """
    data: dict[str, Json] = {}
    bootcmd: list[Json] = []
    if wanted.apt and distro and distro.name == "ubuntu":
        data["apt"] = _apt(wanted.apt)
    elif wanted.apt:
        # otherwise cloud-init rewrites the sources after bootcmd
        data["apt"] = {"preserve_sources_list": True}
        bootcmd.append([*apt_command(wanted.apt)])
    if wanted.dnf:
        bootcmd.append(["sh", "-c", _DNF_SCRIPT, "ov-mirrors", dnf_sed(wanted.dnf)])
    if wanted.pacman:
        # a list of our own: the Arch cloud image overwrites the usual one late in its first boot
        data["write_files"] = [{"path": PACMAN_LIST, "content": _pacman(wanted.pacman), "permissions": "0644"}]
        bootcmd.append(["sh", "-c", _PACMAN_SCRIPT, "ov-mirrors", PACMAN_LIST, _PACMAN_CONF])
    if bootcmd:
        data["bootcmd"] = bootcmd
    return data


def _apt(urls: Sequence[str]) -> dict[str, Json]:
    """cloud-init takes the first of ``search`` whose host name resolves.

    Without a ``security`` entry it looks for the security suite under the primary mirror, too. That is right for
    Ubuntu.
    """
    choice: dict[str, Json] = {"uri": urls[0]} if len(urls) == 1 else {"search": list(urls)}
    return {"preserve_sources_list": False, "primary": [{"arches": ["default"], **choice}]}


def dnf_sed(urls: Sequence[str]) -> str:
    """A sed -E script that turns vendors' metalink and mirrorlist lines into ``baseurl`` lines of these mirrors.

    The vendor's sections keep their keys and switches. A second run changes nothing, which matters because it runs at
    every boot. Repositories that are not in the table stay as they are.
    """
    lines = []
    for pattern, place in _DNF_TREE:
        roots = [_sed_text(url.rstrip("/")) + "/" + place for url in urls]
        lines.append(f"s~^(metalink|mirrorlist)={pattern}~baseurl={' '.join(roots)}~")
    return "\n".join(lines)


def _sed_text(text: str) -> str:
    """``text`` as a literal in sed's replacement, with ``~`` as the delimiter."""
    return "".join("\\" + c if c in "\\&~" else c for c in text)


def _pacman(urls: Sequence[str]) -> str:
    return "".join(f"Server = {u if '$repo' in u else u.rstrip('/') + '/$repo/os/$arch'}\n" for u in urls)
