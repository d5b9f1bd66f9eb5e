"""What podman's messages mean for the user. Each pattern was met in practice, and is searched in podman's output."""

from __future__ import annotations

import re

from ovtasks.errors import OvError
from ovtasks.host.run import CommandError

RUNC = 'in containers.conf below [engine]: runtime = "runc", below [containers]: default_ulimits = ["nofile=1024:1024"]'

SIGNS: tuple[tuple[str, str, str], ...] = (
    (r"newuidmap.*not found", "rootless podman lacks newuidmap", "install the package uidmap or shadow-utils"),
    (
        r"insufficient UIDs or GIDs|lchown .*: invalid argument",
        "you have no subordinate user numbers for rootless containers",
        "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER; then podman system migrate",
    ),
    (r"setrlimit|cgroups? in hybrid mode|hybrid cgroup", "podman's runtime cannot run containers on this kernel", RUNC),
    (
        r"server gave HTTP response to HTTPS client|first record does not look like a TLS handshake",
        "the registry speaks plain HTTP",
        'in registries.conf: [[registry]] location = "…" insecure = true; or tls_verify: false for the image',
    ),
    (
        r"403 \(?Forbidden|\b403\b.*[Ff]orbidden",
        "the registry refuses the image",
        "podman login; an image built here as another user is not in this storage: its storage is the user's own",
    ),
    (
        r"x509: |certificate (?:is not trusted|has expired|signed by unknown authority)",
        "the registry's certificate is not trusted",
        "put the certificate of its authority into /etc/containers/certs.d/REGISTRY/ca.crt",
    ),
    (r"unauthorized|authentication required", "the registry wants to know who you are", "podman login REGISTRY"),
    (r"manifest unknown|name unknown|repository name not known", "the registry has no such image", "check the name"),
    (
        r"no such host|connection refused|i/o timeout|network is unreachable|Temporary failure in name resolution",
        "the registry cannot be reached",
        "check the name and the network; http_proxy is honoured",
    ),
    (
        r"[Ee]xec format error|exec user process caused",
        "the image is for another architecture than this machine's",
        "pull or build it for this one: podman image inspect shows which it has",
    ),
    (r"invalid reference format", "that is not an image reference", "registry/name:tag, or name@sha256:…"),
    (
        r"image not known|no such image|does not resolve to an image ID",
        "the image is not in this podman's storage",
        "ov image build or ov image pull brings it; sudo's storage is another one than yours",
    ),
    (
        r"statfs .*: no such file or directory",
        "podman does not find a folder that the container is to have",
        "a podman machine has the folders that it was made with: podman machine init --volume; /var/lib/containers "
        "comes with the first podman that root runs",
    ),
    (r"[Nn]o space left on device", "the disk is full", "podman system df; podman image prune; ov gc"),
    (
        r"unknown FS magic|error creating (?:temporary|overlay)|database is locked|readlink .*overlay",
        "podman's storage is damaged or busy",
        "podman ps --all --external shows what is left; podman system check or podman system reset repair it",
    ),
    (
        r"Cannot connect to Podman|unable to connect to Podman",
        "podman's machine does not answer",
        "podman machine start; podman system connection list",
    ),
    (
        r"sudo: (?:a password is required|a terminal is required)",
        "sudo asks for a password",
        "ov settings set engine.rootful machine, or permit it",
    ),
)


def diagnose(error: CommandError, what: str = "") -> OvError:
    """podman's error, with what to do about it. An unknown error stays as it is."""
    for pattern, message, hint in SIGNS:
        if found := re.search(pattern, error.stderr):
            start = error.stderr.rfind("\n", 0, found.start()) + 1
            said = f"\n  | {error.stderr[start:].splitlines()[0].strip()}"
            return OvError(f"{what}: {message}{said}" if what else f"{message}{said}", hint=hint)
    return error
