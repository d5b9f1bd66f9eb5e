"""What makes an image stale is what makes podman build another one: containerfiles × spellings, two builds each."""

from __future__ import annotations

import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ovtasks.containers import context
from ovtasks.errors import Where
from ovtasks.project.model import ImageSpec
from ovtasks.values.jsonvalue import Json
from tests.containers.podman import Podman
from tests.support.programs import call
from tests.support.workbench import Workbench, ran

pytestmark = pytest.mark.slow

FILES = {
    **dict.fromkeys(["a", "b", "d/e", "d/f/g", "x y", "c1.c", "c2.h", ".h", "A", "z/d/e", "-q"], "1"),
    "l": "->a",
    "ld": "->d",
    "abs": "->/a",
    "up": "->../../a",
    "ll": "->l",
    "d/in": "->../a",
}


@dataclass(frozen=True)
class Bench:
    """A context in ``folder``, built by ``podman`` and looked at by us."""

    podman: Podman
    folder: Path

    def reset(self, more: dict[str, str]) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name, text in {**FILES, **more}.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(text[2:]) if text.startswith("->") else path.write_text(text)

    def build(self, arguments: dict[str, str]) -> str | None:
        """The image's ID; None: podman cannot build it."""
        words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        made = self.podman("build", "--quiet", "--pull=never", *words, self.folder, code=None)
        return made.splitlines()[-1] if made else None

    def look(self, arguments: dict[str, str]) -> Json:
        """All that decides whether we build anew."""
        image = ImageSpec("x", Where("image.yml", 1, 1), context=self.folder, build_args=arguments)
        looked = context.read_context(image, self.folder.parent / "output", self.folder.parent / "state", "amd64")
        bases: dict[str, Json] = {
            name: self.podman("image", "inspect", "--format", "{{.Id}}", name, code=None) for name in looked.bases
        }
        return {**looked.inputs, "bases": bases}

    def change(self, what: str) -> None:
        """``write NAME``, ``chmod NAME``, ``chown NAME``, ``touch NAME``, ``link NAME TARGET`` and others."""
        verb, _, name = what.partition(" ")
        more = ""
        if verb in {"link", "set"}:
            name, _, more = name.partition(" ")
        path = self.folder / name
        match verb:
            case "write":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("other")
            case "chmod":
                path.chmod(0o711)
            case "chown":
                os.chown(path, 5, 5)
            case "setuid":
                path.chmod(0o4644)
            case "touch":
                os.utime(path, (1, 1))
            case "folder":
                path.mkdir()
            case "remove":
                path.unlink()
            case "attribute":
                os.setxattr(path, "user.x", b"1")
            case "link":
                path.unlink(missing_ok=True)
                path.symlink_to(more)
            case "set":
                path.write_text(more.replace("\\n", "\n"))
            case "image":
                self.tools("other")
            case _:
                raise AssertionError(what)

    def tools(self, text: str) -> None:
        folder = self.folder.with_name("tools")
        folder.mkdir(exist_ok=True)
        (folder / "f").write_text(text)
        (folder / "Containerfile").write_text("FROM scratch\nCOPY f /\n")
        self.podman("build", "--quiet", "--tag", "localhost/tools:1", folder)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("as-podman")
    podman = Podman.make(root / "podman")
    yield Bench(podman, root / "context")
    podman.clear()


# A containerfile, after FROM scratch; what makes another image; what does not.
S = "FROM scratch\n"
BY_X = "FROM scratch AS x\nCOPY a b /\nFROM scratch\n"
SHAPES: list[tuple[str, str, str]] = [
    (S + "COPY a /", "write a|chmod a|chown a|attribute a", "write b|touch a|setuid a"),
    (S + "COPY --chmod=600 a /", "write a|chown a", "chmod a"),
    (S + "COPY --chown=7:7 a /", "write a|chown a|chmod a", "touch a"),
    (S + "ADD --chown=7:7 --chmod=644 a d /x/", "write d/e|chown d/f", "chmod a|chmod d/e"),
    (S + "COPY a b /x/", "write b", "write A"),
    (S + "COPY ./a /z/../b /x/", "write b", "write z/d/e"),
    (S + "COPY d /", "write d/f/g|chmod d/f|folder d/new|link d/in ../b|chown d/f", "write a|chmod d|touch d"),
    (S + "COPY d/ /x/", "write d/new", "chmod d|write z/d/e"),
    (S + "COPY . /", "write -q|write new|chmod d", "touch d"),
    (S + "ADD . /x/", "write d/e", "touch a"),
    (S + 'COPY ["x y", "/"]', "write x y", "write a"),
    (S + 'COPY ["a", "x y", "/x/"]', "write a", "write b"),
    (S + 'COPY --chown=1:1 ["a", "/"]', "write a", "write b"),
    (S + "COPY l /", "write a", "write b|link l ./a"),
    (S + "COPY ld /", "write d/e", "write a"),
    (S + "COPY ld/f /", "write d/f/g", "write d/e"),
    (S + "COPY abs /", "write a", "write b"),
    (S + "COPY up /", "write a", "write b"),
    (S + "COPY ll /", "write a|link l d", "write b|link l b"),
    (S + "COPY c* /x/", "write c3|write c1.c|chmod c2.h", "write a"),
    (S + "COPY *.c /x/", "write new.c", "write c2.h|write d/new.c"),
    (S + "COPY ?1.[a-c] /x/", "write c1.c|write d1.a", "write c2.c"),
    (S + "COPY [ab] /x/", "write b", "write A"),
    (S + "COPY [^ab] /x/", "write A", "write b"),
    (S + "COPY [!a] /x/", "write a", "write b"),
    (S + "COPY */e /x/", "write z/e|write d/e", "write z/d/e|write d/f/g"),
    (S + "COPY **/e /x/", "write d/e|write z/e", "write a"),
    (S + "COPY d/** /x/", "write d/f/g|write a", "write b"),
    (S + "COPY \\\\c* /x/", "write c3", "write a"),
    (S + "COPY l* /x/", "write a|write d/e", "write b"),
    (S + "COPY ld/* /x/", "write d/e", "write b"),
    (S + "ARG N=a\nCOPY $N /", "write a", "write b"),
    (S + "ARG N=a\nENV M=${N}\nCOPY ${M} /", "write a", "write b"),
    (S + "ENV N=a\nARG N=b\nCOPY ${N} /", "write a", "write b"),
    (S + "ENV N d\nCOPY $N/e /", "write d/e", "write d/f/g"),
    (S + "ENV M=x N=\"d\" O='f'\nCOPY $N/$O /", "write d/f/g", "write d/e"),
    (S + "COPY ${N:-a} /", "write a", "write b"),
    (S + "ARG N\nCOPY ${N:-a} /", "write a", "write b"),
    (S + "ARG N=1\nCOPY ${N:+a} /", "write a", "write b"),
    (S + "ARG N=\nCOPY ${N:-b} /", "write b", "write a"),
    ("ARG N=a\nFROM scratch\nARG N\nCOPY $N /", "write a", "write b"),
    ("ARG N=a\nFROM scratch\nCOPY ${N:-b} /", "write b", "write a"),
    ("ARG B=scratch\nFROM ${B}\nCOPY a /", "write a", "write b"),
    ("ARG B=scr\nARG C=${B}atch\nFROM $C AS x\nCOPY a /", "write a", "write b"),
    (S + "ARG TARGETARCH\nCOPY ${TARGETARCH:+a} /", "write a", "write b"),
    (S + "COPY a$TARGETOS /", "write a", "write b"),
    (BY_X + "COPY --from=x a /", "write a", "write d/e"),
    (BY_X + "COPY --from=0 /a /", "write a", "write d/e"),
    ("FROM scratch AS x\nCOPY a /\nFROM x\nCOPY b /", "write a", "write A"),
    ("FROM scratch AS x\nENV N=a\nFROM x\nCOPY $N /", "write a", "write b"),
    ("FROM scratch AS x\nCOPY a /\nFROM scratch\nCOPY b /", "write b", "write a"),
    ("FROM scratch AS x\nCOPY a /\nFROM scratch AS y\nCOPY d /\nFROM x\nCOPY b /", "write a", "write d/e"),
    ("FROM localhost/tools:1\nCOPY a /", "image tools|write a", "write b"),
    ("FROM localhost/tools:1\nENV D=a\nCOPY $D /", "write a|image tools", "write b"),
    ("ARG V=1\nFROM localhost/tools:${V}\nCOPY a /", "image tools", "write b"),
    (S + "COPY a /\nCOPY b /", "write b", "write A"),
    (S + 'LABEL x="COPY b"\nCOPY a /', "write a", "write b"),
    (S + "LABEL x='<<EOF'\nCOPY a /\nLABEL EOF=1", "write a", "write b"),
    (S + 'CMD ["cat", "<<b"]\nCOPY a /', "write a", "write b"),
    (S + "VOLUME /v\nWORKDIR /w\nCOPY a .", "write a", "write b"),
]
IGNORED: list[tuple[dict[str, str], str, str]] = [
    ({".containerignore": "a\n"}, "write b", "write a|chmod a"),
    ({".dockerignore": "d\n"}, "write b", "write d/e"),
    ({"Containerfile.containerignore": "a\n", ".containerignore": "b\n"}, "write b", "write a"),
    ({"Containerfile.dockerignore": "a\n", ".dockerignore": "b\n"}, "write b", "write a"),
    ({"Containerfile.dockerignore": "a\n", "Containerfile.containerignore": "b\n"}, "write b", "write a"),
    ({".containerignore": "a\n", ".dockerignore": "b\n"}, "write b", "write a"),
    ({".dockerignore": "*\n!d\n"}, "write d/f/g|chmod d", "write a|set .dockerignore *\\n#\\n!d\\n"),
    ({".dockerignore": "*\n!d/e\n"}, "write d/e", "write d/f/g"),
    ({".dockerignore": "**/e\n.dockerignore\n"}, "write a|set .dockerignore .dockerignore", "write z/d/e"),
    ({".dockerignore": "[ab]\n?1.c\n"}, "write c2.h", "write a|write c1.c"),
    ({".dockerignore": "d/*\n!d/f\n"}, "write d/f/g", "write d/e"),
]


def plain(text: str) -> str:
    return text


def small(text: str) -> str:
    return re.sub(r"(?m)^[A-Z]+", lambda found: found[0].lower(), text)


def windows(text: str) -> str:
    return "\ufeff" + (text + "\n").replace("\n", "\r\n")


def tabs(text: str) -> str:
    return re.sub(r"(?m)^([A-Z]+) (--\S+ )?", lambda found: found[0].replace(" ", " \t "), text)


def continued(text: str) -> str:
    return re.sub(r"(?m)^(COPY|ADD|FROM|ARG) ", "\\1 \\\\ \t\n  # a comment, don't\n\n    ", text)


def escaped(text: str) -> str:
    return "# escape=`\n" + re.sub(r"(?m)^(COPY|ADD) ", "\\1 `\n    ", text)


def commented(text: str) -> str:
    return "# COPY b /\n\n" + text.replace("\n", "\n  # COPY A /\n\n") + "\n# end\\\n"


SPELLINGS: tuple[Callable[[str], str], ...] = (plain, small, windows, tabs, continued, escaped, commented)
CHOSEN = 3  # spellings of each shape at least: podman builds some 450 times


def cases() -> Iterator[tuple[str, dict[str, str], str, str, bool]]:
    """Text, more files, the change, and whether podman builds another image then."""
    for text, stale, fresh in SHAPES:
        start = zlib.crc32(text.encode())
        changes = [*((one, True) for one in stale.split("|")), *((one, False) for one in fresh.split("|"))]
        for index in range(max(CHOSEN, len(changes))):
            change, rebuilds = changes[index % len(changes)]
            yield SPELLINGS[(start + index) % len(SPELLINGS)](text), {}, change, text, rebuilds
    for more, stale, fresh in IGNORED:
        for change, rebuilds in [
            *((one, True) for one in stale.split("|")),
            *((one, False) for one in fresh.split("|")),
        ]:
            yield "FROM scratch\nCOPY . /x/\n", more, change, "COPY . /x/", rebuilds


CASES = list(cases())
PARTS = 12


def test_there_are_enough() -> None:
    assert len({(text, json.dumps(more)) for text, more, *_ in CASES}) >= 200


@pytest.mark.parametrize("part", range(PARTS))
def test_stale_is_what_podman_builds_anew(part: int, compared: Bench) -> None:
    wrong = []
    for text, more, change, _, rebuilds in CASES[part::PARTS]:
        if "tools" in text:
            compared.tools("one")
        compared.reset({**more, "Containerfile": text})
        before, built = compared.look({}), compared.build({})
        assert built is not None, text
        compared.change(change)
        after, again = compared.look({}), compared.build({})
        if not (before != after) == (built != again) == rebuilds:
            wrong.append(
                f"{text!r} {more} {change}: we say {before != after}, podman {built != again}, table {rebuilds}"
            )
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "arguments", "stale", "fresh"),
    [
        (S + "ARG N=a\nCOPY $N /", {"N": "b"}, "write b", "write a"),
        ("ARG N=a\nFROM scratch\nARG N\nCOPY $N /", {"N": "d"}, "write d/e", "write a"),
        (S + "COPY ${N:-a} /", {"N": "b"}, "write a", "write b"),  # not declared: not taken
        (S + "ARG TARGETARCH\nCOPY $TARGETARCH /", {"TARGETARCH": "a"}, "write a", "write b"),
        (
            "ARG T=none\nFROM scratch\nARG T\nCOPY --from=${T} f /",
            {"T": "localhost/tools:1"},
            "image tools",
            "write a",
        ),
        (S + 'ARG "T=localhost/tools:1"\nCOPY --from="$T" /f /', {}, "image tools", "write a"),
        (S + "ARG R=localhost V=1\nCOPY --from=$R/tools:${V:-2} /f /", {}, "image tools", "write a"),
    ],
)
def test_build_arguments(text: str, arguments: dict[str, str], stale: str, fresh: str, compared: Bench) -> None:
    for change, rebuilds in ((stale, True), (fresh, False)):
        compared.tools("one")
        compared.reset({"Containerfile": text})
        before, built = compared.look(arguments), compared.build(arguments)
        assert built is not None
        compared.change(change)
        assert (compared.look(arguments) != before) is rebuilds
        assert (compared.build(arguments) != built) is rebuilds


@pytest.mark.parametrize(
    ("text", "change"),
    [
        (
            S + "ONBUILD COPY a /\nCOPY b /",
            "write a",
        ),  # runs in a later build; in an image of Docker's format here, too
        (BY_X + "COPY --from=x /a /", "write b"),  # only the builder knows what becomes of b in stage x
        (S + "COPY **/e /x/", "write z/d/e"),  # podman 4 takes ** for *, later ones for any number of folders
    ],
)
def test_where_we_look_at_more(text: str, change: str, compared: Bench) -> None:
    """Exceptions: we say stale, and podman may find the same image again."""
    compared.reset({"Containerfile": text})
    before, built = compared.look({}), compared.build({})
    assert built is not None
    compared.change(change)
    assert compared.look({}) != before
    if "**" not in text:
        assert compared.build({}) == built


SHELL = r"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(int count, char **words) { /* sh -c "cp FROM TO" */
  char from[256], to[256], data[4096];
  if (count < 3 || sscanf(words[2], "cp %255s %255s", from, to) != 2) return 2;
  int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  for (ssize_t size; in >= 0 && out >= 0 && (size = read(in, data, sizeof data)) >= 0;)
    if (size == 0) return 0; else if (write(out, data, size) != size) break;
  return 1;
}
"""


@pytest.fixture
def shell(tmp_path: Path, podman: Podman) -> str:
    """An image whose shell can copy a file."""
    folder = tmp_path / "shell"
    folder.mkdir()
    (folder / "sh.c").write_text(SHELL)
    call("cc", "-static", "-o", folder / "sh", folder / "sh.c")
    (folder / "Containerfile").write_text("FROM scratch\nCOPY sh /bin/sh\n")
    podman("build", "--quiet", "--tag", "localhost/shell", folder)
    return "localhost/shell"


@pytest.mark.parametrize(
    "text",
    [
        "FROM localhost/shell\nRUN --mount=type=bind,source=files,target=/m cp /m/a /x\n",
        "FROM localhost/shell\nRUN --mount=target=/m cp /m/files/a /x\n",
        "FROM scratch AS s\nCOPY files /\nFROM localhost/shell\nARG S=s\nRUN --mount=from=s,target=/m cp /m/a /x\n",
    ],
)
def test_what_is_mounted_arrives(text: str, shell: str, bench: Workbench, podman: Podman, tmp_path: Path) -> None:
    """podman's cache of layers does not look at what RUN mounts: it would give the old image."""
    (bench.root / "image.yml").write_text("images: {x: {context: .}}\n")
    (bench.root / "Containerfile").write_text(text)
    (bench.root / "files").mkdir()
    seen = []
    for content in ("one", "two", "one"):
        (bench.root / "files" / "a").write_text(content)
        assert "image:" in " ".join(ran(bench.ov("image", "build").stderr))
        assert not ran(bench.ov("image", "build").stderr)
        seen.append(file_of(podman, tmp_path))
    assert seen == ["one", "two", "one"]


def file_of(podman: Podman, scratch: Path) -> str:
    """The content of /x in image x."""
    container = podman("create", "localhost/x", "/bin/sh")
    podman("cp", f"{container}:/x", scratch / "x")
    podman("rm", container)
    return (scratch / "x").read_text()
