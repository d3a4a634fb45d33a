import json
from pathlib import Path

import pytest

from cli_kit import run, serve
from tickplant.client import Client
from tickplant.gateway.keys.file import KeyFile
from tickplant.model.errors import Unauthorized


def test_keys_are_created_listed_and_revoked(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    where = ("--data", tmp_path / "data")
    assert "there are no keys" in run(capfdbinary, "keys", "list", *where).out
    made = run(capfdbinary, "keys", "create", "--name", "mine", "--expires", "90d", *where)
    key = made.out.strip()
    assert key.startswith("tp_")
    assert "not shown again" in made.err
    both = run(capfdbinary, "keys", "create", "--scope", "write,read", "--json", *where).json()
    assert both["scopes"] == ["read", "write"]
    listed = run(capfdbinary, "keys", "list", "--json", *where)
    assert key not in listed.out
    assert [one["name"] for one in listed.json()["keys"]] == ["mine", ""]
    assert "hash" not in listed.out
    number = listed.json()["keys"][0]["id"]
    assert run(capfdbinary, "keys", "revoke", number, *where).out == f"{number} is revoked\n"
    shown = run(capfdbinary, "keys", "list", *where).out.splitlines()
    assert [line.split()[1] for line in shown] == ["revoked", "active"]


@pytest.mark.parametrize(("argv", "said"), [
    (["make"], "create, list, revoke"), (["create", "--scope", "all"], "read, write, admin"),
    (["create", "--expires", "soon"], "--expires"),
    (["create", "--expires", "2001-01-01T00:00:00Z"], "yet to come"),
    (["revoke"], "ID"), (["revoke", "tp_0123456789_SECRET"], "no key has the id"),
    (["list", "--scope", "read"], "nothing with list"), (["create", "--name", "a\nb"], "--name"),
])  # fmt: skip
def test_what_keys_does_not_take_is_one_line(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], argv: list[str], said: str
) -> None:
    ran = run(capfdbinary, "keys", *argv, "--data", tmp_path)
    assert ran.code == 2
    assert said in ran.err
    assert "SECRET" not in ran.err


def test_a_plant_that_asks_for_keys_and_the_commands_around_it(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    required = ("--set", "auth.required=true")
    with serve("serve", "--data", folder, "--feed", "none", "--host", "0.0.0.0", *required) as one:
        with Client(one.url) as client, pytest.raises(Unauthorized):
            client.status()
        key, _ = KeyFile(folder).create(["read", "write"], now=1)
        with Client(one.url, key=key) as client:
            while True:  # it notices by itself
                try:
                    client.post_trades([{"symbol": "ABC", "price": 1.5}])
                    break
                except Unauthorized:
                    continue
        asked = ("candles", "ABC", "--url", one.url, "--json")
        refused = run(capfdbinary, *asked)
        assert refused.code == 2
        assert json.loads(refused.err)["status"] == 401
        assert run(capfdbinary, *asked, "--key", key).json()["symbol"] == "ABC"
        monkeypatch.setenv("TICKPLANT_KEY", key)
        assert run(capfdbinary, *asked).json()["symbol"] == "ABC"
        assert run(capfdbinary, "doctor", "--url", one.url).code == 0
        assert one.stop() == 0
        assert one.process.stderr is not None
        said = one.process.stderr.read()
    assert "no key is valid yet" in said
    assert key not in said
