"""The worked examples of CONTRIBUTING.md: followed to the letter in a copy of the checkout, they work."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, environment, run
from tests.support.pages import BLOCK, copy_checkout, follow

pytestmark = pytest.mark.slow

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


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES)
def test_example_works(example: str, tmp_path: Path) -> None:
    """Its own tests pass, and the result is code that CI takes: formatted, linted, typed, in its place."""
    checkout = copy_checkout(tmp_path / "checkout")
    written = follow(PAGE, example, checkout)
    python(checkout, "-m", "docs.generate")
    tests = [name for name in written if Path(name).name.startswith("test_")]
    assert tests, "an example has a test"
    python(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, *(WALKS if example != "verb" else ()))
    code = sorted({name for name in written if name.endswith(".py")})
    python(checkout, "-m", "ruff", "check", "--no-cache", *code)
    python(checkout, "-m", "ruff", "format", "--no-cache", "--check", *code)
    architecture = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_architecture.py", "-k")
    python(checkout, *architecture, " or ".join(name.removeprefix("ovtasks/") for name in code if "ovtasks" in name))


@pytest.mark.parametrize(("example", "field"), [("field", "iommu: driver.dma_translation"), ("device", "pstore: size")])
def test_new_field_arrives(example: str, field: str, tmp_path: Path) -> None:
    """In the page and in the schema, by ``python -m docs.generate`` alone."""
    checkout = copy_checkout(tmp_path / "checkout")
    follow(PAGE, example, checkout)
    python(checkout, "-m", "docs.generate")
    device, _, path = field.partition(": ")
    page = (checkout / "docs" / "libvirt.md").read_text(encoding="utf-8")
    assert f"\n| `{path}` |" in page.partition(f"\n## libvirt.devices.{device}\n")[2].partition("\n## ")[0]
    schema = json.loads((checkout / "schemas" / "libvirt.schema.json").read_text(encoding="utf-8"))
    for name in ("devices", device, *path.split(".")):
        schema = schema["properties"][name]
    assert schema["description"]


def test_new_verb_stands_in_the_help(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    follow(PAGE, "verb", checkout)
    ov = ("-c", "import sys; from ovtasks.cli import main; sys.exit(main())")
    assert re.search(r"^ +sizes +print how large", python(checkout, *ov, "--help"), re.MULTILINE)
    (checkout / "vms.yml").write_text("vms: {web: {source: {kind: bootstrap}, disk_size: 3G}}\n")
    assert python(checkout, *ov, "sizes") == "web\t3G\n"
