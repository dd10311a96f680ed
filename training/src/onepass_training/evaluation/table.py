"""Results as tables for people."""

from collections.abc import Mapping, Sequence

from .result import Result
from .slices import ALL

WIDTH = 11
UNORDERED = (("unorderedRecall", "unordered recall"), ("laterRecall", "the same, 2 to 24 h later"))
SIDES = {
    "newPeople": "<10 events", "history10to49": "10-49", "history50to199": "50-199", "history200up": "200+",
    "freshItems": "fresh item", "knownItems": "known item",
}  # fmt: skip
"""Slices beside surfaces, and what their columns are called."""


def _cell(value: float | int | None) -> str:
    text = "-" if value is None else f"{value}" if isinstance(value, int) else f"{value:.4f}"
    return f"{text:>{WIDTH}}"


def _block(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[float | int | None]]) -> list[str]:
    """A heading and one line for each of `rows`."""
    lead = max([len(title), *(len(name) + 2 for name in rows)]) + 1
    lines = [f"{title:<{lead}}" + "".join(f"{name[: WIDTH - 1]:>{WIDTH}}" for name in columns)]
    return lines + [f"{'  ' + name:<{lead}}" + "".join(map(_cell, values)) for name, values in rows.items()]


def _sliced(title: str, metric: str, results: Mapping[str, Mapping]) -> list[str]:
    """A metric by slice; `metric` is recallAt10 or hitAt3/ACTION. Empty where no result has it."""
    place, *action = metric.split("/")
    found = {name: summary[place] for name, summary in results.items() if place in summary}
    found = {name: table[action[0]] if action else table for name, table in found.items()}
    if not found:
        return []
    sizes = next(summary["slates"][metric] for summary in results.values() if place in summary)
    surfaces = [name for name in sizes if name not in (ALL, *SIDES)]
    lines: list[str] = []
    for columns, part in (((ALL, *surfaces), title), (tuple(SIDES), "")):
        rows = {name: [table.get(column) for column in columns] for name, table in found.items()}
        titles = [SIDES.get(column, column) for column in columns]
        lines += _block(part, titles, rows | {"slates": [sizes[column] for column in columns]})
    return lines


def format_table(results: Mapping[str, Result]) -> str:
    """All results, by name, side by side: Recall@10 and Hit@3 by slice, then everything else."""
    summaries = {name: result.summary for name, result in results.items()}
    lines = _sliced("Recall@10", "recallAt10", summaries)
    actions = list(dict.fromkeys(action for summary in summaries.values() for action in summary.get("hitAt3", {})))
    for action in actions:
        lines += _sliced(f"Hit@3({action})", f"hitAt3/{action}", summaries)
    for metric, title in (("auc", "AUC"), ("ece", "ECE, 15 bins"), ("logLoss", "log loss")):
        rows = {name: [of[metric][action] for action in actions] for name, of in summaries.items() if metric in of}
        lines += _block(title, actions, rows) if rows else []
    lines += _others(summaries)
    return "\n".join(lines)


def _others(summaries: Mapping[str, Mapping]) -> list[str]:
    """Metrics with one value, or a few that go together."""
    lines: list[str] = []
    retrieving = {name: summary for name, summary in summaries.items() if "recallAt10" in summary}
    if retrieving:
        rows = {
            name: [of["recallAt100"][ALL], of["coverageAt10"], of["diversityAt10"]["upstream"], of["diversityAt10"].get("own")]
            for name, of in retrieving.items()
        }
        lines += _block("retrieval", ("Recall@100", "coverage", "diversity", "own space"), rows)
        kinds = [(f"{kind}At{at}", f"{title}@{at}, queries") for kind, title in UNORDERED for at in (10, 100)]
        for metric, title in kinds:
            ways = list(dict.fromkeys(way for of in retrieving.values() for way in of[metric]))
            lines += _block(title, ways, {name: [of[metric].get(way) for way in ways] for name, of in retrieving.items()})
        for action in dict.fromkeys(action for of in retrieving.values() for action in of["askedFor"]):
            rows = {
                name: [found.get("recallAt10") for found in (of["askedFor"][action].get(way, {}) for way in ("any", "outcome"))]
                for name, of in retrieving.items()
            }
            lines += _block(f"Recall@10 of {action}, asked for", ("any", action), rows)
    ranking = {
        name: [of["ndcgAt10"], of["utilityNdcgAt10"], of["slateLogLoss"]] for name, of in summaries.items() if "hitAt3" in of
    }
    return lines + (_block("ranking", ("NDCG@10", "by utility", "slate loss"), ranking) if ranking else [])


def format_leave_one_out(results: Mapping[str, Result]) -> str:
    """Leave one out: HR@10 and NDCG@10 among all items and among 100."""
    columns, rows = ("HR full", "NDCG full", "HR uniform", "NDCG unif.", "HR popular", "NDCG pop."), {}
    for name, result in results.items():
        rows[name] = [
            result.summary[rivals][metric] for rivals in ("full", "uniform", "popular") for metric in ("hrAt10", "ndcgAt10")
        ]
    people = next(iter(results.values())).summary["people"] if results else 0
    return "\n".join(_block(f"leave one out, {people} people", columns, rows))
