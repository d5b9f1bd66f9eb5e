"""The worked examples of CONTRIBUTING.md: followed to the letter in a copy of the checkout, they work."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, environment, run
from tests.support.pages import BLOCK, blocks, copy_checkout, follow

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("contributing")]  # one checkout

PAGE = ROOT / "CONTRIBUTING.md"
EXAMPLES = ("field", "device", "verb")
WALKS = ("tests/machine/test_table.py", "tests/machine/test_table_argv.py")
"""The tests that visit every field of the ``libvirt:`` block."""


def python(checkout: Path, *words: str) -> str:
    """What ``python WORDS`` prints in a checkout that stands before ours on the path."""
    env = environment(PYTHONPATH=str(checkout), PYTHONDONTWRITEBYTECODE="1", TMPDIR=str(checkout.parent))
    done = run(sys.executable, *words, cwd=checkout, env=env)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_example_is_followed() -> None:
    """No code on the page that nobody runs: commands are run by tests/readme, the rest here."""
    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert {tag for language, tag, _ in found if language != "sh"} == {*EXAMPLES}
    assert len(re.findall("^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE)) == 2 * len(found)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#`]+)\)", PAGE.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which every example of the page is followed."""
    checkout = copy_checkout(tmp_path_factory.mktemp("contributing") / "checkout")
    for example in EXAMPLES:
        follow(PAGE, example, checkout)
    python(checkout, "-m", "docs.generate")
    return checkout


def written(*examples: str) -> list[str]:
    """The Python files that the examples write or change."""
    named = re.compile(r"(?:# |\+\+\+ )(.+\.py)\n")
    found = [named.match(text) for example in examples for _, text in blocks(PAGE, example)]
    return sorted({match[1] for match in found if match})


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_has_a_test(example: str) -> None:
    assert [name for name in written(example) if Path(name).name.startswith("test_")]


def test_examples_pass_their_tests(checkout: Path) -> None:
    """And those of the rooms that they are in, and the rules of the house."""
    tests = [name for name in written(*EXAMPLES) if Path(name).name.startswith("test_")]
    python(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, *WALKS, "tests/test_architecture.py")


def test_examples_are_formatted_and_linted(checkout: Path) -> None:
    code = written(*EXAMPLES)
    python(checkout, "-m", "ruff", "check", "--no-cache", *code)
    python(checkout, "-m", "ruff", "format", "--no-cache", "--check", *code)


@pytest.mark.parametrize(("device", "path"), [("iommu", "driver.dma_translation"), ("pstore", "size")])
def test_new_field_arrives(device: str, path: str, checkout: Path) -> None:
    """In the page and in the schema, by ``python -m docs.generate`` alone."""
    page = (checkout / "docs" / "libvirt.md").read_text(encoding="utf-8")
    assert f"\n| `{path}` |" in page.partition(f"\n## libvirt.devices.{device}\n")[2].partition("\n## ")[0]
    schema = json.loads((checkout / "schemas" / "libvirt.schema.json").read_text(encoding="utf-8"))
    for name in ("devices", device, *path.split(".")):
        schema = schema["properties"][name]
    assert schema["description"]


def test_new_verb_stands_in_the_help(checkout: Path, tmp_path: Path) -> None:
    ov = ("-c", "import sys; from ovtasks.cli import main; sys.exit(main())")
    assert re.search(r"^ +sizes +print how large", python(checkout, *ov, "--help"), re.MULTILINE)
    (tmp_path / "vms.yml").write_text("vms: {web: {source: {kind: bootstrap}, disk_size: 3G}}\n")
    assert python(checkout, *ov, "-C", str(tmp_path), "sizes") == "web\t3G\n"
