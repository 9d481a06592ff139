"""Run Lightning without the lines that a notebook's reader has no use for.

Taught in: 04_supervised.
"""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import lightning

_LOGGERS = ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.trainer.connectors.signal_connector")
_WARNINGS = (
    r".*does not have many workers",
    r".*is smaller than the logging interval",
    r".*GPU available but not used",
    r".*in eval mode at the start of training",  # frozen parts are meant to be
    r".*LeafSpec.* is deprecated",
    r"It is recommended to use `self.log\(.*sync_dist=True",  # scores are of all processes already
    r".*`IterableDataset` has `__len__` defined",  # that of ShardStream counts what each worker gives
)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide Lightning's hints, and let Ctrl-C be a KeyboardInterrupt again.

    Lightning answers an interrupt with ``sys.exit`` and ignores all later ones, which ends a notebook's kernel
    or leaves it deaf. (Of SIGTERM see `Signals`.)
    """
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    try:
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        with warnings.catch_warnings():
            for message in _WARNINGS:
                warnings.filterwarnings("ignore", message)
            yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise stop.__context__ from None  # itself: it may know which signal it was
        raise
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if main and handler is not None:
            signal.signal(signal.SIGINT, handler)


class Signals(lightning.Callback):
    """Leaves SIGTERM to whoever had it: Lightning ends the process with exit code 0, as if it had finished."""

    def __init__(self):
        self._handler = None

    def setup(self, trainer: lightning.Trainer, task: lightning.LightningModule, stage: str) -> None:
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
