"""The page at `/` in a real Chromium: what a person sees of a plant, and what he does with it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from book_kit import ASK, BID, message, updates
from browser_kit import Browser, Tab, find_chromium, open_browser
from plant_kit import NOW, WAIT_S, Clock, open_plant, submit
from stream_fakes import Served
from tickplant.feeds.book_desk import BookDesk
from tickplant.gateway import site
from tickplant.gateway.app import create_app
from tickplant.gateway.keys.file import KeyFile
from tickplant.plant.feed_notes import Alive, Begun, Hole
from tickplant.plant.plant import Plant
from tickplant.plant.submission import Submission

SECOND, MINUTE = 1_000_000_000, 60_000_000_000
BASE = NOW - NOW % (24 * 60 * MINUTE)  # midnight of the clock's day, 2023-11-14
MINUTES = 1_300
LADDER = [(BID, 100.0 - step, 8.0 - step) for step in range(7)]
LADDER += [(ASK, 100.5 + step, 1.0) for step in range(7)]


class Desk:
    """A plant that is served, and can be served anew at the same port."""

    def __init__(self, plant: Plant, clock: Clock) -> None:
        self.plant, self.clock = plant, clock
        self.served = Served(create_app(plant))
        self.url, self.port = self.served.url, self.served.port
        self._minute = MINUTES

    def trade(self, price: float, *, later_s: float = 1, symbol: str = "LONG") -> None:
        """Let a trade happen so many seconds after the last one."""
        self.clock.now += int(later_s * SECOND)
        submit(
            self.plant, symbol=[symbol], price=[price], size=[2.0], side=[1],
            ts_event=[self.clock.now],
        )  # fmt: skip

    def back(self) -> None:
        self.served = Served(create_app(self.plant), self.port)


class World(NamedTuple):
    browser: Browser
    desk: Desk


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    program = find_chromium()
    if program is None:
        assert os.environ.get("CI") != "true", "CI needs Chromium: ops/install-tools.sh installs it"
        pytest.skip("no Chromium here; `make install-tools` installs one")
    clock = Clock(BASE + MINUTES * MINUTE)
    with open_plant(tmp_path_factory.mktemp("plant"), clock) as plant:
        fill(plant)
        desk = Desk(plant, clock)
        with open_browser(program, tmp_path_factory.mktemp("chromium")) as browser:
            yield World(browser, desk)
        desk.served.stop()


def fill(plant: Plant) -> None:
    """Give it a trade a minute of LONG, a book of X, a quoted pair, and a feed with a gap."""
    places = range(MINUTES)
    submit(
        plant, symbol=["LONG"] * MINUTES, ts_event=[BASE + n * MINUTE for n in places],
        price=[round(100 + (n % 50) / 100, 2) for n in places], size=[1.0 + n % 7 for n in places],
        side=[1 + n % 2 for n in places],
    )  # fmt: skip
    submit(
        plant, "quotes", symbol=["PAIR"], ts_event=[BASE + MINUTES * MINUTE],
        bid_price=[1.0851], bid_size=[3.0], ask_price=[1.0853], ask_size=[1.0],
    )  # fmt: skip
    now = BASE + MINUTES * MINUTE
    plant.tell(Begun("venue", start=now - 9 * MINUTE))
    rows = BookDesk("coinbase-exchange", "resubscribe").take(
        updates(message("X", LADDER, ts_event=now - SECOND, snapshot=True)), now
    ).rows  # fmt: skip
    plant.submit(Submission("book", rows, feed="venue", venue="V")).result(WAIT_S)
    plant.tell(Hole("venue", now - 8 * MINUTE, now - 5 * MINUTE, "sequence")).result(WAIT_S)
    plant.tell(Alive("venue", now)).result(WAIT_S)
    plant.list_feeds = lambda: [
        {
            "id": "venue", "venue": "V", "kind": "venue", "state": "connected", "instruments": 1,
            "events": 14, "events_per_s": 3.5, "last_event": None, "lag": 0.25, "restarts": 0,
            "error": None, **plant.feed_facts("venue"),
        }
    ]  # fmt: skip


@pytest.fixture(scope="module")
def shared(world: World) -> Iterator[Tab]:
    with world.browser.tab(prefers_color_scheme="dark") as tab:
        tab.go(world.desk.url + "/")
        tab.until("document.querySelectorAll('#watch tr').length >= 3")
        yield tab


@pytest.fixture
def tab(shared: Tab, world: World) -> Iterator[Tab]:
    """The page with the bars of LONG, whatever a test before has looked at."""
    shared.run("document.activeElement.blur()")
    look(shared, "ORIGIN:LONG")
    yield shared
    assert_clean(shared, world.desk)


def assert_clean(tab: Tab, desk: Desk) -> None:
    """No error on the console, and nothing asked of another host."""
    assert tab.faults == []
    hosts = {found[1] for url in tab.asked if (found := re.match(r"\w+://([^/]*)", url))}
    assert hosts == {desk.url.removeprefix("http://")}


def look(tab: Tab, symbol: str, **view: str) -> str:
    """Choose by the address, as somebody does who was sent one; return what the chart says."""
    wanted = {"interval": "1m", "timezone": "UTC", "day_start": "00:00", "fill": "null"} | view
    query = "&".join(f"{name}={value}" for name, value in {"symbol": symbol, **wanted}.items())
    tab.run(f"location.hash = {query!r}")
    zone = wanted["timezone"].replace("/", ".")
    return says(tab, rf"{symbol}, {wanted['interval']}: \d+ bars from .* {zone}")


def says(tab: Tab, pattern: str) -> str:
    label = "document.getElementById('chart').ariaLabel"
    return str(tab.until(f"/{pattern}/.test({label}) && {label}"))


def bars_of(said: str) -> int:
    return int(re.findall(r"(\d+) bars", said)[0])


def shows(tab: Tab, id: str, text: str) -> None:
    tab.until(f"document.getElementById({id!r}).textContent.includes({text!r})")


# -- what is looked at -----------------------------------------------------------------------------


def test_search_finds_an_instrument_and_shows_it(tab: Tab) -> None:
    tab.press("/")
    assert tab.run("document.activeElement.id") == "search"
    tab.type("pai")
    tab.until("document.querySelectorAll('#found [role=option]').length === 1")
    tab.press("Enter")
    shows(tab, "symbol", "PAIR")
    shows(tab, "bid", "1.0851")
    shows(tab, "ask", "1.0853")
    assert tab.run("location.hash").startswith("#symbol=ORIGIN%3APAIR")


def test_search_shows_first_what_begins_with_the_text(tab: Tab, world: World) -> None:
    submit(world.desk.plant, symbol=["AAUSD", "USDAA", "USD"], price=[1.0] * 3,
           ts_event=[world.desk.clock.now] * 3)  # fmt: skip
    tab.press("/")
    tab.type("usd")
    tab.until("document.querySelectorAll('#found [role=option]').length === 3")
    names = "[...document.querySelectorAll('#found [role=option]')].map((li) => li.firstChild.data)"
    assert tab.run(names) == ["USD", "USDAA", "AAUSD"]
    tab.press("Escape")


def test_search_says_when_nothing_is_called_so(tab: Tab) -> None:
    tab.press("/")
    tab.type("NOSUCH")
    shows(tab, "found", "Nothing is called so")
    tab.press("Escape")
    assert tab.run("document.getElementById('found').hidden")


def test_an_interval_is_chosen_by_button_key_and_field(tab: Tab) -> None:
    tab.run("document.querySelectorAll('#intervals button')[2].click()")
    assert bars_of(says(tab, r"LONG, 5m: \d")) == MINUTES // 5
    tab.press("5")
    assert bars_of(says(tab, r"LONG, 1h: \d")) == 22
    tab.press("i")
    tab.type("100t")
    tab.press("Enter")
    assert bars_of(says(tab, r"LONG, 100t: \d")) >= 13
    pressed = "[...document.querySelectorAll('#intervals [aria-pressed=true]')].length"
    assert tab.run(pressed) == 0


def test_an_interval_that_there_is_not_is_refused_in_words(tab: Tab) -> None:
    tab.press("i")
    tab.type("17x")
    tab.faults.clear()
    tab.press("Enter")
    shows(tab, "fault", "interval: 17x is not allowed")
    # What a browser logs of an answer of 400 is all there may be.
    assert all("400 (Bad Request)" in fault for fault in tab.faults), tab.faults
    tab.faults.clear()


def test_days_begin_where_the_reader_says(tab: Tab) -> None:
    said = look(tab, "ORIGIN:LONG", interval="1d", timezone="America/New_York", day_start="17:00")
    # Midnight UTC is 19:00 in New York, within the day that began at 17:00 there.
    assert "from 2023-11-13 17:00:00 to 2023-11-13 17:00:00 America/New_York" in said
    shows(tab, "bar-time", "2023-11-13")
    tab.run("""{ const field = document.getElementById('day-start');
                 field.value = '25:99'; field.onchange(); }""")
    shows(tab, "fault", "allowed is HH:MM")
    said = look(tab, "ORIGIN:LONG", interval="1d", timezone="Asia/Tokyo")
    assert bars_of(said) == 2  # 00:00 UTC is 09:00 there; 21:40 UTC is the next day


def test_scrolling_back_loads_history(tab: Tab) -> None:
    box = tab.run(
        "(({ left, top, height }) => [left, top + height / 2])"
        "(document.getElementById('chart').getBoundingClientRect())"
    )
    assert bars_of(says(tab, r"LONG, 1m: \d")) == 500
    for _ in range(6):
        tab.press("-")  # narrower bars, so that it is not so far
    for _ in range(60):  # a browser may join quick moves of a mouse, so one drag may not do
        if bars_of(says(tab, r"LONG, 1m: \d")) == MINUTES:
            break
        tab.drag(int(box[0]) + 60, int(box[1]), 500)
    assert bars_of(says(tab, r"LONG, 1m: \d")) == MINUTES
    assert "from 2023-11-14 00:00:00" in says(tab, r"LONG, 1m: \d")
    assert not tab.run("document.getElementById('newest').hidden")
    tab.run("document.getElementById('newest').click()")
    tab.until("document.getElementById('newest').hidden")
    look(tab, "ORIGIN:LONG", interval="5m")  # for the next test the usual width of bars


IN_VIEW = "[...document.querySelectorAll('#states b')].reduce((n, b) => n + +b.textContent, 0)"


def test_keys_held_down_lose_no_step_and_the_counts_follow(tab: Tab) -> None:
    before = tab.run(IN_VIEW)
    press = "dispatchEvent(new KeyboardEvent('keydown', { key: %r }))"
    tab.run("for (let n = 0; n < 6; n += 1) " + press % "-")  # within one frame
    tab.until(f"{IN_VIEW} > {before} * 3")  # bars of 0.8 ** 6 the width
    tab.run("for (let n = 0; n < 3; n += 1) " + press % "ArrowLeft")
    tab.until("document.querySelector('#states .forming b').textContent === '0'")
    tab.until("!document.getElementById('newest').hidden")
    tab.press("End")
    tab.until("document.querySelector('#states .forming b').textContent !== '0'")
    look(tab, "ORIGIN:LONG", interval="5m")


def test_bars_of_one_name_never_stand_under_another(tab: Tab) -> None:
    tab.run("location.hash = 'symbol=ORIGIN:NOSUCH&interval=1m'")
    shows(tab, "fault", "symbol: ORIGIN:NOSUCH is not known")
    says(tab, "ORIGIN:NOSUCH, 1m: no bars")
    assert not tab.run("document.getElementById('no-bars').hidden")
    assert tab.text("price") == "–"
    assert all("404 (Not Found)" in fault for fault in tab.faults), tab.faults
    tab.faults.clear()


def test_bars_that_were_lost_on_the_way_are_asked_for_again(tab: Tab) -> None:
    tab.run("""{ const whole = fetch; let left = 2;
        globalThis.fetch = (...asked) => {
            const isFirst = String(asked[0]).includes('interval=15m') && left > 0;
            if (!isFirst) return whole(...asked);
            left -= 1;
            return Promise.reject(new TypeError('network'));
        }; }""")
    assert bars_of(look(tab, "ORIGIN:LONG", interval="15m")) == 87


# -- what happens ----------------------------------------------------------------------------------


def test_a_trade_shows_everywhere_while_the_bar_forms(tab: Tab, world: World) -> None:
    world.desk.trade(123.45)
    shows(tab, "bar-close", "123.45")
    shows(tab, "price", "123.45")
    tab.until("document.querySelector('#tape tr .cost')?.textContent === '123.45'")
    tab.until("document.querySelector('#watch tr.chosen').cells[1].textContent === '123.45'")
    assert tab.text("bar-state").startswith("forming")
    assert "123.45" in tab.run("document.title")
    before = bars_of(says(tab, r"LONG, 1m: \d"))
    world.desk.trade(124.5, later_s=60)
    says(tab, f"LONG, 1m: {before + 1} bars")
    shows(tab, "bar-close", "124.50")  # with the decimals of the instrument
    tab.until("document.querySelector('#states .forming b').textContent === '1'")


def test_bars_say_what_is_known_of_them(tab: Tab, world: World) -> None:
    world.desk.trade(120.0, later_s=60)
    world.desk.trade(121.0, later_s=240)
    # Three minutes in between had no trade; the own evidence of one session covers them.
    tab.until("Number(document.querySelector('#states .quiet b').textContent) >= 3")
    look(tab, "ORIGIN:LONG", fill="none")
    tab.until("document.querySelector('#states .quiet b').textContent === '0'")


def test_the_book_is_a_ladder(tab: Tab) -> None:
    tab.run("location.hash = 'symbol=V:X&interval=1m'")
    shows(tab, "book-state", "live")
    cell = "(id, row, at) => document.getElementById(id).rows[row].cells[at].textContent"
    assert tab.run("document.getElementById('bids').rows.length") == 7
    assert tab.run(f"({cell})('bids', 0, 0)") == "100.0"
    assert tab.run(f"({cell})('asks', 6, 0)") == "100.5"  # the best ask stands next to the spread
    assert tab.run(f"({cell})('bids', 6, 2)") == "35"
    assert (tab.text("spread"), tab.text("spread-bps")) == ("0.5", "49.88 bp")
    assert tab.text("imbalance-text") == "86 % bid"  # 30 of 35, of the best five
    tab.run(
        "{ const depth = document.getElementById('depth'); depth.value = '5'; depth.onchange(); }"
    )
    tab.until("document.getElementById('asks').rows.length === 5")


def test_feeds_gaps_and_the_plant(tab: Tab) -> None:
    shows(tab, "feeds", "connected")
    shows(tab, "feeds", "250 ms")
    shows(tab, "gaps", "sequence")
    shows(tab, "gaps", "3 min")
    shows(tab, "gaps-count", "1 open")
    assert tab.text("log") == tab.text("store") == tab.text("health") == "ok"
    shows(tab, "tables", "trades")
    assert tab.text("plant-state") == "running"


# -- hands and eyes --------------------------------------------------------------------------------


def test_keys_move_through_the_list_and_explain_themselves(tab: Tab) -> None:
    names = tab.run("[...document.querySelectorAll('#watch .pick')].map((b) => b.firstChild.data)")
    at = names.index("LONG")
    tab.press("ArrowDown" if at + 1 < len(names) else "ArrowUp")
    shows(tab, "symbol", names[at + 1] if at + 1 < len(names) else names[at - 1])
    tab.press("?")
    assert tab.run("document.getElementById('help').open")
    shows(tab, "keys", "search for an instrument")
    tab.press("Escape")
    tab.until("!document.getElementById('help').open")
    tab.press("p")
    assert tab.text("pause") == "Go on"
    tab.press("p")
    tab.press("w")
    tab.until("document.getElementById('star').ariaPressed === 'false'")
    tab.press("w")
    tab.until("document.getElementById('star').ariaPressed === 'true'")


def test_it_is_dark_or_light_as_one_likes_and_stays_so(tab: Tab) -> None:
    back = "getComputedStyle(document.body).backgroundColor"
    assert tab.run(back) == "rgb(8, 11, 17)"
    tab.press("t")
    assert tab.run(back) == "rgb(242, 244, 247)"
    tab.reload()
    assert tab.run(back) == "rgb(242, 244, 247)"
    tab.press("t")
    assert tab.run(back) == "rgb(8, 11, 17)"


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_text_can_be_told_from_its_background(world: World, tab: Tab, scheme: str) -> None:
    """Colours of text have the contrast that WCAG 2.2 asks for, 4.5 to 1."""
    if scheme == "light":
        tab.press("t")
    names = ["--text", "--dim", "--up", "--down", "--accent", "--warn"]
    script = """(names) => import('./web/page/dom.js').then(({ color }) => {
        const light = (name) => {
            const parts = color(name).match(/\\d+/g).slice(0, 3).map((one) => {
                const share = one / 255;
                return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
        };
        const paper = light('--card');
        return names.map((name) => [Math.max(light(name), paper), Math.min(light(name), paper)])
            .map(([more, less]) => (more + 0.05) / (less + 0.05));
    })"""
    found = dict(zip(names, tab.run(f"({script})({names})"), strict=True))
    if scheme == "light":
        tab.press("t")
    assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}


def test_everything_has_a_name(tab: Tab) -> None:
    """What can be worked has a name for who does not see it."""
    unnamed = tab.run("""[...document.querySelectorAll('button, input, select, a, meter')]
        .filter((node) => !(node.ariaLabel || node.textContent.trim() || node.labels?.length))
        .map((node) => node.outerHTML)""")
    assert unnamed == []


@contextmanager
def phone(world: World) -> Iterator[Tab]:
    with world.browser.tab(390, 844, prefers_color_scheme="light") as tab:
        tab.resize(390, 844, phone=True)
        yield tab
        assert_clean(tab, world.desk)


def visit(tab: Tab, url: str, ready: str, current: str) -> None:
    """Open a page; it is as wide as the screen, and the header says where one is."""
    tab.go(url)
    tab.until(f"document.querySelector({ready!r})")
    assert tab.run("[document.documentElement.scrollWidth, innerWidth]") == [390, 390], url
    assert tab.run("document.querySelector('header [aria-current=page]').textContent") == current


def test_what_chooses_bars_stands_in_one_line(world: World) -> None:
    with world.browser.tab(prefers_color_scheme="dark") as tab:
        tab.go(f"{world.desk.url}/")
        tab.until("document.getElementById('day-start').value")
        for width in (1280, 1360, 1440, 1920):
            tab.resize(width, 900)
            places = tab.run("""[...document.querySelector('.controls').children]
                .filter((node) => node.offsetParent)
                .map((node) => { const box = node.getBoundingClientRect();
                    return box.top + box.height / 2; })""")
            assert len(places) == 5
            assert max(places) - min(places) < 4, width
            wide = "(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)"
            assert tab.run(f"{wide}(document.getElementById('day-start'))") == 0, width


def test_pages_fit_a_phone(world: World) -> None:
    with phone(world) as tab:
        visit(tab, f"{world.desk.url}/", "#watch tr", "Market")
        visit(tab, f"{world.desk.url}/dashboard", "#connection.live", "Ingestion")
        visit(tab, f"{world.desk.url}/ws-test", "#connection.live", "Sockets")


def test_the_documentation_fits_a_phone_and_names_stand_as_names(world: World) -> None:
    with phone(world) as tab:
        visit(tab, f"{world.desk.url}/docs/snippets", ".snippet", "API")
        visit(tab, f"{world.desk.url}/docs/stream", "#sockets section", "API")
        assert "`" not in tab.run("document.querySelector('main').textContent")
        assert tab.run("document.querySelectorAll('main p code').length") > 10
        gaps = tab.run("""(() => { const at = [...document.querySelectorAll('.parts a')]
            .map((node) => node.getBoundingClientRect());
            return at.slice(1).map((box, i) => box.left - at[i].right); })()""")
        assert len(gaps) == 2
        assert min(gaps) >= 12


def test_a_route_can_be_tried_as_its_documentation_opens_it(world: World) -> None:
    with phone(world) as tab:
        visit(tab, f"{world.desk.url}/docs", "#swagger-ui .opblock", "API")
        first = "document.querySelector('[id$=\"-get_instruments\"] .opblock-summary-control')"
        tab.run(f"{first}.click()")
        tab.until("document.querySelector('.execute')")
        tab.run("document.querySelector('.execute').click()")
        status = "document.querySelector('.live-responses-table tbody .response-col_status')"
        assert tab.until(f"{status}?.textContent.trim()").startswith("200")


def test_counters_of_the_sockets_page_say_what_its_lists_show(world: World) -> None:
    with world.browser.tab() as tab:
        tab.go(f"{world.desk.url}/ws-test")
        tab.until("document.querySelector('#connection.live')")
        tab.run("""{ globalThis.apart = 0; new MutationObserver(() => {
            if (document.getElementById('tape').rows.length
                !== Number(document.getElementById('ticks').textContent)) apart += 1;
        }).observe(document.querySelector('main'), { subtree: true, childList: true }); }""")
        for place in range(3):
            world.desk.trade(118.25 + place / 2)
        tab.until("document.getElementById('tape').rows.length === 3")
        assert tab.text("ticks") == "3"
        prices = "[...document.querySelectorAll('#tape tr')].map((row) => row.cells[2].textContent)"
        assert tab.run(prices) == ["119.25", "118.75", "118.25"]
        assert tab.run("apart") == 0
        assert_clean(tab, world.desk)


# -- when things are not as they should be ---------------------------------------------------------


def test_it_says_that_the_plant_is_away_and_comes_back(world: World) -> None:
    with world.browser.tab() as tab:
        tab.go(f"{world.desk.url}/#symbol=ORIGIN:LONG&interval=1m")
        tab.until("document.querySelector('#tape tr')")
        world.desk.served.stop()
        shows(tab, "banner-text", "Connection lost: ")
        shows(tab, "connection", "reconnecting")
        world.desk.trade(131.25)  # what nobody could be told of
        world.desk.back()
        shows(tab, "banner-text", "Connected again after ")
        assert tab.text("connection") == "live"
        tab.until("document.querySelector('#tape tr .cost').textContent === '131.25'")
        shows(tab, "bar-close", "131.25")
        # All that a browser logs is that a plant that was away did not answer.
        assert all("ERR_CONNECTION_" in fault or "WebSocket" in fault for fault in tab.faults)


def test_a_list_that_another_plant_knew_is_sorted_out(world: World) -> None:
    with world.browser.tab() as tab:
        tab.go(f"{world.desk.url}/web/icon.svg")  # of the same origin, so it may keep a list
        tab.run("""localStorage.setItem('tickplant.watch',
                                        JSON.stringify(['GONE:NAME', 'ORIGIN:LONG']))""")
        tab.go(f"{world.desk.url}/#symbol=ORIGIN:LONG")
        tab.until("document.querySelector('#watch tr.unknown .pick')?.textContent.includes('NAME')")
        tab.until("document.querySelectorAll('#watch tr')[1].cells[1].textContent !== '–'")


def test_an_empty_plant_says_how_to_begin(world: World, tmp_path: Path) -> None:
    with (
        open_plant(tmp_path) as plant,
        Served(create_app(plant)) as served,
        world.browser.tab() as tab,
    ):
        tab.go(served.url + "/")
        tab.until("!document.getElementById('empty').hidden")
        shows(tab, "curl", f"{served.url}/v1/trades")
        submit(plant, symbol=["NEW"], price=[1.5], ts_event=[NOW])
        tab.until("document.getElementById('empty').hidden")
        shows(tab, "symbol", "NEW")
        assert tab.faults == []


def test_it_asks_for_a_key_and_keeps_it_to_itself(world: World, tmp_path: Path) -> None:
    key, _ = KeyFile(tmp_path).create(["read"], now=NOW)
    with (
        open_plant(tmp_path, auth__required=True) as plant,
        Served(create_app(plant)) as served,
        world.browser.tab() as tab,
    ):
        submit(plant, symbol=["SECRET"], price=[1.5], ts_event=[NOW])
        tab.go(served.url + "/")
        tab.until("document.getElementById('key-dialog').open")
        assert not [url for url in tab.asked if "/v1/" in url]  # nobody is bothered without one
        tab.type("tp_0123456789_" + "x" * 43)
        tab.press("Enter")
        shows(tab, "key-fault", "The plant refused this key: a key is needed that is known")
        assert tab.text("connection") == "refused"
        tab.type(key)
        tab.press("Enter")
        shows(tab, "connection", "live")
        shows(tab, "symbol", "SECRET")
        assert tab.faults == []
        assert not [url for url in tab.asked if key in url]
        assert tab.run("JSON.stringify(localStorage)").find(key) < 0
        assert tab.run("sessionStorage.getItem('tickplant.key')") == key
        for path in ("dashboard", "ws-test"):  # the same tab need not ask again
            tab.go(f"{served.url}/{path}")
            tab.until("document.querySelector('#connection.live')")
        KeyFile(tmp_path).revoke(key.split("_")[1], now=NOW)
        tab.go(served.url + "/")
        shows(tab, "key-fault", "The plant refused this key")


# -- the chart without the library -----------------------------------------------------------------


def test_without_the_library_there_is_a_plain_chart(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "BUILT", tmp_path)
    with Served(create_app(world.desk.plant)) as served, world.browser.tab() as tab:
        tab.go(f"{served.url}/#symbol=ORIGIN:LONG&interval=1m")
        assert bars_of(says(tab, r"LONG, 1m: \d")) >= 500
        shows(tab, "plain", "make setup")
        assert not tab.run("document.getElementById('plain').hidden")
        assert tab.run("document.getElementById('notice').hidden")
        drawn = """(() => { const canvas = document.querySelector('#chart canvas');
            const { width, height } = canvas;
            const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
            return new Set(new Uint32Array(data.buffer)).size; })()"""
        tab.until(f"{drawn} > 20")  # candles, volume, labels in their colours
        world.desk.trade(140.5)
        shows(tab, "bar-close", "140.50")
        assert tab.faults == []


def test_the_library_is_built_where_npm_is(which: Callable[[str], Any]) -> None:
    if which("npm") is None:
        pytest.skip("no npm here, so there is nothing to build with")
    assert site.is_built(), "run `make setup`"


@pytest.fixture
def which() -> Callable[[str], Any]:
    import shutil

    return shutil.which
