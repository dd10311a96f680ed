"""Progress of a long loop: a bar with loss and time left on a terminal, plain lines in a log."""

import sys
import time

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 15.0


def duration(seconds: float) -> str:
    """A time span for people: 12 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Progress:
    """Counts steps from `start` to `total` under a label."""

    def __init__(self, label: str, total: int, start: int = 0) -> None:
        self._label, self._total, self._start, self._done = label, total, start, start
        self._began = self._said = time.monotonic()
        self._bar = tqdm(total=total, initial=start, desc=label, dynamic_ncols=True) if sys.stderr.isatty() else None

    def step(self, note: str = "") -> None:
        """One more is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update()
            return
        now = time.monotonic()
        if now - self._said >= SECONDS_BETWEEN_LINES or self._done == self._total:
            self._said = now
            left = (now - self._began) / max(1, self._done - self._start) * (self._total - self._done)
            parts = [f"{self._label} {self._done}/{self._total}", note, f"{duration(left)} left" if left else "done"]
            print(", ".join(part for part in parts if part), flush=True)

    def say(self, line: str) -> None:
        """A line of its own, which does not break the bar."""
        if self._bar is not None:
            self._bar.write(line)
        else:
            print(line, flush=True)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
