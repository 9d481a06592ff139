"""Paradigms of training, a Lightning module each: what a batch is, what is asked of the model, how it is scored.

Taught in: 04_supervised, 06_semi_supervised, 07_clmr, 08_metric_learning.
"""
