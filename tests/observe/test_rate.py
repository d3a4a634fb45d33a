import pytest

from tickplant.observe.rate import Rate

MS = 1_000_000


def test_nothing_counted_is_no_rate() -> None:
    rate = Rate()
    assert rate.per_s(5_000 * MS) == 0.0
    rate.add(100, 5_000 * MS)
    assert rate.per_s(5_000 * MS) == 0.0


@pytest.mark.parametrize("seconds", [1, 5, 60])
def test_a_steady_flow_is_shown_as_what_it_is_from_the_first_second_on(seconds: int) -> None:
    rate = Rate()
    for turn in range(seconds * 20):
        rate.add(50, turn * 50 * MS)
    assert rate.per_s(seconds * 1_000 * MS) == pytest.approx(1_000, rel=0.01)


def test_the_rate_of_a_flow_that_ended_fades() -> None:
    rate = Rate(window_s=10.0)
    for turn in range(1_000):
        rate.add(50, turn * 50 * MS)
    assert rate.per_s(50_000 * MS + 10_000 * MS) == pytest.approx(1_000 / 2.718, rel=0.02)
    assert rate.per_s(50_000 * MS + 200_000 * MS) < 0.001


def test_a_clock_set_back_counts_as_standing_still() -> None:
    rate = Rate()
    rate.add(10, 1_000 * MS)
    rate.add(10, 0)
    assert rate.per_s(2_000 * MS) == pytest.approx(20, rel=0.06)
