"""What is measured of each answer: one file a kind of metric, brought together in `scorers.py`."""
