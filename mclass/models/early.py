"""Three early convolutional networks for music, from before 3 × 3 filters and batch norm were everywhere.

* `SpotifyCNN`: Dieleman (2014), "Recommending music on Spotify with deep learning": convolutions over time, then
  three summaries of time side by side.
* `MultiLevelCNN`: Lee & Nam (2017), "Multi-level and multi-scale feature aggregation using pre-trained
  convolutional neural networks for music auto-tagging": tags of texture and of mood are found in different layers.
* `FrameLevelCNN`: Dieleman & Schrauwen (2014), "End-to-end learning for music audio": the waveform instead of a
  spectrogram, in frames of a spectrogram's length.

In all three, the filters of the first layer span all mel bands (or a whole frame), and slide over time alone.

Taught in: 04_supervised.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import nn
from torch.nn.functional import avg_pool1d, max_pool1d

from mclass.frontends import LogMel, Raw
from mclass.models.base import WaveformModel, check_num_tags
from mclass.models.layers.blocks import ConvBlock1d, check_widths


def pool_statistics(x: torch.Tensor) -> torch.Tensor:
    """Mean, maximum and root mean square over time.

    How much of it is there, is it there at all, and between the two: how much at its strongest moments. The root
    mean square is the L2 norm, divided so that it does not grow with the length.

    Parameters
    ----------
    x : torch.Tensor, shape (batch, channels, time)

    Returns
    -------
    torch.Tensor, shape (batch, 3 * channels)

    Examples
    --------
    >>> pool_statistics(torch.tensor([[[0.0, 7.0, 1.0, 0.0]]])).round(decimals=2)
    tensor([[2.0000, 7.0000, 3.5400]])
    """
    norm = torch.linalg.vector_norm(x, dim=2)  # unlike that of a square root, its gradient at 0 is finite
    return torch.cat([x.mean(dim=2), x.amax(dim=2), norm / x.shape[2] ** 0.5], dim=1)


class PlainBlock(nn.Sequential):
    """Convolution without padding, ReLU, max-pooling.

    An incomplete window at the end of a pool gives one more time step, as in Theano, which the originals used.

    Shapes: ``(batch, in_channels, time)`` to ``(batch, out_channels, steps / pool)``, rounded up, where
    ``steps = time - kernel + 1``.

    Examples
    --------
    >>> PlainBlock(128, 256, kernel=4, pool=4)(torch.zeros(2, 128, 599)).shape
    torch.Size([2, 256, 149])
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, pool: int):
        super().__init__(
            nn.Conv1d(in_channels, out_channels, kernel), nn.ReLU(), nn.MaxPool1d(pool, ceil_mode=True)
        )


def _two_layers(inputs: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, hidden), nn.ReLU()
    )


class SpotifyCNN(WaveformModel):
    """Four convolutions over mel frames, three poolings over all time, two dense layers. 8,627,508 parameters.

    Filters are 4 frames long; between the convolutions, max-pooling by 4, 2 and 2. The original maps 599 frames of
    128 bands to the 40 latent factors of a recommender; here are tags in their place. Ours are the hop (599 frames
    are 9.6 s) and the batch norm of the decibels.

    Parameters
    ----------
    num_tags : int
    channels : sequence of int
        Maps of each convolution.
    hidden : int
        Width of the two dense layers.

    Examples
    --------
    >>> model = SpotifyCNN(num_tags=10)
    >>> model.features(torch.zeros(1, 153088)).shape
    torch.Size([1, 512, 32])
    >>> model.embed(torch.zeros(1, 153088)).shape
    torch.Size([1, 2048])
    """

    num_samples = 598 * 256
    min_samples = 87 * 256  # 88 frames leave one moment after the last convolution

    def __init__(self, num_tags: int = 50, channels: Sequence[int] = (256, 256, 256, 512), hidden: int = 2048):
        super().__init__()
        check_widths(channels, 4)
        self.num_tags = check_num_tags(num_tags)
        self.frontend = LogMel(n_mels=128)
        self.input_norm = nn.BatchNorm2d(1)
        a, b, c, d = channels
        self.blocks = nn.Sequential(  # 128 × 599 (bands, frames)
            PlainBlock(128, a, kernel=4, pool=4),  # 256 × 149
            PlainBlock(a, b, kernel=4, pool=2),  # 256 × 73
            PlainBlock(b, c, kernel=4, pool=2),  # 256 × 35
            PlainBlock(c, d, kernel=4, pool=1),  # 512 × 32
        )
        self.dense = _two_layers(3 * d, hidden)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(hidden, num_tags))

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the last convolution gives, shape ``(batch, channels[-1], time)``."""
        self.check(waveform)
        x = self.input_norm(self.frontend(waveform))  # (batch, 1, 128, frames)
        return self.blocks(x[:, 0])  # (batch, channels[-1], time)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        x = pool_statistics(self.features(waveform))  # (batch, 3 * channels[-1])
        return self.dense(x)  # (batch, hidden)


# Windows of this many frames, and the pools that shrink each of them to one moment.
SCALES = {18: (3, 3, 2), 27: (3, 3, 3), 54: (3, 3, 3, 2), 108: (3, 3, 3, 2, 2), 216: (3, 3, 3, 2, 2, 2)}


class MultiLevelCNN(WaveformModel):
    """Five 1D-CNNs on windows of different length, and an MLP that reads all their layers. 4,894,644 parameters.

    In each window, each channel of each layer counts with its maximum; the maxima are averaged over the windows.
    The paper trains the CNNs first, then the MLP on what they give, song by song; here all is one network that can
    be trained at once, or in these steps.

    Parameters
    ----------
    num_tags : int
    scales : sequence of int
        Lengths of the windows in frames of 32 ms, some of ``18, 27, 54, 108, 216``.
    channels : int
        Width of every convolution.
    hidden : int
        Width of the MLP's two layers.

    Examples
    --------
    >>> model = MultiLevelCNN(scales=(18, 216), channels=16, hidden=32).eval()
    >>> model.features(torch.zeros(1, 111000)).shape  # (3 + 6 layers) × 16 channels
    torch.Size([1, 144, 1])
    """

    num_samples = 215 * 512  # 216 frames, 6.9 s

    def __init__(
        self,
        num_tags: int = 50,
        scales: Sequence[int] = tuple(SCALES),
        channels: int = 128,
        hidden: int = 1024,
    ):
        super().__init__()
        self.num_tags, self.scales = check_num_tags(num_tags), tuple(scales)
        if not scales or not set(scales) <= SCALES.keys() or len(set(scales)) < len(scales):
            raise ValueError(
                f"scales are lengths of windows in frames, each one of {sorted(SCALES)}, got {scales!r}"
            )
        self.frontend = LogMel(n_fft=1024, hop_length=512, n_mels=128)
        self.min_samples = (max(scales) - 1) * 512
        self.input_norm = nn.BatchNorm2d(1)
        self.towers = nn.ModuleList(
            nn.ModuleList(ConvBlock1d(128 if i == 0 else channels, channels, pool) for i, pool in enumerate(pools))
            for pools in (SCALES[scale] for scale in self.scales)
        )
        levels = sum(len(SCALES[scale]) for scale in self.scales)
        self.dense = _two_layers(levels * channels, hidden)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(hidden, num_tags))

    def levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What each layer of each scale finds in the longest windows.

        Parameters
        ----------
        x : torch.Tensor, shape (batch, 128, frames)

        Returns
        -------
        list of torch.Tensor, each of shape (batch, channels, frames // max(scales))
            Scale after scale, the lowest layer first.
        """
        longest, found = max(self.scales), []
        x = x[:, :, : x.shape[2] // longest * longest]  # (batch, 128, windows * longest)
        for scale, tower in zip(self.scales, self.towers, strict=True):
            y = x
            for depth, block in enumerate(tower, start=1):
                y = block(y)  # (batch, channels, windows * longest / scale * steps)
                steps = scale // prod(SCALES[scale][:depth])  # that are left of one window
                maxima = max_pool1d(y, steps)  # (batch, channels, windows * longest / scale)
                found.append(avg_pool1d(maxima, longest // scale))  # (batch, channels, windows)
        return found

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to the layers of all scales, shape ``(batch, layers * channels, windows)``."""
        self.check(waveform)
        x = self.input_norm(self.frontend(waveform))  # (batch, 1, 128, frames)
        levels = self.levels(x[:, 0])  # layers × (batch, channels, windows)
        return torch.cat(levels, dim=1)  # (batch, layers * channels, windows)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        x = self.features(waveform).mean(dim=2)  # (batch, layers * channels)
        return self.dense(x)  # (batch, hidden)


class FrameLevelCNN(WaveformModel):
    """Filters of a frame's length on the waveform, then a small CNN over time. 124,638 parameters.

    The first layer stands where a mel spectrogram would, and has to learn what that knows: what a frame contains,
    whatever its phase. On MagnaTagATune it fell short (ROC-AUC 0.85; the spectrogram 0.88).

    Parameters
    ----------
    num_tags : int
    filter_length : {256, 512, 1024}
        Of the first layer's 128 filters, in samples.
    stride : {256, 512, 1024}, optional
        From one frame to the next, in samples, at most `filter_length`; the same if not given.

    Raises
    ------
    ValueError
        If `filter_length` or `stride` is another number.

    Examples
    --------
    >>> model = FrameLevelCNN(filter_length=1024, stride=256)
    >>> model.features(torch.zeros(1, 48000)).shape
    torch.Size([1, 32, 10])
    >>> model.embed(torch.zeros(1, 48000)).shape
    torch.Size([1, 100])
    """

    def __init__(self, num_tags: int = 50, filter_length: int = 512, stride: int | None = None):
        super().__init__()
        stride = filter_length if stride is None else stride
        if filter_length not in (256, 512, 1024) or stride not in (256, 512, 1024) or stride > filter_length:
            raise ValueError(
                "filter_length and stride are 256, 512 or 1024 samples, and the stride is not the longer one; "
                f"got filter_length={filter_length!r}, stride={stride!r}"
            )
        self.num_tags = check_num_tags(num_tags)
        self.frontend = Raw()
        self.frames = nn.Sequential(nn.Conv1d(1, 128, filter_length, stride=stride), nn.ReLU())
        self.blocks = nn.Sequential(PlainBlock(128, 32, kernel=8, pool=4), PlainBlock(32, 32, kernel=8, pool=4))
        # The dense layer sees all moments of 3 seconds at once. As a convolution of that length, it slides over
        # longer waveforms.
        moments = (self.num_samples - filter_length) // stride + 1
        for _ in range(2):
            moments = -(-(moments - 7) // 4)  # a kernel of 8, a pool of 4, rounded up
        self.dense = nn.Sequential(nn.Conv1d(32, 100, moments), nn.ReLU())
        self.min_samples = (4 * (4 * (moments - 1) + 7) + 7) * stride + filter_length
        self.head = nn.Linear(100, num_tags)

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the last convolution over time gives, shape ``(batch, 32, time)``."""
        self.check(waveform)
        x = self.frames(self.frontend(waveform))  # (batch, 128, frames)
        return self.blocks(x)  # (batch, 32, time)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        x = self.dense(self.features(waveform))  # (batch, 100, positions)
        return x.mean(dim=2)  # (batch, 100)
