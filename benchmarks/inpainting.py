"""Variants of a set through cfray's painter against the stock pipeline called once per variant, on the same weights.

    python benchmarks/inpainting.py [--variants 6] [--steps 4] [--size 128] [--sets 5] [--width 32] [--channels-last]

The weights are random, of the SDXL inpainting architecture (two text encoders, nine channels); only the two ways to call
them are compared. Each way runs in a process of its own, sets alternate between warm-up and measurement, and the ratio is
of the medians; by processor time it holds on a busy machine too. Peak memory is the process's own above what it held with
the model loaded.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoPipelineForInpainting
from PIL import Image

from cfray.concepts.appearance import load_appearances
from cfray.config import build_config
from cfray.generate.config import InpainterConfig
from cfray.generate.diffusion import load_pipeline
from cfray.generate.inpainting import VariantPainter, new_generator
from cfray.generate.people import balanced_attributes

REPOSITORY = Path(__file__).parents[1]
NEGATIVE = "blurred, deformed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=6)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--strength", type=float, default=0.99)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--sets", type=int, default=5)
    parser.add_argument("--width", type=int, default=32, help="channels of the UNet's first block")
    parser.add_argument("--channels-last", action="store_true", help="for cfray's painter; the stock pipeline stays as it is")
    parser.add_argument("--way", choices=["stock", "shared"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        run(arguments)
        return
    sys.path.insert(0, str(REPOSITORY))
    from tests.checkpoints import save_sdxl

    with tempfile.TemporaryDirectory() as folder:
        save_sdxl(Path(folder) / "model", inpainting=True, size=arguments.size, width=arguments.width)
        results = {}
        for way in ("stock", "shared"):
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--way", way, "--folder", folder], check=True)
            results[way] = json.loads((Path(folder) / f"{way}.json").read_text())
        pictures = [np.load(Path(folder) / f"{way}.npy") for way in ("stock", "shared")]
    print(f"variants {arguments.variants}, steps {arguments.steps}, {arguments.size} px, strength {arguments.strength}")
    print(f"largest difference of a pixel, of 1: {np.abs(pictures[0] - pictures[1]).max():.2e}")
    for way, result in results.items():
        print(
            f"{way}: {result['seconds']:.3f} s a set, {result['processor']:.3f} s of processor time, "
            f"peak {result['peak_mib']:.0f} MiB over the loaded model"
        )
    ratios = [results["stock"][clock] / results["shared"][clock] for clock in ("seconds", "processor")]
    print("throughput, shared to stock: {:.2f} by the wall clock, {:.2f} by processor time".format(*ratios))


def run(arguments: argparse.Namespace) -> None:
    config = build_config(
        InpainterConfig,
        {
            "model": f"{arguments.folder}/model", "size": arguments.size, "steps": arguments.steps,
            "strength": arguments.strength, "guidance_scale": 6.0, "negative_prompt": NEGATIVE,
            "channels_last": arguments.channels_last and arguments.way == "shared",
        },
    )  # fmt: skip
    pipeline = load_pipeline(AutoPipelineForInpainting, config)
    painter = VariantPainter(pipeline, config)
    appearances = load_appearances("appearance-world")
    held, seconds, processor, pictures = _memory(), [], [], []
    for index in range(arguments.sets + 1):
        rng = np.random.default_rng(index)
        picture = rng.integers(0, 256, (arguments.size, arguments.size, 3), dtype=np.uint8)
        mask = np.zeros(picture.shape[:2], bool)
        mask[arguments.size // 4 : -arguments.size // 4, arguments.size // 4 : -arguments.size // 4] = True
        people = balanced_attributes(appearances, ["gender", "skin_tone"], arguments.variants, rng)
        prompts = [f"a photo of {appearances.phrase(person)}, a doctor" for person in people]
        seeds = [100 * index + i for i in range(arguments.variants)]
        started, before = time.perf_counter(), time.process_time()
        way = _stock if arguments.way == "stock" else _shared
        pictures.append(way(pipeline, painter, config, picture, mask, prompts, seeds))
        seconds.append(time.perf_counter() - started)
        processor.append(time.process_time() - before)
    result = {
        "seconds": statistics.median(seconds[1:]), "processor": statistics.median(processor[1:]), "peak_mib": _memory() - held,
    }  # fmt: skip
    np.save(Path(arguments.folder) / f"{arguments.way}.npy", np.stack(pictures))
    (Path(arguments.folder) / f"{arguments.way}.json").write_text(json.dumps(result))


def _shared(pipeline, painter, config, picture, mask, prompts, seeds) -> np.ndarray:
    return np.stack([made for made, _ in painter.paint(picture, mask, prompts, seeds)])


@torch.inference_mode()
def _stock(pipeline, painter, config, picture, mask, prompts, seeds) -> np.ndarray:
    return np.stack(
        [
            pipeline(
                prompt=prompt, negative_prompt=NEGATIVE, image=Image.fromarray(picture), mask_image=Image.fromarray(mask),
                width=config.size, height=config.size, strength=config.strength, num_inference_steps=config.steps,
                guidance_scale=config.guidance_scale, generator=new_generator(seed), output_type="np",
            ).images[0]
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
    )  # fmt: skip


def _memory() -> float:
    """The most that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
