"""Write the pages of `docs/reference` that are generated from the code: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
if str(TOOLS) not in sys.path:
    sys.path.insert(0, str(TOOLS))

from pages import command_line, errors, http, metrics, python, settings  # noqa: E402

FOLDER = TOOLS.parent / "docs" / "reference"

PAGES = {
    "settings.md": settings.page,
    "http.md": http.page,
    "command-line.md": command_line.page,
    "python.md": python.page,
    "errors.md": errors.page,
    "metrics.md": metrics.page,
}
"""What makes each generated page."""


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), "utf-8")
        print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
