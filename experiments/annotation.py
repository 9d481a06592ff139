"""Calibrates the weak annotator of Etude: prints the `RECALL` table of `mclass.datasets.etude.annotation`.

    python -m experiments.annotation [--version 2]

The chance that a present tag is typed is set so that, over many tracks, tags are as frequent as
`target_frequencies` asks. A tag that is composed too rarely for that is typed almost always.
"""

from __future__ import annotations

import argparse

import numpy as np
from tqdm import tqdm

from mclass.datasets.etude.annotation import listen, target_frequencies
from mclass.datasets.etude.composer import VERSIONS, compose
from mclass.tags import MAGNATAGATUNE

NUM_TRACKS, CLIPS, SECONDS = 8000, 3, 10.0
SEED = 1_000_000  # tracks nobody trains on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--version", type=int, choices=list(VERSIONS), default=1)
    version = parser.parse_args().version
    saliences = []
    for index in tqdm(range(NUM_TRACKS), unit="track"):
        score = compose(SEED, index, CLIPS * SECONDS, version)
        saliences += [listen(score, clip * SECONDS, SECONDS).salience for clip in range(CLIPS)]
    saliences = np.array(saliences)
    for tag, salience, target in zip(MAGNATAGATUNE, saliences.T, target_frequencies(), strict=True):
        low, high = 0.0, 3.0  # the expected frequency grows with the recall: bisect
        for _ in range(40):
            recall = (low + high) / 2
            expected = np.minimum(recall * salience, 0.95).mean()
            low, high = (recall, high) if expected < target else (low, recall)
        note = "" if expected > 0.97 * target else f"  # reaches {expected:.3f} of the {target:.3f} wanted"
        print(f'    "{tag}": {recall:.3f},{note}')


if __name__ == "__main__":
    main()
