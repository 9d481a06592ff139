"""Data sets on disk in forms of our own: caches, prepared arrays, and shards to stream from.

Taught in: 02_datasets.
"""
