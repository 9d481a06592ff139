"""How good are the scores? Metrics of tagging, classification and retrieval.

Conventions
-----------
Labels are multi-hot arrays ``(n, num_tags)`` of 0 and 1, one row per clip, one column per tag; single-label data
has exactly one 1 in each row. Scores have the same shape, and a higher score means "more likely". Embeddings are
``(n, dim)``. Tensors and lists do as well as arrays.

Unknown is not no: where a data set says which labels are known (``dataset.known``, as OpenMIC does), pass
``known=dataset.known``, an array of bool in the shape of the labels. Each tag is then scored on the clips whose
label is known, and what `labels` holds elsewhere does not matter. Labels of NaN are refused. (Metrics of retrieval
need labels that are all known.)

* `classification`: accuracy, precision, recall and the table of all tags.
* `curves`: ROC and precision-recall curves, and the areas below them.
* `thresholds`: at which score a clip is given a tag.
* `songs`: from chunks to songs.
* `intervals`: how sure a number is, and whether one model is better than another.
* `retrieval`: whether similar embeddings have similar tags.

What is *undefined* (ROC-AUC of a tag that no clip has, recall of a query without tags) is named, never averaged in
as NaN.

Taught in: 03_evaluation, 04_supervised, 08_metric_learning.
"""

from mclass.metrics.checks import UndefinedTagsWarning, validate
from mclass.metrics.classification import (
    accuracy,
    confusion,
    decide,
    f_beta,
    precision,
    recall,
    specificity,
    tagwise,
)
from mclass.metrics.curves import pr_auc, pr_curve, roc_auc, roc_curve, undefined_tags
from mclass.metrics.intervals import Comparison, Interval, bootstrap, compare
from mclass.metrics.neighbours import nearest_neighbours
from mclass.metrics.retrieval import (
    UndefinedQueriesWarning,
    mean_average_precision,
    multilabel_recall_at_k,
    ndcg_at_k,
    normalised_mutual_information,
    precision_at_k,
    r_precision,
    recall_among_tracks,
)
from mclass.metrics.songs import song_scores
from mclass.metrics.thresholds import choose_thresholds

__all__ = [
    "Comparison",
    "Interval",
    "UndefinedQueriesWarning",
    "UndefinedTagsWarning",
    "accuracy",
    "bootstrap",
    "choose_thresholds",
    "compare",
    "confusion",
    "decide",
    "f_beta",
    "mean_average_precision",
    "multilabel_recall_at_k",
    "ndcg_at_k",
    "nearest_neighbours",
    "normalised_mutual_information",
    "pr_auc",
    "pr_curve",
    "precision",
    "precision_at_k",
    "r_precision",
    "recall",
    "recall_among_tracks",
    "roc_auc",
    "roc_curve",
    "song_scores",
    "specificity",
    "tagwise",
    "undefined_tags",
    "validate",
]
