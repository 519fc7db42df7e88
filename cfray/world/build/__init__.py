"""Trains the tiny models of the embedded world from rendered pictures and nothing else."""
