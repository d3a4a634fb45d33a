"""What reading the frames of B3 costs at least: `python -m bench.b3_floor [--rounds N]`.

For each recording, in CPU ns a message, the least of the rounds, which take turns: to walk over the
bytes and nothing else (`msgspec.Raw`); the typed loop; ours, in batches of 4,096, 256 and 64, by
the compiled walk and without. For Binance also the stages of the latter: to sort, to decode what is
needed, to turn levels to numbers.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import msgspec

from bench.b3_feeds import FOLDER, PEER_BATCH, RECORDINGS, Receive, Recording, _batches, _frames
from bench.b3_peers import binance
from tickplant.feeds.venues.binance import parse, wire
from tickplant.feeds.venues.contract import Frame
from tickplant.feeds.venues.ladders import read_ladders
from tickplant.formats.compiled import loading

MESSAGES = 20_000
Work = Callable[[], object]


def works(recording: Recording, frames: list[Frame]) -> dict[str, Work]:
    walk = msgspec.json.Decoder(msgspec.Raw).decode
    datas = [frame.data for frame in frames]
    found: dict[str, Work] = {"bytes walked over": lambda: [walk(data) for data in datas]}
    few = [datas[at : at + PEER_BATCH] for at in range(0, len(datas), PEER_BATCH)]
    found["msgspec, typed"] = lambda: [recording.typed(batch) for batch in few]
    for size in (4_096, 256, 64):
        for prepare, name in (
            (loading.FRAMES.load, "compiled"),
            (loading.FRAMES.unload, "tickplant"),
        ):
            batches, receive = _batches(frames, size), recording.session()
            found[f"{name}, {size:,}"] = lambda p=prepare, r=receive, b=batches: _read(p, r, b)
    return found | (stages(frames) if recording.words is binance else {})


def _read(prepare: Work, receive: Receive, batches: list[list[Frame]]) -> None:
    prepare()
    for batch in batches:
        receive(batch)


def stages(frames: list[Frame]) -> dict[str, Work]:
    groups = parse.sort_frames(frames)
    decoders = {"trades": wire.decode_trade, "quotes": wire.decode_quote, "book": wire.decode_depth}
    books = [wire.decode_depth(frame.data).data for frame in groups["book"]]
    ladders = [text for one in books for text in (one.b, one.a)]

    def decode() -> None:
        for table, decoder in decoders.items():
            for frame in groups[table]:
                decoder(frame.data)

    return {
        "  to sort": lambda: parse.sort_frames(frames),
        "  to decode": decode,
        "  levels to numbers": lambda: read_ladders(ladders),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.b3_floor", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds; the least counts")
    rounds = parser.parse_args().rounds
    print(f"load {os.getloadavg()[0]:.0f}; CPU ns a message")
    for recording in RECORDINGS:
        once = _frames(FOLDER / f"{recording.file}.gz")
        frames = once * max(MESSAGES // len(once), 1)
        todo = works(recording, frames)
        least = dict.fromkeys(todo, float("inf"))
        for _ in range(rounds):
            for name, work in todo.items():
                begun = time.thread_time()
                work()
                least[name] = min(least[name], time.thread_time() - begun)
        print(f"{recording.title}, {sum(len(f.data) for f in frames) / len(frames):.0f} bytes each")
        for name, seconds in least.items():
            print(f"  {name:<24}{seconds / len(frames) * 1e9:>8,.0f}")


if __name__ == "__main__":
    main()
