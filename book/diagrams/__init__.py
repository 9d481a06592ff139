"""The book's diagrams, a module for each chapter; `python book/figures.py` draws them all."""
