"""Which examples to learn from: triplets by tag, track or a tagger's errors, balanced batches.

Conventions
-----------
A triplet is (anchor, positive, negative): the positive is similar to the anchor, the negative is not. Triplets are
*indices*, of clips of a data set or of rows of a batch. With the distances d(a, p) and d(a, n), a triplet is

* *easy* if d(a, n) ≥ d(a, p) + margin: the triplet loss is zero, nothing is learned;
* *semi-hard* if d(a, p) < d(a, n) < d(a, p) + margin: in the right order, but too close (Schroff et al., 2015);
* *hard* if d(a, n) ≤ d(a, p): in the wrong order.

`mine` finds triplets of a kind in a batch; `tag_triplets`, `group_triplets` and `error_triplets` draw them from
a data set; `TagBalancedBatches` makes batches in which there is something to find. Where there are too few
examples, that is said: in an error, or in a warning that names what was left out.

Taught in: 08_metric_learning.
"""

from mclass.mining.balanced import TagBalancedBatches
from mclass.mining.batch import difficulty, mine, share_group, share_tag
from mclass.mining.sampling import error_table, error_triplets, group_triplets, tag_triplets
from mclass.mining.triplets import Difficulty, MiningWarning, Triplets

__all__ = [
    "Difficulty",
    "MiningWarning",
    "TagBalancedBatches",
    "Triplets",
    "difficulty",
    "error_table",
    "error_triplets",
    "group_triplets",
    "mine",
    "share_group",
    "share_tag",
    "tag_triplets",
]
