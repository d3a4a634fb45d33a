import re
from pathlib import PurePosixPath

import pytest
from docs_files import NAMES, ROOT, anchors, links, read

PICTURE_BYTES_MAX = 250_000


def resolve(name: str, path: str) -> str:
    """Return the path of a link in a page, from the root of the repository."""
    parts: list[str] = []
    for part in (PurePosixPath(name).parent / path).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    for link in links(read(name)):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = resolve(name, path) if path else name
        assert (ROOT / target).is_file(), link
        if fragment:
            assert fragment in anchors(read(target)), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[str] = set()
    waiting = ["README.md"]
    while waiting:
        name = waiting.pop()
        if name in reached or not name.endswith(".md"):
            continue
        reached.add(name)
        found = (link.partition("#")[0] for link in links(read(name)) if "://" not in link)
        waiting += [resolve(name, path) for path in found if path]
    assert reached == set(NAMES)


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < PICTURE_BYTES_MAX, picture


def test_decisions_are_numbered_and_complete() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(record.name[:3]) for record in records] == list(range(1, len(records) + 1))
    index = read("docs/decisions/README.md")
    for record in records:
        text = record.read_text("utf-8")
        title = text.splitlines()[0].removeprefix("# ")
        assert f"[{title}]({record.name})" in index
        assert title.startswith(record.name[:3])
        headings = re.findall(r"^\*\*(\w+)\.\*\*", text, re.M)
        assert headings == ["Context", "Choice", "Consequences", "Measured", "Rejected"]
