"""A feed of the toy venue on a whole plant, in virtual time."""

from __future__ import annotations

from pathlib import Path

from supervisor_kit import Scene, play, streams_of


def test_trades_of_a_venue_are_stored_as_it_sent_them(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.feed.board.counts(scene.loop.clock())["live"] == 4)
        await scene.server.market(["A-USD", "B-USD"], 0.5, 10)
        await scene.settle()
        for symbol in ("A-USD", "B-USD"):
            told = [t["id"] for t in scene.server.truth if t["symbol"] == symbol]
            assert [t["id"] for t in scene.stored(symbol)] == told
            assert len(told) == 20
        assert scene.gaps() == []

    play(tmp_path, streams_of("A-USD", "B-USD"), act)


def test_a_cut_is_a_gap_that_is_repaired(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.feed.board.counts(scene.loop.clock())["live"] == 2)
        await scene.server.market(["A-USD"], 0.5, 10)
        scene.server.refuse_connects = 2
        scene.server.connections[1].cut()
        await scene.server.market(["A-USD"], 0.5, 10)
        await scene.settle(40)
        print(scene.gaps())
        print(scene.runner.shown())
        assert [g["status"] for g in scene.gaps()] == ["repaired"]
        assert [t["id"] for t in scene.stored("A-USD")] == [t["id"] for t in scene.server.truth]

    play(tmp_path, streams_of("A-USD"), act)
