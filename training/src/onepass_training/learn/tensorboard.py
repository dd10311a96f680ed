"""Scalars of a run for TensorBoard."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

DIRECTORY = "tensorboard"


class ScalarLog:
    """The log of one run, DIR/tensorboard; TensorBoard's --logdir is that, or any directory above it.

    A run that is resumed goes on in a file beside the old one, which tells TensorBoard to forget all after its checkpoint: no
    step is shown twice.
    """

    def __init__(self, directory: Path, step: int = 0) -> None:
        """Goes on behind `step`; 0 starts anew."""
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import, which only runs that train have to pay

        path = directory / DIRECTORY
        if not step:
            shutil.rmtree(path, ignore_errors=True)
        elif any(path.glob(f"*.tfevents.{int(time.time())}.*")):
            time.sleep(1 - time.time() % 1)  # files are read in the order of their names, which tell seconds apart
        self._writer = SummaryWriter(str(path), purge_step=step + 1 if step else None)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Values by tag, as of `step`. A tag's part before "/" is its group."""
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, step)

    def flush(self) -> None:
        """Makes what was written readable to others."""
        self._writer.flush()

    def close(self) -> None:
        """Ends the log."""
        self._writer.close()
