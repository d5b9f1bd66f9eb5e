"""Images as steps: what makes them run, what does not, by real pulls and builds."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from ovtasks.errors import EXIT_FAILED, EXIT_INPUT
from tests.containers.podman import Podman
from tests.containers.registry import Registry
from tests.support.programs import call
from tests.support.workbench import OV, Workbench, ran

pytestmark = pytest.mark.slow  # each starts podman many times

BOOTC = "LABEL containers.bootc=1\n"


def declare(bench: Workbench, **images: dict[str, Any]) -> None:
    """Write ``image.yml`` (JSON is YAML)."""
    (bench.root / "image.yml").write_text(json.dumps({"images": images}))


def write(bench: Workbench, name: str, text: str) -> None:
    path = bench.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def image_id(bench: Workbench, name: str = "x", verb: str = "build", *options: str) -> str:
    """The ID that ``ov image build`` (or ``pull``) prints."""
    return bench.ov("image", verb, name, *options).stdout.split("sha256:")[-1].strip()


def steps(bench: Workbench, *words: str) -> list[str]:
    """The verbs of the steps that ran."""
    return [name.partition(":")[0] for name in ran(bench.ov("image", *words).stderr)]


def a_base(podman: Podman, text: str, name: str = "localhost/base") -> str:
    return podman("build", "--quiet", "--tag", name, "-", stdin=f"FROM scratch\nLABEL is={text}\n")


@pytest.fixture
def built(bench: Workbench) -> Workbench:
    """Image ``x``, built from ``files/``."""
    declare(bench, x={"context": "files"})
    write(bench, "files/Containerfile", "FROM scratch\nCOPY a /\n")
    write(bench, "files/a", "1")
    bench.ov("image", "build")
    return bench


def test_a_build_is_known_by_its_id(built: Workbench, podman: Podman) -> None:
    first = podman("image", "inspect", "--format", "{{.Id}}", "localhost/x:latest")
    again = built.ov("image", "build", "x")
    assert again.stdout == f"localhost/x:latest sha256:{first}\n" and "nothing to do" in again.stderr
    assert podman("image", "inspect", "--format", "{{.Labels}}", first).count("ovtasks.image:x") == 1
    assert not (built.root / "output" / ".ov" / "podman").exists() or not any(
        (built.root / "output" / ".ov" / "podman").iterdir()
    )
    assert "STEP 1/3" in next((built.root / "output" / ".ov" / "log").glob("image*")).read_text()


def test_what_makes_it_run(built: Workbench, podman: Podman) -> None:
    first = image_id(built)
    (built.root / "files" / "a").touch()
    write(built, "files/b", "not copied")
    write(built, "files/Containerfile", "# a comment\nFROM scratch\nCOPY a /\n")
    assert steps(built, "build") == []
    write(built, "files/a", "2")
    (reason,) = built.reasons("image:x").values()
    assert reason[0].startswith("context.a: 0644 ")
    second = image_id(built)
    assert second != first
    assert first not in podman("images", "--all", "--quiet", "--no-trunc")  # what was replaced is gone
    declare(built, x={"context": "files", "build_args": {"V": "1"}})
    assert built.reasons("image:x").popitem()[1] == ["build_args.V: none → 1"]
    write(built, "files/Containerfile", "FROM scratch AS one\nLABEL stage=one\nFROM scratch\nCOPY a /\n")
    declare(built, x={"context": "files", "target": "one"})
    assert "target: none → one" in built.reasons("image:x").popitem()[1]
    image_id(built)
    assert podman("image", "inspect", "--format", "{{.Labels.stage}}", "localhost/x") == "one"


def test_a_stage_that_is_not_there(built: Workbench) -> None:
    write(built, "files/Containerfile", "FROM scratch AS one\nFROM scratch AS two\n")
    declare(built, x={"context": "files", "target": "tow"})
    error = built.ov("image", "build", code=EXIT_INPUT).stderr
    assert "image.yml:1:" in error and "no stage 'tow' is in" in error and "stages: one, two" in error
    write(built, "files/Containerfile", "RUN true\n")
    error = built.ov("image", "build", code=EXIT_INPUT).stderr
    assert "files/Containerfile:1:1: there is no FROM" in error


def test_build_arguments_arrive(built: Workbench, podman: Podman) -> None:
    write(built, "files/Containerfile", "FROM scratch\nARG V\nLABEL v=$V\n")
    declare(built, x={"context": "files", "build_args": {"V": "a b=c,d"}})
    image_id(built)
    assert podman("image", "inspect", "--format", "{{.Labels.v}}", "localhost/x") == "a b=c,d"


def test_an_image_that_was_removed_or_renamed_comes_back(built: Workbench, podman: Podman) -> None:
    first = image_id(built)
    podman("untag", "localhost/x:latest", "localhost/x:latest")
    assert built.reasons("image:x").popitem()[1] == ["localhost/x:latest is not in podman's storage any more"]
    assert image_id(built) == first
    a_base(podman, "other", "localhost/x")
    assert built.reasons("image:x").popitem()[1] == ["localhost/x:latest is another image now"]
    assert image_id(built) == first
    podman("rmi", "--all", "--force")
    assert image_id(built) != ""
    assert steps(built, "build") == []


def test_a_no_op_starts_no_podman(built: Workbench, tmp_path: Path) -> None:
    image_id(built)
    spy = tmp_path / "bin" / "podman"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nexec {shutil.which("podman")} "$@"\n')
    spy.chmod(0o755)
    built.env["PATH"] = f"{spy.parent}:{os.environ['PATH']}"
    assert steps(built, "build") == []
    assert built.plan("image:x").popitem()[1] == "fresh"
    assert not (tmp_path / "calls").exists()
    write(built, "files/a", "2")
    image_id(built)
    assert "build " in (tmp_path / "calls").read_text()


def test_the_project_itself_may_be_the_context(bench: Workbench, podman: Podman) -> None:
    declare(bench, x={"containerfile": "Containerfile"})
    write(bench, "Containerfile", "FROM scratch\nCOPY . /\n")
    image_id(bench)
    assert steps(bench, "build") == []  # though output/ has changed
    assert not any(name.startswith("output") for name in podman.files("localhost/x", bench.root.parent))


def test_images_that_begin_from_each_other(bench: Workbench, podman: Podman) -> None:
    declare(bench, x={"context": "x"}, y={"context": "y"})
    write(bench, "x/Containerfile", "FROM localhost/y\nLABEL x=1\n")
    write(bench, "y/Containerfile", "FROM scratch\nCOPY a /\n")
    write(bench, "y/a", "1")
    assert steps(bench, "build", "x") == ["image", "image"]
    write(bench, "y/a", "2")
    assert list(bench.plan("image:x").values()) == ["run", "maybe"]
    assert steps(bench, "build", "x") == ["image", "image"]
    declare(bench, x={"context": "x"}, y={"context": "y", "build_args": {"UNUSED": "1"}})  # makes the same image
    assert steps(bench, "build", "x") == ["image"]
    write(bench, "y/Containerfile", "FROM localhost/x\n")
    error = bench.ov("image", "build", "x", code=EXIT_INPUT).stderr
    assert "images are built from each other in a circle: x → y → x" in error


def test_onbuild_of_a_base_reads_the_context(bench: Workbench, podman: Podman) -> None:
    text = "FROM scratch\nONBUILD COPY a /\n"
    podman("build", "--quiet", "--format", "docker", "--tag", "localhost/base", "-", stdin=text)
    declare(bench, x={"context": "files"})
    write(bench, "files/Containerfile", "FROM localhost/base\n")
    write(bench, "files/a", "1")
    first = image_id(bench)
    assert image_id(bench) == first and steps(bench, "build") == []
    write(bench, "files/a", "2")
    assert image_id(bench) != first


def test_a_base_that_moves_is_a_reason(bench: Workbench, podman: Podman) -> None:
    a_base(podman, "1")
    declare(bench, x={"context": "files"})
    write(bench, "files/Containerfile", "FROM localhost/base\n")
    first = image_id(bench)
    assert list(bench.plan("image:x").values()) == ["fresh", "fresh"]
    new = a_base(podman, "2")
    assert image_id(bench) != first
    podman("rmi", "--force", new)
    error = bench.ov("image", "build", code=EXIT_FAILED).stderr
    assert "localhost/base:latest is not in podman's storage" in error and "image.yml" in error


@pytest.mark.parametrize("policy", ["missing", "always", "newer"])
def test_when_the_registry_is_asked(bench: Workbench, podman: Podman, registry: Registry, policy: str) -> None:
    name = f"{registry.host}/a/b:1"
    a_base(podman, "1")
    registry.push(podman, "localhost/base", "a/b:1")
    declare(bench, x={"ref": name, "pull": policy, "tls_verify": False})
    first = image_id(bench, "x", "pull")
    assert registry.asked
    registry.asked.clear()
    write(bench, "dodo.py", "from ovtasks import load_tasks\nload_tasks(globals())\n")
    done = bench.doit("image:x")
    assert bool(registry.asked) is (policy != "missing")
    assert bool(ran(done.stdout + done.stderr)) is (policy != "missing")
    a_base(podman, "2")
    registry.push(podman, "localhost/base", "a/b:1")
    assert image_id(bench, "x", "pull") != first
    registry.close()
    done = bench.doit("image:x", code=None)
    assert done.returncode == (1 if policy == "always" else 0)
    if policy == "newer":
        assert f"{name} stays as it is here" in done.stderr + done.stdout
    podman("rmi", name)
    done = bench.doit("image:x", code=None)
    assert done.returncode == 1 and "cannot be pulled" in done.stderr + done.stdout


def test_never_takes_what_is_there(bench: Workbench, podman: Podman) -> None:
    write(bench, "dodo.py", "from ovtasks import load_tasks\nload_tasks(globals())\n")
    declare(bench, x={"ref": "quay.io/a/b:1", "pull": "never"})
    error = bench.ov("image", "pull", "x", code=EXIT_INPUT).stderr
    assert "says pull: never" in error
    done = bench.doit("image:x", code=None)
    assert done.returncode and "is not in podman's storage, and it is never pulled" in done.stderr + done.stdout
    a_base(podman, "1", "quay.io/a/b:1")
    bench.doit("image:x")
    assert bench.plan("image:x").popitem()[1] == "fresh"


def test_a_digest_is_one_image(bench: Workbench, podman: Podman, registry: Registry) -> None:
    a_base(podman, "1")
    digest = registry.push(podman, "localhost/base", "a/b:1")
    declare(bench, x={"ref": f"{registry.host}/a/b@{digest}", "tls_verify": False})
    assert len(image_id(bench, "x", "pull", "--locked")) == 64
    assert bench.plan("image:x").popitem()[1] == "fresh"
    declare(bench, x={"ref": f"{registry.host}/a/b:1", "tls_verify": False})
    error = bench.ov("image", "pull", "x", "--locked", code=EXIT_INPUT).stderr
    assert "may be another image tomorrow" in error and "name@sha256:" in error


def test_bases_come_from_the_registry(bench: Workbench, podman: Podman, registry: Registry) -> None:
    a_base(podman, "1")
    registry.push(podman, "localhost/base", "a/b:1")
    declare(bench, x={"context": "files", "tls_verify": False})
    write(bench, "files/Containerfile", f"FROM {registry.host}/a/b:1 AS base\nFROM base\nLABEL x=1\n")
    assert steps(bench, "build") == ["base", "image"]
    a_base(podman, "2")
    registry.push(podman, "localhost/base", "a/b:1")
    assert steps(bench, "build") == []
    assert steps(bench, "build", "--refresh") == ["base", "image"]
    assert steps(bench, "build", "--refresh") == ["base"]  # nothing new: the build is not repeated
    error = bench.ov("image", "build", "--locked", code=EXIT_INPUT).stderr
    assert "--locked" in error


def test_tls_is_verified_unless_told_otherwise(bench: Workbench, podman: Podman, registry: Registry) -> None:
    a_base(podman, "1")
    registry.push(podman, "localhost/base", "a/b:1")
    declare(bench, x={"ref": f"{registry.host}/a/b:1"})
    error = bench.ov("image", "pull", code=EXIT_FAILED).stderr
    assert "plain HTTP" in error and "tls_verify: false" in error


def test_bootc_true_wants_the_label(built: Workbench) -> None:
    declare(built, x={"context": "files", "bootc": True})
    error = built.ov("image", "build", code=EXIT_INPUT).stderr
    assert "carries no label of bootc images" in error and "image.yml:1:" in error and "LABEL" in error
    write(built, "files/Containerfile", f"FROM scratch\n{BOOTC}")
    assert image_id(built)


def test_a_build_that_fails(built: Workbench, podman: Podman) -> None:
    first = image_id(built)
    write(built, "files/Containerfile", "FROM scratch\nCOPY a /\nCOPY gone /\n")
    error = built.ov("image", "build", code=EXIT_FAILED).stderr
    assert "image 'x' cannot be built:" in error and "gone" in error
    log = error.rpartition("log: ")[2].splitlines()[0]
    assert "STEP 3/4: COPY gone /" in Path(log).read_text()
    assert podman("image", "inspect", "--format", "{{.Id}}", "localhost/x:latest") == first
    write(built, "files/Containerfile", "FROM scratch\nCOPY a /\n")
    assert steps(built, "build") == []  # the last good one is still what it should be
    (built.root / "files" / "Containerfile").unlink()
    error = built.ov("image", "build", code=EXIT_INPUT).stderr
    assert "image 'x': there is no" in error and "image.yml:1:" in error


def a_command(folder: Path, name: str) -> None:
    """A program of this machine with its libraries, for images made from scratch."""
    program = shutil.which(name)
    assert program is not None
    libraries = call("ldd", program).stdout
    for path in [program, *(word for word in libraries.split() if word.startswith("/"))]:
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


@pytest.mark.parametrize(("signal", "by"), [("TERM", ""), ("KILL", "next run"), ("KILL", "gc")])
def test_a_build_that_is_killed_leaves_nothing(built: Workbench, podman: Podman, signal: str, by: str) -> None:
    import signal as signals

    first = image_id(built)
    a_command(built.root / "files" / "root", "sleep")
    seconds = f"86{os.getpid()}"
    program = shutil.which("sleep")
    write(built, "files/Containerfile", f'FROM scratch\nCOPY root /\nRUN ["{program}", "{seconds}"]\n')
    with built.start([*OV, "image", "build"]) as process:
        end = time.monotonic() + 60
        while not sleeping(seconds) and time.monotonic() < end:
            time.sleep(0.1)
        assert sleeping(seconds), process.communicate()
        process.send_signal(getattr(signals, f"SIG{signal}"))
        process.communicate(timeout=60)
    if signal != "KILL":
        assert sleeping(seconds) == [] and podman("ps", "--all", "--external", "--quiet") == ""
    elif by == "gc":
        assert "rest of a killed pull or build of an image" in built.ov("gc").stdout
        assert sleeping(seconds) == [] and podman("ps", "--all", "--external", "--quiet") == ""
    write(built, "files/Containerfile", "FROM scratch\nCOPY a /\n")
    write(built, "files/a", "3")
    assert image_id(built) != first
    assert sleeping(seconds) == [] and podman("ps", "--all", "--external", "--quiet") == ""
    assert not any((built.root / "output" / ".ov" / "podman").iterdir())


def sleeping(seconds: str) -> list[int]:
    """Processes that sleep for so long."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().endswith(f"sleep\0{seconds}\0".encode()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_garbage_collection_keeps_what_declared_images_need(built: Workbench) -> None:
    before = built.files()
    built.ov("gc")
    assert built.files() == before
    declare(built, y={"ref": "localhost/y"})
    built.ov("gc")
    assert not [name for name in built.files() if "container-" in name]
