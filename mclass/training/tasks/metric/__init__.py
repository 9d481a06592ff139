"""The parts of `mclass.training.MetricLearning`: where comparisons come from, how they are made and judged.

A `Strategy` says what is in a batch: triplets (`Drawn`, `Errors`, `Mined`) or clips with labels (`Labelled`).
`Comparison` gives triplets to the loss, `Notions` knows each tag's block of the embedding, and `Judge` scores the
validation clips.

Taught in: 08_metric_learning.
"""
