"""Fetching data sets: downloads, and archives unpacked with care.

Taught in: 02_datasets.
"""
