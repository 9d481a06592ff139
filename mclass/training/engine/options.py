"""What `mclass.training.fit` is asked for, checked before anything is read or written.

Taught in: 04_supervised.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from mclass.errors import unknown_name

LOGGERS = ("csv", "tensorboard")
# our name -> Lightning's
PRECISIONS = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `mclass.training.fit`, which says what each of them means.

    Raises
    ------
    ValueError
        If one is outside its range, or two do not go together.

    Examples
    --------
    >>> Options(epochs=2, devices=4, folder="run").processes
    4
    >>> Options(epochs=0)
    Traceback (most recent call last):
    ValueError: epochs must be an integer of at least 1, got 0
    """

    epochs: int
    batch_size: int = 16
    seed: int = 0
    folder: str | os.PathLike | None = None
    patience: int | None = None
    resume: bool = False
    logger: str = "csv"
    num_workers: int = 0
    progress: bool = True
    pad: bool = False
    accelerator: str = "auto"
    precision: str = "float32"
    accumulate: int = 1
    gradient_clip: float | None = None
    devices: int = 1
    num_nodes: int = 1
    compile: bool = False

    def __post_init__(self):
        self._check_integers()
        self._check_names()
        if self.resume and self.folder is None:
            raise ValueError("resume=True needs the folder of the run to continue; give folder=")
        if self.gradient_clip is not None and not self.gradient_clip > 0:
            raise ValueError(
                f"gradient_clip is the largest norm of a gradient and must be positive, got {self.gradient_clip}"
            )
        self._check_processes()

    @property
    def processes(self) -> int:
        """Processes of the run, on all its nodes."""
        return self.devices * self.num_nodes

    def _check_integers(self) -> None:
        lowest = {"epochs": 1, "batch_size": 1, "seed": 0, "num_workers": 0, "accumulate": 1, "patience": 1}
        for name, low in lowest.items():
            value = getattr(self, name)
            if value is None and name == "patience":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
                raise ValueError(f"{name} must be an integer of at least {low}, got {value!r}")
        most = max(64, 4 * (os.cpu_count() or 1))
        if self.num_workers > most:
            raise ValueError(f"num_workers is a number of processes, here at most {most}, got {self.num_workers}")

    def _check_names(self) -> None:
        for name, known in (("logger", LOGGERS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise ValueError(unknown_name(name, getattr(self, name), known))

    def _check_processes(self) -> None:
        processes, batch_size = self.processes, self.batch_size
        if processes > 1 and self.folder is None:
            raise ValueError(f"{processes} processes must share a folder for the run; give folder=")
        if processes > 1 and batch_size % processes:
            raise ValueError(
                f"batch_size counts the examples of all processes and must be a multiple of their number, got "
                f"{batch_size} for {processes} processes. Try {batch_size - batch_size % processes or processes}"
            )
