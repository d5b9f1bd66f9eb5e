"""Renders the files of a NoCloud seed from a VM's spec. The same values give the same bytes.

Formats: cloud-init's documentation, "Cloud config" (user-data), "NoCloud" (meta-data), "Networking config".

No package is installed unless the user asks for it: vendors' cloud images and our bootstrap images bring sshd, and a
package costs minutes under emulation, and needs a network. Two exceptions: ``ov_install.strategy: url`` needs ``curl``,
and mounts by sshfs need that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ovtasks.project.model import CloneSource, CloudInit, OvInstall, VmSpec, WriteFile
from ovtasks.seed.distro import Distro, detect
from ovtasks.seed.merge import deep_merge, unique
from ovtasks.seed.mirrors import mirrors
from ovtasks.seed.mounts import early, late, sshfs_package
from ovtasks.seed.renewal import renewal
from ovtasks.seed.users import accounts, join_users, listed, takes_default_user
from ovtasks.seed.wanted import carries_keys
from ovtasks.values.jsonvalue import Json, plain
from ovtasks.values.mount import SSHFS
from ovtasks.values.passed import Pairs, Yaml, decode, encode

USER_DATA = "user-data"
META_DATA = "meta-data"
NETWORK_CONFIG = "network-config"
OV_PROGRAM = "/usr/local/bin/ov"

# $1 URL, $2 sha256 or empty, $3 final name. The file gets its name and its x bit only after its digest is checked.
INSTALL_SCRIPT = """\
set -e
mkdir -p "${3%/*}"
t=$(mktemp "$3.XXXXXX")
trap 'rm -f "$t"' EXIT
if command -v curl >/dev/null 2>&1; then curl -fsSL --retry 3 -o "$t" "$1"; else wget -q -O "$t" "$1"; fi
if [ -n "$2" ]; then echo "$2  $t" | sha256sum -c - >/dev/null; fi
chmod 0755 "$t"
mv -f "$t" "$3"
"""
# Starting a running unit costs seconds under emulation. With socket activation the service itself is not active.
_ENABLE_SSH = "systemctl is-active --quiet {unit}.service ssh.socket || systemctl enable --now {unit}.service"
_PROBE_SSH = (
    "for u in ssh sshd; do if systemctl cat $u.service >/dev/null 2>&1; then "
    + _ENABLE_SSH.format(unit="$u")
    + "; break; fi; done"
)


_BREAKS = frozenset("\r\x85\u2028\u2029\ufeff")


@dataclass(frozen=True, slots=True)
class SeedInput:
    """Everything a seed is rendered from.

    ``public_keys`` are lines of ``authorized_keys``; ``host_key`` is sshd's ed25519 pair (private, public), in
    OpenSSH's text formats.
    """

    vm: VmSpec
    instance_id: str
    hostname: str
    public_keys: tuple[str, ...] = ()
    host_key: tuple[str, str] | None = None


def render(seed: SeedInput) -> dict[str, bytes]:
    """``user-data``, ``meta-data`` and, if ``cloud_init.network`` is given, ``network-config``."""
    files = {
        USER_DATA: b"#cloud-config\n" + _yaml(user_data(seed)),
        META_DATA: _yaml({"instance-id": seed.instance_id, "local-hostname": seed.hostname}),
    }
    network = network_config(seed.vm.cloud_init.network if seed.vm.cloud_init else {})
    if network:
        files[NETWORK_CONFIG] = _yaml(network)
    return files


def user_data(seed: SeedInput) -> Mapping[Yaml, Yaml]:
    """The user-data as PyYAML's values. ``cloud_init.extra`` is merged in last."""
    vm = seed.vm
    wanted = vm.cloud_init or CloudInit()
    distro = detect(vm.source)
    keys = unique(seed.public_keys) if carries_keys(vm) else []
    data: dict[str, Json] = {"hostname": seed.hostname, **accounts(vm, keys, distro)}
    if wanted.timezone:
        data["timezone"] = wanted.timezone
    if wanted.locale:
        data["locale"] = wanted.locale
    if seed.host_key:
        data["ssh_keys"] = {"ed25519_private": seed.host_key[0], "ed25519_public": seed.host_key[1]}
    if packages := _packages(vm, wanted, distro):
        data["packages"] = list(packages)
    data["runcmd"] = _runcmd(wanted, distro, late(vm.mounts))
    from_mirrors = mirrors(wanted.mirrors, distro)
    names = {user.name for user in wanted.users} | {vm.ssh.user or "root"}
    # joined, not deduplicated: a command written twice runs twice
    listed: dict[str, list[Json]] = {
        "bootcmd": [plain(command) for command in wanted.bootcmd],
        "write_files": [_write_file(file, names) for file in wanted.write_files],
    }
    for key, items in listed.items():
        before = from_mirrors.pop(key, [])
        if key == "bootcmd":
            again = renewal(vm.source) if isinstance(vm.source, CloneSource) else []
            items = [*again, *early(vm.mounts), *items]
        if both := [*(before if isinstance(before, list) else []), *items]:
            data[key] = both
    return _with_extra({**data, **from_mirrors}, wanted.extra, keeps_default=takes_default_user(vm, keys))


def _with_extra(data: dict[str, Json], written: Mapping[str, Json], *, keeps_default: bool) -> Mapping[Yaml, Yaml]:
    """Join our lists with those that ``extra`` has under the same name; accounts are joined by name."""
    extra = decode(written)
    assert isinstance(extra, dict)
    if "users" in extra:
        extra["users"] = join_users(data.pop("users", []), extra["users"], keeps_default=keeps_default)
    if "ssh_authorized_keys" in extra:
        extra["ssh_authorized_keys"] = listed(extra["ssh_authorized_keys"])
    merged = deep_merge(plain(data), extra)
    assert isinstance(merged, dict)
    for key in {"packages", "ssh_authorized_keys"} & set(data) & set(extra):  # order counts, repetition does not
        merged[key] = [decode(item) for item in unique(encode(item) for item in merged[key])]
    return merged


def network_config(written: Mapping[str, Json]) -> Mapping[Yaml, Yaml]:
    """As written, with the version filled in: 2 (netplan's), or 1 where version 1's key ``config`` is used."""
    wanted = decode(written)
    assert isinstance(wanted, dict)
    if not set(wanted) - {"version"}:
        return {}
    if set(wanted) == {"network"}:
        return {**wanted}
    return {"version": 1 if "config" in wanted else 2, **wanted}


def _packages(vm: VmSpec, wanted: CloudInit, distro: Distro | None) -> list[str]:
    needed = ["curl"] if wanted.ov_install.strategy == "url" and distro else []
    if any(one.transport == SSHFS for one in vm.mounts) and (package := sshfs_package(vm)):
        needed.append(package)
    return unique([*needed, *wanted.packages])


def _runcmd(wanted: CloudInit, distro: Distro | None, mounts: list[Json]) -> list[Json]:
    """sshd comes first, so that a failing command of the user's does not lock them out.

    cloud-init makes one shell script of all commands, and its status is that of the last one. So the download of
    ``ov`` comes last: if it fails, cloud-init's status says so.
    """
    commands: list[Json] = [_ENABLE_SSH.format(unit=distro.ssh_unit) if distro else _PROBE_SSH]
    commands += [*mounts, *(plain(command) for command in wanted.runcmd)]
    return commands + _ov_install(wanted.ov_install)


def _ov_install(wanted: OvInstall) -> list[Json]:
    """Commands that download ``ov``. The rest is up to deployments."""
    if wanted.strategy != "url" or not wanted.url:
        return []
    checksum = (wanted.checksum or "").removeprefix("sha256:").lower()
    return [["sh", "-c", INSTALL_SCRIPT, "ov-install", wanted.url, checksum, OV_PROGRAM]]


def _write_file(file: WriteFile, users: set[str]) -> Json:
    """A file whose owner this seed creates is deferred: cloud-init writes files before it makes users."""
    entry: dict[str, Json] = {"path": file.path, "content": file.content}
    if file.owner is not None:
        entry["owner"] = file.owner
    if file.perms is not None:
        entry["permissions"] = file.perms
    if file.encoding is not None:
        entry["encoding"] = file.encoding
    if file.append:
        entry["append"] = True
    if file.defer or (file.owner or "root").split(":")[0] in users - {"root"}:
        entry["defer"] = True
    return entry


def _yaml(data: Yaml) -> bytes:
    """One text for equal data: sorted keys, no anchors, no folding; a text of several lines becomes a block."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        # YAML's other line breaks survive in the quoted style only
        style = '"' if set(value) & _BREAKS else "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    def pairs(dumper: yaml.SafeDumper, value: Pairs) -> yaml.SequenceNode:
        return dumper.represent_sequence("tag:yaml.org,2002:pairs", [{key: item} for key, item in value])

    def members(dumper: yaml.SafeDumper, value: set[Yaml]) -> yaml.MappingNode:
        ordered = sorted(value, key=lambda item: (type(item).__name__, str(item)))
        return dumper.represent_mapping("tag:yaml.org,2002:set", dict.fromkeys(ordered))

    Dumper.add_representer(str, text)
    Dumper.add_representer(Pairs, pairs)
    Dumper.add_representer(set, members)
    dumped: str = yaml.dump(data, Dumper=Dumper, sort_keys=True, allow_unicode=True, width=1 << 30)
    return dumped.encode()
