"""How fast the front ends are on this CPU, and the log-mel beside torchaudio's.

``python -m benchmarks.frontends`` prints, for 64 waveforms of 3.69 s at 16 kHz, the largest difference of the
log-mel from torchaudio's ``MelSpectrogram`` and ``AmplitudeToDB``, and the milliseconds of both (medians of
interleaved runs) and of every other front end. Each is timed as a program finds it, and inside
`mclass.training.keep_freed_memory`, as `mclass.training.fit` and `mclass.inference` run it: what large blocks of
memory cost otherwise depends on the system. CPU time hardly minds what else the machine does; the clock does.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
import torchaudio

from mclass import frontends
from mclass.training import keep_freed_memory

SAMPLES, BATCH = 59_049, 64


def medians(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Milliseconds of each function, run in turn: by the clock, and of CPU time (all threads)."""
    times = {name: ([], []) for name in functions}
    with torch.no_grad():
        for turn in range(repeats + 2):
            for name, function in functions.items():
                clock, cpu = time.perf_counter(), time.process_time()
                function()
                if turn >= 2:  # the first two warm up
                    times[name][0].append(1000 * (time.perf_counter() - clock))
                    times[name][1].append(1000 * (time.process_time() - cpu))
    return {name: tuple(map(statistics.median, pair)) for name, pair in times.items()}


def inputs() -> dict[str, torch.Tensor]:
    """Noise, and a sine beside it in which distant bands hold nothing but rounding errors."""
    noise = 0.1 * torch.randn(BATCH, SAMPLES, generator=torch.Generator().manual_seed(0))
    seconds = torch.arange(SAMPLES) / 16000
    pitches = 440 * 2 ** (torch.arange(BATCH)[:, None] / 24)
    tones = 0.5 * torch.sin(2 * torch.pi * pitches * seconds)
    return {"noise": noise, "tones in noise": tones + 0.01 * noise, "tones": tones}


def main(arguments: list[str] | None = None, repeats: int = 15) -> None:
    """Print both tables."""
    waveforms = inputs()
    noise = waveforms["noise"]
    ours = frontends.LogMel()
    mel = torchaudio.transforms.MelSpectrogram(16000, n_fft=512, hop_length=256, n_mels=96, f_max=8000.0)
    theirs = torch.nn.Sequential(mel, torchaudio.transforms.AmplitudeToDB())
    others = {
        "STFT": frontends.STFT(),
        "MultiResolutionLogMel": frontends.MultiResolutionLogMel(),
        "MFCC": frontends.MFCC(),
        "CQT": frontends.CQT(),
        "Raw": frontends.Raw(),
    }
    print(f"{BATCH} waveforms of {SAMPLES / 16000:.2f} s, {torch.get_num_threads()} threads\n")
    for name, batch in waveforms.items():
        difference = (ours(batch)[:, 0] - theirs(batch)).abs()
        loud = theirs(batch) > -60
        print(
            f"largest difference from torchaudio, {name:15s}{difference.max():.1e} dB"
            f"   (where it is above -60 dB: {difference[loud].max():.1e} dB)"
        )
    contestants = {"torchaudio": lambda: theirs(noise), "LogMel": lambda: ours(noise)}
    print(f"\n{'milliseconds, medians':34s}{'clock':>8s}{'CPU':>8s}")
    for memory, context in {"": nullcontext, ", memory kept": keep_freed_memory}.items():
        with context():
            pair = medians(contestants, repeats)
            times = pair | medians({name: (lambda f=f: f(noise)) for name, f in others.items()}, 5)
        for name, (clock, cpu) in times.items():
            print(f"{name + memory:34s}{clock:8.1f}{cpu:8.1f}")
        ratios = (slow / fast for slow, fast in zip(pair["torchaudio"], pair["LogMel"], strict=True))
        print(f"{'torchaudio / LogMel' + memory:34s}" + "".join(f"{ratio:8.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
