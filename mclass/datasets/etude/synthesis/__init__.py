"""Sound from scores: the soundfont, and the voices and instruments that it plays badly."""
