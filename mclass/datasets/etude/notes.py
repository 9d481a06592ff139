"""Single notes of many instruments: a small stand-in for NSynth, with nothing to download.

The eleven families of NSynth, played by the soundfont that plays Etude. An *instrument* is a sound of the
soundfont with a colour of its own (body, brightness, bandwidth, noise), drawn from the seed: as in NSynth, notes
of one instrument sound alike, and the honest question is about instruments that were not heard before.

For the homework. The real NSynth has the same interface: ``mclass.datasets.load("nsynth", root=…)``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.fft
import torch

from mclass.datasets.base import MusicDataset, Subset
from mclass.datasets.etude.composer import Part, stream
from mclass.datasets.etude.synthesis.renderer import SAMPLE_RATE, render
from mclass.datasets.storage import cache
from mclass.errors import unknown_name

VERSION = 1
# General MIDI programs, 0-based. Left out is what symusic 0.5 does not play the same way twice (44, 48, 56, 65,
# 78) and what has no high notes (67).
PROGRAMS = {
    "bass": (32, 33, 34, 35, 36, 37, 38, 39),
    "brass": (57, 58, 59, 60, 61, 62, 63),
    "flute": (72, 73, 74, 75, 76, 77, 79),
    "guitar": (24, 25, 26, 27, 28, 29, 30, 31),
    "keyboard": (0, 1, 2, 3, 4, 5, 6, 7),
    "mallet": (8, 9, 10, 11, 12, 13, 14, 15),
    "organ": (16, 17, 18, 19, 20, 21, 22, 23),
    "reed": (64, 66, 68, 69, 70, 71),
    "string": (40, 41, 42, 43, 45, 49, 51),
    "synth_lead": (80, 81, 82, 83, 84, 86, 87),
    "vocal": (52, 53, 54, 85, 91),
}
FAMILIES = tuple(PROGRAMS)
PITCHES = (36, 84)  # all that is played, in MIDI numbers
VELOCITIES = (50, 75, 100, 127)
_HELD = 0.75  # of a note's length; then it is released


class Notes(MusicDataset):
    """Notes, single-label: the family of the instrument.

    Parameters
    ----------
    instruments_per_family : int
    notes_per_instrument : int
        Each of another pitch, evenly over four octaves.
    seconds : float
        Length of a note, of which the last quarter is its release.
    seed : int
        Another seed, other instruments.

    Attributes
    ----------
    families : np.ndarray, shape (n,), int
        Index into `tags` of each note.
    pitches, velocities : np.ndarray, shape (n,), int
        MIDI numbers.
    artist_ids : np.ndarray, shape (n,)
        The instrument of each note.

    Raises
    ------
    ValueError
        If a size is not positive, or the seed is negative.
    CacheError
        If the cache folder is full or cannot be written.

    Examples
    --------
    >>> notes = Notes(instruments_per_family=3, notes_per_instrument=2, seconds=1)
    >>> notes
    Notes('notes': 66 clips, 66 tracks, 33 artists, 11 tags, 16000 Hz)
    >>> notes.tags[int(notes.families[0])], notes.waveform(0).shape
    ('bass', torch.Size([16000]))
    """

    name = "notes"
    sample_rate = SAMPLE_RATE
    multilabel = False

    def __init__(
        self, instruments_per_family: int = 6, notes_per_instrument: int = 12, seconds: float = 2.0, seed: int = 0
    ):
        counts = {"instruments_per_family": instruments_per_family, "notes_per_instrument": notes_per_instrument}
        for option, value in (counts | {"seed": seed}).items():
            least = 0 if option == "seed" else 1
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise ValueError(f"Notes: {option} must be a whole number, {least} or more, got {value!r}")
        if not 0.25 <= seconds <= 10:
            raise ValueError(f"Notes: seconds must be between 0.25 and 10, got {seconds!r}")
        self.seed, self.note_samples, self.tags = int(seed), round(seconds * SAMPLE_RATE), list(FAMILIES)
        instruments = np.arange(instruments_per_family * len(FAMILIES))
        self.artist_ids = np.repeat(instruments, notes_per_instrument)
        self.families = self.artist_ids % len(FAMILIES)
        self.labels = np.eye(len(FAMILIES), dtype=np.uint8)[self.families]
        self.track_ids = np.arange(len(self.artist_ids))
        played = [_notes_of(self.seed, number, notes_per_instrument) for number in instruments]
        self.pitches, self.velocities = (np.concatenate([one[i] for one in played]) for i in (0, 1))

        shape = (len(self.artist_ids), self.note_samples)
        self.folder = cache.build_once(
            f"notes/{VERSION}-{seed}-{len(instruments)}x{notes_per_instrument}x{self.note_samples}",
            lambda folder: self._build(folder, played),
            2 * shape[0] * shape[1] + 1000,
        )
        self._waveforms = cache.open_waveforms(self.folder / "waveforms.i16", shape)

    def num_samples(self, index: int) -> int:
        return self.note_samples

    def waveform(self, index: int, start: int = 0, num_samples: int | None = None) -> torch.Tensor:
        start, num_samples = self.check_range(index, start, num_samples)
        samples = self._waveforms[index, start : start + num_samples]
        return torch.from_numpy(samples.astype(np.float32) / 32768)

    def describe(self, index: int) -> str:
        family = self.tags[int(self.families[index])]
        return f"{family}, instrument {self.artist_ids[index]}, pitch {self.pitches[index]}"

    def splits(self, by: str = "artist", seed: int = 0) -> tuple[Subset, Subset, Subset]:
        """Training, validation and test views: of each family about four, one and one sixth.

        Parameters
        ----------
        by : {"artist", "clip"}
            ``"artist"``: no instrument is in two parts. ``"clip"`` leaks: other notes of the same instruments.
        seed : int

        Raises
        ------
        ValueError
            If a family has fewer than three instruments (notes) to be split.

        Examples
        --------
        >>> train, valid, test = Notes(instruments_per_family=3, notes_per_instrument=2, seconds=1).splits()
        >>> set(train.artist_ids) & set(test.artist_ids)
        set()
        """
        groups = {"artist": self.artist_ids, "clip": self.track_ids}
        if by not in groups:
            raise ValueError(unknown_name("split", by, groups))
        rng, parts = np.random.default_rng(seed), ([], [], [])
        for family in range(len(FAMILIES)):
            order = rng.permutation(np.unique(groups[by][self.families == family]))
            if len(order) < 3:
                raise ValueError(
                    f"a split by {by} needs at least 3 of each family, {FAMILIES[family]} has {len(order)}; "
                    "make more with instruments_per_family="
                )
            sixth = max(1, round(len(order) / 6))
            for part, chosen in zip(
                parts, np.split(order, [len(order) - 2 * sixth, len(order) - sixth]), strict=True
            ):
                part.extend(np.flatnonzero(np.isin(groups[by], chosen)))
        return tuple(self.subset(np.sort(part)) for part in parts)

    def _build(self, folder: Path, played: list[tuple[np.ndarray, np.ndarray]]) -> None:
        with (folder / "waveforms.i16").open("wb") as file:
            for number, (pitches, velocities) in enumerate(played):
                for note in _sounds(self.seed, number, pitches, velocities, self.note_samples):
                    file.write(np.round(note * 32767).astype("<i2").tobytes())


def _notes_of(seed: int, instrument: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pitches and velocities of an instrument's notes."""
    rng = stream("notes", VERSION, seed, instrument, "played")
    low, high = PITCHES
    width = (high - low) / count
    pitches = [low + int((place + rng.random()) * width) for place in range(count)]
    return np.array(pitches), np.array([rng.choice(VELOCITIES) for _ in range(count)])


def _sounds(seed: int, instrument: int, pitches: np.ndarray, velocities: np.ndarray, num_samples: int):
    """The notes of one instrument, each a waveform ``(num_samples,)`` inside [-1, 1]."""
    rng = stream("notes", VERSION, seed, instrument, "colour")
    program = rng.choice(PROGRAMS[FAMILIES[instrument % len(FAMILIES)]])
    tilt, body, width, depth = rng.gauss(0, 1.5), rng.uniform(-2, 2.5), rng.uniform(0.2, 0.8), rng.gauss(0, 4)
    cut, noise, level = rng.uniform(3500, 8000), rng.uniform(-75, -45), rng.uniform(-14, -4)
    held = np.float32([_HELD * num_samples / SAMPLE_RATE])
    parts = [
        Part("", program, 0.0, np.zeros(1, np.float32), held, np.int8([pitch]), np.int8([velocity]))
        for pitch, velocity in zip(pitches, velocities, strict=True)
    ]
    size = scipy.fft.next_fast_len(num_samples, real=True)
    frequency = np.maximum(scipy.fft.rfftfreq(size, 1 / SAMPLE_RATE), 1.0)
    octaves = np.log2(frequency / 1000)
    colour = tilt * np.clip(octaves, -4, 3) + depth * np.exp(-(((octaves - body) / width) ** 2))
    colour -= 10 * np.log10(1 + (frequency / cut) ** 8)
    hiss = np.random.default_rng([seed, instrument])
    loudest = 10 ** (level / 20)
    for stem, velocity in zip(render(parts, num_samples), velocities, strict=True):
        sound = scipy.fft.irfft(scipy.fft.rfft(stem, size) * 10 ** (colour / 20), size)[:num_samples]
        sound *= loudest * (velocity / 127) / (np.abs(sound).max() or 1.0)
        yield np.clip(sound + 10 ** (noise / 20) * hiss.standard_normal(num_samples), -1, 1)
