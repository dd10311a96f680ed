"""What people type when they search: the topic's and the color's words, other words for them, other orders, slips."""

import numpy as np

from .catalogue import INT, Catalogue
from .words import COLORS, SYNONYMS

TEMPLATES = ("{color} {style} {noun}", "{style} {noun} {color}", "{noun} {style} {color}", "{style} {noun} in {color}")
TEMPLATE_SHARES = (0.6, 0.2, 0.1, 0.1)
SYNONYM, OMITTED, CAPITALS, SLIP = 0.3, 0.06, 0.15, 0.15
"""Chance that a word is replaced by another for it; that color or style is left out; per text, of capitals and of a slip."""


def query_texts(random: np.random.Generator, catalogue: Catalogue, queries: INT) -> list[str]:
    """One text for each of `queries` [R], which are (topic, color) pairs."""
    templates = random.choice(len(TEMPLATES), len(queries), p=TEMPLATE_SHARES)
    draws = random.random((len(queries), 10))
    return [_text(catalogue, int(query), TEMPLATES[at], row) for query, at, row in zip(queries, templates, draws, strict=True)]


def _text(catalogue: Catalogue, query: int, template: str, draws: np.ndarray) -> str:
    """`draws` [10] in 0..1: 3 synonyms, 3 which of them, omission, capitals, slip, where the slip is."""
    topic, color = divmod(query, len(COLORS))
    _, noun, style = catalogue.noun_style(topic)
    words = {"color": COLORS[color], "style": style.lower(), "noun": noun}
    for at, (part, word) in enumerate(words.items()):
        others = SYNONYMS.get(word, ())
        if others and draws[at] < SYNONYM:
            words[part] = others[int(draws[3 + at] * len(others))]
    if draws[6] < OMITTED:
        template = template.replace("in {color}", "").replace("{color}", "")
    elif draws[6] < 2 * OMITTED:
        template = template.replace("{style}", "")
    text = " ".join(template.format(**words).split())
    if draws[7] < CAPITALS:
        text = text.title() if draws[7] < CAPITALS / 2 else text.upper()
    return _slip(text, draws[9]) if draws[8] < SLIP else text


def _slip(text: str, where: float) -> str:
    """A character left out, doubled, or swapped with the one behind it."""
    place = where * (len(text) - 1)
    at, kind = int(place), int((place % 1) * 3)
    return text[:at] + ("", text[at] * 2, text[at + 1] + text[at])[kind] + text[at + (2 if kind == 2 else 1) :]
