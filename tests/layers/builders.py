"""Stand-ins for programs that build: they keep the command line of the real ones, and put files where those would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ovtasks.layers.events import What
from ovtasks.layers.guest import look
from ovtasks.layers.plan import LayerPlan, complete
from ovtasks.layers.script import IN_IMAGE, image_script
from tests.support.layers import FACTS, LocalShell, plan

PIXI = r"""#!/bin/sh
set -eu
echo "pixi $*" >>"${0%/*}/../pixi.log"
case $1 in
init) [ "$2" = --import ]; sed 's/^/# /' "$3" >"$4/pixi.toml"; exit ;;
install) [ "$2" = --manifest-path ] ;;
esac
mkdir -p "$PIXI_CACHE_DIR" "$RATTLER_CACHE_DIR"
case $3 in */pixi.toml | */pyproject.toml) ;; *) exit 1 ;; esac
work=${3%/*}
if [ "${4-}" = --frozen ]; then [ -e "$work/pixi.lock" ]; fi
env=$work/.pixi/envs/default
mkdir -p "$env/bin" "$env/conda-meta" "$env/etc"
for program in python $(sed -n '/^\[dependencies/,/^\[/s/^\([a-z]*\) = .*/\1/p' "$3"); do
    printf '#!/bin/sh\necho %s of %s\n' "$program" "${work##*/}" >"$env/bin/$program"
    chmod 0755 "$env/bin/$program"
done
"""
CARGO = r"""#!/bin/sh
set -eu
echo "cargo $*" >>"${0%/*}/../cargo.log"
command=$1
shift
while [ $# -gt 0 ]; do
    case $1 in
    --list) command=list ;;
    --path) path=$2; shift ;;
    --root) root=$2; shift ;;
    --target-dir) mkdir -p "$2"; shift ;;
    --locked) [ -e "$path/Cargo.lock" ] ;;
    --force) ;;
    *) crate=$1 ;;
    esac
    shift
done
case $command in
install)
    name=$(sed -n 's/^name = "\(.*\)"/\1/p' "$path/Cargo.toml")
    [ -e "$path/src/main.rs" ]
    mkdir -p "$root/bin"
    cp "$path/src/main.rs" "$root/bin/$name"
    chmod 0755 "$root/bin/$name"
    echo "$name" >>"$root/.crates.toml"
    ;;
list) sort -u "$root/.crates.toml" 2>/dev/null | sed 's/.*/& v0.1.0 (\/path):\n    &/' ;;
uninstall) rm "$root/bin/$crate"; sed -i "/^$crate$/d" "$root/.crates.toml" ;;
esac
"""


class Nothing:
    """Brings nothing: these operations need nothing from outside."""

    def download(self, url: str, digest: str | None, where: object) -> Path:
        """Never called."""
        raise AssertionError(url)

    def say(self, line: str) -> None:
        """Never called."""
        raise AssertionError(line)


class Built:
    """A guest with these programs, and the layers that are put into it."""

    def __init__(self, folder: Path, **programs: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.shell = LocalShell(folder)
        for name, text in programs.items():
            self.program(name, text)

    def program(self, name: str, text: str) -> None:
        """A program in PATH."""
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def layer(self, name: str = "a", **files: str) -> LayerPlan:
        """A layer of these files, complete. What it adds to PATH is left out: that is a file of this machine."""
        facts = replace(FACTS, home=str(self.home))
        made = plan(self.folder, f"name: {name}\n", name, facts=facts, **files)
        pairs = [
            (one, digest)
            for one, digest in zip(made.operations, made.digests, strict=True)
            if one.kind != "environment"
        ]
        made = replace(made, operations=tuple(one for one, _ in pairs), digests=tuple(digest for _, digest in pairs))
        return complete(made, Nothing())

    def in_image(self, layer: LayerPlan) -> None:
        """Put the layer into an "image"."""
        script = image_script(layer, "token", {}).decode().replace(IN_IMAGE, f"{self.folder}/image")
        assert self.shell.run(script).status == 0
        assert not (self.folder / "image").exists()

    def log(self, program: str) -> list[str]:
        """How a stand-in was called, since the last time."""
        path = self.folder / f"{program}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def seen(self, name: str = "a") -> list[What]:
        """What a look at the layer finds."""
        return [event.what for event in look(self.shell, [name], how=self.shell.how) if event.operation]
