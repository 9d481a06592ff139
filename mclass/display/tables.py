"""The tables that the course's experiments measured, for notebooks: at hand without a network, from any folder.

Each comes from a command (``python -m experiments.…``) and lies in ``experiments/results`` of the repository; an
installed package carries a copy.

Taught in: 01_representations, 05_augmentation, 06_semi_supervised, 07_clmr, 08_metric_learning.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mclass.errors import unknown_name

if TYPE_CHECKING:
    import pandas

# In a clone the repository's own folder, so that a new run is seen at once; else what setup.py packed.
FOLDERS = (Path(__file__).parents[2] / "experiments" / "results", Path(__file__).with_name("_results"))


def _folder() -> Path:
    for folder in FOLDERS:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"the measured tables are neither in {FOLDERS[0]} nor in {FOLDERS[1]}. Install the package again: "
        "from a clone, or by the command in the first cell of a notebook"
    )


def names() -> list[str]:
    """The tables there are.

    Examples
    --------
    >>> "representations_summary" in names()
    True
    """
    return sorted(path.stem for path in _folder().glob("*.csv"))


def table(name: str) -> pandas.DataFrame:
    """A measured table.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ValueError
        If there is no such table.
    FileNotFoundError
        If there are no tables at all: the installation is not complete.

    Examples
    --------
    >>> int(table("representations")["seed"].nunique())
    5
    """
    import pandas

    if name not in names():
        raise ValueError(unknown_name("table of results", name, names()))
    return pandas.read_csv(_folder() / f"{name}.csv")
