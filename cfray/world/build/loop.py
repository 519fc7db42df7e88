"""The training loop that every model of the world shares: cosine schedule, EMA, resume, a curve on disk."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

StepLoss = Callable[[int, torch.Generator], torch.Tensor]


def fit(
    name: str,
    model: nn.Module,
    step_loss: StepLoss,
    *,
    work: Path,
    steps: int,
    lr: float,
    warmup: int = 50,
    weight_decay: float = 0.01,
    ema_decay: float | None = None,
    save_seconds: float = 60.0,
) -> nn.Module:
    """Train ``model`` by AdamW and return it, or its exponential moving average where ``ema_decay`` is given.

    ``step_loss(step, generator)`` computes the loss of one step; the generator is seeded by the step, so that a run
    resumed from ``work/name.pt`` draws what the uninterrupted one would have drawn. The curve goes to
    ``work/name.jsonl``, a row every 20 steps.
    """
    state_file, curve_file = work / f"{name}.pt", work / f"{name}.jsonl"
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    average = copy.deepcopy(model).requires_grad_(False) if ema_decay else None
    first, spent = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if average is not None:
            average.load_state_dict(state["average"])
        first, spent = state["step"], state["seconds"]
    model.train()
    started = saved = time.monotonic()
    losses: list[float] = []
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
        loss = step_loss(step, torch.Generator().manual_seed(step))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if average is not None:
            # A short horizon at first, so that the average does not remember the initial weights.
            update_average(average, model, min(ema_decay, (step + 1) / (step + 10)))
        losses.append(loss.item())
        last = step + 1 == steps
        if (step + 1) % 20 == 0 or last:
            row = {"step": step + 1, "loss": sum(losses) / len(losses), "seconds": spent + time.monotonic() - started}
            losses.clear()
            with curve_file.open("a") as curve:
                curve.write(json.dumps(row) + "\n")
            print(f"{name} {row['step']}/{steps} loss {row['loss']:.4f} {row['seconds']:.0f} s", flush=True)
        if last or time.monotonic() - saved > save_seconds:
            saved = time.monotonic()
            state = {
                "model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1,
                "seconds": spent + saved - started,
            }  # fmt: skip
            if average is not None:
                state["average"] = average.state_dict()
            partial = state_file.with_suffix(".partial")
            torch.save(state, partial)
            partial.replace(state_file)
    return (average if average is not None else model).eval()


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the parameters of ``average`` towards those of ``model``; buffers are copied."""
    for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)
    for slow, fast in zip(average.buffers(), model.buffers(), strict=True):
        slow.copy_(fast)


def seconds_of(work: Path, name: str) -> float:
    """The seconds that the training of ``name`` took, from the last row of its curve."""
    return json.loads((work / f"{name}.jsonl").read_text().splitlines()[-1])["seconds"]


def mixed_precision() -> torch.autocast:
    """bfloat16 where the CPU multiplies it in hardware; emulated, it is tens of times slower than float32."""
    cpu = torch.cpu.get_capabilities()
    return torch.autocast("cpu", torch.bfloat16, enabled=cpu["amx_bf16"] or cpu["avx512_bf16"])


def draw(pool: torch.Tensor | int, count: int, generator: torch.Generator) -> torch.Tensor:
    """``count`` random indices into a pool, int64."""
    size = pool if isinstance(pool, int) else len(pool)
    return torch.randint(size, (count,), generator=generator)


def to_float(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 (n, 64, 64, 3) to float (n, 3, 64, 64) in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
