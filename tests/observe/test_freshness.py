import pytest

from tickplant.observe.freshness import freshness, ingestion_alive


@pytest.mark.parametrize(
    ("age_s", "status", "health"),
    [
        (-5.0, "FRESH", 1.0),
        (0.0, "FRESH", 1.0),
        (60.0, "FRESH", 1.0),
        (60.001, "WARN", 0.5),
        (120.0, "WARN", 0.5),
        (120.001, "STALE", 0.0),
        (float("inf"), "STALE", 0.0),
        (float("nan"), "STALE", 0.0),
        (None, "STALE", 0.0),
    ],
)
def test_freshness_by_age(age_s: float | None, status: str, health: float) -> None:
    assert freshness(age_s) == (status, health)


@pytest.mark.parametrize(
    ("age_s", "alive"), [(None, False), (0.0, True), (30.0, True), (30.1, False)]
)
def test_ingestion_is_alive_for_three_intervals_after_a_commit(
    age_s: float | None, alive: bool
) -> None:
    assert ingestion_alive(age_s, 10.0) is alive
