"""The people of a world: what they want as it drifts, what they are known to be like, and when they come."""

import numpy as np
from numpy.typing import NDArray

from .catalogue import FINE_DIMENSION, FLOAT, INT, Catalogue
from .config import DAY_MS, SECONDS_PER_POSITION, WorldConfig
from .truth import INTERESTS, PRICE

HOUR_MS = 3_600_000
BOOL = NDArray[np.bool_]
ON_MIND = 0.8
"""Share of attention of what is on somebody's mind in a session."""
CHANGE_OF_MIND = 0.9
"""Chance that a session is about something that is drawn anew, by strength, hour and weekday."""
RHYTHM, WEEKEND = 1.5, 1.5
"""How far hour and weekend move an interest's log weight."""
UNDECLARED, UNTOLD = 0.3, 0.1
"""Share of people who never declared a price level, and of requests that do not say whether they come from a mobile."""


class People:
    """The moving state of all people. Drift: interests wander to near topics or are replaced, taste turns slowly."""

    def __init__(self, random: np.random.Generator, catalogue: Catalogue) -> None:
        people = catalogue.config.people
        self._random, self._catalogue = random, catalogue
        self.interests = random.integers(0, catalogue.topics, (people, INTERESTS))
        self.strength = random.standard_normal((people, INTERESTS))
        self.focused = random.integers(0, INTERESTS, people)
        self.taste = (random.standard_normal((people, FINE_DIMENSION)) / np.sqrt(FINE_DIMENSION)).astype(np.float32)
        self.inclination = (random.standard_normal((people, 4)) * [0.7, 0.8, 0.6, 1.0]).astype(np.float32)
        self.mobile = np.zeros(people, np.float32)
        self._mobile_share = 1 / (1 + np.exp(-0.3 - 1.2 * random.standard_normal(people)))
        declared = self.inclination[:, PRICE] + 0.4 * random.standard_normal(people)
        self._declared = np.where(random.random(people) < UNDECLARED, np.nan, declared).astype(np.float32)

    def begin_session(self, who: INT, time_ms: INT) -> None:
        """Drift between sessions, a device, and a new thing on the person's mind."""
        random, n = self._random, len(who)
        wander, replace = random.random((2, n, INTERESTS)) < np.array([0.05, 0.015])[:, None, None]
        interests = self.interests[who]
        near = self._catalogue.neighbours[interests, random.integers(0, self._catalogue.neighbours.shape[1], (n, INTERESTS))]
        anew = random.integers(0, self._catalogue.topics, (n, INTERESTS))
        self.interests[who] = np.where(replace, anew, np.where(wander, near, interests))
        self.strength[who] = 0.95 * self.strength[who] + 0.3 * random.standard_normal((n, INTERESTS))
        turned = 0.99 * self.taste[who] + 0.05 * random.standard_normal((n, FINE_DIMENSION))
        self.taste[who] = turned.astype(np.float32)
        # The Gumbel trick: the best of noisy log weights is a draw by weight.
        drawn = (self._log_weight(who, time_ms) + random.gumbel(size=(n, INTERESTS))).argmax(axis=1)
        self.focused[who] = np.where(random.random(n) < CHANGE_OF_MIND, drawn, self.focused[who])
        self.mobile[who] = random.random(n) < self._mobile_share[who]

    def _log_weight(self, who: INT, time_ms: INT) -> NDArray[np.float64]:
        """[n, 4] by strength, and by the hours and the weekends of the interests' categories."""
        category = self._catalogue.topic_category[self.interests[who]]
        hour = (time_ms % DAY_MS / HOUR_MS)[:, None]
        weekend = ((time_ms // DAY_MS + 3) % 7 >= 5)[:, None]
        rhythm = RHYTHM * np.cos(2 * np.pi * (hour - category * 5 % 24) / 24)
        return self.strength[who] + rhythm + np.where(weekend & (category % 3 == 0), WEEKEND, 0.0)

    def focus(self, who: INT, time_ms: INT) -> FLOAT:
        """[n, 4] attention shares: most on the one focused, the rest by strength and by the hour and weekday."""
        weight = np.exp(self._log_weight(who, time_ms))
        weight /= weight.sum(axis=1, keepdims=True)
        on_mind = np.arange(INTERESTS) == self.focused[who][:, None]
        return (ON_MIND * on_mind + (1 - ON_MIND) * weight).astype(np.float32)

    def features(self, who: INT) -> FLOAT:
        """[n, 2] the FEATURES as a request of each of `who` would give them; NaN where it does not."""
        mobile = np.where(self._random.random(len(who)) < UNTOLD, np.nan, self.mobile[who])
        return np.stack([mobile, self._declared[who]], axis=1).astype(np.float32)


def _joined(config: WorldConfig) -> INT:
    """[P] the day each person is there from: the first, or one of the last for those who join late, who are the last rows."""
    late = round(config.people * config.late_share)
    day = (config.days * (1 - config.late_days * np.arange(late, 0, -1) / (late + 1))).astype(np.int64)
    return np.concatenate([np.zeros(config.people - late, np.int64), day])


def _sessions(random: np.random.Generator, config: WorldConfig) -> tuple[INT, INT]:
    """Person and start of every session. Sessions come in spells of a day or two: some hours apart, each at its own hour."""
    people, joined = config.people, _joined(config)
    activity = np.clip(np.exp(0.5 * random.standard_normal(people) - 0.125), 0.25, 2.5)
    there = 1 - joined / config.days
    spells = np.maximum(2, random.poisson(config.sessions * activity * there / 3.1))
    person = np.repeat(np.arange(people), spells)
    day = random.integers(joined[person], config.days)
    day = np.where((day % 7 < 5) & (random.random(len(person)) < 0.15), day - day % 7 + 5, day)
    joins = (joined[person] > 0) & (np.diff(person, prepend=-1) > 0)
    day = np.where(joins, joined[person], day)
    usual_hour = random.uniform(7, 22, people)[person]
    hour = (usual_hour + 2.5 * random.standard_normal(len(person))) % 24
    length = np.minimum(random.geometric(0.3, len(person)), 8)
    index = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    gap = np.where(index == 0, 0, 3 + np.minimum(random.exponential(4, len(index)), 20))
    running = np.cumsum(gap)
    at = np.repeat(day * 24 + hour, length) + running - np.repeat(running[index == 0], length)
    at = np.where((at % 24 >= 1) & (at % 24 < 6), at + 6, at)  # asleep: later
    return np.repeat(person, length), config.start_ms + (at * HOUR_MS).astype(np.int64)


def schedule(random: np.random.Generator, config: WorldConfig) -> tuple[INT, INT, BOOL]:
    """Person, time and "first of its session" of every slate, sorted by (person, time)."""
    person, start = _sessions(random, config)
    order = np.lexsort((start, person))
    person, start = person[order], start[order]
    length = np.minimum(random.geometric(0.43, len(person)), 12)
    index = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    shortest = SECONDS_PER_POSITION * (config.slate_size + 2) * 1000
    gap = (shortest + random.exponential(60_000, len(index))).astype(np.int64)
    running = np.cumsum(gap)
    first = index == 0
    time = np.repeat(start, length) + running - np.repeat(running[first], length)
    person = np.repeat(person, length)
    same_person = person[1:] == person[:-1]
    while (late := same_person & (time[1:] < time[:-1] + shortest)).any():
        time[1:][late] = time[:-1][late] + gap[1:][late]  # begin right after the session that is still running
    there = time < config.end_ms - shortest
    return person[there], time[there], first[there]
