import io
import json
import logging
from collections.abc import Iterator

import pytest

from tickplant.observe.logs import set_up_logs
from tickplant.observe.redact import mask


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_have_time_level_logger_message_and_extras() -> None:
    stream = io.StringIO()
    set_up_logs(stream=stream)
    logging.getLogger("plant").info("took %d rows", 7, extra={"feed": "push", "seq": 9})
    (line,) = lines(stream)
    assert str(line.pop("ts")).endswith("Z")
    assert line == {
        "level": "info", "logger": "plant", "message": "took 7 rows", "feed": "push", "seq": 9,
    }  # fmt: skip


def test_a_traceback_stays_in_its_line() -> None:
    stream = io.StringIO()
    set_up_logs(stream=stream)
    try:
        raise ValueError("with password=hunter2 inside")
    except ValueError:
        logging.getLogger("plant").exception("failed")
    (line,) = lines(stream)
    assert "ValueError: with password=*** inside" in str(line["error"])
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize("name", ["uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"])
def test_uvicorn_goes_the_same_way_once(name: str) -> None:
    stream = io.StringIO()
    logging.getLogger(name).addHandler(logging.StreamHandler(io.StringIO()))
    logging.getLogger(name).setLevel("WARNING")
    set_up_logs(stream=stream)
    logging.getLogger(name).info("started", extra={"color_message": "\x1b[1mstarted"})
    (line,) = lines(stream)
    assert line["logger"] == name
    assert "color_message" not in line


def test_setting_up_twice_writes_once_and_to_the_new_place() -> None:
    old, new = io.StringIO(), io.StringIO()
    set_up_logs(stream=old)
    set_up_logs(stream=new)
    logging.getLogger("plant").warning("once")
    assert old.getvalue() == ""
    assert len(lines(new)) == 1


def test_levels_below_the_threshold_are_left_out() -> None:
    stream = io.StringIO()
    set_up_logs("WARNING", stream=stream)
    logging.getLogger("plant").info("quiet")
    logging.getLogger("plant").error("loud")
    assert [line["message"] for line in lines(stream)] == ["loud"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_short_lines_without_control_characters() -> None:
    stream = Terminal()
    set_up_logs(stream=stream)
    logging.getLogger("plant").info("a\nforged line \x1b[2J", extra={"feed": "push"})
    (line,) = stream.getvalue().splitlines()
    assert line[12:] == r" INFO    plant: a\x0aforged line \x1b[2J  feed=push"


@pytest.mark.parametrize(("part", "shown"), [(0.0, "000"), (0.5, "500"), (0.25, "250")])
def test_a_terminal_gets_the_time_with_as_many_digits_always(part: float, shown: str) -> None:
    stream = Terminal()
    set_up_logs(stream=stream)
    given = {"name": "plant", "msg": "a", "levelno": logging.INFO, "levelname": "INFO"}
    record = logging.makeLogRecord(given | {"created": 1_700_000_000 + part})
    logging.getLogger("plant").handle(record)
    assert stream.getvalue() == f"22:13:20.{shown} INFO    plant: a\n"


@pytest.mark.parametrize("style", ["json", "human"])
def test_extras_with_a_secret_name_are_masked(style: str) -> None:
    stream = io.StringIO()
    set_up_logs(style=style, stream=stream)  # type: ignore[arg-type]
    extra = {"api_key": "k-123456", "request": {"Authorization": "Bearer abc", "path": "/v1"}}
    logging.getLogger("plant").info("request", extra=extra)
    assert "k-123456" not in stream.getvalue()
    assert "abc" not in stream.getvalue()
    assert "/v1" in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET /v1/latest?symbols=A&api_key=s3cret&limit=5", "symbols=A&api_key=***&limit=5"),
        ('{"password": "hunter2", "user": "me"}', '{"password": "***", "user": "me"}'),
        ("Authorization: Bearer eyJhbGciOi.J9-x_y", "Authorization: ***"),
        ("sent Bearer eyJhbGciOi.J9-x_y to them", "sent Bearer *** to them"),
        ("postgres://me:pw@db:5432/ticks", "postgres://***@db:5432/ticks"),
        ("KITE_ACCESS_TOKEN=abc123", "KITE_ACCESS_TOKEN=***"),
    ],
)
def test_secrets_in_messages_are_masked(text: str, masked: str) -> None:
    assert mask(text).endswith(masked)


@pytest.mark.parametrize(
    "text", ["1,000 tokens in 5 s", "symbol: BTC-USDT is not known", "at 12:00:05 key 17 a=b"]
)
def test_ordinary_messages_are_left_alone(text: str) -> None:
    assert mask(text) == text
