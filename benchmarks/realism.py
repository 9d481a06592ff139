"""How much like real music does Etude sound to a tagger that has only ever heard real music?

The published MagnaTagATune weights of Musicnn (Pons et al. 2018, as retrained by Won et al. 2020) tag Etude
zero-shot; their scores are compared with what was composed (the oracle tags). Chance is 0.50. Writes
``benchmarks/results/realism.csv``, the table of the book.

    python -m benchmarks.realism [--num-tracks 400] [--checkpoints ../shared/parity/checkpoints]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from tqdm import tqdm

import mclass
from mclass import metrics, tags
from mclass.datasets.etude import Etude

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINTS = ROOT.parent / "shared" / "parity" / "checkpoints"
RESULTS = Path(__file__).with_name("results")
CLIP_SECONDS = 15.0
CHUNK = 48_000  # three seconds at 16 kHz, what Musicnn was trained on


class Musicnn:
    """The published network in evaluation mode, straight from its parameters: waveforms in, probabilities out."""

    def __init__(self, state_dict: dict[str, torch.Tensor]):
        self.p = state_dict

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        p = self.p
        mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, p[f"{name}.weight"], p[f"{name}.bias"])

    def conv(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self.p[f"{name}.conv.weight"], self.p[f"{name}.conv.bias"]
        same = weight.shape[-1] // 2
        if weight.ndim == 4:  # a vertical filter: slides over frequency, pads time
            return F.relu(self.norm(F.conv2d(x, weight, bias, padding=(0, same)), f"{name}.bn"))
        return F.relu(self.norm(F.conv1d(x, weight, bias, padding=same), f"{name}.bn"))

    @torch.inference_mode()
    def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
        window, bank = self.p["spec.spectrogram.window"], self.p["spec.mel_scale.fb"]
        spectrum = torch.stft(waveforms, 512, 256, window=window, return_complex=True).abs().square()
        mel = 10 * torch.log10((spectrum.transpose(1, 2) @ bank).clamp(min=1e-10)).transpose(1, 2)
        mel = self.norm(mel[:, None], "spec_bn")  # (batch, 1, 96, 188)
        vertical = [self.conv(mel, f"layers.{i}").amax(2) for i in (0, 1)]
        horizontal = [self.conv(mel.mean(2), f"layers.{i}") for i in (2, 3, 4)]
        front = torch.cat(vertical + horizontal, 1)  # (batch, 561, 188)
        first = self.conv(front, "layer1")
        second = self.conv(first, "layer2") + first
        third = self.conv(second, "layer3") + second
        x = torch.cat([front, first, second, third], 1)
        x = torch.cat([x.amax(-1), x.mean(-1)], 1)
        x = F.relu(self.norm(F.linear(x, self.p["dense1.weight"], self.p["dense1.bias"]), "bn"))
        return torch.sigmoid(F.linear(x, self.p["dense2.weight"], self.p["dense2.bias"]))


def load_musicnn(folder: Path = CHECKPOINTS) -> Musicnn:
    path = folder / "mtat_musicnn.pth"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: the published Musicnn weights are needed; name their folder with --checkpoints"
        )
    return Musicnn(torch.load(path, map_location="cpu", weights_only=True))


def zero_shot_scores(dataset: mclass.datasets.MusicDataset, musicnn: Musicnn) -> np.ndarray:
    """Mean probability over the three-second chunks of every clip, shape (n, 50)."""
    chunks = mclass.datasets.Chunks(dataset, CHUNK)
    return np.stack([musicnn(chunks[i][0]).mean(0).numpy() for i in tqdm(range(len(dataset)), unit="clip")])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num-tracks", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    options = parser.parse_args(arguments)
    try:
        musicnn = load_musicnn(options.checkpoints)
    except FileNotFoundError as error:
        sys.exit(f"skipped: {error}")
    etude = Etude(num_tracks=options.num_tracks, clips_per_track=1, clip_seconds=CLIP_SECONDS, seed=options.seed)
    scores = zero_shot_scores(etude, musicnn)
    table = metrics.tagwise(etude.oracle, scores, tags.MAGNATAGATUNE)
    table["notion"] = [tags.notion(tag) for tag in table["tag"]]
    table = table[["tag", "notion", "positives", "roc_auc"]].sort_values("roc_auc", ascending=False).round(3)
    means = table.groupby("notion")["roc_auc"].mean().round(3)
    macro = table["roc_auc"].mean()
    print(table.to_string(index=False), means.to_string(), sep="\n\n")
    print(f"\nmacro ROC-AUC over {table['roc_auc'].notna().sum()} tags, {len(etude)} clips: {macro:.3f}")
    summary = pd.DataFrame({"tags": ["all 50", *means.index], "mean ROC-AUC": [round(macro, 3), *means]})
    RESULTS.mkdir(exist_ok=True)
    table.to_csv(RESULTS / "realism.csv", index=False)
    summary.to_csv(RESULTS / "realism_summary.csv", index=False)


if __name__ == "__main__":
    main()
