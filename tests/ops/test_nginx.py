"""The sample configuration of nginx, with the real nginx before a plant's own server; and TLS."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from served_kit import behind
from tickplant.cli.server import check_tls
from tickplant.config import load
from tickplant.model.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "ops" / "nginx" / "tickplant.conf"
PREFIX = "/tickplant"
WAIT_S = 20
TRADE = {"symbol": "EURUSD", "price": 1.5, "ts_event": "2024-05-08T11:00:00Z"}


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for this machine and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem, secret = folder / "cert.pem", folder / "cert.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return pem, secret


@contextmanager
def proxied(folder: Path, plant: str, pem: Path, key: Path) -> Iterator[int]:
    """Run nginx with the sample before the plant, here and without root; give its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = SAMPLE.read_text("utf-8")
    for old, new in (
        ("server 127.0.0.1:8000;", f"server {plant.removeprefix('http://')};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/nginx/tls/tickplant.pem", str(pem)),
        ("/etc/nginx/tls/tickplant.key", str(key)),
        ("ticks.example.com", "localhost"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{paths}{text}\n}}\n"
    )
    command = ["nginx", "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(config)]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as nginx:
        try:
            yield port
        finally:
            nginx.send_signal(signal.SIGQUIT)
            nginx.wait(WAIT_S)


class Site:
    """What a browser sees of the plant behind nginx."""

    def __init__(self, port: int, pem: Path, plant: str) -> None:
        self.tls = ssl.create_default_context(cafile=str(pem))
        self.origin = f"https://localhost:{port}"
        self.http = httpx.Client(base_url=self.origin, verify=self.tls, timeout=WAIT_S)
        self.plant = plant
        self.socket = f"wss://localhost:{port}{PREFIX}/v1/stream"


def listening(made: Site) -> None:
    """Ask until nginx listens; the limit of the test is the limit."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            made.http.get(f"{PREFIX}/ready").raise_for_status()
            return
        except httpx.TransportError:
            assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if shutil.which("nginx") is None:
        assert os.environ.get("CI") != "true", "nginx is missing: ops/install-tools.sh"
        pytest.skip("nginx is not installed (make install-tools)")
    folder = tmp_path_factory.mktemp("nginx")
    pem, key = certificate(folder)
    with ExitStack() as stack:
        settings = {"server__proxies": "127.0.0.1", "limits__routes": "/v1/gaps=2/hour"}
        made = behind(folder / "data", server__path_prefix=PREFIX, **settings)
        plant = stack.enter_context(made).url
        port = stack.enter_context(proxied(folder, plant, pem, key))
        seen = Site(port, pem, plant)
        listening(seen)
        seen.http.post(f"{PREFIX}/v1/trades", json=[TRADE, {**TRADE, "price": 2}])
        yield seen
        seen.http.close()


def test_pages_and_all_that_they_load_are_there_below_the_path(site: Site) -> None:
    assert site.http.get(PREFIX).headers["location"].endswith(f"{PREFIX}/")
    loaded = 0
    for page in ("/", "/docs", "/docs/stream", "/docs/snippets", "/dashboard"):
        shown = site.http.get(PREFIX + page)
        assert shown.status_code == 200
        for tag, address in re.findall(r'<(\w+)[^>]*?(?:href|src)="([^"#]+)"', shown.text):
            if tag == "a" and address.startswith(("https://", "web/built/")):
                continue  # to be followed, not to be loaded, or there only where it was built
            whole = urljoin(str(shown.url), address)
            assert whole.startswith(f"{site.origin}{PREFIX}/"), (page, address)
            assert site.http.get(whole).status_code == 200, (page, address)
            loaded += 1
    assert loaded > 20


def test_what_is_told_of_addresses_has_the_path(site: Site) -> None:
    assert site.http.get(f"{PREFIX}/openapi.json").json()["servers"] == [{"url": PREFIX}]
    sockets = site.http.get(f"{PREFIX}/asyncapi.json").json()["servers"]["plant"]
    assert sockets["pathname"] == PREFIX
    page = site.http.get(f"{PREFIX}/v1/trades/EURUSD", params={"limit": 1})
    link = page.headers["link"].partition(">")[0].removeprefix("<")
    assert link.startswith(f"{PREFIX}/v1/trades/EURUSD?")
    assert [row["price"] for row in site.http.get(link).json()["trades"]] == [2.0]
    refused = site.http.get(f"{PREFIX}/v1/trades/NOTHING")
    assert refused.json()["instance"] == f"{PREFIX}/v1/trades/NOTHING"
    assert refused.headers["strict-transport-security"]


def test_the_stream_goes_through_and_knows_its_pages(site: Site) -> None:
    headers = {"Origin": site.origin}
    wish = {"op": "subscribe", "id": 1, "channel": "trades", "symbols": ["*"], "from": 0}
    with connect(site.socket, ssl=site.tls, additional_headers=headers) as stream:
        stream.send(json.dumps(wish))
        said = [json.loads(stream.recv(WAIT_S)) for _ in range(2)]
    assert [message["op"] for message in said] == ["subscribed", "data"]
    foreign = {"Origin": "https://elsewhere.example"}
    with pytest.raises(InvalidStatus) as caught:
        connect(site.socket, ssl=site.tls, additional_headers=foreign)
    assert caught.value.response.status_code == 403
    refused = site.http.post(f"{PREFIX}/v1/trades", json=TRADE, headers=foreign)
    assert refused.status_code == 403


def test_a_caller_is_told_by_what_the_proxy_says_of_him(site: Site) -> None:
    """Clients cannot say for themselves where they come from: nginx replaces what they say."""
    codes = [
        site.http.get(
            f"{PREFIX}/v1/gaps", headers={"X-Forwarded-For": f"10.0.0.{last}"}
        ).status_code
        for last in range(3)
    ]
    assert codes == [200, 200, 429]
    # The proxy itself is believed, so this is another caller.
    other = httpx.get(f"{site.plant}/v1/gaps", headers={"X-Forwarded-For": "10.0.0.9"})
    assert other.status_code == 200


def test_tls_without_a_proxy(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    # Nobody is believed about where he comes from, unless he is named.
    own = {
        "server__tls_cert": str(pem),
        "server__tls_key": str(key),
        "limits__routes": "/v1/gaps=1/hour",
    }
    with behind(tmp_path / "data", **own) as made:
        url = made.url
        assert url.startswith("https://127.0.0.1:")
        tls = ssl.create_default_context(cafile=str(pem))
        with httpx.Client(base_url=url, verify=tls, timeout=WAIT_S) as http:
            assert http.get("/ready").json()["ready"]
            codes = [
                http.get("/v1/gaps", headers={"X-Forwarded-For": host}).status_code
                for host in ("10.0.0.1", "10.0.0.2")
            ]
            assert codes == [200, 429]
            http.post("/v1/trades", json=TRADE).raise_for_status()
            read = [http.get("/v1/trades/EURUSD?limit=9") for _ in range(3)]  # hot from the second
            assert {answer.status_code for answer in read} == {200}
            assert len({answer.content for answer in read}) == 1
        with connect(f"{url.replace('https', 'wss')}/v1/stream", ssl=tls) as stream:
            stream.send('{"op":"ping"}')
            assert json.loads(stream.recv(WAIT_S))["op"] == "pong"
        with pytest.raises((ConnectionClosed, OSError, httpx.TransportError)):
            httpx.get(url.replace("https", "http"), timeout=WAIT_S)


@pytest.mark.parametrize(("settings", "said"), [
    ({"tls_cert": "/nowhere/cert.pem"}, "server.tls_key: is missing"),
    ({"tls_key": "/nowhere/cert.key"}, "server.tls_cert: is missing"),
    ({"tls_cert": "/nowhere/a", "tls_key": "/nowhere/b"}, "No such file"),
    ({"path_prefix": "tickplant"}, "server.path_prefix"),
    ({"path_prefix": "/tickplant/"}, "server.path_prefix"),
    ({"proxies": "localhost"}, "server.proxies"),
])  # fmt: skip
def test_settings_of_proxies_and_tls_that_cannot_be_are_refused(
    settings: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        check_tls(load(flags={f"server.{name}": value for name, value in settings.items()}))
