"""Which front end does a small CNN prefer, and what if another front end is in use than in training?

    python -m experiments.representations [--seeds 5] [--workers 2] [--fresh]

**Training.** The same slim 2D-CNN learns Etude's weak labels from nine pictures of the same sound, all with a
frame every 16 ms; only the max-pooling (which has to bring each height down to 1) and the channels of the first
convolution follow the picture. A seed fixes the split by artist, the crops, their order and the first weights, so
that front ends are compared seed by seed. The best epoch is chosen on the validation part; the test part is
scored once.

**Use.** Each network that learned from log-mel spectrograms then scores the same test part with a front end that
is slightly another: another library's default, a forgotten option, another level or rate.

Writes in ``experiments/results``:

* ``representations.csv``: every run of the training. A run that is in it is not repeated, so a killed experiment
  goes on.
* ``representations_summary.csv``: mean scores and the mean difference to log-mel, with 95 % intervals.
* ``representations_mismatch.csv`` and ``representations_mismatch_summary.csv``: the same for every changed front
  end.

Intervals are Student's over seeds: they cover another split and other first weights, with Etude and the number of
epochs as they are. Many intervals of 95 % are looked at together: one that just misses zero says little.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
import torchaudio
from torch import nn

import mclass
from experiments import runs
from experiments.runs import interval
from experiments.supervised import evaluate
from mclass import inference, models, training
from mclass.frontends import CQT, MFCC, STFT, Harmonic, LogMel, MultiResolutionLogMel, Raw

CHANNELS = (16, 32, 64, 64)  # of the four blocks: a fifth of the time that the homework's 2D-CNN takes
# Rows of the picture -> max-pooling over them, block by block, down to one row.
POOLS = {
    20: (2, 2, 2, 2),
    32: (4, 2, 2, 2),
    84: (4, 3, 3, 2),
    96: (4, 3, 3, 2),
    128: (4, 4, 4, 2),
    257: (4, 4, 4, 4),
}
SCORES = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "oracle_roc_auc": "ROC-AUC, oracle"}
REFERENCE, UNCHANGED = "log-mel", "none (torchaudio's own)"


class LearnedFilters(nn.Module):
    """96 learned filters of 32 ms, every 16 ms, and a logarithm (after Dieleman & Schrauwen 2014)."""

    def __init__(self):
        super().__init__()
        self.filters = nn.Conv1d(1, 96, kernel_size=512, stride=256, padding=256)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        return torch.log1p(100 * self.filters(waveform[:, None]).abs())[:, None]


class MelPower(LogMel):
    """The mel spectrogram without its logarithm."""

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        return 10 ** (super().forward(waveform) / 10)


FRONT_ENDS: dict[str, Callable[[], nn.Module]] = {
    "waveform, learned filters": LearnedFilters,
    "STFT": STFT,
    "mel, no log": MelPower,
    REFERENCE: LogMel,
    "log-mel, 32 bands": lambda: LogMel(n_mels=32),
    "MFCC": MFCC,
    "CQT": CQT,
    "multi-resolution log-mel": lambda: MultiResolutionLogMel(
        windows=(16, 32, 128), hops=(16, 16, 16), n_fft=2048
    ),
    "harmonic": Harmonic,
}


def network(frontend: nn.Module, num_tags: int) -> models.WaveformModel:
    """The homework's 2D-CNN, narrower, behind another front end."""
    model = models.create("cnn_2d", num_tags=num_tags, channels=CHANNELS)
    _, channels, rows, _ = frontend(torch.zeros(1, model.num_samples)).shape
    model.frontend, model.input_norm = frontend, nn.BatchNorm2d(channels)
    model.blocks[0].conv = nn.Conv2d(channels, CHANNELS[0], 3, padding=1)
    for block, factor in zip(model.blocks, POOLS[rows], strict=True):
        block.pool = nn.MaxPool2d((factor, block.pool.kernel_size[1]))
    return model


class Changed(nn.Module):
    """The log-mel that the network learned from, of a changed waveform, or changed itself."""

    def __init__(self, before: Callable | None = None, after: Callable | None = None):
        super().__init__()
        self.before, self.logmel, self.after = before, LogMel(), after

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        picture = self.logmel(self.before(waveform) if self.before else waveform)
        return self.after(picture) if self.after else picture


def changes() -> dict[str, nn.Module]:
    """Front ends that somebody might take for the one that was trained with."""

    def mel(top_db: float | None = None, **options) -> nn.Module:
        same = {"sample_rate": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 96}
        spectrogram = torchaudio.transforms.MelSpectrogram(**(same | options))
        return nn.Sequential(Raw(), spectrogram, torchaudio.transforms.AmplitudeToDB(top_db=top_db))

    def too_fast(waveform: torch.Tensor) -> torch.Tensor:  # 22,050 samples are played in 22,050 / 16,000 seconds
        return torchaudio.functional.resample(waveform, 16000, 22050)[:, : waveform.shape[1]]

    def interpolated(waveform: torch.Tensor) -> torch.Tensor:
        fine = torchaudio.functional.resample(waveform, 16000, 44100)[:, None]
        return nn.functional.interpolate(fine, waveform.shape[1], mode="linear", align_corners=False)[:, 0]

    return {
        UNCHANGED: mel(),
        "padded with zeros": mel(pad_mode="constant"),
        "first frame starts at 0": mel(center=False),
        "top_db=80": mel(top_db=80),
        "mel scale: Slaney": mel(mel_scale="slaney"),
        "norm: Slaney": mel(norm="slaney"),
        "scale and norm: Slaney": mel(mel_scale="slaney", norm="slaney"),
        "magnitude for power": mel(power=1),
        "ln for 10 log10": Changed(after=lambda picture: picture * (np.log(10) / 10)),
        "dB below the maximum": Changed(after=lambda picture: picture - picture.amax((1, 2, 3), keepdim=True)),
        "window and FFT 1024": LogMel(n_fft=1024),
        "hop 160": LogMel(hop_length=160),
        "linear resampling": Changed(before=interpolated),
        "22,050 Hz taken for 16,000": Changed(before=too_fast),
        "20 dB quieter": Changed(before=lambda waveform: waveform / 10),
        "16-bit integers": Changed(before=lambda waveform: waveform * 32768),
    }


def mean_difference(one: nn.Module, other: nn.Module, dataset) -> float:
    """Mean absolute difference in dB of the pictures of three seconds of up to 50 clips; NaN if shapes differ."""
    clips = range(0, len(dataset), -(-len(dataset) // 50))
    batch = torch.stack([dataset.waveform(i, 0, 48_000) for i in clips])
    with torch.no_grad():
        pictures = one(batch), other(batch)
    return (pictures[0] - pictures[1]).abs().mean().item() if pictures[0].shape == pictures[1].shape else np.nan


def run(front_end: str, seed: int, epochs: int, num_tracks: int | None) -> tuple[list[dict], list[dict]]:
    """Train and score once; returns a row of the table, and those of the changed front ends."""
    etude = mclass.datasets.load("etude", num_tracks=num_tracks)
    train, valid, test = etude.splits(by="artist", seed=seed)
    torch.manual_seed(seed)
    model = network(FRONT_ENDS[front_end](), len(etude.tags))
    shape = tuple(model.frontend(torch.zeros(1, model.num_samples)).shape[1:])
    fitted = training.fit(training.Tagging(model), train, valid, epochs=epochs, seed=seed, progress=False)
    row = {
        **evaluate(test, inference.predict(model, test)),
        "shape": " × ".join(map(str, shape)),
        "values": int(np.prod(shape)),
        "parameters": sum(p.numel() for p in model.parameters()),
        "best_epoch": fitted.best_epoch,
        "clips": len(etude),
    }
    if front_end != REFERENCE:
        return [row], []
    original, rows = model.frontend, []
    for change, frontend in changes().items():
        model.frontend = frontend
        scores = evaluate(test, inference.predict(model, test))
        difference = mean_difference(original, frontend, test)
        rows.append({"change": change, "difference_db": difference, **scores})
        rows[-1]["loss_of_roc_auc"] = row["roc_auc"] - scores["roc_auc"]
    return [row], rows


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per front end, in the order of the experiment."""
    rows = []
    scores = table.pivot(index="seed", columns="front_end", values="roc_auc")
    for name in FRONT_ENDS:
        found = table[table["front_end"] == name]
        row = {"front end": name, "picture": found["shape"].iloc[0], "parameters": found["parameters"].iloc[0]}
        row |= {title: interval(found[score]) for score, title in SCORES.items()}
        gain = (scores[name] - scores[REFERENCE]).dropna()
        row["Δ ROC-AUC"] = "–" if name == REFERENCE else interval(gain, "{:+.3f}")
        rows.append(row)
    return pd.DataFrame(rows)


def mismatch_summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per changed front end."""
    rows = []
    for change in changes():
        found = table[table["change"] == change]
        difference = found["difference_db"].mean()
        text = "< 0.01" if difference < 0.01 else f"{difference:.2f}" if difference < 1 else f"{difference:.0f}"
        rows.append(
            {
                "what is other": change,
                "dB": "–" if np.isnan(difference) else text,
                "ROC-AUC": interval(found["roc_auc"]),
                "lost": interval(found["loss_of_roc_auc"], "{:+.3f}"),
            }
        )
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = runs.arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=mclass.scale(smoke=1, cpu=6, gpu=60))
    options = parser.parse_args(arguments)
    mclass.datasets.load("etude", num_tracks=options.num_tracks)  # rendered before the workers ask for it
    paths = [options.out / name for name in ("representations.csv", "representations_mismatch.csv")]
    tables = runs.collect(
        run,
        [{"front_end": name, "seed": seed} for seed in range(options.seeds) for name in FRONT_ENDS],
        paths,
        ("front_end", "seed"),
        size={"epochs": options.epochs, "num_tracks": options.num_tracks},
        workers=options.workers,
        fresh=options.fresh,
    )
    for table, path, summarise in zip(tables, paths, (summary, mismatch_summary), strict=True):
        result = summarise(table)
        runs.write(result, path.with_name(f"{path.stem}_summary.csv"))
        print(result.to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
