"""The page of all settings, in the order in which `config.py` declares them."""

from __future__ import annotations

from typing import get_type_hints

from pages import conditions
from pages.text import cell, code, head, table
from tickplant.config import KNOWN, KnownSetting, Settings

_INTRO = """
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
_COLUMNS = ("setting", "default", "allowed", "meaning", "environment")


def page() -> str:
    """Return the page."""
    sections: dict[str, list[KnownSetting]] = {}
    for setting in KNOWN.values():
        sections.setdefault(setting.key.rpartition(".")[0], []).append(setting)
    hints = get_type_hints(Settings)
    parts = [head("Settings", "src/tickplant/config.py", _INTRO)]
    for name, settings in sections.items():
        title = f"## [{name}]\n\n{hints[name].__doc__}" if name else "## Top level"
        parts.append(f"{title}\n\n{table(_COLUMNS, map(_row, settings))}")
    parts.append(conditions.section())
    return "\n".join(parts)


def _row(setting: KnownSetting) -> tuple[str, ...]:
    return (
        code(setting.key),
        _default(setting),
        cell(setting.allowed),
        setting.doc,
        code(setting.env),
    )


def _default(setting: KnownSetting) -> str:
    if isinstance(setting.default, bool):
        return code(str(setting.default).lower())
    if isinstance(setting.default, str):
        return code(f'"{setting.default}"')
    if isinstance(setting.default, int):
        return code(f"{setting.default:_}")
    return code(f"{setting.default:g}")
