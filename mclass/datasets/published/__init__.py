"""Published data sets, a file each; `cards` says what is in them and what is wrong with them.

What they share is in `reading` (audio, tables and labels as they were published) and `getting` (downloads).

Taught in: 02_datasets.
"""
