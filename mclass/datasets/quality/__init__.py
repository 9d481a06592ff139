"""What is wrong with a data set: faulty files, copies, leaks between its parts.

Taught in: 02_datasets.
"""
