"""Numbers and tables as Markdown."""

from collections.abc import Sequence

from .verdict import Several

MISSING = "-"


def number(value: float | None, digits: int = 4) -> str:
    """.1234, as this project's documents write shares."""
    if value is None:
        return MISSING
    text = f"{round(value, digits) + 0.0:.{digits}f}"  # + 0: no minus before .0000
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def signed(value: float) -> str:
    """+.0123"""
    text = number(value)
    return text if text.startswith("-") else f"+{text}"


def interval(found: Several) -> str:
    """[low, high], or nothing where there is none."""
    return "" if found.low is None or found.high is None else f"[{signed(found.low)}, {signed(found.high)}]"


def difference(found: Several | None) -> str:
    """+.0123 [+.0010, +.0236], bold where the interval leaves 0 out."""
    if found is None:
        return MISSING
    text = f"{signed(found.mean)} {interval(found)}".strip()
    clear = found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)
    return f"**{text}**" if clear else text


def level(found: Several | None) -> str:
    """.1234, with half the interval's width."""
    if found is None:
        return MISSING
    if found.low is None or found.high is None:
        return number(found.mean)
    return f"{number(found.mean)} ± {number((found.high - found.low) / 2)}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def listed(values: Sequence[object]) -> str:
    """1, 2 and 3."""
    texts = [str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
