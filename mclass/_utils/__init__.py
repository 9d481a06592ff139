"""What any part of ``mclass`` and ``mclass_grading`` may use, and nobody else should rely on."""
