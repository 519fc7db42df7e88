"""Embeddings with a planted attribute, whose direction differs between the modalities, and a tiny CLIP."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import transforms

from cfray.clip.model import ClipModel
from cfray.debias.data import DebiasData
from tests.portraits import write_faces

DIM, NOUNS, TEMPLATES = 24, 40, 3


@dataclass
class Planted:
    """Data to fit on, and texts and images that the fit does not see: text i describes image i."""

    data: DebiasData
    neutral: torch.Tensor
    explicit: torch.Tensor
    images: torch.Tensor
    labels: torch.Tensor
    texts: torch.Tensor


def planted(n: int = 400, *, sets: int = 0, seed: int = 0) -> Planted:
    """Contents are random in 20 dimensions; the attribute is one direction of the rest in images, another in texts.

    Neutral texts lean on the attribute by chance, as professions do. With ``sets`` images come in sets of one content.
    """
    generator = torch.Generator().manual_seed(seed)

    def content(rows: int) -> torch.Tensor:
        values = torch.randn(rows, DIM, generator=generator)
        values[:, 20:] = 0
        return F.normalize(values, dim=1)

    axis = torch.eye(DIM)
    in_images, in_texts = axis[20], F.normalize(axis[20] + axis[21], dim=0)

    def images(contents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        noise = 0.05 * torch.randn(contents.shape, generator=generator)
        return 3 * (contents + 0.5 * (2.0 * labels[:, None] - 1) * in_images + noise)

    def leaning(rows: int) -> torch.Tensor:
        lean = 0.25 * torch.randn(rows, 1, generator=generator)
        return content(rows) + lean * in_texts + 0.3 * axis[22]

    def explicit(rows: int) -> torch.Tensor:
        own = 0.3 * content(rows)
        return torch.stack([own + sign * 0.8 * in_texts - 0.3 * axis[22] for sign in (-1.0, 1.0)])

    labels = torch.arange(n) % 2
    contents = content(n // 2).repeat_interleave(2, dim=0) if sets else content(n)
    held_out, held_out_labels = content(300), torch.arange(300) % 2
    pairs = content(NOUNS)
    captions = torch.stack([-0.8 * in_texts - 0.3 * axis[22], 0.8 * in_texts - 0.3 * axis[22]])
    data = DebiasData(
        weights="planted", images=images(contents, labels), labels={"gender": labels}, values={"gender": ("f", "m")},
        captions=captions, caption_of=labels, twins=torch.tensor([[1], [0]]), explicit={"gender": explicit(TEMPLATES)},
        pairs={"gender": torch.stack([pairs + s * 0.8 * in_texts - 0.3 * axis[22] for s in (-1.0, 1.0)])},
        neutral=leaning(NOUNS * TEMPLATES), contexts=torch.empty(0, DIM),
        others=torch.empty(0, DIM), sets=torch.arange(n) // 2 if sets else None,
    )  # fmt: skip
    return Planted(
        data, leaning(60), explicit(20), images(held_out, held_out_labels), held_out_labels, held_out + 0.3 * axis[22]
    )


@pytest.fixture
def truth() -> Planted:
    return planted()


@pytest.fixture
def truth_in_sets() -> Planted:
    return planted(sets=2)


class TinyModel(nn.Module):
    """An image is its mean colour, a text its three ids, both mapped to four dimensions."""

    def __init__(self, seed: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.visual = nn.Linear(3, 4)
        self.text = nn.Linear(3, 4)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))
        self.embedded = 0
        with torch.no_grad():
            for parameter in (*self.visual.parameters(), *self.text.parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def encode_image(self, images):
        self.embedded += len(images)
        return self.visual(images.mean(dim=(2, 3)))

    def encode_text(self, ids):
        self.embedded += len(ids)
        return self.text(ids.float())


def tokenize(texts):
    return torch.tensor([[len(text), sum(map(ord, text)) % 17, ord(text[0]) % 7] for text in texts])


@pytest.fixture
def tiny_clip() -> ClipModel:
    preprocess = transforms.Compose([transforms.Resize((8, 8)), transforms.ToTensor()])
    return ClipModel(TinyModel(), preprocess, tokenize, {})


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """A folder with 48 portraits of the world and ``labels.csv``."""
    return write_faces(tmp_path_factory.mktemp("faces"), 48, 7)
