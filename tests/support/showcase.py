"""Three layers that use what layers can do, and a site with what they bring: for a booted guest and for an image."""

from __future__ import annotations

import io
import json
import tarfile
from hashlib import sha256
from pathlib import Path

from tests.support.archives import apt_repository, deb, make_key
from tests.support.server import Site

NPM = r"""#!/bin/sh
set -eu
echo "npm $*" >>"${0%/*}/../npm.log"
: "${npm_config_cache:?}" "${NPM_CONFIG_PREFIX:?}"
mkdir -p "$npm_config_cache/_cacache"
command=$1
[ "$2 $3" = "--global --" ]
shift 3
modules=$NPM_CONFIG_PREFIX/lib/node_modules
for spec; do
    name=${spec%@*}
    version=${spec##*@}
    if [ -z "$name" ] || [ "$name" = "$spec" ]; then name=$spec version=9.9.9; fi
    case $spec in *.tgz) name=$(tar -xOf "$spec" name) version=$(tar -xOf "$spec" version) ;; esac
    case $name in *missing*) echo "npm error 404 $name" >&2; exit 1 ;; esac
    if [ "$command" = uninstall ]; then
        rm -rf "$modules/$name" "$NPM_CONFIG_PREFIX/bin/${name##*/}"
    else
        mkdir -p "$modules/$name" "$NPM_CONFIG_PREFIX/bin"
        printf '{\n  "name": "%s",\n  "version": "%s"\n}\n' "$name" "${version#^}" >"$modules/$name/package.json"
        echo "#!/bin/sh" >"$NPM_CONFIG_PREFIX/bin/${name##*/}"
        chmod 0755 "$NPM_CONFIG_PREFIX/bin/${name##*/}"
        if [ -n "${NPM_DIES:-}" ]; then mkdir "$modules/.${name##*/}-abcdEFGH"; exit 137; fi
    fi
done
"""
"""A stand-in for npm with its command line; it notes what it was asked in npm.log beside its folder."""
PINNED = {"key": "/key.asc", "tool": "/tool-1.0.tar.gz"}
BASE = """
layer:
  name: base
  distros:
    debian:
      repos:
      - {{name: test, url: "http://{guest}", suite: stable, components: main, key: "{host}/key.asc",
         key_sha256: {key}}}
      packages: [ov-hello, ov-npm]
  env: {{OV_BASE: here and now}}
  path_append: [~/.local/bin]
  eval:
  - {{package: ov-hello, installed: true}}
  - {{command: echo $OV_BASE, stdout: {{equals: here and now}}}}
"""
TOOLS = """
layer:
  name: tools
  requires: [base]
  vars: {{TOOL: "1.0"}}
  tasks:
  - write: /etc/motd
    content: "made by layers\\n"
    mode: "0640"
  - mkdir: ${{HOME}}/.config/deep/below
    user: ${{USER}}
    mode: "0700"
  - copy: settings
    to: ~/.config/deep/settings
    user: ${{USER}}
  - download: {host}/tool-${{TOOL}}.tar.gz
    sha256: {tool}
    extract: tar.gz
    strip_components: 1
    to: /opt/tool
    user: root
  - link: /usr/local/bin/tool
    target: /opt/tool/tool
  - cmd: echo "$(tool) $OV_BASE" >~/said
    user: ${{USER}}
    uninstall: [~/said]
  shell: {{init: "alias hello='echo hello'"}}
  eval:
  - {{file: /etc/motd, exists: true, mode: "0640"}}
  - {{file: /home/demo/said, contains: the tool here and now}}
  - {{command: "bash -ic hello", stdout: {{contains: hello}}}}
  - {{command: left, exit_status: 0}}
"""
SERVICES = """
layer:
  name: services
  requires: [tools]
  service:
  - {{name: sleeper, exec: /bin/sleep {seconds}, restart: always, env: {{A: "b c"}}}}
  - {{name: mine, exec: /bin/sleep 1000001, scope: user}}
  eval:
  - {{service: sleeper, running: true, enabled: true}}
"""


def tool_archive() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content, mode in (("tool", "#!/bin/sh\necho the tool\n", 0o755), ("README", "read me\n", 0o644)):
            info = tarfile.TarInfo(f"tool-1.0/{name}")
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content.encode()))
    return made.getvalue()


def npm_package(folder: Path) -> Path:
    """A package with a stand-in for npm: the real one brings 400 others."""
    program = "".join(line for line in NPM.splitlines(keepends=True) if "npm.log" not in line)
    script = f"cat >/usr/bin/npm <<'_NPM_'\n{program}_NPM_\nchmod 0755 /usr/bin/npm"
    return deb(folder, "ov-npm", postinst=script)


def site_of(folder: Path) -> Site:
    """What the layers bring: a signed repository with its key, and an archive."""
    key = make_key(folder, "test")
    repository = folder / "repository"
    packages = [deb(folder, "ov-hello", "1", True, Depends="ov-library"), deb(folder, "ov-library")]
    apt_repository(repository, [*packages, npm_package(folder)], key)
    files = [path for path in repository.rglob("*") if path.is_file()]
    content = {f"/{path.relative_to(repository)}": path.read_bytes() for path in files}
    return Site(files={"/key.asc": key.public, "/tool-1.0.tar.gz": tool_archive(), **content})


def write_layers(project: Path, host: str, guest: str, site: Site) -> None:
    """Write the layers into a project. ``host`` is the site's URL here, ``guest`` its name and port over there."""
    sums = {name: sha256(site.files[path]).hexdigest() for name, path in PINNED.items()}
    _write(project, "base", BASE.format(host=host, guest=guest, **sums))
    package = json.dumps({"dependencies": {"left": "^1.2.0"}})
    _write(project, "tools", TOOLS.format(host=host, **sums), settings="a = b\n", package__json=package)
    edit_service(project, 1000000)


def edit_service(project: Path, seconds: int, *, reboot: bool = False) -> None:
    """Write the layer ``services``, with this in its text; ``reboot``: it asks for a restart."""
    _write(project, "services", SERVICES.format(seconds=seconds) + ("  reboot: true\n" if reboot else ""))


def _write(project: Path, layer: str, text: str, **files: str) -> None:
    folder = project / "layers" / layer
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"layer__yml": text, **files}.items():
        (folder / name.replace("__", ".")).write_text(content)
