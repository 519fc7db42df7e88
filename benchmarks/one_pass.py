"""What it saves to embed images with many blends in one pass, and what bounds it.

    python benchmarks/one_pass.py --images FOLDER --count 64 --alphas 11 --megapixels 0

Embeds the first JPEG files of a folder with a randomly initialised ViT-B/32 and blends of it, once in one pass and once in a
pass for each alpha. One thread; times are of the processor, so that a busy machine does not change them. ``--megapixels``
enlarges the files first, to the size of photos as cameras make them.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import open_clip
import torch
from PIL import Image

from cfray.clip.blend import blend
from cfray.clip.embed import embed_images
from cfray.clip.model import ClipModel
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.images import Gallery, decode, list_images
from cfray.evaluate.one_pass import Weighted, embed_in_one_pass


def random_clip(architecture: str) -> ClipModel:
    """A CLIP of open_clip's architecture with random weights; speed does not depend on them."""
    model, _, preprocess = open_clip.create_model_and_transforms(architecture, pretrained=None)
    return ClipModel(model.eval(), preprocess, open_clip.get_tokenizer(architecture), {})


def blends(clip: ClipModel, count: int) -> list[Weighted]:
    """``count`` blends of the model and of noise added to it, from alpha 0 to 1."""
    base = {key: value.clone() for key, value in clip.model.state_dict().items()}
    noisy = {key: value + 1e-3 * torch.randn_like(value) if value.is_floating_point() else value for key, value in base.items()}
    return [Weighted(clip, partial(blend, base, noisy, i / max(1, count - 1))) for i in range(count)]


def enlarge(pictures: list[Path], megapixels: float, folder: Path) -> None:
    """Write the pictures as JPEG files of that many megapixels."""
    for path in pictures:
        image = Image.open(path).convert("RGB")
        scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        buffer = io.BytesIO()
        image.resize((round(image.width * scale), round(image.height * scale))).save(buffer, "JPEG", quality=90)
        (folder / path.name).write_bytes(buffer.getvalue())


def processor_time(run: Callable[[], object]) -> float:
    """Seconds of processor time, all threads together."""
    started = time.process_time()
    run()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--alphas", type=int, default=11)
    parser.add_argument("--megapixels", type=float, default=0, help="0 takes the files as they are")
    parser.add_argument("--architecture", default="ViT-B-32")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clip = random_clip(arguments.architecture)
    with tempfile.TemporaryDirectory() as scratch:
        files = list(islice(sorted(arguments.images.rglob("*.jpg")), arguments.count))
        if arguments.megapixels:
            (folder := Path(scratch, "images")).mkdir()
            enlarge(files, arguments.megapixels, folder)
            pictures = list(list_images(str(folder)).values())
        else:
            pictures = list(list_images(str(arguments.images)).values())[: arguments.count]
        gallery, n, k = Gallery("photos", tuple(pictures)), len(pictures), arguments.alphas
        inputs = torch.stack([clip.preprocess(decode(picture.read())) for picture in pictures[:8]])
        embed_images(clip, inputs)
        decoding = processor_time(lambda: [clip.preprocess(decode(picture.read())) for picture in pictures]) / n
        forward = processor_time(lambda: embed_images(clip, inputs)) / len(inputs)
        models = blends(clip, k)
        together = processor_time(lambda: embed_in_one_pass(models, gallery.parts(), Settings(cache=f"{scratch}/together")))
        alone = sum(
            processor_time(lambda model=model: embed_in_one_pass([model], gallery.parts(), Settings(cache=f"{scratch}/alone")))
            for model in models
        )
    print(f"{arguments.architecture}, {n} images, {k} alphas, one thread, processor time")
    print(f"per image: read, decode and prepare D = {1e3 * decoding:.1f} ms, forward F = {1e3 * forward:.1f} ms")
    print(f"one pass {together:.1f} s, {k} passes {alone:.1f} s: {alone / together:.2f} times")
    print(f"bound {k} (D + F) / (D + {k} F) = {k * (decoding + forward) / (decoding + k * forward):.2f}")
    print(f"4 times needs D > {3 * k / (k - 4):.1f} F")


if __name__ == "__main__":
    main()
