"""Claims in words."""

from .book import Book
from .grid import BASE
from .material import title_of
from .metrics import METRICS
from .variant import Claim
from .verdict import AHEAD_ONCE, BEHIND_ONCE, verdict


def verdict_text(book: Book, claim: Claim) -> str:
    """The verdict, with how many seeds it rests on."""
    found = book.ahead(claim)
    said = verdict(found)
    if found is None or said in (AHEAD_ONCE, BEHIND_ONCE):
        return said
    count = len(found.by_seed)
    return f"{said} ({count} seed{'' if count == 1 else 's'})"


def claim_text(claim: Claim) -> str:
    """What is said."""
    against = claim.against or claim.metric
    if claim.better == claim.worse:
        return f"{title_of(claim.better)}: {METRICS[claim.metric].title}, against {METRICS[against].title}"
    than = "at least level with" if claim.at_least else "ahead of"
    lower = ", lower" if METRICS[claim.metric].less else ""
    against_text = "" if against == claim.metric else f", against its {METRICS[against].title}"
    return f"{title_of(claim.better)} {than} {title_of(claim.worse)}: {METRICS[claim.metric].title}{lower}{against_text}"


def short_text(claim: Claim) -> str:
    """For a plot's axis."""
    metric, against = METRICS[claim.metric].title, METRICS[claim.against or claim.metric].title
    if claim.better == claim.worse:
        return f"{metric} > {against.removeprefix(metric.split(',')[0]).strip(', ') or 'one'}"
    other = claim.worse if claim.better == BASE else f"< {claim.better}"
    return f"{other}: {metric}"
