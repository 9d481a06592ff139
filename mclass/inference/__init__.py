"""From a trained model to tags: cut into chunks, predict each, average.

A model hears a few seconds at a time. What it says about a whole clip is the mean of the probabilities of the
clip's chunks; the table of all chunks, the *taggram*, shows how the tags change over time.

`tag` and `embed` take one recording, a file of any length or an array; `predict` takes a data set.

Taught in: 04_supervised.
"""

from mclass.inference.chunks import chunk_probabilities, chunks_per_batch, evaluating
from mclass.inference.datasets import check_sample_rate, predict, predict_chunks
from mclass.inference.recordings import embed, tag
from mclass.inference.result import TagResult
from mclass.metrics.songs import AGGREGATES, aggregate

__all__ = [
    "AGGREGATES",
    "TagResult",
    "aggregate",
    "check_sample_rate",
    "chunk_probabilities",
    "chunks_per_batch",
    "embed",
    "evaluating",
    "predict",
    "predict_chunks",
    "tag",
]
