"""Throughput of image embedding beside CLIP_benchmark, with the same model and the same files.

    pip install --no-deps clip-benchmark==1.6.2
    python benchmarks/embedding_throughput.py --images FOLDER --count 256

FOLDER has class folders. CLIP_benchmark runs its own loop (``run_classification``) over its own DataLoader; cfray embeds the
same files into its cache. One thread for the model, the same number of threads or processes for decoding; times are of the
processor, worker processes included, so that a busy machine does not change them. The two take turns.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from clip_benchmark.metrics.zeroshot_classification import run_classification
from one_pass import random_clip
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder

from cfray.clip.model import ClipModel
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.images import Gallery, list_images
from cfray.evaluate.one_pass import Weighted, embed_in_one_pass

BATCH, WORKERS = 64, 2


def theirs(clip: ClipModel, folder: Path, count: int, amp: bool) -> None:
    """CLIP_benchmark's embedding of the first files, with what its command line sets."""
    files = Subset(ImageFolder(str(folder), transform=clip.preprocess), range(count))
    loader = DataLoader(files, batch_size=BATCH, shuffle=False, num_workers=WORKERS)
    run_classification(clip.model, torch.randn(clip.model.visual.output_dim, 2), loader, "cpu", amp=amp)


def ours(clip: ClipModel, folder: Path, count: int, precision: str) -> None:
    """cfray's embedding of the same files."""
    gallery = Gallery("photos", tuple(list_images(str(folder)).values())[:count])
    with tempfile.TemporaryDirectory() as cache:
        settings = Settings(cache=cache, batch_size=BATCH, decode_threads=WORKERS, precision=precision)
        embed_in_one_pass([Weighted(clip)], gallery.parts(), settings)


def processor_time(run: Callable[[], None]) -> float:
    """Seconds of processor time of this process, its threads and the processes it started and waited for."""

    def spent() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    started = spent()
    run()
    return spent() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clip = random_clip(arguments.architecture)
    runs = {
        "CLIP_benchmark, --amp (its default)": lambda: theirs(clip, arguments.images, arguments.count, amp=True),
        "CLIP_benchmark, --no_amp": lambda: theirs(clip, arguments.images, arguments.count, amp=False),
        "cfray, precision: bf16": lambda: ours(clip, arguments.images, arguments.count, "bf16"),
        "cfray": lambda: ours(clip, arguments.images, arguments.count, "fp32"),
    }
    times = {name: [] for name in runs}
    for _ in range(arguments.repeat):
        for name, run in runs.items():
            times[name].append(processor_time(run))
    per_image = {name: 1e3 * statistics.median(values) / arguments.count for name, values in times.items()}
    for name, milliseconds in per_image.items():
        against = {other: milliseconds / per_image[other] for other in ("cfray, precision: bf16", "cfray")}
        ratios = ", ".join(f"{ratio:.2f} times that of {other}" for other, ratio in against.items())
        print(f"{name}: {milliseconds:.1f} ms of processor time an image ({ratios})")


if __name__ == "__main__":
    main()
