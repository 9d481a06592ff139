"""What our augmentations, losses and metrics were checked against, and how far they are from it.

``python -m benchmarks.verification`` computes each thing twice, once with ours and once with something independent
of it (a definition, SciPy, librosa, scikit-learn, and the peers of `benchmarks.peers`), prints the largest
difference beside the largest one allowed, and writes ``benchmarks/results/verification.csv``. It fails if one is
too large. The tests look at more cases of each; this is the table for readers.
"""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import scipy.signal
import sklearn.metrics as sk
import torch
from torch import nn

from benchmarks import peers, retrieval
from mclass import augmentations as aug
from mclass import losses, metrics
from mclass.augmentations.noise import COLORS
from mclass.augmentations.pitch import hops
from mclass.augmentations.reverb import convolve

TABLE = Path(__file__).parent / "results" / "verification.csv"
RATE, SAMPLES = 22_050, 59_049
CHORD = np.array([220.0, 277.18, 329.63, 440.0, 554.37, 659.26])
SECONDS = torch.arange(SAMPLES, dtype=torch.float64) / RATE

Row = tuple[str, str, float, float, str]  # what, against what, measured, allowed, unit


def seeded() -> torch.Generator:
    """The same numbers in every run."""
    return torch.Generator().manual_seed(0)


def noise(*shape: int) -> torch.Tensor:
    """Standard normal, float32."""
    return torch.randn(*shape, generator=seeded())


def sine(frequency: float, amplitude: float = 0.5) -> torch.Tensor:
    """A tone, shape ``(SAMPLES,)``."""
    return (amplitude * torch.sin(2 * torch.pi * frequency * SECONDS)).float()


def spectrum(waveform: torch.Tensor, window: str) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes on a fine grid of frequencies, and that grid in Hz."""
    n_fft = 1 << 19
    windowed = waveform.double().numpy() * scipy.signal.get_window(window, len(waveform))
    return np.abs(np.fft.rfft(windowed, n_fft)), np.arange(n_fft // 2 + 1) * RATE / n_fft


def loudest(waveform: torch.Tensor) -> float:
    """Frequency of the highest peak in Hz, by a parabola through three magnitudes."""
    magnitude, grid = spectrum(waveform, "hann")
    top = magnitude.argmax()
    a, b, c = np.log(magnitude[top - 1 : top + 2])
    return (top + 0.5 * (a - c) / (a - 2 * b + c)) * grid[1]


def purity(waveform: torch.Tensor, wanted: np.ndarray) -> float:
    """Energy at the wanted frequencies against all the rest, in dB."""
    magnitude, grid = spectrum(waveform, "blackman")
    near = (np.abs(grid[:, None] - wanted) < 4 * RATE / len(waveform)).any(1)
    return 10 * math.log10((magnitude[near] ** 2).sum() / (magnitude[~near] ** 2).sum())


def level(waveform: torch.Tensor, reference: torch.Tensor) -> float:
    """Difference in dB."""
    return 20 * math.log10(waveform.double().std() / reference.double().std())


def far(ours: object, theirs: object) -> float:
    """Largest difference, relative to the largest number."""
    ours, theirs = (
        np.asarray(x.detach() if isinstance(x, torch.Tensor) else x, np.float64) for x in (ours, theirs)
    )
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def simple_transforms() -> Iterator[Row]:
    """Noise, filters, echoes, rooms."""
    music = noise(16, SAMPLES) / 10 + sine(440)
    worst = 0.0
    for color in COLORS:
        transform = aug.Noise(-5, 60, color=color)
        wanted = transform.draw(16, seeded())["snr"]
        added = transform(music.double(), seeded()) - music
        reached = 10 * (music.double().square().sum(1) / added.square().sum(1)).log10()
        worst = max(worst, (reached - wanted).abs().max().item())
    yield "Noise, five colours: SNR", "the SNR that was drawn", worst, 0.1, "dB"

    filters = aug.HighLowPass(RATE)
    drawn = filters.draw(16, seeded())
    kinds = ["highpass" if high else "lowpass" for high in drawn["high"]]
    expected = [
        scipy.signal.sosfilt(scipy.signal.butter(2, cutoff, kind, fs=RATE, output="sos"), row.numpy())
        for row, cutoff, kind in zip(music, drawn["cutoff"].tolist(), kinds, strict=True)
    ]
    yield "HighLowPass", "SciPy sosfilt", far(filters(music, seeded()), np.stack(expected)), 1e-5, ""

    comb = np.zeros(1 + int(0.3 * RATE))
    comb[0], comb[-1] = 0.5, 0.25
    expected = scipy.signal.lfilter(comb, [1.0], music.numpy())
    yield "Delay", "SciPy lfilter", far(aug.Delay(RATE, 300, 300)(music), expected), 1e-6, ""

    short, response = noise(4, 2000), noise(4, 900)
    expected = [np.convolve(x, h)[:2000] for x, h in zip(short.numpy(), response.numpy(), strict=True)]
    yield "ImpulseResponse", "NumPy convolve", far(convolve(short, response), np.stack(expected)), 1e-5, ""

    click, worst = torch.zeros(8, 70_000), 0.0
    click[:, 0] = 1
    for rt60 in (0.1, 0.4, 1.0, 2.0):
        for room in aug.Reverb(RATE, rt60, rt60, min_wet=1, max_wet=1)(click, seeded()).double().numpy():
            energy = 10 * np.log10(np.cumsum(room[::-1] ** 2)[::-1] / (room**2).sum() + 1e-30)  # Schroeder 1965
            part = np.flatnonzero((energy < -5) & (energy > -35))
            measured = -60 / np.polyfit(part / RATE, energy[part], 1)[0]
            worst = max(worst, 100 * abs(measured / rt60 - 1))
    yield "Reverb: RT60 of 0.1 to 2 s", "decay measured from -5 to -35 dB", worst, 10, "%"


def pitch_and_tempo() -> Iterator[Row]:
    """The phase vocoder."""
    cents, levels = [], []
    for semitones in (-12.0, -7.0, -5.3, -0.37, 1.0, 3.14, 7.0, 12.0):
        for frequency in (110.0, 440.0, 3000.0):
            tone = sine(frequency)
            shifted = aug.PitchShift(RATE, semitones, semitones)(tone[None])[0, 3000:-3000]
            cents.append(abs(1200 * math.log2(loudest(shifted) / frequency) - 100 * semitones))
            levels.append(abs(level(shifted, tone)))
    yield "PitchShift: a sine, -12 to 12 semitones", "the pitch asked for", max(cents), 5, "cents"
    yield "PitchShift: its level", "the level before", max(levels), 1, "dB"

    chord = sum(sine(frequency, 1 / 12) for frequency in CHORD)
    ours, theirs = [], []
    for semitones in (-7, -4, -1.5, 2, 5, 7):
        before, after = hops(2 ** (semitones / 12), 512)
        ours.append(purity(aug.PitchShift(RATE, semitones, semitones)(chord[None])[0], CHORD * before / after))
        shifted = librosa.effects.pitch_shift(chord.numpy(), sr=RATE, n_steps=semitones)
        theirs.append(purity(torch.from_numpy(shifted), CHORD * 2 ** (semitones / 12)))
    name = "PitchShift: the rest of six tones, -7 to 7 semitones"
    yield name, f"at least 39 dB below (librosa: {-min(theirs):.0f})", -min(ours), -39, "dB"

    worst = -math.inf
    for rate in (0.8, 1.25):
        stretched = aug.TimeStretch(RATE, rate, rate)(chord[None])[0]
        worst = max(worst, -purity(stretched[: int(SAMPLES / max(rate, 1)) - 3000], CHORD))
    yield "TimeStretch: the rest of six tones, 0.8 and 1.25", "at least 35 dB below", worst, -35, "dB"


def our_losses() -> Iterator[Row]:
    """Losses against other libraries."""
    logits, tags = 4 * noise(64, 50), (noise(64, 50) > 1).long()
    bce = nn.functional.binary_cross_entropy_with_logits(logits, tags.float())
    yield "FocalLoss, γ = 0", "PyTorch BCE", far(losses.FocalLoss(0.0)(logits, tags), bce), 1e-6, ""
    z, classes = noise(64, 32), torch.arange(64) // 4
    labels = nn.functional.one_hot(classes)
    z_i, z_j = noise(2, 200, 128)
    exact = losses.naive_nt_xent(z_i.double(), z_j.double(), 0.5).mean()
    yield (
        "NTXentLoss, 200 pairs",
        "the definition in float64",
        far(losses.NTXentLoss(0.5)(z_i, z_j), exact),
        1e-6,
        "",
    )
    try:
        from lightly.loss import NTXentLoss
        from pytorch_metric_learning import losses as pml
        from torchvision.ops import sigmoid_focal_loss
    except ImportError as error:
        print(f"without the peers' losses: {error}", file=sys.stderr)
        return
    theirs = sigmoid_focal_loss(logits, tags.float(), 0.25, 2.0, "mean")
    yield (
        "FocalLoss, γ = 2, α = ¼",
        "torchvision",
        far(losses.FocalLoss(2.0, 0.25)(logits, tags), theirs),
        1e-5,
        "",
    )
    theirs = NTXentLoss(0.5)(z_i, z_j)
    yield "NTXentLoss, 200 pairs", "lightly", far(losses.NTXentLoss(0.5)(z_i, z_j), theirs), 1e-5, ""
    name = "pytorch-metric-learning"
    yield "SupConLoss", name, far(losses.SupConLoss(0.2)(z, labels), pml.SupConLoss(0.2)(z, classes)), 1e-5, ""
    similar = losses.MultiSimilarityLoss(2.0, 40.0, 0.4)(z, labels)
    yield "MultiSimilarityLoss", name, far(similar, pml.MultiSimilarityLoss(2, 40, 0.4)(z, classes)), 1e-5, ""
    ours, theirs = losses.ProxyAnchorLoss(16, 32), pml.ProxyAnchorLoss(16, 32)
    theirs.proxies.data = ours.proxies.data
    yield "ProxyAnchorLoss", name, far(ours(z, labels), theirs(z, classes)), 1e-5, ""


def our_metrics() -> Iterator[Row]:
    """Metrics against scikit-learn and the definition."""
    rng = np.random.default_rng(0)
    labels = rng.random((2000, 50)) < np.linspace(0.02, 0.3, 50)
    scores = np.clip(0.2 * labels + rng.random((2000, 50)), 0, 1)
    pairs, precisions = [], []
    for truth, score in zip(labels.T, scores.T, strict=True):
        higher, equal = (compare.outer(score[truth], score[~truth]) for compare in (np.greater, np.equal))
        pairs.append((higher + equal / 2).mean())
        ranks = [(score >= one).sum() for one in score[truth]]
        hits = [(score[truth] >= one).sum() for one in score[truth]]
        precisions.append(np.mean(np.divide(hits, ranks)))
    yield (
        "roc_auc, macro",
        "pairs in order, counted",
        far(metrics.roc_auc(labels, scores), np.mean(pairs)),
        1e-12,
        "",
    )
    difference = far(metrics.pr_auc(labels, scores), np.mean(precisions))
    yield "pr_auc, macro", "precision at each hit, counted", difference, 1e-12, ""
    given = scores >= 0.5
    difference = far(
        metrics.f_beta(labels, scores, 0.5, average="macro"), sk.f1_score(labels, given, average="macro")
    )
    yield "f_beta, macro", "scikit-learn", difference, 1e-12, ""
    embeddings, tags = retrieval.items(4000)
    ours = metrics.multilabel_recall_at_k(embeddings, tags, retrieval.KS)
    loop = retrieval.loop(embeddings, tags, slice(None))
    difference = far([ours[k] for k in retrieval.KS], [loop[k] for k in retrieval.KS])
    yield "multilabel_recall_at_k, 4,000 items", "the loop over queries", difference, 1e-12, ""


def main(arguments: list[str] | None = None) -> None:
    """Print the table, write it, and fail if a difference is too large."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        import lightly  # noqa: F401
    except ImportError:
        if "--here" not in arguments:  # again, where the peers are
            command = [peers.interpreter(), "-m", "benchmarks.verification", "--here"]
            subprocess.run(command, cwd=peers.ROOT, check=True)
            return
    groups: tuple[Callable[[], Iterator[Row]], ...] = (simple_transforms, pitch_and_tempo, our_losses, our_metrics)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers'
        rows = [row for group in groups for row in group()]
    table = pd.DataFrame(
        [
            {
                "ours": what,
                "against": against,
                "difference": f"{measured:.2g} {unit}",
                "allowed": f"{limit:g} {unit}",
            }
            for what, against, measured, limit, unit in rows
        ]
    )
    print(table.to_string(index=False))
    wrong = [what for what, _, measured, limit, _ in rows if not measured <= limit]
    if wrong:
        raise SystemExit(f"too far: {', '.join(wrong)}")
    TABLE.parent.mkdir(exist_ok=True)
    table.map(str.strip).to_csv(TABLE, index=False)
    print(f"\nwritten to {TABLE.relative_to(peers.ROOT)}")


if __name__ == "__main__":
    main()
