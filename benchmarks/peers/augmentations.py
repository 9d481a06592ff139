"""The peers' augmentations, one library to a process; `benchmarks.augmentations` tells it what to run, and when.

``python -m benchmarks.peers.augmentations LIBRARY THREADS`` reads names of transforms from its input, runs each on
the batch and answers with milliseconds by the clock and of CPU time. Its first line names the transforms it has.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable

import numpy as np

BATCH, SAMPLES, RATE = 48, 59_049, 22_050
CHAIN = {"polarity": 0.8, "noise": 0.3, "gain": 0.3, "filter": 0.8, "delay": 0.5, "pitch": 0.4, "reverb": 0.3}


def music() -> np.ndarray:
    """A batch of noise, which costs as much as music; shape ``(48, 59049)``."""
    return np.random.default_rng(0).standard_normal((BATCH, SAMPLES)).astype(np.float32) / 10


def per_clip(transforms: dict[str, Callable], batch) -> dict[str, Callable]:
    """Each transform, and the chain of all, applied to one clip after the other."""

    def every(transform):
        return lambda: [transform(clip) for clip in batch]

    def chain(clip):
        for name, p in CHAIN.items():
            if name in transforms and random.random() < p:
                clip = transforms[name](clip)
        return clip

    # Clips are copied where a library writes into what it is given.
    return {name: every(transform) for name, transform in {**transforms, "chain": chain}.items()}


def torchaudio_augmentations() -> dict[str, Callable]:
    """CLMR's own: torch and sox, clip by clip."""
    import torch
    from torchaudio_augmentations import Delay, Gain, HighLowPass, Noise, PitchShift, PolarityInversion, Reverb

    transforms = {
        "polarity": PolarityInversion(),
        "noise": Noise(),
        "gain": Gain(),
        "filter": HighLowPass(RATE),
        "delay": Delay(RATE),
        "pitch": PitchShift(SAMPLES, RATE),
        "reverb": Reverb(RATE),
    }
    return per_clip(transforms, torch.from_numpy(music())[:, None])


def impulse_response(folder: str) -> str:
    """A file with half a second of decaying noise."""
    import soundfile

    time_ = np.arange(RATE // 2) / RATE
    noise = np.random.default_rng(1).standard_normal(len(time_)) * 10 ** (-3 * time_ / 0.5)
    path = f"{folder}/room.wav"
    soundfile.write(path, (0.5 * noise / np.abs(noise).max()).astype(np.float32), RATE)
    return path


def audiomentations(folder: str) -> dict[str, Callable]:
    """NumPy, SciPy and Signalsmith Stretch, clip by clip."""
    import audiomentations as a

    transforms = {
        "polarity": a.PolarityInversion(p=1.0),
        "noise": a.AddGaussianSNR(40.0, 80.0, p=1.0),
        "gain": a.Gain(-20.0, -1.0, p=1.0),
        "filter": a.OneOf(
            [a.LowPassFilter(2200, 4000, 12, 12, p=1.0), a.HighPassFilter(200, 1200, 12, 12, p=1.0)]
        ),
        "pitch": a.PitchShift(-7, 7, p=1.0),
        "reverb": a.ApplyImpulseResponse(impulse_response(folder), p=1.0),
        "stretch": a.TimeStretch(0.8, 1.25, p=1.0),
        "shift": a.Shift(fade_duration=0.0, p=1.0),
    }
    return per_clip({name: (lambda clip, t=t: t(clip, RATE)) for name, t in transforms.items()}, music())


def torch_audiomentations(folder: str) -> dict[str, Callable]:
    """The only batched peer."""
    import torch
    import torch_audiomentations as t

    batch = torch.from_numpy(music())[:, None]
    options = {"sample_rate": RATE, "output_type": "tensor"}

    def made(p: dict[str, float]) -> dict[str, torch.nn.Module]:
        either = [t.LowPassFilter(2200, 4000, p=1.0, **options), t.HighPassFilter(200, 1200, p=1.0, **options)]
        return {
            "polarity": t.PolarityInversion(p=p["polarity"], **options),
            "noise": t.AddColoredNoise(40.0, 80.0, 0.0, 0.0, p=p["noise"], **options),
            "gain": t.Gain(-20.0, -1.0, p=p["gain"], **options),
            "filter": t.OneOf(either, p=p["filter"], output_type="tensor"),
            "pitch": t.PitchShift(-7, 7, p=p["pitch"], **options),
            "reverb": t.ApplyImpulseResponse(impulse_response(folder), p=p["reverb"], **options),
        }

    single = made(dict.fromkeys(CHAIN, 1.0)) | {"shift": t.Shift(p=1.0, **options)}
    chain = t.Compose(list(made(CHAIN).values()), output_type="tensor")
    return {name: (lambda f=f: f(batch, RATE)) for name, f in {**single, "chain": chain}.items()}


def pedalboard() -> dict[str, Callable]:
    """Studio effects in C++, clip by clip; noise is NumPy's."""
    import pedalboard as p

    normal = np.random.default_rng(1)

    def noise(clip):
        drawn = normal.standard_normal(clip.shape, dtype=np.float32)
        return clip + drawn * (clip.std() * 10 ** (-random.uniform(40, 80) / 20))

    def either(clip):
        low = p.LowpassFilter(random.uniform(2200, 4000))
        return (low if random.random() < 0.5 else p.HighpassFilter(random.uniform(200, 1200)))(clip, RATE)

    transforms = {
        "polarity": lambda clip: p.Invert()(clip, RATE),
        "noise": noise,
        "gain": lambda clip: p.Gain(random.uniform(-20, -1))(clip, RATE),
        "filter": either,
        "delay": lambda clip: p.Delay(random.randrange(200, 500, 50) / 1000, feedback=0, mix=1 / 3)(clip, RATE),
        "pitch": lambda clip: p.PitchShift(random.uniform(-7, 7))(clip, RATE),
        "reverb": lambda clip: p.Reverb(room_size=random.random())(clip, RATE),
    }
    return per_clip(transforms, music())


def milliseconds(function: Callable) -> tuple[float, float]:
    """Time of one run by the clock and of CPU time: the medians of a few runs, of more if they are short.

    Whoever runs after another process meets cold caches, and pays for them once.
    """
    times = []
    while len(times) < 3 or (len(times) < 15 and sum(clock for clock, _ in times) < 100):
        clock, cpu = time.perf_counter(), time.process_time()
        function()
        times.append((1000 * (time.perf_counter() - clock), 1000 * (time.process_time() - cpu)))
    return tuple(statistics.median(column) for column in zip(*times, strict=True))


def main(library: str, threads: str) -> None:
    """Answer until there are no more questions."""
    warnings.simplefilter("ignore")
    random.seed(0)
    try:
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(int(threads))
    except ImportError:
        pass
    with tempfile.TemporaryDirectory() as folder:
        make = globals()[library.replace("-", "_")]
        functions = make(folder) if make.__code__.co_argcount else make()
        print(*functions, flush=True)
        for line in sys.stdin:
            print(*milliseconds(functions[line.strip()]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
