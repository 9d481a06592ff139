"""A run of `fit` as a script, for one process or for several under torchrun: ``FOLDER PARADIGM DEVICES``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from tones import Tones

from mclass import augmentations, losses, models, training
from mclass.frontends import LogMel


class Plain(models.WaveformModel):
    """Without dropout and batch normalisation, whose results depend on who computes what."""

    num_samples, num_tags = 4000, 3

    def __init__(self):
        super().__init__()
        self.frontend = LogMel(16000, n_mels=24)
        self.layer, self.head = torch.nn.Linear(24, 16), torch.nn.Linear(16, 3)

    def embed(self, waveform):
        return self.layer(self.frontend(waveform).mean(-1).flatten(1) / 40 + 1).relu()


CHAIN = augmentations.Compose([augmentations.RandomApply(augmentations.Noise(0, 20)), augmentations.Gain()])
PARADIGMS = {
    "tagging": lambda model: training.Tagging(model, learning_rate=0.01, augment=CHAIN),
    # SGD: distances do not change if all embeddings move together, so that the gradient of a bias is a rounding
    # error, of which Adam would make a whole step.
    "triplets": lambda model: training.MetricLearning(
        model,
        losses.TripletLoss(0.4, "euclidean"),
        optimizer="sgd",
        learning_rate=0.1,
        augment=CHAIN,
        num_triplets=28,
    ),
    "mined triplets": lambda model: training.MetricLearning(
        model,
        losses.TripletLoss(0.4, "euclidean"),
        sampling="semi-hard",
        optimizer="sgd",
        learning_rate=0.1,
        augment=CHAIN,
    ),
    "proxies": lambda model: training.MetricLearning(
        model, losses.ProxyAnchorLoss(3, 16, alpha=8.0), optimizer="sgd", learning_rate=0.5, augment=CHAIN
    ),
    "contrastive": lambda model: training.Contrastive(
        model, augment=CHAIN, temperature=0.2, projection_dim=16, learning_rate=0.01
    ),
    "moco": lambda model: training.MoCo(
        model, augment=CHAIN, temperature=0.2, queue_size=16, projection_dim=16, learning_rate=0.01
    ),
}


def main(folder, paradigm, devices):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    task = PARADIGMS[paradigm](Plain())
    training.fit(
        task,
        Tones(28),  # three batches of 8, and one of 4
        Tones(9, seed=1),
        epochs=3,
        batch_size=8,
        folder=folder,
        devices=int(devices),
        accelerator="cpu",
        progress=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
