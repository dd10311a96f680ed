"""Arguments that several commands take."""

import argparse

MOST = 1_000_000_000
"""Largest number of an option, and largest seed: PyTorch takes no larger than 64 bits."""


def positive(text: str) -> int:
    """A whole number above 0."""
    return _whole(text, 1, "a whole number above 0")


def natural(text: str) -> int:
    """A whole number from 0."""
    return _whole(text, 0, "a whole number from 0")


def _whole(text: str, least: int, what: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    if int(text) >= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is too large: it must be below {MOST}")
    return int(text)
