"""A data set of sines and noise that a tiny model learns in seconds, and a tiny model with dropout."""

import numpy as np
import torch

from mclass import models
from mclass.datasets import MusicDataset


class Tones(MusicDataset):
    """Clips of a low sine, a high sine or noise; if multi-label, every fourth clip has noise on top."""

    def __init__(self, num_clips=24, seconds=0.5, multilabel=True, seed=0):
        rng = np.random.default_rng(seed)
        self.name, self.tags, self.sample_rate = "tones", ["low", "high", "noise"], 16000
        self.multilabel = multilabel
        self.labels = np.eye(3, dtype=np.uint8)[np.arange(num_clips) % 3]
        if multilabel:
            self.labels[::4, 2] = 1
        seconds = np.broadcast_to(seconds, num_clips)
        self.audio = []
        for labels, length in zip(self.labels, seconds, strict=True):
            time = np.arange(round(length * 16000)) / 16000
            noise = rng.standard_normal(len(time))
            sounds = np.stack([np.sin(2 * np.pi * 300 * time), np.sin(2 * np.pi * 3000 * time), noise])
            mixed = 0.1 * labels @ sounds + 0.05 * rng.standard_normal(len(time))
            self.audio.append(torch.from_numpy(mixed.astype(np.float32)))
        self.track_ids = self.artist_ids = np.arange(num_clips)

    def num_samples(self, index):
        return len(self.audio[index])

    def waveform(self, index, start=0, num_samples=None):
        start, num_samples = self.check_range(index, start, num_samples)
        return self.audio[index][start : start + num_samples]


class Small(models.WaveformModel):
    """The 1D-CNN on quarter-second chunks, with dropout before the last layer."""

    num_samples = 4000

    def __init__(self, num_tags=3):
        super().__init__()
        self.num_tags = num_tags
        self.body = models.create("cnn_1d", num_tags=num_tags, channels=8)
        self.dropout, self.head = torch.nn.Dropout(0.3), torch.nn.Linear(8, num_tags)
        self.body.head = torch.nn.Identity()

    def embed(self, waveform):
        return self.dropout(self.body.embed(waveform))


def small(seed=0, **options):
    torch.manual_seed(seed)
    return Small(**options)
