"""Student's t against tables, intervals that cover as often as they say, and Holm's correction."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, strategies as st

from minorch.errors import UsageError
from minorch.simulation.comparing.contrasts import Verdict, differences_of
from minorch.simulation.comparing.intervals import (
    constant,
    holm,
    mean_interval,
    paired_p,
    t_quantile,
    t_within,
    two_sided,
)

# scipy 1.x, stats.t.ppf: by degrees of freedom, the quantiles for these probabilities.
PROBABILITIES = (0.6, 0.9, 0.975, 0.995, 0.9999)
SCIPY = {
    1: (0.32491969623290634, 3.0776835371752544, 12.706204736174694, 63.656741162871526, 3183.098757118502),
    2: (0.2886751345948128, 1.8856180831641272, 4.302652729749462, 9.924843200918287, 70.70007107496818),
    3: (0.2766706623326898, 1.637744353696209, 3.1824463052837078, 5.840909309733355, 22.203742273205),
    4: (0.2707222947075976, 1.533206274058944, 2.7764451051977934, 4.604094871349992, 13.033671720896821),
    5: (0.2671808657041451, 1.4758840488244815, 2.5705818356363146, 4.032142983555228, 9.677566300882814),
    9: (0.260955336473911, 1.3830287383966329, 2.262157162798205, 3.249835541592126, 6.010132129081531),
    10: (0.2601848294920803, 1.372183641110336, 2.228138851986274, 3.16927267261695, 5.693820101457592),
    19: (0.25692281979615467, 1.3277282090267986, 2.0930240544083087, 2.8609346064649794, 4.589864596755082),
    30: (0.2556053649519128, 1.3104150253913955, 2.0422724563012378, 2.7499956535672254, 4.23398595727206),
    100: (0.25402218245822766, 1.290074761346516, 1.9839715185235518, 2.6258905214380173, 3.861599790950091),
    1000: (
        0.25341451583949876,
        1.2823987214609247,
        1.9623390808264083,
        2.580754698065951,
        3.7328516045753966,
    ),
}
# scipy, 2 * stats.t.sf(2.5, freedom) and 2 * stats.t.sf(12, freedom)
TAILS = {
    1: (0.24223788318168682, 0.052929352119179755),
    4: (0.06676654481198814, 0.000276428548502973),
    9: (0.033861827682985735, 7.699886222985653e-07),
    29: (0.018325344338426086, 9.060708333137183e-13),
    1000: (0.012578567801090807, 0.0),
}
# Student's t for 95 %, two-sided, as printed in textbooks.
PRINTED = {1: 12.706, 2: 4.303, 5: 2.571, 9: 2.262, 14: 2.145, 19: 2.093, 29: 2.045, 60: 2.000, 120: 1.980}


@pytest.mark.parametrize("freedom", SCIPY)
def test_quantiles_are_those_of_scipy(freedom: int):
    for probability, expected in zip(PROBABILITIES, SCIPY[freedom], strict=True):
        assert t_quantile(probability, freedom) == pytest.approx(expected, rel=1e-9)
        assert t_quantile(1 - probability, freedom) == pytest.approx(-expected, rel=1e-9)


@pytest.mark.parametrize("freedom", PRINTED)
def test_quantiles_are_those_of_printed_tables(freedom: int):
    assert round(t_quantile(0.975, freedom), 3) == PRINTED[freedom]


@pytest.mark.parametrize("freedom", TAILS)
def test_tails_are_those_of_scipy(freedom: int):
    for t, expected in zip((2.5, 12.0), TAILS[freedom], strict=True):
        assert two_sided(t, freedom) == two_sided(-t, freedom)
        assert two_sided(t, freedom) == pytest.approx(expected, rel=1e-9, abs=1e-14)


@given(st.floats(0, 1e6), st.integers(1, 300))
def test_what_lies_within_is_a_probability_and_grows(t: float, freedom: int):
    within = t_within(t, freedom)
    assert 0 <= within <= 1
    assert t_within(t * 1.5, freedom) >= within - 1e-14


def test_the_middle_is_at_nought():
    assert t_quantile(0.5, 7) == 0


@pytest.mark.parametrize(("probability", "freedom"), [(0, 5), (1, 5), (0.5, 0), (math.nan, 3)])
def test_what_has_no_quantile_is_refused(probability: float, freedom: int):
    with pytest.raises(UsageError, match="no t quantile"):
        t_quantile(probability, freedom)


def test_an_interval_is_as_worked_out_by_hand():
    found = mean_interval([4.0, 6.0, 8.0])  # s = 2, so 4.302652729... * 2 / sqrt(3)
    assert (found.mean, found.count) == (6.0, 3)
    assert found.high - 6.0 == pytest.approx(6.0 - found.low) == pytest.approx(4.968275)


@pytest.mark.parametrize("values", [[], [3.0]])
def test_fewer_than_two_values_have_no_interval(values: list[float]):
    found = mean_interval(values)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(paired_p(values))


@pytest.mark.parametrize("count", [2, 5, 10])
def test_an_interval_covers_the_true_mean_as_often_as_it_says(count: int):
    dice, trials = random.Random(count), 4000
    found = [mean_interval([dice.gauss(7.0, 3.0) for _ in range(count)]) for _ in range(trials)]
    covered = sum(one.low <= 7.0 <= one.high for one in found) / trials
    assert covered == pytest.approx(0.95, abs=0.0112)  # 3.25 standard errors


def test_a_test_of_nothing_is_significant_in_one_of_twenty():
    dice, trials = random.Random(5), 4000
    p_values = [paired_p([dice.gauss(0.0, 1.0) for _ in range(6)]) for _ in range(trials)]
    assert sum(p < 0.05 for p in p_values) / trials == pytest.approx(0.05, abs=0.0112)


@pytest.mark.parametrize("baseline", [None, "b"])
def test_among_equals_one_is_called_different_in_one_comparison_of_twenty_at_most(baseline: str | None):
    """Whether the baseline is named or is the best of the data, which invites to take chance for merit."""
    dice, trials, wrong = random.Random(11), 1500, 0
    for _ in range(trials):
        workloads = [dice.gauss(10.0, 5.0) for _ in range(8)]
        values = {name: [base + dice.gauss(0.0, 1.0) for base in workloads] for name in "abcde"}
        best = min(values, key=lambda name: math.fsum(values[name]))
        found = differences_of(values, better="lower", baseline=baseline, best=best)
        wrong += any(one.verdict in (Verdict.BETTER, Verdict.WORSE) for one in found.values())
    assert 0.01 < wrong / trials < 0.05 + 0.017  # three standard errors above


def test_pairs_find_what_the_spread_of_workloads_would_hide():
    dice = random.Random(3)
    workloads = [dice.gauss(100.0, 50.0) for _ in range(10)]
    values = {
        "slow": [base + 2.0 + dice.gauss(0.0, 0.5) for base in workloads],
        "fast": [base + dice.gauss(0.0, 0.5) for base in workloads],
    }
    alone = {name: mean_interval(found) for name, found in values.items()}
    assert alone["fast"].high > alone["slow"].low, "by themselves they overlap"
    found = differences_of(values, better="lower", baseline=None, best="fast")
    assert found["slow"].verdict is Verdict.WORSE
    assert 1.4 < found["slow"].interval.low < 2.0 < found["slow"].interval.high < 2.6


def test_holm_is_as_in_the_paper():
    assert holm([]) == []
    assert holm([0.02]) == [0.02]
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_lowers_none_and_keeps_their_order(p_values: list[float]):
    corrected = holm(p_values)
    assert all(before <= after <= 1 for before, after in zip(p_values, corrected, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [corrected[at] for at in order] == sorted(corrected)


def test_what_differs_by_rounding_is_the_same():
    assert constant([])
    assert constant([0.1 + 0.2, 0.3])
    assert constant([1e-14, -1e-14], scale=1.0)
    assert not constant([1e-14, -1e-14])
    assert not constant([1.0, 1.001])
