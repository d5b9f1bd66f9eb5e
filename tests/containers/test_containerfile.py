"""What a containerfile takes: its base images, its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.containers.containerfile import BuildInputs, build_inputs, parse
from ovtasks.errors import InputError

FILE = Path("/x/Containerfile")


def look(text: str, target: str | None = None, **arguments: str) -> BuildInputs:
    return build_inputs(text, FILE, arguments, target, "amd64")


@pytest.mark.parametrize(
    ("text", "bases"),
    [
        ("FROM a", ["a"]),
        ("from a:1 as x", ["a:1"]),
        ("FROM scratch", []),
        ("FROM --platform=linux/amd64 a AS x", ["a"]),
        ("# c\n\nARG V=1\nFROM a:$V", ["a:1"]),
        ("ARG V\nFROM a:${V:-2}", ["a:2"]),
        ("ARG V=\nFROM a:${V:-2}${V-x}", ["a:2"]),
        ("ARG V=3\nFROM a:${V:+4}", ["a:4"]),
        ("ARG A=1 B=${A}2\nFROM a:$B", ["a:12"]),
        ('ARG V="x"\nFROM "a:$V"', ["a:x"]),
        ("FROM a:$TARGETARCH", ["a:amd64"]),
        ("FROM a:$NONE", ["a:"]),  # podman says what is wrong with it
        ("FROM docker://quay.io/a", ["quay.io/a"]),
        ("FROM containers-storage:localhost/a", ["localhost/a"]),
        ("FROM a AS x\nFROM x", ["a"]),
        ("FROM a AS X\nFROM x AS y\nFROM b AS z\nFROM y\nCOPY --from=z / /", ["a", "b"]),
        ("FROM a AS x\nFROM b", ["b"]),  # a stage that nothing needs is not built
        ("FROM a\nFROM b\nCOPY --from=0 / /", ["a", "b"]),
        ("FROM a\nCOPY --from=quay.io/b:1 / /", ["a", "quay.io/b:1"]),
        ("FROM a\nRUN --mount=type=bind,from=b,target=/b true", ["a", "b"]),
        ("FROM a\nRUN --mount=type=cache,target=/b --mount=from=c,target=/c true", ["a", "c"]),
        ("FROM a AS b\nFROM b AS b\nFROM b", ["a"]),
        ("FROM\ta:1\tAS\tx", ["a:1"]),
        ("FROM a:\\\n1", ["a:1"]),
        ("ARG V=1\nFROM scratch\nCOPY --from=b:$V x /", ["b:"]),  # not declared in the stage: podman refuses it
        ("ARG V=1\nFROM scratch\nARG V\nCOPY --from=b:$V x /", ["b:1"]),
        ("FROM scratch\nARG T=b\nARG U=${T}:2\nCOPY --from=${U} x /", ["b:2"]),
        ("FROM scratch\nENV T=b\nCOPY --from=c$T x /", ["c"]),  # arguments alone count there
        ("FROM scratch\nARG T=${X:-b}\nCOPY\t--from=${T:+c}\tx /", ["c"]),
        ("FROM a\nARG B=b\nRUN --mount=type=bind,from=${B},target=/b true", ["a", "b"]),
        ("FROM a AS x\nFROM b\nARG S=x\nCOPY --from=$S / /", ["a", "b"]),
        ("FROM a\nCOPY --chmod=755 --from='b' x /", ["a", "b"]),
    ],
)
def test_bases(text: str, bases: list[str]) -> None:
    assert list(look(text).bases) == bases


def test_build_arguments_win() -> None:
    assert look("ARG V=1\nFROM a:$V", V="2").bases == ("a:2",)
    assert look("ARG V\nFROM a:$V", V="2").bases == ("a:2",)
    assert look("FROM a:$V", V="2").bases == ("a:",)  # not declared: podman does not fill it in either
    assert look("FROM a:$TARGETARCH", TARGETARCH="arm64").bases == ("a:arm64",)


def test_target() -> None:
    text = "FROM a AS x\nCOPY one /\nFROM b AS y\nCOPY two /\nFROM c AS z\nCOPY --from=x / /"
    assert look(text, "x").bases == ("a",) and look(text, "x").sources == ("one",)
    assert look(text, "Y").bases == ("b",)
    assert look(text, "1").bases == ("b",)
    assert look(text).bases == ("a", "c") and look(text).sources == ("one",)
    with pytest.raises(InputError, match="no stage 'w'") as caught:
        look(text, "w")
    assert "x, y, z" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("instruction", "sources"),
    [
        ("RUN true", []),
        ("COPY a /", ["a"]),
        ("COPY ./a b/c /d/", ["a", "b/c"]),
        ("COPY /a/ ../b /", ["a", "b"]),  # the context is the root
        ("COPY . /", ["."]),
        ("COPY a . /", ["."]),
        ('COPY ["a b", "c", "/"]', ["a b", "c"]),
        ('COPY "a b" /', ["a b"]),
        ("COPY --chown=1:1 --chmod=755 a /", ["a"]),
        ("COPY a/b*.c a/?/d /", ["a/?/d", "a/b*.c"]),
        ("COPY *.c /", ["*.c"]),
        ("COPY $DIR/a /", ["a"]),
        ("COPY --from=x a /", []),
        ("ADD a.tar /", ["a.tar"]),
        ("ADD https://example.org/a b /", ["b"]),
        ("ADD git@example.org:a.git /", []),
        ("RUN --mount=type=bind,source=a,target=/a true", ["a"]),
        ("RUN --mount=target=/a true", ["."]),
        ("RUN --mount=type=secret,id=x --mount=type=cache,target=/c true", []),
        ("ONBUILD COPY a /", ["a"]),
        ("copy a \\\n# a comment\n\n  b \\\n  /", ["a", "b"]),
        ("COPY <<EOF /x\nCOPY y /\nEOF", []),
        ("RUN <<-'EOF' cat\n\tCOPY y /\n\tEOF\nCOPY z /", ["z"]),
        ("RUN cat <<EOF\nCOPY y /", ["y"]),  # never ended: none
        ("RUN grep <<<EOF x\nCOPY y /", ["y"]),
        ("LABEL x=COPY", []),
        ("COPY\ta\t b /", ["a", "b"]),
        ("COPY --chown=a:b\t--chmod=1 a /", ["a"]),
        ("COPY a \\  \n\t# c\n\n\t  b /", ["a", "b"]),
        ("COPY a\\\nb /", ["ab"]),
        ("COPY <<A <<-\"B C\" 3<<'D' d /\nCOPY 1 /\nA\n\tCOPY 2 /\n\tB C\nCOPY 3 /\nD\nCOPY e /", ["d", "e"]),
        ("RUN echo '<<EOF'\nCOPY y /\nEOF", ["y"]),
        ("RUN cat << EOF\nCOPY y /", ["y"]),
        ("ADD <<EOF a /\nEOF\nADD b /", ["a", "b"]),
        ("ONBUILD RUN <<EOF\nCOPY x /\nEOF", []),
        ("ENV N=a\nCOPY $N ${N}b ${M:-c} ${N:+d} /", ["a", "ab", "c", "d"]),
        ("ENV N='$x'\nENV M=\"$N\"\nCOPY $M '$N' /", ["$N", "$x"]),
        ("ENV N a b\nCOPY $N /", ["a b"]),
        ("ARG N=a\nENV N=b\nCOPY ${N}${O:-${N}} /", ["bb"]),
        ("COPY \\$x /", ["$x"]),
        ("COPY ${N#a} /", ["."]),  # a form that only the builder knows
        ("COPY $PATH/a /", ["."]),
        ("RUN --mount=source=a*b,target=/x true", ["a\\*b"]),
        ("ADD ${U:-https://x.example/a} b /", ["b"]),
        ('COPY ["a b", "c"] ', ["a b"]),
        ("COPY [a /", ["[a"]),
    ],
)
def test_sources(instruction: str, sources: list[str]) -> None:
    assert list(look(f"FROM scratch AS x\nFROM x\n{instruction}\n").sources) == sources


def test_what_a_base_may_set_is_not_known() -> None:
    assert look("FROM a\nCOPY $DIR/x /").sources == (".",)
    assert look("FROM a\nENV DIR=y\nCOPY $DIR/x /").sources == ("y/x",)
    assert look("FROM a AS b\nENV DIR=y\nFROM b\nCOPY $DIR/x $Z /").sources == (".",)
    assert look("FROM scratch AS b\nENV DIR=y\nFROM b\nCOPY $DIR/x $Z /").sources == (".", "y/x")[:1]
    assert look("FROM scratch AS b\nENV DIR=y\nFROM b\nCOPY $DIR/x z$Z /").sources == ("y/x", "z")


def test_permissions_and_mounts() -> None:
    made = look("FROM scratch\nCOPY --chmod=1 a b /\nCOPY b /")
    assert (made.sources, made.modeless, made.mounted) == (("a", "b"), ("a",), False)
    assert look("FROM scratch\nRUN --mount=target=/x true").mounted
    assert look("FROM a AS x\nRUN --mount=target=/x true\nFROM b").mounted is False  # that stage is not built
    assert look("FROM a\nRUN --mount=type=cache,target=/x --mount=type=secret,id=y true").mounted is False


def test_a_preprocessed_file_may_include_anything() -> None:
    made = build_inputs("FROM scratch\n", Path("/x/Containerfile.in"), {}, None, "amd64")
    assert made.sources == (".",)


def test_comments_and_blanks_are_not_read_by_the_builder() -> None:
    one = look("FROM a\nRUN x && \\\n    y\n")
    assert one.text == look("# hello\r\n\r\nfrom  a\r\nRUN x && \\\r\n# there\r\n  y").text
    assert one.text != look("FROM a\nRUN x && \\\n    z\n").text
    assert look("FROM a\nRUN <<E\n# x\nE\n").text != look("FROM a\nRUN <<E\n# y\nE\n").text


def test_a_stage_that_nothing_needs_is_not_read() -> None:
    text = "ARG V\nFROM a AS x\nRUN %s\nFROM b\nRUN c"
    assert look(text % "one").text == look(text % "two").text
    assert look(text % "one", "x").text != look(text % "two", "x").text
    assert look(text.replace("FROM b", "FROM x") % "one").text != look(text.replace("FROM b", "FROM x") % "two").text


def test_another_escape_character() -> None:
    made = list(parse("# syntax=x\n# escape=`\nFROM a `\n  AS b\nRUN c:\\\nRUN d"))
    assert [(one.verb, one.rest, one.line) for one in made] == [
        ("FROM", "a AS b", 3),
        ("RUN", "c:\\", 5),
        ("RUN", "d", 6),
    ]


def test_what_cannot_be_built() -> None:
    with pytest.raises(InputError, match="there is no FROM") as caught:
        look("RUN true")
    assert caught.value.where is not None and caught.value.where.file == str(FILE)
    with pytest.raises(InputError, match="its changes could not be seen") as caught:
        look("FROM scratch AS x\nFROM x\nCOPY --from=oci-archive:/a.tar / /")
    assert caught.value.where is not None and caught.value.where.line == 3
