"""A hook of mkdocs: the README is the site's first page, and other pages of the repository's top are part of it.

The pages of errors are made here, from the catalogue.

Pages are written to be read in the repository. There a block of code may have a tag, by which a test finds it, and a
link leads out of ``docs/``. Here the tag goes, and the link leads to the page on the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from docs.catalogue import page as catalogue_page
from ovtasks.errors.catalogue import GROUPS

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
TOP = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
"""Pages beside ``docs/``, and what they are called on the site."""
_TAG = re.compile(r"^(```\w+) \w+$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository's top."""
    from mkdocs.structure.files import File

    for name, shown in TOP.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, shown, content=text))
    for group in GROUPS:
        files.append(File.generated(config, f"errors/{group.slug}.md", content=catalogue_page(group)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page's text as the site needs it."""
    text = _TAG.sub(r"\1", markdown)
    for name, shown in TOP.items():
        text = text.replace(f"](../{name}", f"]({shown}").replace(f"]({name}", f"]({shown}")
    return re.sub(r"\]\((?:\.\./)?LICENSE\)", "](https://opensource.org/license/mit)", text)
