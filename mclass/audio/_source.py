"""What a file is, asked once: its kind, which decoder reads it, how many samples there are, what is missing.

libsndfile is the first choice: it jumps to any sample. It is trusted where the structure of the file says the same
as libsndfile does. Any other file is decoded from its beginning by libsndfile and by ffmpeg, and the one that
finds more reads it from then on: neither reads everything, and what a header says is no more than a claim.
"""

from __future__ import annotations

import functools
import math
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mclass._utils.files import user_path
from mclass.audio import _containers, _mpeg
from mclass.audio._decoding import RATES, Ffmpeg, Mixer, Sndfile
from mclass.audio.opening import check_file, looks_like, naming, read_head
from mclass.errors import AudioError

_CLAIM = 1 << 48  # samples that no file has
_MOST_DELAY = 2 * 4096  # samples that LAME's tag can cut off at both ends: twelve bits each
_OGG_BLOCK = 8192  # samples in the largest block of vorbis
_NO_JUMPS = ("GSM610",)  # libsndfile cannot seek in it
_KEPT = 1 << 14  # files that are remembered, some hundred bytes each


_SHORT: set[tuple[Path, int, int]] = set()  # files that have less than they say, known since they were decoded


@dataclass(frozen=True)
class Source:
    """One file, and how to read it.

    `jumps`: whether the decoder can begin at any sample; else it begins at the first. `problem`: what is missing
    or wrong, as words of a warning. `checked`: whether the end of the file was looked at, and of an ogg all pages.
    """

    path: Path
    decoder: str
    format: str
    encoding: str
    sample_rate: int
    channels: int
    num_samples: int
    jumps: bool
    problem: str = ""
    checked: bool = False
    prefix: bytes = b""
    preroll: int = 0
    last_page: int = 0  # of an ogg: its first sample

    def open(self) -> Sndfile | Ffmpeg:
        if self.decoder == "libsndfile":
            return Sndfile(self.path, self.prefix)
        return Ffmpeg(self.path, *([] if self.decoder == "ffmpeg" else [self.decoder.removeprefix("ffmpeg ")]))

    def damaged(self, first: int = 0, last: int | None = None) -> bool:
        """Whether pages of an ogg are damaged: of the whole file, or of a part."""
        if self.format != "OGG" or self.checked:
            return False
        with (
            naming(self.path),
            open(self.path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return _containers.has_damage(data, first, last)

    def blocks(self, first: int = 0, count: int | None = None, mixer: Mixer | None = None) -> Iterator[np.ndarray]:
        """Samples from `first` on, channels averaged: at most `count`, less where the file fails."""
        skip = first if not self.jumps else min(first, self.preroll)
        if self.encoding == "VORBIS" and self.jumps and first:
            skip = first - min(first, max(self.last_page - 1, 0))
        count = self.num_samples - first if count is None else count
        mixer = mixer or Mixer(self.encoding)
        with naming(self.path):
            try:
                decoder = self.open()
            except AudioError:  # it was one when it was looked at
                check_file(self.path)
                raise _not_audio(self.path) from None
            try:
                if self.decoder != "libsndfile":
                    yield from decoder.blocks(first, count, mixer)
                    return
                for block in decoder.blocks(first - skip, skip + count, mixer):
                    rest = block[skip:]
                    skip = max(skip - len(block), 0)
                    if len(rest):
                        yield rest
            finally:
                decoder.close()


def max_hours() -> float:
    """The longest recording that is read at once, in hours: MCLASS_MAX_HOURS, or 4."""
    text = os.environ.get("MCLASS_MAX_HOURS", "4")
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not hours > 0:
        raise AudioError(f"MCLASS_MAX_HOURS={text!r} must be a number of hours above 0, such as 4 or 24")
    return hours


def describe_length(num_samples: int, sample_rate: int) -> str:
    """Words that say that so much is longer than `max_hours`; empty if it is not."""
    hours = num_samples / sample_rate / 3600
    if hours <= max_hours():
        return ""
    return (
        f"has {hours:,.1f} hours, more than the {max_hours():g} that are read at once. Read a part of it, or set "
        "the environment variable MCLASS_MAX_HOURS to more."
    )


def check_length(path: str | os.PathLike, num_samples: int, sample_rate: int) -> None:
    """Refuse what is longer than `max_hours`, before the work."""
    if too_long := describe_length(num_samples, sample_rate):
        raise AudioError(f"{path}: {too_long}")


def find_source(path: str | os.PathLike, look_at: str = "everything") -> Source:
    """What `path` is, or the one error that says why it cannot be read.

    Parameters
    ----------
    path : path
    look_at : {"header", "end", "everything"}
        "end": also whether the last samples are there; a part may be read without. "everything": also whether all
        pages of an ogg are what was written, a millisecond for each megabyte.
    """
    path = user_path(path)
    size, time = check_file(path)
    found = {"header": _inspect, "end": _with_end, "everything": _with_pages}[look_at]
    with naming(path):
        return (_measured if (path, size, time) in _SHORT else found)(path, size, time)


def measure(source: Source) -> Source:
    """Decode a file that turned out shorter than it says; from then on it is what was found."""
    state = (source.path, *check_file(source.path))
    _SHORT.add(state)
    with naming(source.path):
        return _measured(*state)


@functools.lru_cache(_KEPT)
def _inspect(path: Path, size: int, time: int) -> Source:
    facts = _Facts(path, size)
    found = facts.with_sndfile() if facts.regular else None
    return found or _measured(path, size, time)


@functools.lru_cache(_KEPT)
def _with_end(path: Path, size: int, time: int) -> Source:
    source = _inspect(path, size, time)
    if source.checked:
        return source
    end = _end(source) * source.sample_rate if source.format in ("FLAC", "OGG") else 0.0
    if source.format == "FLAC" and end:  # libsndfile would decode all of it to find its end
        whole = abs(end - source.num_samples) < 0.5
    else:  # where an ogg ends inside its last block the decoders do not agree
        whole = end < source.num_samples + _OGG_BLOCK
        whole = whole and sum(map(len, source.blocks(source.num_samples - 1, 1))) == 1
        whole = whole and not (source.damaged(0, 0) or source.damaged(source.last_page + 1))
    return replace(source, checked=source.format != "OGG") if whole else _measured(path, size, time)


@functools.lru_cache(_KEPT)
def _with_pages(path: Path, size: int, time: int) -> Source:
    source = _with_end(path, size, time)
    if source.checked:
        return source
    return measure(source) if source.damaged() else replace(source, checked=True)


def _end(source: Source) -> float:
    """Where the sound of a flac or an ogg ends, in seconds; 0 if ffmpeg cannot say."""
    if source.format == "FLAC":
        if os.path.getsize(source.path) > 4 * source.num_samples * source.channels + (1 << 26):
            return math.inf  # more than so many samples and a picture can take
        if _containers.holds(source.path, b"fLaC", 4):  # joined files: both have a first sample
            return math.inf
    try:
        file = Ffmpeg(source.path)
    except AudioError:
        return 0.0
    try:
        return file.end(source.num_samples - 1 if source.format == "FLAC" else source.last_page)
    finally:
        file.close()


@functools.lru_cache(_KEPT)
def _measured(path: Path, size: int, time: int) -> Source:
    """The file as the decoder reads it that finds more of it, from its beginning to its end."""
    facts = _Facts(path, size, checksums=True)
    found = [*filter(None, (facts.count("libsndfile"), facts.count("ffmpeg")))]
    if not found:
        raise _not_audio(path)
    best = max(found, key=lambda one: (one.num_samples / one.sample_rate, one.decoder == "libsndfile"))
    if not best.num_samples:
        cut = facts.missing or facts.pages
        raise AudioError(
            f"{path}: is truncated: nothing of the sound is there. Copy or download it again."
            if cut
            else f"{path}: has no samples. Export the recording again."
        )
    problem = facts.problem(best)
    if facts.broken and best.num_samples / best.sample_rate < facts.promised:
        raise AudioError(f"{path}: {problem}. Copy or download it again.")
    return replace(best, problem=problem, checked=True)


class _Facts:
    """What the bytes of a file say, and what the decoders say to it.

    Raises
    ------
    AudioError
        If it is text or a web page.
    """

    def __init__(self, path: Path, size: int, checksums: bool = False):
        self.path, self.size, self.checksums = path, size, checksums
        self.head = read_head(path)
        if guess := looks_like(self.head):
            raise _not_audio(path, guess)
        self.mp3 = self.pages = self.samples = None
        self.promised, self.notes = 0.0, []  # seconds; warnings
        self.broken = False  # a flac that libsndfile refuses
        self.stopped = False  # whether libsndfile gave up before the end
        self._look()

    def _look(self) -> None:
        with open(self.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if _mpeg.is_mp3(self.head):
                self.mp3 = _mpeg.find_frames(data)
            elif self.head[:4] == b"OggS":
                self.pages = _containers.find_pages(data, self.checksums)
            else:
                self.samples = _containers.find_samples(data)

    @property
    def missing(self) -> int:
        """How many bytes a header promises that are not there."""
        return self.samples.missing(self.size) if self.samples else 0

    @property
    def regular(self) -> bool:
        """Whether nothing speaks against what libsndfile will say of its length."""
        if self.mp3:
            return self.mp3.regular
        if self.pages:
            return self.pages.single and not self.pages.problem
        if self.samples:
            return not self.samples.stray
        return self.head[:4] == b"fLaC"

    def with_sndfile(self) -> Source | None:
        """The file as libsndfile says it is; None if it does not say, or what cannot be."""
        try:
            file = Sndfile(self.path, self.mp3.tag if self.mp3 else b"")
        except AudioError:
            return None
        file.close()
        if not 0 < file.num_samples < _CLAIM or (self.samples and "MPEG" in file.encoding):
            return None
        if self.mp3 and not 0 <= self.mp3.count * self.mp3.samples - file.num_samples < _MOST_DELAY:
            return None
        found = self._source("libsndfile", file, file.num_samples)
        found = replace(
            found,
            jumps=file.encoding not in _NO_JUMPS,
            prefix=self.mp3.tag if self.mp3 else b"",
            preroll=self.mp3.preroll if self.mp3 else 0,
            last_page=self.pages.last_page if self.pages else 0,
        )
        return replace(found, problem=self.problem(found))

    def count(self, decoder: str) -> Source | None:
        """The file as a decoder reads it, to where it can; None if it cannot."""
        kinds = (None,) if decoder == "libsndfile" else (None, "mp3") if self.mp3 else (None,)
        for kind in kinds:
            try:
                file = Sndfile(self.path) if decoder == "libsndfile" else Ffmpeg(self.path, kind)
            except AudioError:
                continue
            try:
                source = self._source(f"{decoder} {kind or ''}".strip(), file, 0)
                count, most = 0, max_hours() * 3600 * file.sample_rate
                for block in file.blocks():
                    count += len(block)
                    if count > most:
                        check_length(self.path, count, file.sample_rate)
            finally:
                file.close()
            if decoder == "libsndfile":
                claim = file.num_samples
                if "MPEG" not in file.encoding and 0 < claim < 1 << 62:
                    self.promised = max(self.promised, claim / file.sample_rate)
                    self.stopped = count < claim
                    self.broken = file.failed and file.format == "FLAC"
                jumps = count == claim and file.format not in ("MP3", "OGG") and file.encoding not in _NO_JUMPS
                return replace(source, num_samples=count, jumps=jumps)
            if count and file.convincing:
                self.promised = max(self.promised, file.promised)
                self.notes += file.notes
                return replace(source, num_samples=count)
        return None

    def _source(self, decoder: str, file: Sndfile | Ffmpeg, num_samples: int) -> Source:
        low, high = RATES
        if not low <= file.sample_rate <= high:
            raise AudioError(
                f"{self.path}: its header gives a sample rate of {file.sample_rate} Hz; {low} to {high} Hz are "
                "read. Export the recording again."
            )
        return Source(
            *(self.path, decoder, file.format, file.encoding, file.sample_rate, file.channels, num_samples),
            jumps=False,
        )

    def problem(self, found: Source) -> str:
        """What is missing from the file as `found`, or odd about it, in words."""
        seconds, promised, said = found.num_samples / found.sample_rate, self.promised, [*self.notes]
        if self.missing:
            there = max(self.size - self.samples.start, 1)
            promised = max(promised, seconds * (there + self.missing) / there)
        elif self.mp3 and self.mp3.promised > self.mp3.count + 1:
            promised = max(promised, self.mp3.promised * self.mp3.samples / found.sample_rate)
        if found.num_samples + 1 < promised * found.sample_rate and promised - seconds > _slack(found):
            there = f"its header promises {promised:.2f} s, {seconds:.2f} s of them can be read"
            said.insert(0, f"is truncated or damaged: {there}")
        elif self.pages and self.pages.problem:
            said.insert(0, f"is truncated or damaged: {self.pages.problem}; {seconds:.2f} s can be read")
        elif self.stopped:
            said.insert(0, "is damaged: parts of it are left out or wrong")
        if self.samples and self.samples.stray and found.decoder == "libsndfile":
            said.append(f"{self.samples.stray} bytes behind its samples are nothing that its header tells of")
        return "; ".join(said)


def _slack(found: Source) -> float:
    """Seconds by which a container may round: the frames of a lossy format."""
    return 0.0 if found.decoder == "libsndfile" and found.format not in ("MP3", "OGG") else 0.06


def _not_audio(path: Path, guess: str = "") -> AudioError:
    return AudioError(
        f"{path}: is not audio that can be decoded{guess}, or its header is damaged. "
        "Allowed: wav, flac, ogg, opus, mp3, aiff, au, m4a, wma, webm and what else ffmpeg knows."
    )
