"""Links between the pages of the documentation lead to a file and, with a fragment, to one of its headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from weatherglass.settings import PROJECT_ROOT

PAGES = sorted([*PROJECT_ROOT.glob("*.md"), *(PROJECT_ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
SOURCE_PATH = re.compile(r"`((?:weatherglass|producer|spark_jobs|ray_jobs|plugins|dags|docker|tests)/[\w./-]+)`")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def links() -> list[tuple[Path, str]]:
    return [
        (page, target)
        for page in PAGES
        for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
        if not target.startswith(("http:", "https:", "mailto:"))
    ]


@pytest.mark.parametrize(("page", "target"), [(page.relative_to(PROJECT_ROOT), target) for page, target in links()])
def test_a_link_leads_to_a_file_and_a_heading(page: Path, target: str) -> None:
    path, _, fragment = target.partition("#")
    file = (PROJECT_ROOT / page).parent / path if path else PROJECT_ROOT / page
    assert file.exists()
    if fragment:
        assert fragment in anchors(file)


def test_paths_of_sources_in_the_documentation_exist() -> None:
    text = {page: page.read_text(encoding="utf-8") for page in PAGES if page.name != "CHANGELOG.md"}
    named = {
        (page.name, path)
        for page, content in text.items()
        for path in re.findall(
            r"`((?:weatherglass|producer|spark_jobs|ray_jobs|plugins|dags|docker|tests)/[\w./-]+)`", content
        )
    }
    assert named
    assert [entry for entry in sorted(named) if not (PROJECT_ROOT / entry[1]).exists()] == []
