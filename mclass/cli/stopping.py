"""What signals do to a command: a first one stops it in good order, a second one at once.

Taught in: 04_supervised.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Ctrl-C; what `kill`, Slurm and the end of a session send; a closed terminal (not on Windows)
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(KeyboardInterrupt):
    """A signal asked the command to stop; handled wherever an interrupt is.

    Attributes
    ----------
    signal : int
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.signal = number


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` at the first signal; leave the next one to the system, which ends the process.

    What is ignored stays ignored (``nohup``, a shell's background), and what others handle stays theirs. Errors
    while it stops are part of that: `kill`, Slurm or a terminal may have ended worker processes, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [one for one in _SIGNALS if signal.getsignal(one) in (signal.SIG_DFL, signal.default_int_handler)]
    before = {one: signal.getsignal(one) for one in ours}
    received: list[Stopped] = []

    def stop(number, frame):
        for one in ours:
            signal.signal(one, signal.SIG_DFL)
        received.append(Stopped(number))
        raise received[0]

    try:
        for one in ours:
            signal.signal(one, stop)
        yield
    except (Exception, SystemExit):
        if received:
            raise received[0] from None
        raise
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def exit_code(stop: KeyboardInterrupt) -> int:
    """What a shell reports for a process that the signal ended: 130 for Ctrl-C, 143 for SIGTERM.

    >>> exit_code(KeyboardInterrupt()), exit_code(Stopped(signal.SIGTERM))
    (130, 143)
    """
    return 128 + getattr(stop, "signal", signal.SIGINT)


def reason(stop: KeyboardInterrupt) -> str:
    """In words.

    >>> reason(KeyboardInterrupt()), reason(Stopped(signal.SIGTERM))
    ('interrupted', 'stopped by SIGTERM')
    """
    number = getattr(stop, "signal", signal.SIGINT)
    return "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
