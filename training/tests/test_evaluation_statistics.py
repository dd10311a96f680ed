"""Intervals that hold what they promise, and differences that are found where there are any."""

import math
import time

import numpy as np
import pytest

from onepass_training.evaluation.statistics import bootstrap, difference, t_quantile, t_upper


def people_and_values(seed, people=200, spread=1.0):
    """People with 1 to 20 slates each, whose values share what is the person's own."""
    random = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), random.integers(1, 20, people))
    own = random.standard_normal(people)
    return person, own[person] + spread * random.standard_normal(len(person)), random


def test_the_interval_covers_the_truth_as_often_as_it_says():
    covered = 0
    for seed in range(60):
        person, values, _ = people_and_values(seed)
        found = bootstrap(values, person, seed)
        covered += found.low <= 0 <= found.high
    assert 52 <= covered <= 60


def test_people_are_drawn_not_slates():
    person, values, _ = people_and_values(3, spread=0.1)
    by_person, by_slate = bootstrap(values, person), bootstrap(values, np.arange(len(values)))
    assert by_person.high - by_person.low > 2 * (by_slate.high - by_slate.low)
    assert by_person.people == 200
    assert by_person.slates == len(values)


def test_slates_that_do_not_count_are_left_out():
    person, values, _ = people_and_values(4)
    holes = np.where(np.arange(len(values)) % 3 == 0, np.nan, values)
    kept = ~np.isnan(holes)
    assert bootstrap(holes, person) == bootstrap(values[kept], person[kept])
    assert math.isnan(bootstrap(np.full(5, np.nan), np.arange(5)).mean)


def test_a_paired_difference_is_found_through_the_noise_that_both_share():
    person, values, random = people_and_values(5)
    better = values + 0.05 + 0.1 * random.standard_normal(len(values))
    found = difference(better, values, person)
    assert found.low > 0
    assert found.p < 0.01
    nothing = difference(values + 0.1 * random.standard_normal(len(values)), values, person)
    assert nothing.low < 0 < nothing.high
    assert nothing.p > 0.05


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.7062), (2, 4.3027), (9, 2.2622), (100, 1.9840)])
def test_student_quantiles(freedom, expected):
    assert t_quantile(0.975, freedom) == pytest.approx(expected, rel=1e-3)
    assert t_upper(0.0, freedom) == pytest.approx(0.5)


def test_ten_thousand_slates_take_under_a_second():
    random = np.random.default_rng(0)
    person = random.integers(0, 1_500, 10_000)
    began = time.process_time()
    difference(random.random(10_000), random.random(10_000), person)
    assert time.process_time() - began < 1
