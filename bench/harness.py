"""How things are measured: in turn, in one run, checked, with the spread.

The sides of a comparison alternate (A B B A …), so that a machine that slows down slows them all.
A side is a function that does the work once, checks it, and returns how many units it did in how
many seconds. What is quoted is the median of the rounds with its least and greatest.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "pyarrow", "duckdb", "polars", "msgspec", "uvicorn", "uvloop")


@dataclass(frozen=True)
class Done:
    """Work that was done and checked."""

    units: int
    seconds: float
    extra: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.units / self.seconds


@dataclass(frozen=True)
class Side:
    """One side of a comparison. `note` says what it does for durability and the like."""

    name: str
    run: Callable[[], Done]
    note: str = ""


@dataclass
class Outcome:
    """The rates of one side, in units a second, in the order of the rounds."""

    name: str
    note: str
    rates: list[float]
    extra: dict[str, float]

    @property
    def median(self) -> float:
        return statistics.median(self.rates)


@dataclass
class Comparison:
    """All sides of one workload; the first is ours."""

    name: str
    unit: str
    outcomes: list[Outcome]
    target: str = ""
    better: str = "higher"

    def ratio(self, place: int) -> float:
        """Our median over the median of another side."""
        return self.outcomes[0].median / self.outcomes[place].median


def compare(
    name: str, sides: Sequence[Side], *, rounds: int = 5, unit: str = "rows/s", target: str = ""
) -> Comparison:
    """Run every side `rounds` times, forwards and backwards in turn, after one warm-up each."""
    done: dict[str, list[Done]] = {side.name: [] for side in sides}
    for side in sides:
        side.run()
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            print(f"  {name}: round {number + 1}/{rounds}, {side.name} …", end="", file=sys.stderr)
            result = side.run()
            done[side.name].append(result)
            print(f" {result.rate:,.0f} {unit}", file=sys.stderr)
    outcomes = [
        Outcome(side.name, side.note, [d.rate for d in done[side.name]], _extra(done[side.name]))
        for side in sides
    ]
    return Comparison(name, unit, outcomes, target)


def _extra(results: Sequence[Done]) -> dict[str, float]:
    names = results[0].extra
    return {name: statistics.median([r.extra[name] for r in results]) for name in names}


def machine() -> dict[str, object]:
    """Say on what, with what and at which commit this ran."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    ).stdout.strip()
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit or "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def report(comparisons: Sequence[Comparison], name: str) -> Path:
    """Print a table, write the result file and draw the chart beside it."""
    for comparison in comparisons:
        print_table(comparison)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    tree = {"machine": machine(), "comparisons": [asdict(c) for c in comparisons]}
    path.write_text(json.dumps(tree, indent=2) + "\n", "utf-8")
    draw(comparisons, path.with_suffix(".png"))
    print(f"\nresults: {path}")
    return path


def print_table(comparison: Comparison) -> None:
    """Print one comparison: median, least, greatest and our ratio to each."""
    unit = comparison.unit
    print(f"\n{comparison.name}" + (f"   target: {comparison.target}" if comparison.target else ""))
    print(f"  {'side':<44}{'median ' + unit:>18}{'least':>14}{'greatest':>14}{'ours / it':>11}")
    for place, outcome in enumerate(comparison.outcomes):
        ratio = "" if place == 0 else f"{comparison.ratio(place):.2f}x"
        print(
            f"  {outcome.name:<44}{outcome.median:>18,.0f}{min(outcome.rates):>14,.0f}"
            f"{max(outcome.rates):>14,.0f}{ratio:>11}"
        )
        extra = "  ".join(f"{key} {value:,.3g}" for key, value in outcome.extra.items())
        if extra or outcome.note:
            print(f"      {outcome.note}{'; ' if extra and outcome.note else ''}{extra}")


def draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draw bars of the medians with their spread; says so where matplotlib is not installed."""
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError:
        print("no chart: matplotlib is not installed (make bench installs it)", file=sys.stderr)
        return
    heights = [len(c.outcomes) + 1.2 for c in comparisons]
    figure, axes = plt.subplots(
        len(comparisons),
        1,
        figsize=(9, 0.42 * sum(heights) + 0.6),
        squeeze=False,
        gridspec_kw={"height_ratios": heights},
    )
    for axis, comparison in zip(axes[:, 0], comparisons, strict=True):
        names = [o.name for o in comparison.outcomes]
        medians = [o.median for o in comparison.outcomes]
        low = [o.median - min(o.rates) for o in comparison.outcomes]
        high = [max(o.rates) - o.median for o in comparison.outcomes]
        colours = ["#1f6feb"] + ["#9aa4b2"] * (len(names) - 1)
        axis.barh(names, medians, xerr=[low, high], color=colours, capsize=3)
        axis.invert_yaxis()
        axis.set_title(f"{comparison.name} [{comparison.unit}]", loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
