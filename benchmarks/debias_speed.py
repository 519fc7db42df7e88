"""Steps per second of the published form's fit on random cached embeddings, and the matrix product that bounds it.

    python benchmarks/debias_speed.py --threads 2 --dtype bfloat16

On a machine that others use as well, the processor time says what the step costs and the wall time does not.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from cfray.debias.config import PublishedForm
from cfray.debias.data import DebiasData
from cfray.debias.joint_published import PublishedFit


def random_data(pairs: int, captions: int, dim: int) -> DebiasData:
    """Random embeddings of ``pairs`` images that share ``captions`` captions."""
    generator = torch.Generator().manual_seed(0)
    twins = (torch.arange(captions)[:, None] + torch.arange(1, captions)) % captions
    caption_of = torch.randint(captions, (pairs,), generator=generator)
    return DebiasData(
        weights="random", images=torch.randn(pairs, dim, generator=generator), labels={"attribute": caption_of % 2},
        values={"attribute": ("a", "b")}, captions=torch.randn(captions, dim, generator=generator), caption_of=caption_of,
        twins=twins, explicit={}, pairs={}, neutral=torch.empty(0, dim), contexts=torch.empty(0, dim),
        others=torch.empty(0, dim),
    )  # fmt: skip


def seconds(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Wall and processor seconds of one call, mean of ``repeats`` after one that does not count."""
    work()
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - wall) / repeats, (time.process_time() - processor) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=80_000)
    parser.add_argument("--captions", type=int, default=126, help="2 genders x 7 races x 9 ages")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--queue", type=int, default=65_536)
    parser.add_argument("--tile", type=int, default=4096)
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = PublishedForm(batch=arguments.batch, queue=arguments.queue, tile=arguments.tile, dtype=arguments.dtype)
    fit = PublishedFit(random_data(arguments.pairs, arguments.captions, arguments.dim), config)
    order = torch.randperm(arguments.pairs, generator=fit.generator)
    fit.queue.push(order[: arguments.queue])
    batches = iter(fit.batches() * (1 + arguments.steps))
    wall, processor = seconds(lambda: fit.step(next(batches), epoch=5), arguments.steps)
    # Queries of a step: the batch's biases, its captions and their twins debiased, and two targets per caption. Each is
    # multiplied with all keys twice, once for the scores and once for the mean.
    queries, keys = arguments.batch + 3 * min(arguments.captions, arguments.batch), min(arguments.pairs, arguments.queue)
    operations = 2 * 2 * queries * keys * arguments.dim
    dtype = getattr(torch, arguments.dtype)
    a, b = torch.randn(queries, arguments.dim).to(dtype), torch.randn(arguments.tile, arguments.dim).to(dtype)
    product = seconds(lambda: a @ b.T, 5)[1] * operations / (2 * queries * arguments.tile * arguments.dim)
    scores = torch.randn(queries, arguments.tile)
    exponentials = seconds(lambda: scores.exp(), 5)[1] * queries * keys / scores.numel()
    print(f"a step in {arguments.dtype} on {arguments.threads} threads: {wall:.2f} s wall, {processor:.2f} s of processor time")
    rate = operations / product / 1e9
    print(f"of it {operations / 1e9:.0f} Gflop of products with the keys: {product:.2f} s ({rate:.0f} Gflop/s)")
    print(f"and {queries * keys / 1e6:.0f} million exponentials: {exponentials:.2f} s")
    print(f"20 steps/s would take {20 * operations / 1e12:.1f} Tflop/s")
    print(f"without tiles the scores of a step would take {4 * queries * keys / 2**20:.0f} MiB, tiles take "
          f"{4 * queries * arguments.tile / 2**20:.0f} MiB")  # fmt: skip


if __name__ == "__main__":
    main()
