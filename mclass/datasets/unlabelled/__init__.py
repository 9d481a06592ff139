"""Learning from clips without labels: label budgets, pools, and labels that cost nothing.

Taught in: 06_semi_supervised.
"""
