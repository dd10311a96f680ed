"""Rows, and what the graphs make of them, are those of the release's test vectors."""

import json

import numpy as np
import pytest

from onepass_monolith.histories import NONE, History, Told, last_ms, past_rows
from onepass_monolith.page import Ask, Budget

EQUAL = 1e-4


def history_of(release, events):
    history = History()
    for at, event in enumerate(events):
        text = event["query"] if event["query"] and release.knows_text(event["query"]) else None
        bits = 0 if event["query"] is not None else sum({release.action_bit.get(name, 0) for name in event["actions"]})
        item = release.row_of.get(event["item"], NONE)
        history.write(Told(str(at), item, text, bits, release.surface_index[event["surface"]], event["timeMs"]))
    return history


@pytest.fixture(scope="module")
def vectors(release):
    return json.loads((release.directory / "vectors" / "tokens.json").read_text())["histories"]


def test_rows_of_every_history_are_the_vectors(release, vectors):
    for vector in vectors:
        snapshot = history_of(release, vector["events"]).snapshot()
        rows = past_rows(release.layout, snapshot.tokens, -1, release.table, snapshot.texts, release.embed_texts)
        expected = np.array(vector["rows"], np.float32).reshape(rows.shape)
        assert np.abs(rows - expected).max(initial=0) < EQUAL, vector["name"]
        assert last_ms(snapshot.tokens) == (vector["lastTimeMs"] if vector["lastTimeMs"] is not None else -1)


def test_requests_are_encoded_and_ranked_as_the_vectors_say(release, maker, vectors):
    tried = 0
    for vector in vectors:
        snapshot = history_of(release, vector["events"]).snapshot()
        for request in vector["requests"]:
            related = [release.row_of[request["relatedItem"]]] if request["relatedItem"] else []
            ask = Ask(
                surface=release.surface_index[request["surface"]], now_ms=request["nowMs"], page_size=5, candidates=6,
                budgets=[Budget("any", 1.0)], weights=release.utility_weights, related=related,
                text=request["queryText"] or "", features=request["features"],
            )  # fmt: skip
            contexts, candidate_row = maker._request_rows(ask, last_ms(snapshot.tokens))
            assert np.abs(contexts[0] - np.array(request["contextRow"], np.float32)).max() < EQUAL
            assert np.abs(candidate_row - np.array(request["candidateRow"], np.float32)).max() < EQUAL
            _, past, hidden = maker._encode(snapshot, None, contexts)
            assert np.abs(hidden[0] - np.array(request["hidden"], np.float32)).max() < 1e-3
            candidates = release.table[[release.row_of[item] for item in request["candidates"]]]
            found = release.graphs.rank(contexts, len(past[0][0]), candidates, candidate_row, past)
            assert np.abs(found - np.array(request["probabilities"], np.float32)).max() < EQUAL
            tried += 1
    assert tried > 10
