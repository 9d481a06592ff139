"""What is shown and heard: figures, players, pages, and the tables that the experiments measured.

Nothing else of the package imports it. Its modules have short names, which notebooks use: ``mclass.plot``,
``mclass.listen``, ``mclass.interactive``, ``mclass.widgets``, ``mclass.report`` and ``mclass.results`` (`tables`).

Taught in: 01_representations, 02_datasets, 03_evaluation.
"""
