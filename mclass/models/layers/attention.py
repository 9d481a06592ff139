"""Self-attention, and a stack of layers whose attention can be looked at.

Taught in: 04_supervised.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import dropout, gelu


class SelfAttention(nn.Module):
    """Each moment gathers from all moments, in several heads at once (Vaswani et al., 2017, section 3.2).

    In a head, a moment asks with a query, is found by a key and gives a value, all three linear functions of it::

        weights = softmax(query @ key.T / sqrt(dim / heads)),  gathered = weights @ value

    Shapes: ``(batch, time, dim)`` to ``(batch, time, dim)``.

    Parameters
    ----------
    dim, heads : int
        `heads` divides `dim`.
    dropout : float
        Of the weights, in training.
    fused : bool
        One matrix without bias for queries, keys and values, as in the Vision Transformer; else three with bias,
        as in BERT.

    Raises
    ------
    ValueError
        If `heads` does not divide `dim`.

    Examples
    --------
    >>> layer = SelfAttention(64, heads=4)
    >>> layer(torch.zeros(2, 100, 64)).shape, layer.weights(torch.zeros(2, 100, 64)).shape
    (torch.Size([2, 100, 64]), torch.Size([2, 4, 100, 100]))
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0, fused: bool = False):
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(
                f"the heads share the dimensions evenly: {heads} heads do not divide {dim} dimensions"
            )
        self.heads, self.dropout, self.fused = heads, dropout, fused
        if fused:
            self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        else:
            self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.output = nn.Linear(dim, dim)

    def project(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values of all heads, each of shape ``(batch, heads, time, dim // heads)``."""
        # 3 × (batch, time, dim)
        qkv = self.qkv(x).chunk(3, dim=-1) if self.fused else (self.query(x), self.key(x), self.value(x))
        heads = [y.unflatten(-1, (self.heads, -1)) for y in qkv]  # 3 × (batch, time, heads, dim // heads)
        return tuple(y.transpose(1, 2) for y in heads)  # 3 × (batch, heads, time, dim // heads)

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """How much moment i takes from moment j, shape ``(batch, heads, i, j)``; the sum over j is 1."""
        q, k, _ = self.project(x)  # each (batch, heads, time, dim // heads)
        return _attention(q, k)  # (batch, heads, time, time)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.project(x)  # each (batch, heads, time, dim // heads)
        weights = _attention(q, k)  # (batch, heads, time, time)
        weights = dropout(weights, self.dropout, self.training)  # the same shape
        gathered = weights @ v  # (batch, heads, time, dim // heads)
        gathered = gathered.transpose(1, 2).flatten(2)  # (batch, time, dim): heads side by side
        return self.output(gathered)  # (batch, time, dim)


def _attention(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5  # (batch, heads, time, time)
    return scores.softmax(dim=-1)  # the same shape; each row sums to 1


class PostNormLayer(nn.Module):
    """Attention, then two dense layers at each moment; each sum is normalised afterwards, as in BERT.

    Shapes: ``(batch, time, dim)`` to ``(batch, time, dim)``.

    Examples
    --------
    >>> PostNormLayer(64, heads=4, hidden=256)(torch.zeros(2, 100, 64)).shape
    torch.Size([2, 100, 64])
    """

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float = 0.0, attention_dropout: float = 0.0):
        super().__init__()
        self.attention = SelfAttention(dim, heads, dropout=attention_dropout)
        self.norm1 = nn.LayerNorm(dim, eps=1e-12)
        self.hidden, self.output = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """See `SelfAttention.weights`."""
        return self.attention.weights(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm1(x + self.dropout(self.attention(x)))  # (batch, time, dim)
        change = gelu(self.hidden(x))  # (batch, time, hidden)
        change = self.output(change)  # (batch, time, dim)
        return self.norm2(x + self.dropout(change))  # (batch, time, dim)


class PreNormLayer(nn.Module):
    """The same with what enters attention and dense layers normalised, and the sums left as they are.

    Deep stacks train more easily so: from the output to the input leads a path of sums alone.

    Shapes: ``(batch, time, dim)`` to ``(batch, time, dim)``.

    Examples
    --------
    >>> PreNormLayer(64, heads=4, hidden=256)(torch.zeros(2, 100, 64)).shape
    torch.Size([2, 100, 64])
    """

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, heads, fused=True)
        self.norm2 = nn.LayerNorm(dim)
        self.hidden, self.output = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """See `SelfAttention.weights`."""
        return self.attention.weights(self.norm1(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.dropout(self.attention(self.norm1(x)))  # (batch, time, dim)
        change = gelu(self.hidden(self.norm2(x)))  # (batch, time, hidden)
        change = self.output(self.dropout(change))  # (batch, time, dim)
        return x + self.dropout(change)  # (batch, time, dim)


class Encoder(nn.Sequential):
    """Layers one after the other.

    Examples
    --------
    >>> encoder = Encoder(*(PreNormLayer(64, heads=4, hidden=256) for _ in range(3)))
    >>> encoder.attention(torch.zeros(2, 100, 64), layer=0).shape
    torch.Size([2, 4, 100, 100])
    """

    def attention(self, x: torch.Tensor, layer: int = -1) -> torch.Tensor:
        """Attention weights of one layer, shape ``(batch, heads, time, time)``.

        Raises
        ------
        ValueError
            If there is no such layer; -1 is the last.
        """
        if not -len(self) <= layer < len(self):
            raise ValueError(f"layer is an index from {-len(self)} to {len(self) - 1}, got {layer}")
        return self[layer].weights(self[:layer](x))
