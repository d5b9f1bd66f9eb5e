"""Packages of the AUR: what is built by whom, what comes along, and what undo leaves."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.layers.events import What
from ovtasks.layers.plan import LayerPlan, complete
from tests.layers.builders import Nothing
from tests.support.layers import FACTS, LocalShell, plan
from tests.support.server import Site, serve

pytestmark = pytest.mark.root  # pacman is root's

ARCH = replace(FACTS, distro="arch", version="", like=(), codename="")
PACMAN = r"""#!/bin/sh
# Files in db and repo are packages: version, then "auto" or "asked".
cd "${0%/*}/.."
[ "$1" = --noconfirm ] && shift
echo "pacman $*" >>log
verb=$1
shift
mark=asked
words=
for word; do
    case $word in
    --asdeps) mark=auto ;;
    --print) verb=nothing ;;
    --*) ;;
    %n) ;;
    *) words="$words $word" ;;
    esac
done
there() { [ -e "db/${1%%[<>=]*}" ]; }
case $verb in
-Q) for one in ${words:-$(ls db)}; do there "$one" || exit 1; echo "$one $(head -n 1 "db/$one")"; done ;;
-Qq) for one in ${words:-$(ls db)}; do there "$one" || exit 1; echo "$one"; done ;;
-Qdq) grep -lx auto db/* 2>/dev/null | sed 's|db/||' ;;
-T) for one in $words; do there "$one" || { echo "$one"; bad=127; }; done; exit "${bad:-0}" ;;
-Sp) for one in $words; do [ -e "repo/$one" ] || exit 1; done ;;
-Sgq) exit 1 ;;
-S) for one in $words; do [ -e "repo/$one" ] || exit 1; there "$one" || printf '1.0\n%s\n' $mark >"db/$one"; done ;;
-Qp) for one in $words; do sed -n 1p "$one"; done ;;
-U) for one in $words; do read -r name version <"$one"; printf '%s\n%s\n' "$version" $mark >"db/$name"; done ;;
-R* | nothing) for one in $words; do if [ "$verb" != nothing ]; then rm "db/$one" || exit 1; fi; done ;;
-D) for one in $words; do sed -i "2s/.*/$mark/" "db/$one"; done ;;
esac
"""
MAKEPKG = r"""#!/bin/sh
set -eu
[ "$(id -u)" != 0 ] || { echo "not as root" >&2; exit 10; }
echo "makepkg $*" >>"$HOME/../out/log"
grep -q '!debug' "$2"
. ./PKGBUILD
for name in $pkgname; do echo "$name $pkgver" >"$PKGDEST/$name-$pkgver.pkg.tar.zst"; done
echo "junk 1" >"$PKGDEST/junk-debug.pkg.tar.zst"
"""


def recipe(site: Site, base: str, *names: str, needs: tuple[str, ...] = (), fails: str = "") -> None:
    """Let the AUR have a recipe."""
    lines = [f"pkgbase = {base}", *(f"\tmakedepends = {need}" for need in needs), "\tvalidpgpkeys = 4711"]
    for name in names:
        lines += ["", f"pkgname = {name}", f"\tdepends = of-{name}"]
        site.files[f"/rpc/v5/info/{name}"] = json.dumps(
            {"resultcount": 1, "results": [{"Name": name, "PackageBase": base}]}, separators=(",", ":")
        ).encode()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        build = f'pkgname="{" ".join(names)}"\npkgver=2.0\n{fails}\n'
        for file, content in {"PKGBUILD": build, ".SRCINFO": "\n".join(lines) + "\n"}.items():
            entry = tarfile.TarInfo(f"{base}/{file}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content.encode()))
    site.files[f"/cgit/aur.git/snapshot/{base}.tar.gz"] = made.getvalue()


class Arch:
    """A stand-in for Arch: pacman's database is a folder. It lies where an account without rights can come."""

    def __init__(self, folder: Path, site: Site, tmp_path: Path) -> None:
        self.folder = folder
        self.site = site
        self.shell = LocalShell(tmp_path, edit=self._edit)
        self.tmp_path = tmp_path
        for name in ("bin", "db", "repo"):
            (folder / name).mkdir()
        for name, text in {"pacman": PACMAN, "makepkg": MAKEPKG, "gpg": "#!/bin/sh\n"}.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        (folder / "makepkg.conf").write_text("OPTIONS=(strip)\n")
        (folder / "db/base-devel").write_text("1\nasked\n")
        (folder / "db/code").write_text("1\nasked\n")
        for name in ("of-tool", "of-own", "of-more", "of-lib", "gcc", "code"):
            (folder / "repo" / name).write_text("")

    def _edit(self, text: str) -> str:
        text = text.replace("https://aur.archlinux.org", self.site.url)
        text = text.replace("/var/tmp/ovtasks-aur", f"{self.folder}/work")
        text = text.replace("/etc/makepkg.conf", f"{self.folder}/makepkg.conf")
        return f"PATH={self.folder}/bin:$PATH\n{text}"

    def layer(self, aur: str) -> LayerPlan:
        """A layer with this ``aur:``."""
        return complete(plan(self.tmp_path, f"name: a\ndistros:\n  arch:\n    aur: {aur}\n", facts=ARCH), Nothing())

    def packages(self) -> dict[str, str]:
        """What is installed: version and mark."""
        return {path.name: " ".join(path.read_text().split()) for path in sorted((self.folder / "db").iterdir())}


@pytest.fixture
def arch(tmp_path: Path) -> Iterator[Arch]:
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="ovtasks-test-"))
    folder.chmod(0o777)
    try:
        with serve(Site()) as site:
            yield Arch(folder, site, tmp_path)
    finally:
        shutil.rmtree(folder)


def test_a_package_its_needs_and_back(arch: Arch) -> None:
    """One package of a recipe of two; a need from the repositories, and one from the AUR itself."""
    recipe(arch.site, "tools", "tool", "more", needs=("gcc>=12", "own"))
    recipe(arch.site, "own", "own")
    before = arch.packages()
    layer = arch.layer("{packages: [tool], replaces: [code], options: [--overwrite=*]}")
    assert arch.shell.apply(layer) == [(What.DONE, "install tool from the AUR")], arch.shell.output()
    assert arch.packages() == {
        "base-devel": "1 asked",
        "gcc": "1.0 auto",
        "of-own": "1.0 auto",
        "of-tool": "1.0 auto",
        "own": "2.0 auto",
        "tool": "2.0 asked",
    }
    assert not (arch.folder / "work").exists()
    assert arch.shell.apply(layer)[0][0] is What.SAME
    arch.shell.undo("a")
    assert arch.packages() == {**before, "code": "1.0 asked"}


def test_a_failing_recipe_leaves_nothing_of_its_work(arch: Arch) -> None:
    recipe(arch.site, "tool", "tool", fails="exit 4")
    layer = arch.layer("{packages: [tool]}")
    with pytest.raises(OvError):
        arch.shell.apply(layer)
    assert not (arch.folder / "work").exists()
    recipe(arch.site, "tool", "tool")
    arch.shell.apply(layer)
    arch.shell.undo("a")
    assert "tool" not in arch.packages()


def test_a_package_that_nobody_has(arch: Arch) -> None:
    arch.site.files["/rpc/v5/info/none"] = b'{"resultcount":0,"results":[]}'
    with pytest.raises(OvError):
        arch.shell.apply(arch.layer("{packages: [none]}"))
    assert "the AUR has no package none" in arch.shell.output()


def test_elsewhere_it_does_not_count(tmp_path: Path) -> None:
    text = "name: a\npackages: [x]\naur: {packages: [tool]}\n"
    assert [one.kind for one in plan(tmp_path, text, facts=ARCH).operations] == ["packages", "aur"]
    assert [one.kind for one in plan(tmp_path, text, facts=FACTS).operations] == ["packages"]
    with pytest.raises(InputError, match="'a b;' is not a valid package name"):
        plan(tmp_path, "name: a\naur: {packages: ['a b;']}\n", facts=ARCH)
