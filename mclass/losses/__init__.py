"""Losses: what a network is asked for, as layers that take logits or embeddings and return one number.

========================= ====================================== ==================================
loss                      called with                            asks for
========================= ====================================== ==================================
`BCELoss`, `FocalLoss`    logits, targets                        the labelled tags
`ContrastiveLoss`         x, y, same                             pairs alike near, others far
`TripletLoss`             anchor, positive, negative             the positive nearer than the negative
`DisentangledTripletLoss` …, notion                              … in the notion's own dimensions
`TrackRegularizedLoss`    …, notion, same_track                  … and tracks that stay themselves
`SupConLoss`,             embeddings, labels                     what shares a tag near, found in the
`MultiSimilarityLoss`,                                           batch
`ProxyAnchorLoss`
`NTXentLoss`              z_i, z_j                               two views that find each other
`InfoNCELoss`             predicted, actual                      the future among other futures
`MoCoLoss`                query, key                             the key in a queue of keys
`DistillationLoss`,       student, teacher                       the teacher's outputs
`PseudoLabelLoss`
`ConsistencyLoss`         first, second                          the same tags for two views
`EntropyLoss`             logits                                 outputs that are decided
========================= ====================================== ==================================

All reduce with ``reduction="mean" | "sum" | "none"``, compute in float32 what comes in half precision, and tell
what the last batch was like in ``loss.statistics``. Inputs that make no sense raise a ``ValueError``; a batch
in which nothing can be compared warns (`EmptyLossWarning`): a zero is never silent.

Unknown is not no: the losses of labelled tags take ``known=``, a mask in the shape of the targets, and average
over the known ones. Batches of a data set with unknown labels hold NaN in their place; `split_unknown` takes them
apart, and a loss that is given the NaN refuses it.

Taught in: 04_supervised, 06_semi_supervised, 07_clmr, 08_metric_learning.
"""

from mclass.losses.base import EmptyLossWarning, Loss, split_unknown
from mclass.losses.classification import BCELoss, FocalLoss
from mclass.losses.contrastive import InfoNCELoss, MoCoLoss, momentum_update
from mclass.losses.distillation import ConsistencyLoss, DistillationLoss, EntropyLoss, PseudoLabelLoss
from mclass.losses.metric import ContrastiveLoss, DisentangledTripletLoss, TrackRegularizedLoss, TripletLoss
from mclass.losses.ntxent import NTXentLoss, naive_nt_xent
from mclass.losses.tags import MultiSimilarityLoss, ProxyAnchorLoss, SupConLoss

__all__ = [
    "BCELoss",
    "ConsistencyLoss",
    "ContrastiveLoss",
    "DisentangledTripletLoss",
    "DistillationLoss",
    "EmptyLossWarning",
    "EntropyLoss",
    "FocalLoss",
    "InfoNCELoss",
    "Loss",
    "MoCoLoss",
    "MultiSimilarityLoss",
    "NTXentLoss",
    "ProxyAnchorLoss",
    "PseudoLabelLoss",
    "SupConLoss",
    "TrackRegularizedLoss",
    "TripletLoss",
    "momentum_update",
    "naive_nt_xent",
    "split_unknown",
]
