"""A writer that is killed at random moments, a real process on a real disk."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from journal_victim import payload

from tickplant.log.journal import Journal
from tickplant.log.verify import verify_journal

ROUNDS = 12


def test_kill_loses_and_doubles_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = random.randrange(1 << 32)
    record_property("seed", seed)
    print("seed", seed)
    rounds, acked = random.Random(seed), 0
    script = Path(__file__).with_name("journal_victim.py")
    for _ in range(ROUNDS):
        victim = subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE)
        assert victim.stdout is not None
        lines = [victim.stdout.readline() for _ in range(rounds.randint(1, 1500))]
        victim.kill()
        victim.wait()
        rest = victim.stdout.read()
        victim.stdout.close()
        acked = int((b"".join(lines) + rest).rsplit(b"\n", 1)[0].splitlines()[-1])
        journal = Journal(tmp_path)
        seen = 0
        for record in journal.read():
            seen += 1
            assert record.seq_first == seen
            assert bytes(record.payload) == payload(seen)
        assert seen >= acked
        assert journal.seq_next == seen + 1
        assert all(damage.seq_to is None for damage in journal.status().damage)
        journal.close()
        assert verify_journal(tmp_path).ok
    assert acked > ROUNDS
