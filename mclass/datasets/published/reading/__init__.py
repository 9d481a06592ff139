"""Audio, tables and labels as data sets were published.

Taught in: 02_datasets.
"""
