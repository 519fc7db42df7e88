"""A CLIP of colours, tiny images, and the real material where it is there."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from cfray.clip.model import ClipModel, load_clip
from cfray.evaluate.benchmark import Settings

COLOURS = {"red": (220, 10, 10), "green": (10, 220, 10), "blue": (10, 10, 220)}


class ColourModel(nn.Module):
    """An image is its mean colour; a text is the colours that it names, or three small numbers of its own."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))
        self.images_seen = 0

    def encode_image(self, images):
        self.images_seen += len(images)
        return images.mean(dim=(2, 3)) * self.gain

    def encode_text(self, ids):
        return ids.float() / 100 + 0.01


def tokenize(texts):
    rows = []
    for text in texts:
        named = [100 * (colour in text) for colour in COLOURS]
        rows.append(named if any(named) else [zlib.crc32(f"{text}{i}".encode()) % 50 for i in range(3)])
    return torch.tensor(rows)


@pytest.fixture
def clip():
    preprocess = transforms.Compose([transforms.Resize((8, 8)), transforms.ToTensor()])
    return ClipModel(ColourModel(), preprocess, tokenize, {})


@pytest.fixture
def settings(tmp_path):
    return Settings(cache=str(tmp_path / "cache"), bootstrap=20, floor_permutations=20, batch_size=2, decode_threads=2)


@pytest.fixture
def paint():
    """Writes a small image of one colour and returns its path."""

    def write(path, colour="red", size=(12, 10)):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, COLOURS[colour]).save(path, "PNG" if path.suffix == ".png" else "JPEG")
        return path

    return write


@pytest.fixture(scope="session")
def lit_clip(lit_folder):
    """The real-photo model, loaded as users load theirs."""
    return load_clip(lit_folder)
