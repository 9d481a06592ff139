"""Layers that several models share: blocks of convolutions, and attention.

Taught in: 04_supervised.
"""
