"""What runs a task: optimizers and schedules, what is kept after each epoch, several processes, compilation.

Taught in: 04_supervised.
"""
