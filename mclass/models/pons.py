"""The networks of the package musicnn: the original Musicnn, and a VGG that knows nothing of music.

Both take 187 frames of a compressed mel spectrogram, 3 s, and in every block the ReLU comes before the batch norm.
(`mclass.models.musicnn` is the network as Won et al. wrote it again in 2020, with the ReLU last and a log-mel
spectrogram in decibels.) `mclass.pretrained` has weights that the authors trained.

==================== ============================== ======================= ==============
name                 blocks                         last map, 3 s           parameters
==================== ============================== ======================= ==============
`musicnn_original`   tall and long filters, three   753 × 187               787,159
                     convolutions over time
`vgg`                five of 128 filters 3 × 3      128 × 1 × 2             605,748
==================== ============================== ======================= ==============

Source: J. Pons, O. Nieto, M. Prockup, E. Schmidt, A. Ehmann, X. Serra, *End-to-end learning for music audio
tagging at scale*, ISMIR 2018; J. Pons, X. Serra, *musicnn: pre-trained convolutional neural networks for music
audio tagging*, 2019, whose code says what the papers leave open.

Taught in: 04_supervised.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import pad

from mclass.frontends import CompressedMel
from mclass.models.base import WaveformModel, check_num_tags

FRAMES = 187
HEIGHTS = (38, 67)  # 0.4 and 0.7 of the 96 mel bands
LENGTHS = (128, 64, 32)  # 2.0, 1.0 and 0.5 seconds
_NORM = {"eps": 0.001, "momentum": 0.01}  # TensorFlow's; it counts the momentum from the other end


class Block(nn.Module):
    """Convolution, ReLU, batch norm: `padding` zeros are put around ``(frequency, time)`` as ``pad`` takes them.

    Shapes: ``(batch, inputs, frequency, time)`` to ``(batch, filters, frequency', time')``.

    Examples
    --------
    >>> Block(1, 204, kernel=(38, 7), padding=(3, 3, 0, 0))(torch.zeros(2, 1, 96, 187)).shape
    torch.Size([2, 204, 59, 187])
    """

    def __init__(self, inputs: int, filters: int, kernel: tuple[int, int], padding: tuple[int, int, int, int]):
        super().__init__()
        self.padding = padding
        self.conv = nn.Conv2d(inputs, filters, kernel)
        self.norm = nn.BatchNorm2d(filters, **_NORM)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(torch.relu(self.conv(pad(x, self.padding))))


class OriginalMusicnn(WaveformModel):
    """The Musicnn of Pons et al. with their batch norms: tall filters, long filters, maximum and mean over time.

    Every layer keeps the number of frames, so any longer waveform works.

    Parameters
    ----------
    num_tags : int

    Examples
    --------
    >>> model = OriginalMusicnn()
    >>> model.features(torch.zeros(1, model.num_samples)).shape
    torch.Size([1, 753, 187])
    >>> sum(p.numel() for p in model.parameters())
    787159
    """

    num_samples = FRAMES * 256  # 2.99 s
    min_samples = 256

    def __init__(self, num_tags: int = 50):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.frontend = CompressedMel()
        self.input_norm = nn.BatchNorm2d(1, **_NORM)
        self.timbral = nn.ModuleList(Block(1, 204, (height, 7), (3, 3, 0, 0)) for height in HEIGHTS)
        # TensorFlow's "same": of an odd number of zeros, the larger half stands at the end.
        self.temporal = nn.ModuleList(
            Block(1, 51, (1, length), ((length - 1) // 2, length // 2, 0, 0)) for length in LENGTHS
        )
        self.midend = nn.ModuleList(Block(inputs, 64, (1, 7), (3, 3, 0, 0)) for inputs in (561, 64, 64))
        self.pool_norm = nn.BatchNorm1d(2 * 753, **_NORM)
        self.dense = nn.Sequential(
            nn.Dropout(0.5), nn.Linear(2 * 753, 200), nn.ReLU(), nn.BatchNorm1d(200, **_NORM)
        )
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(200, num_tags))

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what all filters find, shape ``(batch, 753, frames)``."""
        self.check(waveform)
        return self.spectrogram_features(spectrogram(self.frontend, waveform))

    def spectrogram_features(self, x: torch.Tensor) -> torch.Tensor:
        """Map compressed mel spectrograms, ``(batch, 1, 96, frames)``, to shape ``(batch, 753, frames)``."""
        x = self.input_norm(x)  # (batch, 1, 96, frames)
        timbral = [block(x).amax(2) for block in self.timbral]  # 2 × (batch, 204, frames)
        temporal = [block(x).amax(2) for block in self.temporal]  # 3 × (batch, 51, frames)
        found = torch.cat(timbral + temporal, dim=1)[:, :, None]  # (batch, 561, 1, frames)
        first, second, third = self.midend
        a = first(found)  # (batch, 64, 1, frames)
        b = second(a) + a  # (batch, 64, 1, frames)
        c = third(b) + b  # (batch, 64, 1, frames)
        return torch.cat([found, a, b, c], dim=1)[:, :, 0]  # (batch, 753, frames)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.embed_features(self.features(waveform))

    def embed_features(self, x: torch.Tensor) -> torch.Tensor:
        """Map features, shape ``(batch, 753, frames)``, to what the last layer sees, shape ``(batch, 200)``."""
        x = torch.stack([x.amax(2), x.mean(2)], dim=2).flatten(1)  # (batch, 1506): maximum, mean, maximum, mean …
        return self.dense(self.pool_norm(x))  # (batch, 200)


class VGG(WaveformModel):
    """Five blocks of 3 × 3 convolutions, as for photographs; the last layer takes just 187 frames.

    Parameters
    ----------
    num_tags : int

    Raises
    ------
    ValueError
        If a waveform is not ``(batch, 47_872)`` samples.

    Examples
    --------
    >>> model = VGG()
    >>> model.features(torch.zeros(1, model.num_samples)).shape
    torch.Size([1, 128, 1, 2])
    >>> sum(p.numel() for p in model.parameters())
    605748
    """

    num_samples = min_samples = FRAMES * 256  # 2.99 s

    def __init__(self, num_tags: int = 50):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.frontend = CompressedMel()
        self.input_norm = nn.BatchNorm2d(1, **_NORM)
        self.blocks = nn.ModuleList(Block(inputs, 128, (3, 3), (1, 1, 1, 1)) for inputs in (1, 128, 128, 128, 128))
        pools = [nn.MaxPool2d((1, 4), stride=2), *(nn.MaxPool2d(2) for _ in range(3)), nn.MaxPool2d(4)]
        self.pools = nn.ModuleList(pools)
        self.dropout = nn.Dropout(0.25)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(256, num_tags))

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the last block gives, shape ``(batch, 128, 1, 2)``."""
        self.check(waveform)
        if waveform.shape[1] >= self.num_samples + 256:
            raise ValueError(
                f"this network takes chunks of {self.num_samples} samples, {FRAMES} frames, got "
                f"{waveform.shape[1]}. Cut the waveform; mclass.inference.tag does so"
            )
        return self.spectrogram_features(spectrogram(self.frontend, waveform))

    def spectrogram_features(self, x: torch.Tensor) -> torch.Tensor:
        """Map compressed mel spectrograms, ``(batch, 1, 96, 187)``, to shape ``(batch, 128, 1, 2)``."""
        x = self.input_norm(x)  # (batch, 1, 96, 187)
        # (batch, 128, frequency, time) after each pool: 48 × 92, 24 × 46, 12 × 23, 6 × 11, 1 × 2
        for number, (block, pool) in enumerate(zip(self.blocks, self.pools, strict=True)):
            x = pool(block(self.dropout(x) if number else x))
        return x

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.embed_features(self.features(waveform))

    def embed_features(self, x: torch.Tensor) -> torch.Tensor:
        """Map features, shape ``(batch, 128, 1, 2)``, to what the last layer sees, shape ``(batch, 256)``."""
        return x.permute(0, 3, 2, 1).flatten(1)  # one step of time after the other, as the original does


def spectrogram(frontend: CompressedMel, waveform: torch.Tensor) -> torch.Tensor:
    """Frames that begin in the waveform: the last one is centered on its end and belongs to the next chunk.

    Examples
    --------
    >>> spectrogram(CompressedMel(), torch.zeros(2, 47_872)).shape
    torch.Size([2, 1, 96, 187])
    """
    return frontend(waveform)[..., :-1]
