"""Write the pages of `docs/reference` that are generated from the code: `make docs`."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

from tickplant.config import KNOWN, KnownSetting, Settings

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"

_HEAD = """\
# Settings

<!-- Written by `make docs` from src/tickplant/config.py; do not edit. -->

Settings come from three places, and a later one wins: the file that `--config` names
(`tickplant.toml`), the environment, the flags of the command line. A key that is not listed here
is refused with the nearest one that is; so is a value that is not allowed.

```toml
data = "./data"

[synthetic]
instruments = 100
rate = 5_000
```

is the same as

```sh
export TICKPLANT_DATA=./data TICKPLANT_SYNTHETIC_INSTRUMENTS=100 TICKPLANT_SYNTHETIC_RATE=5000
```
"""


def settings_page() -> str:
    """Return the page of all settings, in the order in which `config.py` declares them."""
    sections: dict[str, list[KnownSetting]] = {}
    for setting in KNOWN.values():
        sections.setdefault(setting.key.rpartition(".")[0], []).append(setting)
    hints = get_type_hints(Settings)
    parts = [_HEAD]
    for name, settings in sections.items():
        title = f"## [{name}]\n\n{hints[name].__doc__}" if name else "## Top level"
        parts.append(f"{title}\n\n{_table(settings)}")
    return "\n".join(parts)


def _table(settings: list[KnownSetting]) -> str:
    lines = [
        "| setting | default | allowed | meaning | environment |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{s.key}` | {_default(s)} | {_cell(s.allowed)} | {_cell(s.doc)} | `{s.env}` |"
        for s in settings
    ]
    return "\n".join(lines) + "\n"


def _default(setting: KnownSetting) -> str:
    if isinstance(setting.default, bool):
        return f"`{str(setting.default).lower()}`"
    if isinstance(setting.default, str):
        return f'`"{setting.default}"`'
    return (
        f"`{setting.default:_}`" if isinstance(setting.default, int) else f"`{setting.default:g}`"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PAGES = {"settings.md": settings_page}
"""What makes each generated page."""


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), "utf-8")
        print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
