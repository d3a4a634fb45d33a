import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cli_kit import BASE, SECOND, make_folder, run
from plant_kit import NOW, WAIT_S, Clock, open_plant, submit
from tickplant.log.journal import Journal
from tickplant.model.events import SCHEMAS
from tickplant.plant.feed_notes import Hole, Repair
from tickplant.plant.records import encode_rows


def test_a_sound_folder(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    folder = make_folder(tmp_path / "data")
    ran = run(capfdbinary, "doctor", "--data", folder)
    assert ran.code == 0, ran.out
    assert ran.out.endswith("nothing is wrong\n")
    body = run(capfdbinary, "doctor", "--data", folder, "--json").json()
    assert body["ok"] is True
    said = {finding["area"]: finding["what"] for finding in body["findings"]}
    assert {"installation", "disk", "data", "journal", "archive", "quarantine"} <= set(said)
    assert "price_not_positive 1" in said["quarantine"]


def test_what_is_not_covered_is_a_note(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder = make_folder(tmp_path / "data")
    with open_plant(folder, Clock(BASE + 600 * SECOND)) as plant:
        submit(plant, symbol=["EURUSD"], ts_event=[BASE + 300 * SECOND], price=[1.0])
        stall = plant.tell(Hole("venue", BASE, BASE + SECOND, "stall")).result(WAIT_S)
        plant.tell(Repair("venue", stall or 0, "repaired", events=0)).result(WAIT_S)
        plant.tell(Hole("venue", BASE, BASE + SECOND, "sequence")).result(WAIT_S)
    body = run(capfdbinary, "doctor", "--data", folder, "--json").json()
    assert body["ok"] is True
    [said] = [finding for finding in body["findings"] if finding["area"] == "gaps"]
    assert (said["state"], said["what"]) == ("note", "not all is covered: restart 1, sequence 1")
    assert "tickplant gaps" in said["todo"]


def test_a_folder_that_is_not_there_yet(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ran = run(capfdbinary, "doctor", "--data", tmp_path / "none")
    assert ran.code == 0
    assert "tickplant serve" in ran.out
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("where", ["archive/trades/*/*.parquet", "archive/MANIFEST.json"])
def test_a_flipped_byte_is_found_and_explained(
    where: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder = make_folder(tmp_path / "data")
    (file, *_) = sorted(folder.glob(where))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    before = sorted(folder.rglob("*"))
    ran = run(capfdbinary, "doctor", "--data", folder, "--json")
    assert ran.code == 1
    wrong = [finding for finding in ran.json()["findings"] if finding["state"] == "wrong"]
    assert any(file.name in finding["what"] and finding["todo"] for finding in wrong), wrong
    assert sorted(folder.rglob("*")) == before


def test_an_archive_of_a_newer_format_is_a_finding(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder = make_folder(tmp_path / "data")
    manifest = json.loads((folder / "archive/MANIFEST.json").read_text())["manifest"]
    body = json.dumps(manifest | {"format": 99, "files": "in a shape of its own"})
    text = f'{{"crc32":{zlib.crc32(body.encode())},"manifest":{body}}}'
    for name in ("MANIFEST.json", "MANIFEST.backup.json"):
        (folder / "archive" / name).write_text(text)
    ran = run(capfdbinary, "doctor", "--data", folder, "--json")
    assert (ran.code, ran.err) == (1, "")
    (wrong,) = [one for one in ran.json()["findings"] if one["state"] == "wrong"]
    assert wrong["area"] == "archive"
    assert "format 99, newer than this program's 1" in wrong["what"]
    assert "install a release that knows" in wrong["todo"]
    assert (folder / "archive/MANIFEST.json").read_text() == text


def test_a_missing_stretch_between_archive_and_journal_is_found(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    journal = Journal(tmp_path / "journal", seq_floor=100)
    row = {"instrument": 1, "ts_event": 1, "seq": 101, "ts_recv": 1, "feed": 1, "flags": 0}
    row |= {"price": 1.0, "side": 0, "ref_seq": 0}
    batch = pa.RecordBatch.from_pylist([row], schema=SCHEMAS["trades"])
    journal.append([encode_rows("trades", batch, None)])
    journal.close()
    ran = run(capfdbinary, "doctor", "--data", tmp_path, "--json")
    assert ran.code == 1
    (wrong,) = [one for one in ran.json()["findings"] if one["state"] == "wrong"]
    assert "the archive ends at seq 0 and the journal begins at 101" in wrong["what"]
    assert "backup" in wrong["todo"]


def test_a_flipped_byte_in_the_journal_is_found(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with open_plant(tmp_path / "data") as plant:
        for number in range(3):
            submit(plant, symbol=["ABC"], price=[1.0 + number], ts_event=[NOW])
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path / "data" / "journal", copy / "journal")
    (file,) = (copy / "journal").glob("*.seg")
    data = bytearray(file.read_bytes())
    data[data.index(np.float64(2.0).tobytes())] ^= 1
    file.write_bytes(data)
    ran = run(capfdbinary, "doctor", "--data", copy, "--json")
    assert ran.code == 1
    (wrong,) = [one for one in ran.json()["findings"] if one["state"] == "wrong"]
    assert (wrong["area"], file.name in wrong["what"]) == ("journal", True)
    assert file.read_bytes() == data


def test_a_bad_setting_is_a_finding(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ran = run(capfdbinary, "doctor", "--data", tmp_path, "--set", "log.segmnt_mb=1", "--json")
    assert ran.code == 1
    assert any("log.segment_mb" in finding["what"] for finding in ran.json()["findings"])


def test_a_plant_that_does_not_answer(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    ran = run(capfdbinary, "doctor", "--url", "http://127.0.0.1:1")
    assert ran.code == 1
    assert "does not answer" in ran.out
