"""The items of a world: latent factors, what the model is shown of them (upstream embeddings), titles and attributes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .config import WorldConfig
from .embeddings import FLOAT, INT, content_columns
from .words import CATEGORIES, COLORS, STYLES

TOPIC_DIMENSION = 16
FINE_DIMENSION = 4
NEIGHBOURS = 6


@dataclass(frozen=True)
class Catalogue:
    """N items over T topics (a topic is one noun in one style). Queries are one per (topic, color)."""

    config: WorldConfig
    topic: INT
    """[N] topic of each item; items are sorted by topic."""
    fine: FLOAT
    """[N, 4] what tells items of one topic apart (color, making); about unit variance per column."""
    quality: FLOAT
    bait: FLOAT
    """[N] a title that draws clicks and disappoints."""
    talk: FLOAT
    """[N] what people tell others about."""
    price_level: FLOAT
    """[N] standardised log price."""
    color: INT
    """[N] main color, an index into COLORS."""
    born_ms: INT
    weight: FLOAT
    """[N] exposure weight within the topic."""
    upstream: FLOAT
    """[N, U] all that a model may see of an item: config.content columns known from the first moment, then behaviour columns,
    which are zero for an item that nobody had seen before the validation time (embeddings.py)."""
    topic_category: INT
    topic_saved: FLOAT
    """[T] how much a topic is one to keep (standardised); what is kept need not be what is shared."""
    topic_shared: FLOAT
    topic_vectors: FLOAT
    """[T, 16]"""
    query_upstream: FLOAT
    """[T * colors, U], in the space of the items'; nobody's behaviour."""
    creator: INT
    making: INT
    second_color: INT
    """[N] index into COLORS, or -1."""

    @property
    def topics(self) -> int:
        """Number of topics."""
        return len(self.topic_category)

    @property
    def factors(self) -> FLOAT:
        """[N, 24] all that is to be known of the items, in the order of embeddings.py."""
        return _factors(self.topic_vectors[self.topic], self.fine, self.quality, self.bait, self.price_level, self.talk)

    @cached_property
    def ids(self) -> list[str]:
        """Item ids in row order."""
        return [f"i{row + 1:05d}" for row in range(len(self.topic))]

    @cached_property
    def similarity(self) -> FLOAT:
        """[T, T] how much an interest in one topic is an interest in another; 1 on the diagonal."""
        return np.exp(-0.5 * _distances(self.topic_vectors) ** 2 / 0.8**2).astype(np.float32)

    @cached_property
    def spread(self) -> FLOAT:
        """[T, T] row-stochastic: where exposure for a topic goes, mostly to itself, the rest to its nearest topics."""
        distance = _distances(self.topic_vectors)
        np.fill_diagonal(distance, np.inf)
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
        share = np.exp(-np.take_along_axis(distance, nearest, axis=1))
        share /= share.sum(axis=1, keepdims=True)
        spread = 0.7 * np.eye(self.topics)
        np.put_along_axis(spread, nearest, 0.3 * share, axis=1)
        return spread.astype(np.float32)

    @cached_property
    def neighbours(self) -> INT:
        """[T, 6] the topics that `spread` leaks to."""
        distance = _distances(self.topic_vectors)
        np.fill_diagonal(distance, np.inf)
        return np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]

    @cached_property
    def within_topic(self) -> NDArray[np.float64]:
        """[N] exposure weight as a share of the topic's."""
        total = np.bincount(self.topic, self.weight, self.topics)
        return self.weight / total[self.topic]

    @cached_property
    def topic_share(self) -> FLOAT:
        """[T] each topic's share of the world's exposure weight."""
        total = np.bincount(self.topic, self.weight, self.topics)
        return (total / total.sum()).astype(np.float32)

    def noun_style(self, topic: int) -> tuple[str, str, str]:
        """Category, noun and style of a topic."""
        config = self.config
        category = list(CATEGORIES)[int(self.topic_category[topic])]
        noun = CATEGORIES[category][0][topic // config.styles % config.nouns]
        return category, noun, STYLES[topic % config.styles]

    def describe(self, row: int) -> tuple[str, dict[str, str | list[str] | float]]:
        """Title and attributes of one item, as the release's metadata has them."""
        category, noun, style = self.noun_style(int(self.topic[row]))
        making = CATEGORIES[category][1][int(self.making[row])]
        colors = [COLORS[int(self.color[row])]]
        if self.second_color[row] >= 0:
            colors.append(COLORS[int(self.second_color[row])])
        title = f"{style} {colors[0]} {making} {noun}".capitalize()
        price = round(float(np.exp(3.2 + 0.7 * self.price_level[row])), 2)
        attributes = {
            "category": category,
            "style": style.lower(),
            "color": colors,
            "price": price,
            "creator": f"creator-{int(self.creator[row]):03d}",
        }
        return title, attributes


def _distances(vectors: FLOAT) -> NDArray[np.float64]:
    """Euclidean distances between all pairs of rows."""
    difference = vectors[:, None, :].astype(np.float64) - vectors[None, :, :]
    return np.sqrt((difference**2).sum(axis=2))


def _directions(random: np.random.Generator, count: int, dimension: int) -> NDArray[np.float64]:
    """[count, dimension] random unit vectors."""
    vectors = random.standard_normal((count, dimension))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _topic_vectors(random: np.random.Generator, config: WorldConfig) -> FLOAT:
    """[T, 16] topics of one category or one style lie closer together."""
    category = _directions(random, config.categories, TOPIC_DIMENSION)
    noun = _directions(random, config.categories * config.nouns, TOPIC_DIMENSION)
    style = _directions(random, config.styles, TOPIC_DIMENSION)
    index = np.arange(config.categories * config.nouns * config.styles)
    parts = (
        category[index // (config.nouns * config.styles)] + 0.8 * noun[index // config.styles]
        + 0.6 * style[index % config.styles]
    )  # fmt: skip
    return parts.astype(np.float32)


def _factors(topic: NDArray, fine: NDArray, *scalars: NDArray) -> FLOAT:
    """[R, 24] one row an item or query."""
    return np.column_stack([topic, fine, *scalars]).astype(np.float32)


def _leaning(random: np.random.Generator, topic_vectors: FLOAT) -> FLOAT:
    """[T] a property of topics that near topics share; mean 0, variance 1."""
    leaning = topic_vectors @ random.standard_normal(TOPIC_DIMENSION)
    return ((leaning - leaning.mean()) / leaning.std()).astype(np.float32)


def make_catalogue(seed: int, config: WorldConfig) -> Catalogue:
    """The catalogue of (seed, config) before anybody has seen it: the same arrays on every machine with the same numpy."""
    random = np.random.default_rng([seed, 1])
    n = config.items
    topic_vectors = _topic_vectors(random, config)
    topics = len(topic_vectors)
    topic = np.sort(random.integers(0, topics, n))
    topic[:topics] = np.arange(topics)
    topic.sort()
    color = random.integers(0, len(COLORS), n)
    making = random.integers(0, 4, n)
    color_vectors = _directions(random, len(COLORS), FINE_DIMENSION) * 1.6
    making_vectors = _directions(random, 4, FINE_DIMENSION) * 0.9
    looks = color_vectors[color] + making_vectors[making]
    fine = looks + 0.6 * random.standard_normal((n, FINE_DIMENSION))
    quality, bait, price_level, talk = random.standard_normal((4, n))
    born_day = np.where(random.random(n) < 0.75, 0.0, random.random(n) * config.days)
    born_ms = (config.start_ms + born_day * 86_400_000).astype(np.int64)
    query_topic, query_color = np.divmod(np.arange(topics * len(COLORS)), len(COLORS))
    neutral = np.zeros(len(query_topic))
    asked = _factors(topic_vectors[query_topic], color_vectors[query_color], neutral, neutral, neutral, neutral)
    content = _factors(topic_vectors[topic], looks, quality, bait, price_level, talk)
    mix = random.standard_normal((content.shape[1], config.content)) / 4.0
    no_behaviour = (0, 0), (0, config.upstream - config.content)
    return Catalogue(
        config=config,
        topic=topic,
        fine=fine.astype(np.float32),
        quality=quality.astype(np.float32),
        bait=bait.astype(np.float32),
        price_level=price_level.astype(np.float32),
        color=color,
        born_ms=born_ms,
        talk=talk.astype(np.float32),
        weight=np.exp(0.9 * quality + 0.3 * bait).astype(np.float32),
        upstream=np.pad(content_columns(random, content, mix, 0.1), no_behaviour),
        topic_saved=_leaning(random, topic_vectors),
        topic_shared=_leaning(random, topic_vectors),
        topic_category=np.arange(topics) // (config.nouns * config.styles),
        topic_vectors=topic_vectors,
        query_upstream=np.pad(content_columns(random, asked, mix, 0.15), no_behaviour),
        creator=random.integers(0, config.creators, n),
        making=making,
        second_color=np.where(random.random(n) < 0.3, (color + random.integers(1, len(COLORS), n)) % len(COLORS), -1),
    )
