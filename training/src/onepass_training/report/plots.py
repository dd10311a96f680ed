"""The report's plots: SVG with a white ground, the same bytes for the same results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .verdict import AGAINST, AHEAD_ONCE, BEHIND_ONCE, MISSING, NOISE, REPRODUCED, UNSURE, Several

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE = {
    "svg.hashsalt": "onepass", "svg.fonttype": "path", "figure.facecolor": "white", "axes.facecolor": "white",
    "savefig.facecolor": "white", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#e3e3e3", "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False,
}  # fmt: skip
BLUE, ORANGE, GREY, GREEN, RED = "#2f6db5", "#d9822b", "#8a8a8a", "#2e8b57", "#c0392b"
COLOURS = dict.fromkeys((NOISE, UNSURE, MISSING, AHEAD_ONCE, BEHIND_ONCE), GREY) | {REPRODUCED: GREEN, AGAINST: RED}
LINES = (BLUE, ORANGE, GREEN, RED, "#7b5ea7")


@dataclass(frozen=True)
class Point:
    """A labelled number with its interval."""

    label: str
    found: Several
    colour: str = BLUE


def draw(path: Path, size: tuple[float, float], paint: Callable[["Axes"], None]) -> None:
    """One figure. ValueError where matplotlib, the package's extra `report`, is missing."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: F401
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("the plots need matplotlib, which comes with the package's extra `report`") from None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure.subplots())
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {"Date": None, "Creator": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=kept, **({} if path.suffix == ".svg" else {"dpi": 110}))


def _bars(found: Several) -> list[list[float]] | None:
    """matplotlib's distances from the mean down and up."""
    if found.low is None or found.high is None:
        return None
    return [[max(0.0, found.mean - found.low)], [max(0.0, found.high - found.mean)]]


def forest(path: Path, points: Sequence[Point], axis: str) -> None:
    """Differences with their intervals, one a row, around 0."""

    def paint(axes: "Axes") -> None:
        for row, point in enumerate(points):
            axes.errorbar(
                point.found.mean, row, xerr=_bars(point.found), fmt="o", ms=4, lw=1.3, capsize=2.5, color=point.colour
            )
        axes.axvline(0, color="black", lw=0.8)
        axes.set_yticks(range(len(points)), [point.label for point in points])
        axes.set_ylim(len(points) - 0.5, -0.5)
        axes.locator_params(axis="x", nbins=7)
        axes.set_xlabel(axis)

    draw(path, (8.2, 0.8 + 0.24 * len(points)), paint)


def bars(path: Path, groups: Sequence[str], series: dict[str, Sequence[Several | None]], axis: str) -> None:
    """For each group a bar of each series, with intervals; nothing where there is no number."""

    def paint(axes: "Axes") -> None:
        width = 0.8 / max(1, len(series))
        for at, (name, values) in enumerate(series.items()):
            some: list[tuple[float, Several]] = [
                (place + (at - (len(series) - 1) / 2) * width, value) for place, value in enumerate(values) if value is not None
            ]
            axes.bar([x for x, _ in some], [value.mean for _, value in some], width, label=name, color=LINES[at % len(LINES)])
            for x, value in some:
                axes.errorbar(x, value.mean, yerr=_bars(value), color="black", lw=0.9, capsize=2)
        axes.set_xticks(range(len(groups)), groups)
        axes.set_ylabel(axis)
        axes.grid(axis="x", visible=False)
        if len(series) > 1:
            axes.figure.legend(loc="outside upper center", ncols=len(series))

    draw(path, (max(4.6, 1.1 + 0.95 * len(groups)), 3.1), paint)


def curve(path: Path, places: Sequence[Any], values: Sequence[Several], across: str, axis: str) -> None:
    """One number along something that is varied, with intervals."""

    def paint(axes: "Axes") -> None:
        at = range(len(places))
        axes.plot(at, [value.mean for value in values], color=BLUE, lw=1.2)
        for x, value in zip(at, values, strict=True):
            axes.errorbar(x, value.mean, yerr=_bars(value), fmt="o", ms=4, capsize=3, color=BLUE)
        axes.set_xticks(at, [str(place) for place in places])
        axes.set_xlim(-0.3, len(places) - 0.7)
        axes.set_xlabel(across)
        axes.set_ylabel(axis)

    draw(path, (4.6, 3.1), paint)


def reliability(path: Path, bins: dict[str, Sequence[Sequence[float]]]) -> None:
    """By action, the share that was done over what was predicted, in bins of equal size, on logarithmic axes."""

    def paint(axes: "Axes") -> None:
        seen = [value for rows in bins.values() for row in rows for value in row[:2] if value > 0]
        ends = (min(seen, default=0.01) * 0.8, max(seen, default=1.0) * 1.25)
        axes.plot(ends, ends, color="black", lw=0.8, label="what is predicted")
        for at, (action, rows) in enumerate(bins.items()):
            shown = [row for row in rows if row[0] > 0 and row[1] > 0]
            label = action.replace("_", " ")
            axes.plot(
                [row[0] for row in shown],
                [row[1] for row in shown],
                "o-",
                ms=3,
                lw=1,
                color=LINES[at % len(LINES)],
                label=label,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(ends)
        axes.set_ylim(ends)
        axes.set_xlabel("mean prediction of the bin")
        axes.set_ylabel("share of its items acted on")
        axes.legend(fontsize=8)

    draw(path, (4.8, 4.2), paint)
