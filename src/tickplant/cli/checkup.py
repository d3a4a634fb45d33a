"""What `tickplant doctor` looks at: each check yields findings, and none of them changes data."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import httpx
import pyarrow.compute as pc

from tickplant.cli.about import versions
from tickplant.client.credentials import key_headers
from tickplant.compose import open_folder
from tickplant.config import Settings
from tickplant.log.folder import JournalTrimmed
from tickplant.log.verify import JournalReport, verify_journal
from tickplant.model.errors import FatalError, TickplantError
from tickplant.model.times import NS_PER_S, parse_time
from tickplant.plant.folder import JOURNAL, read_owner
from tickplant.store import manifest as manifests
from tickplant.store.verify import verify_archive

OK, NOTE, WARNING, WRONG = "ok", "note", "warning", "wrong"

SYNC_TIMES = 20
SYNC_MS_SLOW = 20.0
FREE_MB_LOW = 1024
CLOCK_S_MAX = 1.0
HTTP_TIMEOUT_S = 5.0
SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `todo` is what to do about it, empty where nothing is."""

    area: str
    state: str
    what: str
    todo: str = ""


def check_installation() -> Iterator[Finding]:
    """Look at versions and at the optional libraries."""
    known = versions()
    listed = ", ".join(f"{name} {number}" for name, number in known.items())
    yield Finding("installation", OK, listed)
    missing = [name for name in ("pandas", "polars") if util.find_spec(name) is None]
    if missing:
        yield Finding(
            "installation",
            NOTE,
            f"not installed: {' and '.join(missing)}, which `.pandas()` and `.polars()` need",
            f"`make setup` installs what is missing, or `pip install {' '.join(missing)}`",
        )


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Look at the free space, and measure how long the disk takes to make a small write durable."""
    place = _existing(Path(settings.data))
    free = shutil.disk_usage(place).free >> 20
    needed = 2 * settings.log.segment_mb
    if free < needed:
        yield Finding(
            "disk", WRONG, f"{free:,} MiB free, the journal needs {needed:,}", "make room"
        )
    elif free < FREE_MB_LOW:
        yield Finding("disk", WARNING, f"only {free:,} MiB free", "make room, or shorten retention")
    else:
        yield Finding("disk", OK, f"{free:,} MiB free")
    try:
        took_ms = sorted(_measure_sync(place))
    except OSError as fault:
        yield Finding(
            "disk",
            WRONG,
            f"{place} cannot be written ({fault.strerror})",
            "give this user the right to write there, or choose another folder with --data",
        )
        return
    middle, worst = statistics.median(took_ms), took_ms[-1]
    what = f"a durable write takes {middle:.2f} ms (median of {SYNC_TIMES}), {worst:.2f} at most"
    if middle > SYNC_MS_SLOW:
        todo = "acknowledgements wait for this; put the data folder on a faster disk"
        yield Finding("disk", WARNING, what, todo)
    else:
        yield Finding("disk", OK, what)


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path


def _measure_sync(place: Path) -> Iterator[float]:
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(SYNC_TIMES):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            yield (time.perf_counter() - began) * 1e3


def check_folder(path: Path, *, quick: bool) -> Iterator[Finding]:
    """Look at a data folder: who owns it, journal, archive, what is set apart and what is refused.

    With `quick` the files of the archive are not read.
    """
    if not path.is_dir():
        yield Finding("data", NOTE, f"{path} is not there yet", "`tickplant serve` makes it")
        return
    owner = read_owner(path)
    if owner.pid is not None:
        where = owner.url or "it does not serve"
        yield Finding("data", OK, f"{path} is in use by process {owner.pid}: {where}")
    else:
        yield Finding("data", OK, f"{path} is not in use")
    try:
        archive = manifests.load(path / manifests.ARCHIVE)[0]  # before the journal is trimmed
    except FatalError as fault:
        # What the journal and the rows ought to be cannot be told without the archive.
        todo = "install a release that knows this format; nothing in the folder was changed"
        yield Finding("archive", WRONG, str(fault), todo)
        return
    archived = 0 if archive is None else archive.seq_archived
    yield from _check_files(path, archived, live=owner.pid is not None, quick=quick)
    yield from _check_contents(path)


def _check_files(path: Path, archived: int, *, live: bool, quick: bool) -> Iterator[Finding]:
    journal = _journal(path, live=live)
    if journal is None:
        yield Finding("journal", NOTE, "there is none yet")
    else:
        span = "no rows" if journal.seq_last is None else f"seq {journal.seq_first:,} to "
        span += "" if journal.seq_last is None else f"{journal.seq_last:,}"
        yield Finding(
            "journal", OK, f"{len(journal.segments)} segments, {journal.bytes >> 20:,} MiB, {span}"
        )
        for item in journal.damage:
            lost = "" if item.seq_from is None else f", seq {item.seq_from} to {item.seq_to}"
            what = f"{item.path} at byte {item.offset}: {item.what}{lost}"
            yield Finding("journal", WRONG, what, item.action)
        yield from _check_meeting(journal, archived)
    if quick:
        yield Finding("archive", NOTE, "its files were not read (--quick)")
    else:
        yield from _check_archive(path)
    damaged = sorted((path / manifests.DAMAGED).rglob("*")) if path.is_dir() else []
    kept = [
        one for one in [*damaged, *sorted((path / JOURNAL / "damaged").glob("*"))] if one.is_file()
    ]
    for file in kept[:SHOWN_MAX]:
        yield Finding(
            "damage",
            WARNING,
            f"{file} holds bytes that were set apart",
            "send the lost rows again or restore them from a backup, then remove the file",
        )


def _journal(path: Path, *, live: bool) -> JournalReport | None:
    folder = path / JOURNAL
    if not folder.is_dir():
        return None
    for _ in range(5):
        try:
            return verify_journal(folder, live=live)
        except JournalTrimmed:
            continue
    return None


def _check_meeting(journal: JournalReport, archived: int) -> Iterator[Finding]:
    """See that the journal begins before the archive ends, so that no number is in neither."""
    first = journal.seq_first
    if first is not None and first > archived + 1:
        yield Finding(
            "journal",
            WRONG,
            f"the archive ends at seq {archived:,} and the journal begins at {first:,}; "
            "the rows between are missing",
            "restore the older segments or the archive from a backup",
        )


def _check_archive(path: Path) -> Iterator[Finding]:
    found = verify_archive(path)
    yield Finding(
        "archive", OK, f"{found.files} files, {found.rows:,} rows, {found.bytes >> 20:,} MiB read"
    )
    for finding in found.findings[:SHOWN_MAX]:
        todo = "restore the file from a backup; the plant sets it apart and starts without it"
        yield Finding("archive", WRONG, f"{finding.path} {finding.what}", todo)
    for note in found.damage[-SHOWN_MAX:]:
        yield Finding(
            "archive", WARNING, note, "this is kept as a note; the plant has dealt with it"
        )


def _check_contents(path: Path) -> Iterator[Finding]:
    try:
        history = open_folder(path).history
        status = history.store.status()
        refused = Counter(history.quarantine()["reason"].to_pylist())
        gaps = history.gaps()
    except (TickplantError, OSError) as fault:
        yield Finding("data", WRONG, f"it cannot be opened: {fault}", "see the findings above")
        return
    counts = ", ".join(
        f"{table.rows_archived + table.rows_in_memory:,} {name}"
        for name, table in status.tables.items()
    )
    yield Finding("data", OK, f"{counts}, {len(history.registry):,} instruments")
    if refused:
        listed = ", ".join(f"{reason} {count:,}" for reason, count in refused.most_common(10))
        todo = "`tickplant export quarantine` shows them with the reason for each"
        yield Finding("quarantine", NOTE, f"rows were refused: {listed}", todo)
    missed = Counter(gaps.filter(pc.not_equal(gaps["status"], "repaired"))["cause"].to_pylist())
    if missed:
        listed = ", ".join(f"{cause} {count:,}" for cause, count in missed.most_common())
        todo = "`tickplant gaps` shows of what and when"
        yield Finding("gaps", NOTE, f"not all is covered: {listed}", todo)


def check_plant(url: str, key: str | None = None) -> Iterator[Finding]:
    """Look at a running plant: health, readiness, its clock and ours."""
    headers = key_headers(key)
    try:
        with httpx.Client(base_url=url, timeout=HTTP_TIMEOUT_S, headers=headers) as http:
            health, ready = _document(http, "/health"), _document(http, "/ready")
            asked = time.time()
            status = _document(http, "/v1/status")
            middle = (asked + time.time()) / 2
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as fault:
        todo = "start it with `tickplant serve`, or see what else answers there"
        yield Finding("plant", WRONG, f"{url} does not answer as a plant: {fault}", todo)
        return
    for name, probe in health.get("checks", {}).items():
        if not probe["ok"]:
            todo = f"mend what the {name} says; the plant goes on by itself"
            yield Finding("plant", WRONG, f"{name}: {probe['detail']}", todo)
    if ready.get("ready"):
        seq, up = status.get("seq_last", 0), status.get("uptime_s", 0)
        yield Finding("plant", OK, f"{url} is accepting, seq {seq:,}, up {up:,.0f} s")
    else:
        todo = "wait, or see its log"
        yield Finding("plant", WRONG, f"{url} is not ready: {ready.get('reason')}", todo)
    apart = parse_time(status["now"]) / NS_PER_S - middle
    what = f"its clock and ours are {abs(apart):.3f} s apart"
    if abs(apart) > CLOCK_S_MAX:
        yield Finding("plant", WARNING, what, "set both by NTP")
    else:
        yield Finding("plant", OK, what)
    for damage in status.get("log", {}).get("damage", [])[:SHOWN_MAX]:
        yield Finding("plant", WARNING, f"its journal: {damage['what']}", damage["action"])


def _document(http: httpx.Client, path: str) -> dict[str, Any]:
    answer = http.get(path)
    if answer.status_code in (401, 403):
        raise ValueError(f"{path} needs a key with the scope read: --key, or TICKPLANT_KEY")
    found = answer.json()
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no document of a plant")
    return found
