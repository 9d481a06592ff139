"""One place that decides how big a run is: smoke test, laptop or GPU.

Taught in: 04_supervised.
"""

from __future__ import annotations

import os
from typing import TypeVar

from mclass.errors import unknown_name

PROFILES = ("smoke", "cpu", "gpu")
T = TypeVar("T")


def device() -> str:
    """The best device torch can use here: ``"cuda"``, ``"mps"`` or ``"cpu"``.

    Examples
    --------
    >>> device() in ("cuda", "mps", "cpu")
    True
    """
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def profile() -> str:
    """The profile in force: ``MCLASS_PROFILE`` if it is set, else ``"gpu"`` with a GPU and ``"cpu"`` without.

    Raises
    ------
    ValueError
        If ``MCLASS_PROFILE`` is not one of ``smoke``, ``cpu``, ``gpu``.

    Examples
    --------
    >>> profile() in PROFILES
    True
    """
    chosen = os.environ.get("MCLASS_PROFILE", "").strip().lower()
    if not chosen:
        return "cpu" if device() == "cpu" else "gpu"
    if chosen not in PROFILES:
        raise ValueError(
            f"MCLASS_PROFILE: {unknown_name('profile', chosen, PROFILES)}. "
            "Set one of them, or unset the variable to choose by hardware."
        )
    return chosen


def scale(*, smoke: T, cpu: T, gpu: T) -> T:
    """Pick a size by profile.

    Parameters
    ----------
    smoke, cpu, gpu
        The value for a test run of seconds, for two CPU cores and minutes, and for a GPU at full size.

    Returns
    -------
    The value of the profile in force (see `profile`).

    Examples
    --------
    >>> import os
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, MCLASS_PROFILE="smoke"):
    ...     scale(smoke=1, cpu=10, gpu=100)
    1
    """
    return {"smoke": smoke, "cpu": cpu, "gpu": gpu}[profile()]
