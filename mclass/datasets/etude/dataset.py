"""The data set object: which tracks, how they are cut, and where they are kept."""

from __future__ import annotations

import numbers
from pathlib import Path

import joblib
import numpy as np
import torch
from tqdm import tqdm

from mclass._utils.schemas import read_arrays
from mclass.config import scale
from mclass.datasets.base import MusicDataset, Subset, split_by_group
from mclass.datasets.etude.annotation import annotate, listen
from mclass.datasets.etude.composer import TRACKS_PER_ARTIST, VERSIONS, Score, compose
from mclass.datasets.etude.production import produce
from mclass.datasets.etude.synthesis.renderer import SAMPLE_RATE, synthesizer_key
from mclass.datasets.storage import cache
from mclass.datasets.workers import parallel
from mclass.errors import unknown_name
from mclass.vocabulary import MAGNATAGATUNE

_POOL = 10_000_000  # first track of the unlabelled pool, beyond any labelled one
_FEW = 64  # up to so many tracks, starting workers costs more than it saves


class Etude(MusicDataset):
    """Composed music with known tags, rendered once and memory-mapped.

    Parameters
    ----------
    num_tracks : int, optional
        By profile if not given: 48 (smoke), 480 (cpu), 4,000 (gpu).
    clips_per_track : int, optional
        Consecutive clips cut from each track; 3 if not given, 4 in the gpu profile.
    clip_seconds : float, optional
        10 s by default; 29 s, as in MagnaTagATune, in the gpu profile.
    seed : int
        Another seed, another collection.
    first_track : int
        Where in the endless collection to begin.
    workers : int
        Processes that render; -1 for one per core.
    version : int
        1, or 2 with singers that sing and instruments that are better heard. The default is 1 until the stored
        experiments have been run again on version 2.

    Attributes
    ----------
    labels : np.ndarray, shape (n, 50), uint8
        The weak annotation of a simulated tagging game: the default, and what a model is trained on.
    oracle : np.ndarray, shape (n, 50), uint8
        What was composed.
    styles : np.ndarray, shape (n,), str
        The style each clip was composed in.

    Raises
    ------
    ValueError
        If a size is not positive, or a seed is negative.
    CacheError
        If the cache folder is full or cannot be written.

    Notes
    -----
    Traps are built in, as in real collections: clips of one track are near-duplicates, an artist's recordings
    share their sound, labels are missing more often than wrong. ``(version, seed, track)`` fixes the score.

    Examples
    --------
    >>> etude = Etude(num_tracks=12, clips_per_track=2, clip_seconds=4)
    >>> etude
    Etude('etude': 24 clips, 12 tracks, 3 artists, 50 tags, 16000 Hz)
    >>> etude.waveform(0, start=16_000, num_samples=8_000).shape
    torch.Size([8000])
    """

    name = "etude"
    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        num_tracks: int | None = None,
        clips_per_track: int | None = None,
        clip_seconds: float | None = None,
        seed: int = 0,
        first_track: int = 0,
        workers: int = -1,
        version: int = 1,
    ):
        num_tracks = scale(smoke=48, cpu=480, gpu=4000) if num_tracks is None else num_tracks
        clips_per_track = scale(smoke=3, cpu=3, gpu=4) if clips_per_track is None else clips_per_track
        clip_seconds = scale(smoke=10.0, cpu=10.0, gpu=29.0) if clip_seconds is None else clip_seconds
        _check_sizes(num_tracks, clips_per_track, clip_seconds, seed, first_track)
        if isinstance(version, bool) or not isinstance(version, numbers.Integral) or version not in VERSIONS:
            raise ValueError(f"Etude: version must be one of {', '.join(map(str, VERSIONS))}, got {version!r}")
        self.num_tracks, self.clips_per_track, self.clip_seconds = num_tracks, clips_per_track, float(clip_seconds)
        self.seed, self.first_track, self.version = seed, first_track, int(version)
        self.clip_samples = round(clip_seconds * SAMPLE_RATE)
        self.tags = list(MAGNATAGATUNE)

        num_clips = num_tracks * clips_per_track
        size = f"{num_tracks}x{clips_per_track}x{self.clip_samples}"
        key = f"v{self.version}-{seed}-{first_track}-{size}-{synthesizer_key()}"
        num_bytes = num_clips * (2 * self.clip_samples + 200)
        self.folder = cache.build_once(f"etude/{key}", lambda folder: self._build(folder, workers), num_bytes)
        self._waveforms = cache.open_waveforms(self.folder / "waveforms.i16", (num_clips, self.clip_samples))
        needed = {"weak": ("u", 2), "oracle": ("u", 2), "styles": ("U", 1)}
        arrays = read_arrays(self.folder / "labels.npz", needed)
        self.labels, self.oracle, self.styles = arrays["weak"], arrays["oracle"], arrays["styles"]
        tracks = first_track + np.arange(num_tracks)
        self.track_ids = np.repeat(tracks, clips_per_track)
        self.artist_ids = self.track_ids // TRACKS_PER_ARTIST

    def num_samples(self, index: int) -> int:
        return self.clip_samples

    def waveform(self, index: int, start: int = 0, num_samples: int | None = None) -> torch.Tensor:
        start, num_samples = self.check_range(index, start, num_samples)
        samples = self._waveforms[index, start : start + num_samples]
        return torch.from_numpy(samples.astype(np.float32) / 32768)

    def describe(self, index: int) -> str:
        clip = index % self.clips_per_track
        return f"etude track {self.track_ids[index]}, clip {clip} ({self.styles[index]})"

    def score(self, index: int) -> Score:
        """The score that clip `index` was cut from, composed again."""
        return compose(
            self.seed, int(self.track_ids[index]), self.clips_per_track * self.clip_seconds, self.version
        )

    def splits(self, by: str = "artist", seed: int = 0) -> tuple[Subset, Subset, Subset]:
        """Training (70 %), validation (10 %) and test (20 %) views that share no `by`.

        Parameters
        ----------
        by : {"artist", "track", "clip"}
            Only ``"artist"`` is honest. The other two leak: clips of a track are near-duplicates, and an artist
            sounds alike on every track.
        seed : int

        Examples
        --------
        >>> train, valid, test = Etude(num_tracks=12, clips_per_track=2, clip_seconds=4).splits()
        >>> set(train.artist_ids) & set(test.artist_ids)
        set()
        """
        groups = {"artist": self.artist_ids, "track": self.track_ids, "clip": np.arange(len(self))}
        if by not in groups:
            raise ValueError(unknown_name("split", by, groups))
        train, valid, test = split_by_group(groups[by], (0.7, 0.1, 0.2), seed)
        return self.subset(train), self.subset(valid), self.subset(test)

    def unlabelled(self, num_tracks: int) -> Etude:
        """A pool of other tracks by other artists, for semi- and self-supervised learning.

        It has labels too, so that what a method made of it can be checked; a method that is to learn without
        them must not look.
        """
        return Etude(num_tracks, self.clips_per_track, self.clip_seconds, self.seed, _POOL, version=self.version)

    def _build(self, folder: Path, workers: int) -> None:
        """Compose, render and annotate every track; memory use does not depend on how many there are."""
        num_clips = self.num_tracks * self.clips_per_track
        waveforms = folder / "waveforms.i16"
        with waveforms.open("wb") as file:
            file.truncate(num_clips * self.clip_samples * 2)
        weak = np.empty((num_clips, len(self.tags)), dtype=np.uint8)
        oracle, styles = np.empty_like(weak), np.empty(num_clips, dtype="U20")
        run = parallel(1 if self.num_tracks <= _FEW else workers)
        sizes = self.clips_per_track, self.clip_samples
        made = run(
            joblib.delayed(_make_track)(
                waveforms, number, self.seed, self.first_track + number, *sizes, self.version
            )
            for number in range(self.num_tracks)
        )
        progress = tqdm(made, "Etude: composing and rendering", self.num_tracks, unit="track")
        for number, (style, truth, labels) in enumerate(progress):
            rows = slice(number * self.clips_per_track, (number + 1) * self.clips_per_track)
            styles[rows], oracle[rows], weak[rows] = style, truth, labels
        np.savez(folder / "labels.npz", weak=weak, oracle=oracle, styles=styles)


def _check_sizes(num_tracks, clips_per_track, clip_seconds, seed, first_track) -> None:
    counts = {"num_tracks": num_tracks, "clips_per_track": clips_per_track}
    for option, value in (counts | {"seed": seed, "first_track": first_track}).items():
        least = 1 if option in counts else 0
        if not isinstance(value, numbers.Integral) or value < least:
            raise ValueError(f"Etude: {option} must be a whole number, {least} or more, got {value!r}")
    if not 0.1 <= clip_seconds <= 3600:
        raise ValueError(f"Etude: clip_seconds must be between 0.1 and 3600 seconds, got {clip_seconds!r}")


def _make_track(
    waveforms: Path, number: int, seed: int, track: int, clips: int, clip_samples: int, version: int
) -> tuple[str, np.ndarray, np.ndarray]:
    """Make one track, write its clips to their place in the file and return style, oracle and weak labels."""
    seconds = clip_samples / SAMPLE_RATE
    score = compose(seed, track, clips * seconds, version)
    samples = np.round(produce(score)[: clips * clip_samples] * 32767).astype("<i2")
    with waveforms.open("rb+") as file:
        file.seek(number * samples.nbytes)
        file.write(samples.tobytes())
    truths = [listen(score, clip * seconds, seconds) for clip in range(clips)]
    return score.style_name, np.array([truth.present for truth in truths]), annotate(seed, track, truths, version)
