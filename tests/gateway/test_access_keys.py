"""Keys on disk and in memory, tokens, and what limits count."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import stat
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant_kit import Clock, open_plant, submit
from tickplant.compose import open_follower
from tickplant.config import AuthSettings, LimitSettings, load
from tickplant.gateway.app import DOORS
from tickplant.gateway.keys import guard
from tickplant.gateway.keys.access import Access
from tickplant.gateway.keys.file import KeyFile
from tickplant.gateway.keys.grants import Grant, make_key, split_key
from tickplant.gateway.keys.install import make_access
from tickplant.gateway.keys.offers import credential_of
from tickplant.gateway.keys.rates import caller_of, make_rates
from tickplant.gateway.keys.ring import KeyRing
from tickplant.gateway.keys.rules import Rule
from tickplant.gateway.keys.tokens import KEPT_MAX, Tokens, make_tokens
from tickplant.gateway.reader import DOORS as READER_DOORS
from tickplant.gateway.reader import create_reader_app
from tickplant.gateway.stream.routes import STALLED
from tickplant.model.errors import ConfigError, NotFound

SECRET = "s3cret-that-is-long-enough-to-sign-with"
NOW = 1_700_000_000
NS = 1_000_000_000
READ = Rule("/v1/status", "read", "read")


# -- the file -------------------------------------------------------------------------------------


def test_only_a_hash_is_kept_and_only_for_its_owner(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "new" / "data")
    key, kept = file.create(["read"], now=1, name="mine")
    text = file.path.read_text("utf-8")
    assert key.rpartition("_")[2] not in text
    assert kept.id in text
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.read() == [kept]
    assert not list(file.path.parent.glob("*.new"))


def test_keys_are_256_random_bits() -> None:
    keys = [make_key()[0] for _ in range(200)]
    secrets = [base64.urlsafe_b64decode(key.split("_", 2)[2] + "=") for key in keys]
    assert {len(secret) for secret in secrets} == {32}
    assert len(set(secrets)) == len(keys)
    ones = sum(byte.bit_count() for secret in secrets for byte in secret)
    assert abs(ones / (200 * 256) - 0.5) < 0.02
    assert all(split_key(key) for key in keys)


@given(st.text(max_size=80))
def test_what_is_no_key_is_none(text: str) -> None:
    parts = split_key(text)
    assert parts is None or text.startswith(f"tp_{parts[0]}_")


def test_several_at_once_lose_no_key(tmp_path: Path) -> None:
    def create() -> None:
        file = KeyFile(tmp_path)
        for _ in range(5):
            file.create(["read"], now=1)

    writers = [threading.Thread(target=create) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(20)
    assert len({key.id for key in KeyFile(tmp_path).read()}) == 20


def test_a_crash_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = KeyFile(tmp_path)
    kept = file.create(["read"], now=1)[1]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("cut")))
        with pytest.raises(OSError, match="cut"):
            file.create(["read"], now=2)
    assert file.read() == [kept]
    file.revoke(kept.id, now=3)
    assert file.read()[0].revoked == 3
    assert file.revoke(kept.id, now=4).revoked == 3
    with pytest.raises(NotFound):
        file.revoke("nothing", now=5)


# -- in memory ------------------------------------------------------------------------------------


def test_a_ring_follows_the_file_and_opens_nothing_when_it_is_damaged(tmp_path: Path) -> None:
    file, clock = KeyFile(tmp_path), Clock(100)
    ring = KeyRing(file, None, clock)
    key, kept = file.create(["write"], now=1, expires=200)
    assert ring.find(key) is None
    assert ring.refresh()
    grant = ring.find(key)
    assert grant is not None
    assert (grant.may("write"), grant.may("read"), ring.stands(grant)) == (True, False, True)
    assert ring.find(key[:-1] + ("A" if key[-1] != "A" else "B")) is None
    clock.now = 200
    assert (ring.find(key), ring.stands(grant)) == (None, False)
    clock.now = 100
    assert not ring.refresh()
    good = file.path.read_bytes()
    file.path.write_bytes(good[:-9])
    assert ring.refresh()
    assert (ring.find(key), ring.stands(grant)) == (None, False)
    file.path.write_bytes(good)
    assert ring.refresh()
    assert ring.find(key) == grant
    file.revoke(kept.id, now=2)
    assert ring.refresh()
    assert ring.find(key) is None
    file.path.unlink()
    assert ring.refresh()
    assert len(ring) == 0


def test_a_plant_does_not_start_on_damaged_keys(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    for content in ("", "[]", '{"version":2,"keys":[]}', '{"version":1,"keys":[{"id":"a"}]}'):
        file.path.write_text(content)
        with pytest.raises(ConfigError, match=r"keys\.json"):
            KeyRing(file, None, Clock(1))


@pytest.mark.parametrize(("headers", "found"), [
    ([("authorization", "Bearer abc")], "abc"), ([("authorization", "token  abc ")], "abc"),
    ([("x-api-key", "one"), ("authorization", "Bearer two")], "two"),
    ([("x-api-key", "one"), ("authorization", "Basic dHdv")], "one"),
    ([("x-api-key", "a" * 20_000)], None), ([("cookie", "key=abc")], None), ([], None),
])  # fmt: skip
def test_where_a_key_is_looked_for(headers: list[tuple[str, str]], found: str | None) -> None:
    assert credential_of([(n.encode(), v.encode()) for n, v in headers]) == found


# -- the guard ------------------------------------------------------------------------------------


def access_of(folder: Path, **given: Any) -> tuple[Access, list[str]]:
    refused: list[str] = []
    flags = {"data": str(folder), "auth.required": True, **given}
    return make_access(load(flags=flags), DOORS, clock=Clock(5), refused=refused.append), refused


async def test_a_client_that_reads_nothing_is_dropped_when_its_key_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "CLOSE_S_MAX", 0.01)
    file = KeyFile(tmp_path)
    key, kept = file.create(["read"], now=1)
    access, refused = access_of(tmp_path)
    begun, never = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await never.wait()

    async def send(message: Any) -> None:
        await never.wait()

    scope = {
        "type": "websocket", "path": "/v1/stream", "root_path": "", "subprotocols": [],
        "headers": [(b"x-api-key", key.encode())], "client": ("10.0.0.7", 1),
    }  # fmt: skip
    serving = asyncio.create_task(guard.KeyGuard(app, access)(scope, never.wait, send))
    await begun.wait()
    await access.look()
    assert not serving.done()
    file.revoke(kept.id, now=2)
    await access.look()
    await serving
    assert scope[STALLED]
    assert refused == ["cut"]
    assert not access.connections


async def test_a_server_that_stops_a_connection_is_not_held_up(tmp_path: Path) -> None:
    key, _ = KeyFile(tmp_path).create(["read"], now=1)
    access, refused = access_of(tmp_path)
    never = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await never.wait()

    scope = {
        "type": "websocket", "path": "/ws", "subprotocols": [f"tickplant.key.{key}"],
        "headers": [],
    }  # fmt: skip
    serving = asyncio.create_task(guard.KeyGuard(app, access)(scope, never.wait, never.wait))
    await asyncio.sleep(0)
    assert len(access.connections) == 1
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert not access.connections
    assert not refused


async def test_a_fault_of_the_watch_does_not_end_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    access, _ = access_of(tmp_path)
    looks = []

    async def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise ValueError("odd")
        raise asyncio.CancelledError

    async def pause(seconds: float) -> None:
        assert seconds <= 0.5  # a revoked key is to be noticed within a second

    access._sleep, access.look = pause, look  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await access._watch()
    assert len(looks) == 2
    assert "odd" in caplog.text


async def test_a_reader_asks_for_the_same_keys(tmp_path: Path) -> None:
    key, _ = KeyFile(tmp_path).create(["read"], now=1)
    with open_plant(tmp_path, log__sync="none") as plant:
        submit(plant, symbol=["EURUSD"], price=[1.0])
        flags = {"data": str(tmp_path), "auth.required": True}
        follower = open_follower(load(flags=flags), Clock())
        try:
            transport = httpx.ASGITransport(app=create_reader_app(follower))
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as reader:
                for path in [door.path.replace("{symbol}", "EURUSD") for door in READER_DOORS]:
                    assert (await reader.get(path)).status_code == 401
                    answer = await reader.get(path, headers={"X-API-Key": key})
                    assert answer.status_code in (200, 400), path
                assert (await reader.get("/metrics")).status_code == 401
                assert (await reader.get("/ready")).status_code == 200
        finally:
            follower.stop()


# -- tokens ---------------------------------------------------------------------------------------


def signing(key: str = SECRET, algorithm: str = "HS256", **said: str) -> Tokens:
    auth = AuthSettings(
        jwt_key=key, jwt_algorithm=algorithm, jwt_issuer="https://id.example.com",
        jwt_audience="tickplant",
    )  # fmt: skip
    made = make_tokens(auth, said)
    assert made is not None
    return made


def claims(**changed: Any) -> dict[str, Any]:
    said = {
        "iss": "https://id.example.com", "aud": "tickplant", "sub": "me", "exp": NOW + 60,
        "scope": "openid read write", **changed,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def find(tokens: Tokens, token: str, at: float = NOW) -> Grant | None:
    return tokens.find(token, int(at * NS))


@pytest.fixture(scope="module")
def jwt() -> Any:
    return pytest.importorskip("jwt", reason="PyJWT is not installed (extra `jwt`)")


def test_a_token_allows_what_its_scopes_say_until_it_ends(jwt: Any) -> None:
    tokens = signing()
    token = jwt.encode(claims(), SECRET, "HS256")
    for _ in range(2):  # the second from memory
        grant = find(tokens, token)
        assert grant == Grant("token:me", frozenset({"read", "write"}), (NOW + 60) * NS)
        assert find(tokens, token, NOW + 59.9) == grant
        assert find(tokens, token, NOW + 60) is None
    listed = find(tokens, jwt.encode(claims(scope=["admin", 1]), SECRET, "HS256"))
    assert listed is not None
    assert listed.scopes == {"admin"}
    nothing = find(tokens, jwt.encode(claims(scope=None, aud=["a", "tickplant"]), SECRET, "HS256"))
    assert nothing is not None
    assert not nothing.scopes
    early = jwt.encode(claims(nbf=NOW + 5), SECRET, "HS256")
    assert find(tokens, early) is None
    assert find(tokens, early, NOW + 5) is not None


def test_a_token_that_is_not_the_issuers_is_nothing(jwt: Any) -> None:
    tokens = signing()
    other = SECRET[::-1]
    bad = [jwt.encode(claims(**changed), SECRET, "HS256") for changed in (
        {"iss": "https://evil.example.com"}, {"iss": None}, {"aud": "other"}, {"aud": None},
        {"exp": None}, {"exp": NOW}, {"exp": 1e300}, {"exp": -1}, {"nbf": "now"},
    )]  # fmt: skip
    good = jwt.encode(claims(), SECRET, "HS256")
    head, body, signature = good.split(".")
    forged = base64.urlsafe_b64encode(json.dumps(claims(scope="admin")).encode()).decode()
    bad += [
        jwt.encode(claims(), other, "HS256"), jwt.encode(claims(), SECRET * 2, "HS384"),
        jwt.encode(claims(), None, "none"), f"{head}.{forged.rstrip('=')}.{signature}",
        f"{head}.{body}.", good + "A", "a.b.c", "..", "é.é.é", "a" * 10_000,
    ]  # fmt: skip
    assert [token for token in bad if find(tokens, token) is not None] == []
    assert find(tokens, good) is not None


def test_a_public_key_checks_and_cannot_sign(jwt: Any) -> None:
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
    from cryptography.hazmat.primitives import serialization as form

    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(
        form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo
    )
    tokens = signing("env:ISSUER", "ES256", ISSUER=public.decode())
    assert find(tokens, jwt.encode(claims(), private, "ES256")) is not None
    body = ".".join(jwt.encode(claims(), SECRET, "HS256").split(".")[:2])
    import hashlib
    import hmac

    made = hmac.new(public, body.encode(), hashlib.sha256).digest()
    confused = f"{body}.{base64.urlsafe_b64encode(made).decode().rstrip('=')}"
    assert find(tokens, confused) is None


def test_good_tokens_are_remembered_within_a_bound() -> None:
    asked = []
    tokens = Tokens(lambda token: asked.append(token) or claims(sub=token))
    for number in range(KEPT_MAX + 1):
        assert find(tokens, f"{number}") is not None
    assert find(tokens, "1") is not None
    assert find(tokens, "0") is not None
    assert asked[KEPT_MAX:] == [f"{KEPT_MAX}", "0"]


@pytest.mark.parametrize(("changed", "said"), [
    ({"jwt_issuer": ""}, "auth.jwt_issuer"), ({"jwt_audience": " "}, "auth.jwt_audience"),
    ({"jwt_key": "short-secret"}, "auth.jwt_key: is shorter"), ({"jwt_key": "env:GONE"}, "GONE"),
    ({"jwt_algorithm": "RS256"}, "auth.jwt_key: is no public key"),
    ({"jwt_key": "-----BEGIN PUBLIC KEY----- it is not secret"}, "auth.jwt_key: is a PEM key"),
])  # fmt: skip
def test_settings_of_tokens_that_cannot_be_are_refused(
    jwt: Any, changed: dict[str, str], said: str
) -> None:
    given = {"jwt_key": SECRET, "jwt_issuer": "i", "jwt_audience": "a", **changed}
    with pytest.raises(ConfigError) as caught:
        make_tokens(AuthSettings(**given), {})
    assert said in str(caught.value)
    assert "secret" not in str(caught.value).replace("is not secret", "")


def test_the_key_of_an_issuer_is_never_shown() -> None:
    made = load(flags={"auth.jwt_key": SECRET})
    assert made.auth.jwt_key == SECRET
    assert SECRET not in repr(made)
    with pytest.raises(ConfigError) as caught:
        load(flags={"auth.jwt_key": [SECRET]})
    assert SECRET not in str(caught.value)
    assert load(environ={"TICKPLANT_KEY": "tp_1"}) == load()


# -- limits ---------------------------------------------------------------------------------------


class Ticking:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limited(clock: Ticking, **given: Any) -> Any:
    made = make_rates(LimitSettings(**given), clock, ["/v1/status", "/prices/latest"])
    assert made is not None
    return made


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    pytest.importorskip("limits", reason="limits is not installed (extra `limits`)")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 9)), max_size=40), st.integers(1, 4))
def test_a_window_holds_its_count_and_says_truly_when_it_ends(
    asked: list[tuple[str, float]], most: int
) -> None:
    clock = Ticking()
    rates = limited(clock, read=f"{most}/10 seconds")
    windows: dict[str, tuple[float, int]] = {}  # the oracle: where each began, and how many
    for who, later in asked:
        clock.now += later
        began, count = windows.get(who, (-math.inf, 0))
        if clock.now >= began + 10:
            began, count = clock.now, 0
        windows[who] = began, count + 1
        taken = rates.take(READ, "GET", who)
        assert taken.allowed == (count < most)
        assert taken.remaining == max(0, most - count - 1)
        assert 0 <= taken.reset_s - (began + 10 - clock.now) <= 1 or taken.reset_s == 1
        assert ("Retry-After" in taken.headers()) is not taken.allowed
    if asked and not taken.allowed:
        clock.now += int(taken.headers()["Retry-After"])
        assert rates.take(READ, "GET", who).allowed


def test_a_route_has_a_limit_besides_that_of_its_class() -> None:
    clock = Ticking()
    routes = "/prices/latest = 1/second, POST /v1/status = 1/minute"
    rates = limited(clock, read="3/minute", routes=routes)
    price = Rule("/prices/latest", "read", "read")
    assert rates.take(price, "GET", "a").allowed
    refused = rates.take(price, "GET", "a")
    assert (refused.allowed, refused.limit, refused.reset_s) == (False, 1, 1)
    clock.now += 1
    last = rates.take(price, "GET", "a")
    assert (last.allowed, last.remaining) == (True, 0)
    # Of two limits that are spent, the later one says when to come back.
    assert rates.take(price, "GET", "a").reset_s == 59
    assert rates.take(READ, "GET", "b").remaining == 2
    assert rates.take(Rule("/v1/status", "write", "write"), "POST", "b").limit == 1
    assert rates.take(Rule("/v1/status", "write", "write"), "PUT", "b") is None


def test_each_limit_counts_a_request_once() -> None:
    rates = limited(
        Ticking(), routes="/v1/status=9/minute, GET /v1/status=9/minute", stream="9/day"
    )
    assert rates.take(READ, "GET", "a").remaining == 8
    assert rates.take(READ, "GET", "a").remaining == 7
    socket = limited(Ticking(), routes="/prices/latest=3/minute")
    assert socket.take(Rule("/prices/latest", "read", "stream"), "", "a").remaining == 2
    assert rates.take(Rule("", "read", "stream"), "", "a").limit == 9


def test_callers_are_counted_within_a_bound() -> None:
    clock = Ticking()
    rates = limited(clock, read="2/minute", callers_max=100)
    for number in range(10_000):
        assert rates.take(READ, "GET", f"address:{number}").allowed
    assert len(rates._limiter.storage) == 100
    rates.take(READ, "GET", "address:9999")
    assert not rates.take(READ, "GET", "address:9999").allowed


@pytest.mark.parametrize("given", [
    {"limits.read": "many"}, {"limits.read": "0/minute"}, {"limits.read": "5/fortnight"},
    {"limits.read": "-1/minute"}, {"limits.routes": "5/minute"}, {"limits.routes": "/a=x"},
])  # fmt: skip
def test_limits_that_are_none_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="limits"):
        load(flags=given)


def test_a_limit_of_a_route_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="/v1/statsu"):
        limited(Ticking(), routes="/v1/statsu=5/minute")
    assert make_rates(LimitSettings(), time.monotonic, []) is None


@pytest.mark.parametrize(("client", "who"), [
    (("10.0.0.7", 1), "10.0.0.7"), (("2001:db8:1:2:3::4", 1), "2001:db8:1:2::/64"),
    (("::ffff:10.0.0.7", 1), "10.0.0.7"), (("unix", 0), "unix"), (None, ""),
])  # fmt: skip
def test_an_address_stands_for_who_cannot_change_it(client: Any, who: str) -> None:
    assert caller_of(client) == f"address:{who}"
