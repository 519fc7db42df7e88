"""Captions by a language model: one prompt, one parser and one review, whatever runs the model."""
