"""The keys of a layer file in all versions of the format; see :mod:`.names`."""

from __future__ import annotations

from ovtasks.project.names import KeyNames

CHECK = KeyNames(
    {
        "version": "versions",
        "header": "headers",
        "opt": "opts",
        "over_id": "over_ids",
        "metric": "metrics",
        "arg": "args",
        "addresses": "addrs",
        "exclude_distro": "exclude_distros",
        "exit_code": "exit_status",
        "tags": "tag",
    }
)
REPOSITORY = KeyNames({"gpgkey": "key", "component": "components", "architecture": "architectures", "gpg_key": "key"})
AUR = KeyNames({"package": "packages", "replace": "replaces", "option": "options"})
SECTION = KeyNames(
    {
        "package": "packages",
        "repo": "repos",
        "option": "options",
        "module": "modules",
        "coprs": "copr",
        "excludes": "exclude",
    },
    {"repos": REPOSITORY, "aur": AUR},
)
SERVICE = KeyNames(
    {
        "autostart": "auto_start",
        "start_sec": "start_secs",
        "start_retry": "start_retries",
        "exit_code": "exit_codes",
        "event": "events",
        "override": "overrides",
    }
)
ARTIFACT = KeyNames({"wait_second": "wait_seconds", "rewrites": "rewrite"})
SCENARIO = KeyNames({"step": "steps", "tags": "tag"}, {"steps": CHECK})
LAYER = KeyNames(
    {
        "depends": "requires",
        "require": "requires",
        "layer": "layers",
        "tests": "eval",
        "distro": "distros",
        "package": "packages",
        "task": "tasks",
        "var": "vars",
        "services": "service",
        "artifact": "artifacts",
        "port": "ports",
        "volume": "volumes",
        "alias": "aliases",
        "secret": "secrets",
        "hook": "hooks",
        "secret_require": "secret_requires",
        "secret_accept": "secret_accepts",
        "env_require": "env_requires",
        "env_accept": "env_accepts",
        "env_provide": "env_provides",
        "mcp_require": "mcp_requires",
        "mcp_accept": "mcp_accepts",
        "mcp_provide": "mcp_provides",
        "capability": "capabilities",
    },
    {
        "distros": KeyNames(every=SECTION),
        "rpm": SECTION,
        "deb": SECTION,
        "pac": SECTION,
        "apk": SECTION,
        "aur": AUR,
        "service": SERVICE,
        "eval": CHECK,
        "artifacts": ARTIFACT,
        "description": KeyNames({"scenarios": "scenario", "tags": "tag"}, {"scenario": SCENARIO}),
    },
)
