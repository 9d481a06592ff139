"""Sample-level CNNs: networks that see the waveform itself through filters of three samples.

A filter of 3 samples and a pool of 3, ten times over: each layer listens three times longer than the one below,
until one value covers 3 ** 10 = 59,049 samples (2.7 s at 22,050 Hz). Nothing is told of frequency; the first
layers find filters of their own.

* `SampleCNN`: Lee et al. (2017), "Sample-level deep convolutional neural networks for music auto-tagging using raw
  waveforms", table 1 (the 3 ** 9 model).
* `SampleCNNSE`: Kim et al. (2018), "Sample-level CNN architectures for music auto-tagging using raw waveforms":
  residual connections, squeeze and excitation.
* `CLMRSampleCNN`: Spijkervet & Burgoyne (2021), "Contrastive learning of musical representations".

Taught in: 04_supervised, 07_clmr.
"""

from __future__ import annotations

import torch
from torch import nn

from mclass.augmentations.base import check_sample_rate
from mclass.frontends import Raw
from mclass.models.base import WaveformModel, check_num_tags
from mclass.models.layers.blocks import ConvBlock1d

# Width of each block. The first strides by 3, the last keeps its one moment, those between pool by 3.
CHANNELS = (128, 128, 128, 256, 256, 256, 256, 256, 256, 512, 512)


class SampleBlock(ConvBlock1d):
    """Convolution over three samples, batch norm, ReLU, max-pooling over three: a `ConvBlock1d` like any other.

    It has a name of its own because its fast form is another (see `mclass.models.fast`).

    Examples
    --------
    >>> SampleBlock(1, 128, pool=3)(torch.zeros(2, 1, 243)).shape
    torch.Size([2, 128, 81])
    """


class SampleCNN(WaveformModel):
    """Eleven blocks of convolution, batch norm, ReLU and max-pooling on the waveform. 1,869,874 parameters.

    Of a waveform longer than `num_samples`, the features of each 59,049 samples are averaged.

    Parameters
    ----------
    num_tags : int
    sample_rate : int, optional
        Of the waveforms, in Hz; another one than that of the published weights, for a network that learns anew.

    Notes
    -----
    16 kHz and a last block of filter length 1 are those of the published weights (Won et al., 2020); the paper has
    22,050 Hz and length 3, like `CLMRSampleCNN`.

    Examples
    --------
    >>> model = SampleCNN().eval()
    >>> model.features(torch.zeros(1, 59049)).shape
    torch.Size([1, 512, 1])
    >>> sum(p.numel() for p in model.parameters())
    1869874
    """

    num_samples = 59_049  # 3 ** 10
    min_samples = 59_047  # one zero of padding at each end
    last_kernel, first_padding = 1, 1

    def __init__(self, num_tags: int = 50, sample_rate: int | None = None):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        if sample_rate is not None:
            self.sample_rate = check_sample_rate(sample_rate)
        self.frontend = Raw()
        first = SampleBlock(1, CHANNELS[0], pool=1, stride=3, padding=self.first_padding)
        between = [SampleBlock(CHANNELS[i], CHANNELS[i + 1], pool=3) for i in range(9)]
        last = SampleBlock(512, CHANNELS[10], pool=1, kernel=self.last_kernel, padding=self.last_kernel // 2)
        # Steps in time after each: 19683, 6561, 2187, 729, 243, 81, 27, 9, 3, 1, 1
        self.blocks = nn.Sequential(first, *between, last)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(512, num_tags))

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the last block gives, shape ``(batch, 512, samples // 59049)``."""
        self.check(waveform)
        x = self.frontend(waveform)  # (batch, 1, samples)
        return self.blocks(x)  # (batch, 512, samples // 59049)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.features(waveform).mean(dim=2)  # (batch, 512)


class CLMRSampleCNN(SampleCNN):
    """The encoder of CLMR: no padding at the start, a last filter of length 3. 2,394,162 parameters.

    CLMR trains `embed` (512 numbers) without labels, with a projection on top that is thrown away; then it trains
    `head`, one linear layer, with labels.

    Parameters
    ----------
    num_tags : int
    sample_rate : int, optional
        As for `SampleCNN`.

    Examples
    --------
    >>> model = CLMRSampleCNN().eval()
    >>> model.embed(torch.zeros(1, 59049)).shape, model.sample_rate
    (torch.Size([1, 512]), 22050)
    """

    sample_rate = 22050
    min_samples = 59_049
    last_kernel, first_padding = 3, 0


class SqueezeExcitationBlock(nn.Module):
    """Two convolutions whose channels are turned up or down by what they hear on the whole, beside a shortcut.

    Squeeze: the average of each channel over time. Excitation: two linear layers make of these averages a weight
    between 0 and 1 for each channel. (Kim et al., 2018, figure 2; without their narrower middle layer, as in the
    published weights.)

    Shapes: ``(batch, in_channels, time)`` to ``(batch, out_channels, steps // pool)``, where `steps` is
    ``(time - 1) // stride + 1``.

    Parameters
    ----------
    in_channels, out_channels : int
    pool : int
    kernel : int
        Odd.
    stride : int
        Of the first convolution and of the shortcut.

    Examples
    --------
    >>> SqueezeExcitationBlock(1, 128, pool=3)(torch.zeros(2, 1, 243)).shape
    torch.Size([2, 128, 81])
    """

    def __init__(self, in_channels: int, out_channels: int, pool: int, kernel: int = 3, stride: int = 1):
        super().__init__()
        padding = kernel // 2
        self.conv1 = nn.Conv1d(in_channels, out_channels, kernel, stride=stride, padding=padding)
        self.norm1 = nn.BatchNorm1d(out_channels)
        self.conv2 = nn.Conv1d(out_channels, out_channels, kernel, padding=padding)
        self.norm2 = nn.BatchNorm1d(out_channels)
        self.dense1 = nn.Linear(out_channels, out_channels)
        self.dense2 = nn.Linear(out_channels, out_channels)
        self.conv3 = None
        if stride != 1 or in_channels != out_channels:  # else the input fits as it is
            self.conv3 = nn.Conv1d(in_channels, out_channels, kernel, stride=stride, padding=padding)
            self.norm3 = nn.BatchNorm1d(out_channels)
        self.pool = nn.MaxPool1d(pool) if pool > 1 else nn.Identity()

    def excite(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, out_channels, time)`` to the weight of each channel, shape ``(batch, out_channels)``."""
        squeezed = x.mean(dim=2)  # (batch, out_channels)
        hidden = torch.relu(self.dense1(squeezed))  # (batch, out_channels)
        return torch.sigmoid(self.dense2(hidden))  # (batch, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change = torch.relu(self.norm1(self.conv1(x)))  # (batch, out_channels, steps)
        change = self.norm2(self.conv2(change))  # the same shape
        change = change * self.excite(change)[:, :, None]  # the same shape
        if self.conv3 is not None:
            x = self.norm3(self.conv3(x))  # the same shape
        return self.pool(torch.relu(x + change))  # (batch, out_channels, steps // pool)


class SampleCNNSE(WaveformModel):
    """`SampleCNN` of squeeze-and-excitation blocks, and a dense layer. 6,951,858 parameters.

    Longer waveforms are averaged as in `SampleCNN`; each block weighs its channels by the average of the whole.

    Parameters
    ----------
    num_tags : int

    Examples
    --------
    >>> model = SampleCNNSE(num_tags=10).eval()
    >>> model(torch.zeros(1, 59049)).shape
    torch.Size([1, 10])
    """

    num_samples, min_samples = SampleCNN.num_samples, SampleCNN.min_samples

    def __init__(self, num_tags: int = 50):
        super().__init__()
        self.num_tags = check_num_tags(num_tags)
        self.frontend = Raw()
        self.blocks = nn.Sequential(
            SqueezeExcitationBlock(1, CHANNELS[0], pool=1, stride=3),
            *(SqueezeExcitationBlock(CHANNELS[i], CHANNELS[i + 1], pool=3) for i in range(9)),
            SqueezeExcitationBlock(512, CHANNELS[10], pool=1, kernel=1),
        )
        self.dense = nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(512, num_tags))

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map waveforms to what the last block gives, shape ``(batch, 512, samples // 59049)``."""
        self.check(waveform)
        x = self.frontend(waveform)  # (batch, 1, samples)
        return self.blocks(x)  # (batch, 512, samples // 59049)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        x = self.features(waveform).mean(dim=2)  # (batch, 512)
        return self.dense(x)  # (batch, 512)
