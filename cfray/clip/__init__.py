"""CLIP models: load, embed, blend, export. ``cfray.clip.load(uri, alpha=0.4)`` is the way in."""

from cfray.clip.release import load

__all__ = ["load"]
