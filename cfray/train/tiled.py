"""Log-sum-exp and softplus sums over similarities, tile by tile: the matrix of all similarities is never held.

The contrastive losses need two things of the N x M matrix ``scale * rows @ columns.T + bias``: a normaliser (log-sum-exp of
rows and columns, or a sum of softplus) and the values of the positives. The second is a matter of N + M vectors (see
``losses``); the first is computed here in O(tile^2) memory besides the features, forward as a running log-sum-exp, backward
by computing each tile once more (as FlashAttention does, arXiv 2205.14135; for contrastive losses arXiv 2410.17243).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def tiled_logsumexp(
    rows: torch.Tensor, columns: torch.Tensor, scale: torch.Tensor, *, tile: int, own: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """log sum_j exp(scale * rows_i . columns_j) for every row, and log sum_i of the same for every column.

    Args:
        rows: (n, d).
        columns: (m, d).
        scale: a scalar.
        tile: rows and columns of a tile.
        own: row i is column own + i itself and is left out of both sums; None if rows and columns are apart.

    Returns:
        (n,) and (m,), in the dtype of ``rows``. Exact: tiling changes the order of additions and nothing else.
    """
    return _LogSumExp.apply(rows, columns, scale, tile, own)


def tiled_softplus_sum(
    rows: torch.Tensor, columns: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor, *, tile: int
) -> torch.Tensor:
    """sum_ij log(1 + exp(scale * rows_i . columns_j + bias)), a scalar; arguments as in ``tiled_logsumexp``."""
    return _SoftplusSum.apply(rows, columns, scale, bias, tile)


def _tiles(n: int, m: int, tile: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, n, tile):
        for left in range(0, m, tile):
            yield slice(top, min(top + tile, n)), slice(left, min(left + tile, m))


def _logits(rows, columns, scale, i: slice, j: slice, own: int | None) -> torch.Tensor:
    logits = (scale * rows[i]) @ columns[j].T
    if own is not None:
        # Row r of the tile is itself in column r + i.start + own - j.start.
        offset = i.start + own - j.start
        if -len(logits) < offset < logits.shape[1]:
            logits.diagonal(offset).fill_(float("-inf"))
    return logits


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows, columns, scale, tile, own):
        of_row = rows.new_full((len(rows),), float("-inf"))
        of_column = columns.new_full((len(columns),), float("-inf"))
        for i, j in _tiles(len(rows), len(columns), tile):
            logits = _logits(rows, columns, scale, i, j, own)
            of_row[i] = torch.logaddexp(of_row[i], logits.logsumexp(dim=1))
            of_column[j] = torch.logaddexp(of_column[j], logits.logsumexp(dim=0))
        ctx.save_for_backward(rows, columns, scale, of_row, of_column)
        ctx.tile, ctx.own = tile, own
        return of_row, of_column

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_row, grad_column):
        rows, columns, scale, of_row, of_column = ctx.saved_tensors
        d_rows, d_columns, d_scale = torch.zeros_like(rows), torch.zeros_like(columns), torch.zeros_like(scale)
        # What gets no gradient costs no exponential: SupCon asks for the rows alone.
        by_row, by_column = bool(grad_row.any()), bool(grad_column.any())
        for i, j in _tiles(len(rows), len(columns), ctx.tile):
            logits = _logits(rows, columns, scale, i, j, ctx.own)
            d_logits = torch.zeros_like(logits)
            if by_row:
                d_logits += grad_row[i, None] * (logits - of_row[i, None]).exp_()
            if by_column:
                d_logits += grad_column[None, j] * (logits - of_column[None, j]).exp_()
            d_scale += _accumulate(d_logits, rows[i], columns[j], scale, d_rows[i], d_columns[j])
        return d_rows, d_columns, d_scale, None, None


class _SoftplusSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows, columns, scale, bias, tile):
        total = rows.new_zeros(())
        for i, j in _tiles(len(rows), len(columns), tile):
            total += F.softplus(_logits(rows, columns, scale, i, j, None) + bias).sum()
        ctx.save_for_backward(rows, columns, scale, bias)
        ctx.tile = tile
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        rows, columns, scale, bias = ctx.saved_tensors
        d_rows, d_columns = torch.zeros_like(rows), torch.zeros_like(columns)
        d_scale, d_bias = torch.zeros_like(scale), torch.zeros_like(bias)
        for i, j in _tiles(len(rows), len(columns), ctx.tile):
            d_logits = grad * torch.sigmoid(_logits(rows, columns, scale, i, j, None) + bias)
            d_scale += _accumulate(d_logits, rows[i], columns[j], scale, d_rows[i], d_columns[j])
            d_bias += d_logits.sum()
        return d_rows, d_columns, d_scale, d_bias, None


def _accumulate(d_logits, rows, columns, scale, d_rows, d_columns) -> torch.Tensor:
    """Add a tile's part to the gradients of rows and columns; returns its part of the gradient of the scale."""
    by_columns = d_logits @ columns
    d_rows.add_(scale * by_columns)
    d_columns.add_(scale * (d_logits.T @ rows))
    return (by_columns * rows).sum()
