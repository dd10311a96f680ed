"""Progress of a long loop: a bar with loss and time left on a terminal, plain lines in a log."""

import sys
import time

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 15.0


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
            print(f"{self._label} {self._done}/{self._total} {note} {left:.0f} s left".replace("  ", " "), flush=True)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
