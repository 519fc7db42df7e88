"""Peak memory and exactness of the tiled losses: ``python benchmarks/tiled_loss.py``.

Every measurement is a process of its own, which embeds nothing: random normalised features, one loss forward and backward, its
peak resident memory less what the process had before the loss. One line of a Markdown table each. ``--pictures`` sets N.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

import torch
from torch.nn import functional as F

from cfray.train.losses import clip_loss, counterfactual_loss
from cfray.train.tiled_losses import tiled_clip_loss, tiled_counterfactual_loss

WIDTH, PER_SET, SCALE = 512, 4, 100.0
LOSSES = ("CLIP, one image a caption", "CLIP, multi-positive", "SupCon")


def measure(loss: str, pictures: int, tile: int | None, queue) -> None:
    """Put value, gradient norm, MB above the features and their gradients, and seconds of processor time."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    texts_of = {LOSSES[0]: pictures, LOSSES[1]: pictures // PER_SET, LOSSES[2]: 0}[loss]
    images, texts = (F.normalize(torch.randn(n, WIDTH, generator=generator), dim=1) for n in (pictures, texts_of))
    leaves = [images.requires_grad_(), texts.requires_grad_()]
    for leaf in leaves:
        leaf.grad = torch.zeros_like(leaf)
    before, started = _peak_mb(), time.process_time()
    scale, captions = torch.tensor(SCALE), torch.arange(texts_of)
    if loss == LOSSES[2]:
        how = {"form": "supcon", "temperature": 1 / SCALE}
        value = (
            counterfactual_loss(images, PER_SET, **how)
            if tile is None
            else tiled_counterfactual_loss(images, PER_SET, tile=tile, **how)
        )
    else:
        value = (
            clip_loss(images, texts, captions, scale)
            if tile is None
            else tiled_clip_loss(images, texts, captions, scale, tile=tile)
        )
    value.backward()
    norms = torch.stack([leaf.grad.norm() for leaf in leaves])
    queue.put((value.item(), float(norms.norm()), _peak_mb() - before, time.process_time() - started))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, nargs="+", default=[4096, 8192, 65536])
    parser.add_argument("--tile", type=int, default=2048)
    parser.add_argument("--dense-up-to", type=int, default=8192, help="N from which the matrix is not tried")
    parser.add_argument("--losses", nargs="+", default=LOSSES)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    print("| loss | N | similarities | value | gradient norm | MB above the features | processor seconds |\n|" + " --- |" * 7)
    for loss in arguments.losses:
        for pictures in arguments.pictures:
            for tile in [None] * (pictures <= arguments.dense_up_to) + [arguments.tile]:
                queue = context.Queue()
                process = context.Process(target=measure, args=(loss, pictures, tile, queue))
                process.start()
                value, norm, peak, seconds = queue.get()
                process.join()
                how = "all at once" if tile is None else f"tiles of {tile:,}"
                print(f"| {loss} | {pictures:,} | {how} | {value:.6f} | {norm:.6e} | {peak:,.0f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
