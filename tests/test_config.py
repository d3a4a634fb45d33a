import dataclasses
from pathlib import Path

import pytest

from tickplant.config import KNOWN, Settings, load
from tickplant.model.errors import ConfigError, UserError


def toml(folder: Path, text: str) -> Path:
    file = folder / "tickplant.toml"
    file.write_text(text, "utf-8")
    return file


def refused(**source: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(**source)  # type: ignore[arg-type]
    return str(caught.value)


def test_without_any_source_the_defaults_hold() -> None:
    assert load() == Settings()


def test_every_default_is_a_value_that_would_be_allowed() -> None:
    assert load(flags={key: setting.default for key, setting in KNOWN.items()}) == Settings()
    assert load(environ={s.env: str(s.default) for s in KNOWN.values()}) == Settings()


def test_no_two_settings_share_a_variable() -> None:
    assert len({setting.env for setting in KNOWN.values()}) == len(KNOWN)


def test_the_environment_wins_over_the_file_and_flags_win_over_both(tmp_path: Path) -> None:
    file = toml(tmp_path, "data = 'a'\n[server]\nport = 1\nhost = 'h'\n[log]\nsegment_mb = 8\n")
    environ = {"TICKPLANT_SERVER_PORT": "2", "TICKPLANT_DATA": "b", "PATH": "/bin"}
    settings = load(file=file, environ=environ, flags={"server.port": 3, "server.host": None})
    assert settings.server.port == 3
    assert settings.data == "b"
    assert settings.server.host == "h"
    assert settings.log.segment_mb == 8
    assert settings.store == Settings().store


def test_settings_cannot_be_changed_after_they_were_loaded() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().server.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("[server]\nprt = 1", "server.prt", "server.port"),
        ("[sever]\nport = 1", "sever", "server.port"),
        ("port = 1", "port", "server.port"),
        ("[server.port]\nx = 1", "server.port", ""),
        ("server = 5", "server", "server.port"),
        ("dat = 'x'", "dat", "data"),
    ],
)
def test_an_unknown_key_of_the_file_is_refused(
    tmp_path: Path, text: str, key: str, nearest: str
) -> None:
    message = refused(file=toml(tmp_path, text))
    assert message.startswith(f"{key}: ")
    assert message.endswith(f"the nearest is {nearest}") or not nearest


def test_an_unknown_variable_is_refused_with_the_nearest() -> None:
    message = refused(environ={"TICKPLANT_SERVER_PRT": "1"})
    assert message == "TICKPLANT_SERVER_PRT: no such setting; the nearest is TICKPLANT_SERVER_PORT"


def test_an_unknown_flag_is_refused_with_the_nearest() -> None:
    assert "the nearest is synthetic.rate" in refused(flags={"synthetic.rat": 1})


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("server.port", "eighty", "a whole number from 0 to 65535"),
        ("server.port", 65_536, "a whole number from 0 to 65535"),
        ("server.port", -1, "a whole number from 0 to 65535"),
        ("server.port", 80.5, "a whole number from 0 to 65535"),
        ("server.port", True, "a whole number from 0 to 65535"),
        ("server.port", [80], "a whole number from 0 to 65535"),
        ("server.port", float("inf"), "a whole number from 0 to 65535"),
        ("server.host", 5, "a text"),
        ("server.host", "", "a text"),
        ("log.sync", "sometimes", "fdatasync or none"),
        ("log.ack_timeout_s", "soon", "a number, at least 0.1"),
        ("log.ack_timeout_s", 0.0, "a number, at least 0.1"),
        ("checks.price_min", "nan", "a number"),
        ("checks.price_max", float("inf"), "a number, at least 0"),
        ("checks.strict", "maybe", "true or false"),
        ("checks.strict", 2, "true or false"),
        ("checks.strict", [], "true or false"),
        ("checks.ts_event_min", "yesterday", "RFC 3339 with a zone"),
        ("checks.ts_event_min", "2014-05-07T00:00:00", "RFC 3339 with a zone"),
        ("synthetic.quote_share", 1.01, "a number from 0 to 1"),
        ("synthetic.venue", "A B", "1 to 32 letters"),
        ("push.venue", "A:B", "1 to 32 letters"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(key: str, value: object, allowed: str) -> None:
    message = refused(flags={key: value})
    assert message.startswith(f"{key}: ")
    assert allowed in message.partition("allowed is ")[2]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("server.port", "9000", 9_000),
        ("server.port", 9_000.0, 9_000),
        ("log.ack_timeout_s", 3, 3.0),
        ("checks.strict", "Yes", True),
        ("checks.strict", "0", False),
        ("checks.price_min", "-1e9", -1e9),
        ("data", Path("folder"), "folder"),
        ("synthetic.seed", "-7", -7),
    ],
)
def test_values_are_taken_as_the_type_of_the_setting(
    key: str, value: object, expected: object
) -> None:
    settings: object = load(flags={key: value})
    for name in key.split("."):
        settings = getattr(settings, name)
    assert settings == expected
    assert type(settings) is type(expected)


def test_a_time_may_be_written_as_toml_writes_times(tmp_path: Path) -> None:
    file = toml(tmp_path, "[checks]\nts_event_min = 2014-05-07T00:00:00Z\n")
    assert load(file=file).checks.ts_event_min == "2014-05-07T00:00:00+00:00"
    naive = toml(tmp_path, "[checks]\nts_event_min = 2014-05-07T00:00:00\n")
    assert "checks.ts_event_min" in refused(file=naive)


@pytest.mark.parametrize("content", [b"port = ", b"[server", b"a = 1\na = 2", b"\xff\xfe"])
def test_what_is_not_toml_is_refused_with_its_path(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "tickplant.toml"
    file.write_bytes(content)
    message = refused(file=file)
    assert str(file) in message
    assert "not valid TOML" in message


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_refused_with_its_path(tmp_path: Path, name: str) -> None:
    assert str(tmp_path / name) in refused(file=tmp_path / name)


def test_a_configuration_fault_is_the_users() -> None:
    assert issubclass(ConfigError, UserError)
