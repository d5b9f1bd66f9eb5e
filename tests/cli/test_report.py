"""``ov report``: one page with everything on it, safe whatever names are, seen in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ovtasks.cli.main import run
from ovtasks.cli.report.facts import InstanceFact, ReportFacts, StepFact, VmFact
from ovtasks.cli.report.page import render
from ovtasks.graph.chains import StepState
from ovtasks.graph.last_run import RanStep
from ovtasks.images.gc import Item
from tests.support.browser import Browser, artifacts, browser
from tests.support.workbench import DODO, Workbench, cloud_vm, make_image, many_vms, new_bench

EVIL = "<script>alert(1)</script>\"'&</title><img src=x onerror=alert(2)>"
VOID = {"meta", "link", "input", "img", "br"}


class Tags(HTMLParser):
    """The elements of a page: each open one is closed, and none has an attribute that runs a script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, int] = {}
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag] = self.found.get(tag, 0) + 1
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag] = self.found.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def evil_facts() -> ReportFacts:
    """Every text is hostile."""
    step = StepFact(EVIL, EVIL, StepState.RUN, (EVIL,), (), 1.0, 2.0, True, 2)
    one = InstanceFact(EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, 1.0, 1 << 20, 1 << 20, (EVIL,))
    vms = (VmFact(EVIL, EVIL, (EVIL,), 1), VmFact(EVIL + "2", EVIL, (), 0, EVIL))
    item = Item(Path("/" + EVIL), 1 << 20, EVIL, (EVIL,))
    ran = (RanStep("r", EVIL, EVIL, (), 1.0, 2.0, "failed"), RanStep("r", "b", EVIL, (), 1.0, 0.1, "done"))
    return ReportFacts(
        Path("/" + EVIL), "1", 1.0, vms, {EVIL: step}, (one,), ran, (EVIL,), {EVIL: 1}, (item,), (item,), (EVIL,)
    )


def test_no_name_becomes_markup() -> None:
    page = render(evil_facts(), "", "0;")
    tags = Tags(page)
    assert tags.found["script"] == 1 and "img" not in tags.found
    assert tags.found["title"] == 1 + 1  # the page's, and the box's
    assert tags.found["li"] > 4 and tags.found["tr"] > 5 and tags.found["details"] >= 3
    outside = page.replace("<script>0;</script>", "")
    assert "<script" not in outside and "onerror=alert(2)>" not in outside


def test_nothing_is_loaded_and_only_the_own_script_runs() -> None:
    page = render(evil_facts(), "p{}", "let x = 1;")
    policy = re.search(r'content="(default-src[^"]*)"', page)
    assert policy and policy[1].startswith("default-src 'none'; ") and "script-src 'sha256-" in policy[1]
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", page) and "url(" not in page and "@import" not in page


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Built VMs, one of them changed since, one whose words are hostile, one that failed."""
    made = new_bench(tmp_path_factory.mktemp("report") / "project", dodo=DODO)
    image, evil = made.root / "small.qcow2", made.root / "a <script>alert(1)<.qcow2"
    make_image(image)
    shutil.copy(image, evil)
    vms: dict[str, Any] = {name: cloud_vm(image) for name in ("web", "db")}
    vms["evil"] = cloud_vm(evil, cloud_init={"packages": ["<script>alert(2)</script>"]})
    vms["lost"] = cloud_vm(made.root / "none.qcow2")
    made.write(vms)
    made.doit("--continue", "build", code=None)
    vms["db"]["disk_size"] = "2G"
    vms["evil"]["cloud_init"]["packages"] = ["<script>alert(3)</script>"]
    made.write(vms)
    return made


def test_the_command(bench: Workbench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = bench.files()
    words = ["-C", str(bench.root), "report"]
    assert run(words) == 0
    path = bench.root / "output" / "report.html"
    assert capsys.readouterr().out == f"{path}\n"
    page = path.read_text()
    for text in (
        "disk_size: 1G → 2G",
        "verify:@",
        "critical path",
        "failed",
        "gc would free",
        "shared by 2 VMs",
        "the last run failed here",
    ):
        assert text in page, text
    assert {name: stat for name, stat in bench.files().items() if name != "output/report.html"} == before
    assert run([*words, "--output", "-"]) == 0
    assert "<h1>project</h1>" in capsys.readouterr().out
    opened: list[str] = []

    def refuses(url: str) -> bool:
        opened.append(url)
        return False

    monkeypatch.setattr("webbrowser.open", refuses)
    elsewhere = bench.root.parent / "new" / "page.html"
    assert run([*words, "--open", "--output", str(elsewhere)]) == 0
    assert opened == [elsewhere.as_uri()] and elsewhere.is_file()
    assert f"open {elsewhere.as_uri()} in one" in capsys.readouterr().err
    path.unlink()


def test_a_project_in_which_nothing_ever_ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A VM that has no steps says why."""
    lost = {"source": {"kind": "bootc", "image": "no<such"}, "disk_size": "10G"}
    vms = {"web": cloud_vm(tmp_path / "a.qcow2"), "lost": lost}
    (tmp_path / "vms.yml").write_text(json.dumps({"vms": vms}))
    assert run(["-C", str(tmp_path), "report", "--output", "-"]) == 0
    page = capsys.readouterr().out
    assert "No run is noted yet" in page and "No VM is created" in page
    assert "no&lt;such" in page and '<span class="chip broken">broken</span>' in page
    Tags(page)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium")) as made:
        yield made


@pytest.fixture
def page(chromium: Browser, bench: Workbench, tmp_path: Path) -> Browser:
    """The page of ``bench`` in Chromium."""
    assert run(["-C", str(bench.root), "report", "--output", str(tmp_path / "report.html")]) == 0
    chromium.asked.clear()
    chromium.problems.clear()
    chromium.open(tmp_path / "report.html")
    return chromium


SEEN = ".filter((item) => item.checkVisibility())"
SHOWN = f"[...document.querySelectorAll('.vm')]{SEEN}.map((vm) => vm.querySelector('b').textContent)"
BOXES = f"[...document.querySelectorAll('.box')]{SEEN}.length"
TIP = "document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent"


@pytest.mark.slow
def test_the_page_has_no_errors_and_asks_nobody(page: Browser, tmp_path: Path) -> None:
    assert page.eval(SHOWN) == ["web", "db", "evil", "lost"]
    assert page.eval("document.title") == "project – ov report"
    assert page.eval("document.querySelectorAll('script').length") == 1
    assert page.problems == []
    assert page.asked == [(tmp_path / "report.html").as_uri()]


@pytest.mark.slow
def test_search_filters(page: Browser) -> None:
    page.press("/")
    assert page.eval("document.activeElement.id") == "search"
    page.type("disk:db")
    assert page.eval(SHOWN) == ["db"]
    assert page.eval("document.getElementById('count').textContent") == "1 of 4 VMs"
    page.eval("document.getElementById('search').select()")
    page.type("FRESH  web")
    assert page.eval(SHOWN) == ["web"]
    page.eval("document.getElementById('search').select()")
    page.type("<script>")
    assert page.eval(SHOWN) == ["evil"]
    assert page.problems == []


@pytest.mark.slow
def test_tab_reaches_every_step_and_shows_its_reason(page: Browser) -> None:
    reached = f"[...document.querySelectorAll('.box, .timeline [tabindex]')]{SEEN}.length"
    boxes = page.eval(reached)
    hints: list[str] = []
    for _ in range(3 * boxes):  # the page's links, the search and the VMs' heads come between
        page.press("Tab")
        hints += filter(None, [page.eval(TIP)])
        if page.eval("document.activeElement === document.body"):
            break
    assert boxes >= 20 and len(hints) == boxes
    assert "disk:db: qcow2 disk of db\nrun\ndisk_size: 1G → 2G" in "\n\n".join(hints)
    assert page.eval("[...document.querySelectorAll('.box')].every(box => box.getAttribute('aria-label'))")
    assert page.problems == []


@pytest.mark.slow
def test_pointing_shows_the_reason_and_escape_hides_it(page: Browser) -> None:
    page.point('[data-step="seed:evil"]')
    assert "<script>alert(3)</script>" in page.eval(TIP)
    page.press("Escape")
    assert page.eval(TIP) == ""
    page.point('.timeline [data-hint*="fetch:"]')
    assert "on the critical path" in page.eval(TIP) or "done in" in page.eval(TIP)


@pytest.mark.slow
def test_light_and_dark(page: Browser, tmp_path: Path) -> None:
    """Words are read on any ground (WCAG: 4.5); the screenshots are for people."""
    contrast = (
        CONTRAST + "([...document.querySelectorAll('h1, p, b, .kind, .chip, th, td, li > span, .box text, dt, dd, a')])"
    )
    pictures = []
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        pictures.append(page.screenshot(artifacts(tmp_path) / f"report-{scheme}.png"))
        assert page.eval(contrast) == []
    page.scheme("light")
    assert pictures[0] != pictures[1] and all(picture.startswith(b"\x89PNG") for picture in pictures)


CONTRAST = """((items) => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (item) => {
    if (item.closest("svg")) return rgb(getComputedStyle(item.closest("g").querySelector("rect")).fill);
    for (let at = item; at; at = at.parentElement) {
      const found = rgb(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  return items.filter((item) => item.textContent.trim() && item.checkVisibility()).filter((item) => {
    const style = getComputedStyle(item);
    const [one, other] = [light(rgb(item.closest("svg") ? style.fill : style.color)), light(ground(item))].sort();
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05) < 4.5;
  }).map((item) => `${item.className} ${item.textContent}`);
})"""


@pytest.mark.slow
def test_a_thousand_vms(chromium: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are folded, so that the browser lays out their names alone, and the search finds one of them."""
    made = many_vms(tmp_path / "many", 1000, shared=False)
    assert run(["-C", str(made.root), "report", "--output", str(tmp_path / "many.html")]) == 0
    chromium.open(tmp_path / "many.html")
    assert chromium.eval("document.querySelectorAll('.vm').length") == 1000
    assert chromium.eval(BOXES) == 0
    chromium.eval("document.querySelector('nav a[href=\"#disk\"]').click()")
    assert chromium.eval(
        "(y => y > 0 && y < innerHeight)(document.querySelector('#disk h2').getBoundingClientRect().y)"
    )
    chromium.eval("document.getElementById('search').focus()")
    chromium.type("vm777 ")
    assert chromium.eval(SHOWN) == ["vm777"]
    chromium.eval("document.querySelector('.vm:not([hidden]) summary').focus()")
    chromium.press("Enter")
    assert chromium.eval(BOXES) == 4
