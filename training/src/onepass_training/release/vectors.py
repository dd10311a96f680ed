"""Test vectors: texts, their tokens, raw events, their rows, and what each graph makes of them: serving is held to training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..model.onepass_model import OnepassModel
from ..model.rows import CANDIDATE, CONTEXT, FLOAT, NO_TIME, RawEvent, RowLayout, history_rows
from ..model.trunk import LayerCache

HOUR_MS = 3_600_000
QUERY = "teal rustic mug"
SLIPS = "Rustik teal CUP"
TEXTS = {
    "plain": QUERY,
    "slips": SLIPS,
    "capitals and punctuation": "  Teal, RUSTIC   Mug!! (2nd-hand) ",
    "empty": "",
    "whitespace": " \t\r\n ",
    "punctuation": "?!... -- '\"",
    "one letter": "a",
    "digits": "2x4 90cm",
    "zero byte": "mug\x00teal",
    "composed accents": "caf\u00e9 ros\u00e9",
    "combining accents": "cafe\u0301 rose\u0301",
    "capitals beyond ASCII": "\u00c9TAG\u00c8RE \u0130stanbul STRASSE stra\u00dfe",
    "emoji": "\U0001f525 mug \U0001f469\u200d\U0001f373",
    "scripts": "\u9752\u7dd1\u8272\u306e\u30de\u30b0 \u0431\u0438\u0440\u044e\u0437\u043e\u0432\u0430\u044f mug "
    "\u0643\u0648\u0628 \u05db\u05d5\u05e1",
    "spaces beyond ASCII": "teal\u00a0rustic\u3000mug\u2028",
    "noncharacters": "mug \ufeffmug \uffff \U0010ffff",
    "one word of 1024 bytes": "ab" * 512,
    "1024 bytes of words": "mug " * 256,
    "1024 bytes of emoji": "\U0001f525" * 256,
}


def _numbers(array: Tensor | FLOAT) -> list:
    """Nested lists of the float32 numbers, in the fewest digits that give them back."""
    flat = np.asarray(array, np.float32)
    return [_numbers(row) for row in flat] if flat.ndim > 1 else [float(str(value)) for value in flat]


def example_histories(ids: Sequence[str], layout: RowLayout, start_ms: int) -> dict[str, list[RawEvent]]:
    """Histories with what goes wrong in life: nothing at all, unknown items and actions, equal times, months of absence.

    With few items, actions or surfaces the same ones come again.
    """

    def item(k: int) -> str:
        return ids[(37 * k + 5) % len(ids)]

    def action(*at: int) -> tuple[str, ...]:
        return tuple(dict.fromkeys(layout.actions[k % len(layout.actions)] for k in at))

    def surface(k: int) -> str:
        return layout.surfaces[k % len(layout.surfaces)]

    unknown_item, unknown_action = "no-such-item", "no-such-action"
    hours = start_ms + HOUR_MS * np.array([0, 0, 1, 2, 30, 31, 31, 170, 171, 700, 2_500, 2_501])
    return {
        "empty": [],
        "one": [RawEvent(item(0), action(2), surface(0), start_ms)],
        "unknowns": [
            RawEvent(unknown_item, action(2), surface(0), start_ms),
            RawEvent(item(1), (*action(0), unknown_action), surface(1), start_ms + 1_234),
            RawEvent(item(2), (unknown_action,), surface(0), start_ms + 5_000),
            RawEvent(item(3), action(0, 1, 3), surface(2), start_ms + 7 * HOUR_MS),
            RawEvent(unknown_item, action(4), surface(0), start_ms + 8 * HOUR_MS),
            RawEvent(item(4), action(4), surface(0), start_ms + 8 * HOUR_MS + 1),
        ],
        "queries": [
            RawEvent(None, ("search",), surface(1), start_ms, QUERY),
            RawEvent(item(5), action(0, 2), surface(1), start_ms + 9_000),
            RawEvent(None, ("search",), surface(1), start_ms + HOUR_MS, "..."),
            RawEvent(None, action(0), surface(1), start_ms + 2 * HOUR_MS, SLIPS),
            RawEvent(None, ("search",), surface(1), start_ms + 2 * HOUR_MS, QUERY),
        ],
        "long": [
            RawEvent(item(k), (action(0), action(0, 1), action(0, 2), action(4))[k % 4], surface(k), int(at))
            for k, at in enumerate(hours)
        ],
    }


@dataclass(frozen=True)
class _About:
    """What a request says: an item, a text, some of the release's features; each or none."""

    surface: str
    item: str | None
    text: str | None
    features: dict[str, float]


class VectorWriter:
    """Runs the PyTorch model over the example histories."""

    def __init__(self, model: OnepassModel, ids: Sequence[str], table: FLOAT, texts: bool = True) -> None:
        """`texts`: whether the release takes text; without, a logged query makes no row."""
        self._model, self._layout, self._ids, self._table, self._texts = model, model.layout, ids, table, texts
        self._row_of = {item: row for row, item in enumerate(ids)}

    @torch.no_grad()
    def tokenizer(self) -> dict:
        """The whole of vectors/tokenizer.json."""
        model, tokenizer = self._model, self._model.tokenizer
        return {
            "format": 1,
            "tokenizer": tokenizer.as_json(),
            "texts": [
                {
                    "name": name, "text": text, "ids": tokenizer.tokens(text),
                    "embedding": None if (embedding := model.embed_text(text)) is None else _numbers(embedding),
                }
                for name, text in TEXTS.items()
            ],
        }  # fmt: skip

    @torch.no_grad()
    def tokens(self, start_ms: int, upstream: FLOAT) -> dict:
        """The whole of vectors/tokens.json. `upstream` [m, U] goes through the item tower."""
        histories = []
        for name, events in example_histories(self._ids, self._layout, start_ms).items():
            rows, last_ms = history_rows(self._layout, events, self._item_embedding, self._text_embedding)
            positions = torch.arange(len(rows), dtype=torch.float32)
            hidden, cache = self._model.encode(torch.from_numpy(rows), positions, self._model.trunk.empty_cache())
            now = (events[-1].time_ms if events else start_ms) + 3 * HOUR_MS
            histories.append({
                "name": name,
                "events": [
                    {
                        "item": event.item, "query": event.query, "actions": list(event.actions), "surface": event.surface,
                        "timeMs": int(event.time_ms),
                    }
                    for event in events
                ],
                "rows": _numbers(rows),
                "lastTimeMs": None if last_ms == NO_TIME else int(last_ms),
                "encode": {"hidden": _numbers(hidden), "lastKey": _numbers(cache[-1][0]), "lastValue": _numbers(cache[-1][1])},
                "requests": [self._request(about, int(now), last_ms, cache) for about in self._abouts()],
            })  # fmt: skip
        tower = self._model.embed_items(torch.from_numpy(upstream))
        return {
            "format": 1,
            "histories": histories,
            "itemTower": {"upstream": _numbers(upstream), "embeddings": _numbers(tower)},
        }

    def _item_embedding(self, item: str) -> FLOAT | None:
        return self._table[self._row_of[item]] if item in self._row_of else None

    def _text_embedding(self, text: str) -> FLOAT | None:
        return self._model.embed_text(text) if self._texts else None

    def _abouts(self) -> list[_About]:
        """Every surface at least once; about nothing, a text, an item; with no feature, some, all."""
        surfaces, names = self._layout.surfaces, self._layout.request_features
        abouts = ((None, None), (None, QUERY if self._texts else None), (self._ids[3 % len(self._ids)], None))
        given = ({}, {name: 0.5 + at for at, name in enumerate(names[:1])}, {name: 2.0 - at for at, name in enumerate(names)})
        return [_About(surfaces[k % len(surfaces)], *abouts[k % 3], given[(k + 1) % 3]) for k in range(max(3, len(surfaces)))]

    def _request(self, about: _About, now: int, last_ms: int, cache: list[LayerCache]) -> dict:
        layout, model, p = self._layout, self._model, len(cache[0][0])
        surface, item, text = about.surface, about.item, about.text
        features = {kind: self._features(about, now, last_ms, kind) for kind in (CONTEXT, CANDIDATE)}
        embedding = self._item_embedding(item) if item else self._text_embedding(text or "")
        embedding = np.zeros(layout.embedding, np.float32) if embedding is None else embedding
        context = torch.from_numpy(np.concatenate([embedding, features[CONTEXT]])[None])
        candidates = list(self._ids[:: max(1, len(self._ids) // 6)][:6])
        embeddings = torch.from_numpy(self._table[[self._row_of[item] for item in candidates]])
        position, after = torch.tensor([float(p)]), torch.tensor([p + 1.0])
        candidate_row = torch.from_numpy(features[CANDIDATE][None])
        hidden, _ = model.encode(context, position, cache)
        outcomes = torch.eye(len(layout.actions) + 1)
        offsets = torch.linspace(0, 0.5, len(outcomes))[:, None]
        surfaces = torch.eye(len(layout.surfaces))[[layout.surfaces.index(surface)] * len(outcomes)]
        probabilities = model.rank(context, position, embeddings, candidate_row, after, cache)
        told = {"features": about.features} if layout.request_features else {}
        return {
            "surface": surface, "nowMs": now,
            "relatedItem": item, "queryText": text, **told,
            "contextEmbedding": _numbers(embedding), "contextRow": _numbers(context[0]), "contextPosition": p,
            "candidates": candidates, "candidateRow": _numbers(candidate_row[0]), "candidatePosition": p + 1,
            "hidden": _numbers(hidden[0]),
            "head": {
                "outcomes": _numbers(outcomes), "offsets": _numbers(offsets), "surfaces": _numbers(surfaces),
                "queries": _numbers(model.retrieve(hidden, outcomes, offsets, surfaces)),
            },
            "probabilities": _numbers(probabilities),
        }  # fmt: skip

    def _features(self, about: _About, now: int, last_ms: int, kind: int) -> FLOAT:
        """[F - E] of the one context row or of all candidates."""
        layout = self._layout
        nothing = np.zeros((1, len(layout.actions)), np.float32)
        at = np.array([layout.surfaces.index(about.surface)])
        told = np.array([[about.features.get(name, np.nan) for name in layout.request_features]])
        masked, times = [kind == CANDIDATE], (np.array([now]), np.array([last_ms]))
        return layout.feature_rows(nothing, masked, at, *times, kind, told if kind == CONTEXT else None)[0]
