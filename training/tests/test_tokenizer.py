"""The rules of docs/release.md, "The tokenizer of queries"."""

import math

import numpy as np
import pytest

from onepass_training.model.tokenizer import Tokenizer

TOKENIZER = Tokenizer(buckets=1 << 20)


def test_a_word_gives_itself_and_its_ngrams_in_order():
    def fnv(size, content):
        value = 2_166_136_261 ^ 1
        for byte in (size, *content):
            value = (value ^ byte) * 16_777_619 % 2**32
        return (value ^ value >> 16) % (1 << 20)

    assert TOKENIZER.tokens("Mug") == [fnv(0, b"mug"), *(fnv(3, gram) for gram in (b"<mu", b"mug", b"ug>"))]
    assert TOKENIZER.tokens("a") == [fnv(0, b"a"), fnv(3, b"<a>")]
    assert fnv(0, b"mug") != fnv(3, b"mug"), "the word and the n-gram of the same letters are two"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("TEAL Mug", "teal mug"),
        ("teal,mug!", "teal  mug"),
        ("\tteal\r\nmug\0", "teal mug"),
        ("", " ?!-"),
    ],
)
def test_ascii_case_and_punctuation_do_not_count(text, same):
    assert TOKENIZER.tokens(text) == TOKENIZER.tokens(same)


@pytest.mark.parametrize(("text", "other"), [("caf\u00e9", "cafe\u0301"), ("\u00c9", "\u00e9"), ("a\u00a0b", "a b")])
def test_what_only_a_unicode_table_knows_counts(text, other):
    assert TOKENIZER.tokens(text) != TOKENIZER.tokens(other)


def test_words_are_the_same_wherever_they_stand():
    assert set(TOKENIZER.tokens("mug teal")) == set(TOKENIZER.tokens("teal mug"))
    alone = TOKENIZER.tokens("teal")
    assert TOKENIZER.tokens("teal mug")[: len(alone)] == alone


def test_tokens_are_capped_and_weigh_one_together():
    ids, weights = TOKENIZER.batch(["mug " * 256, "mug", ""])
    assert ids.shape == weights.shape == (3, 128)
    assert np.count_nonzero(weights, axis=1).tolist() == [128, 4, 0]
    assert weights[0, 0] == np.float32(1 / math.sqrt(128))
    np.testing.assert_allclose((weights**2).sum(axis=1), [1, 1, 0], atol=1e-6)
    assert TOKENIZER.batch([""])[0].shape == (1, 1)


def test_every_setting_matters():
    text = "teal rustic mug"
    others = (
        Tokenizer(buckets=64),
        Tokenizer(1 << 20, seed=2),
        Tokenizer(1 << 20, ngrams=(2, 3)),
        Tokenizer(1 << 20, max_tokens=5),
    )
    assert all(other.tokens(text) != TOKENIZER.tokens(text) for other in others)
