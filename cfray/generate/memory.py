"""What to do when a model call runs out of memory: half the images per call, and on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

T, R = TypeVar("T"), TypeVar("R")


class Calls:
    """Splits items over model calls of at most ``limit`` items; a call out of memory halves the limit for good.

    Args:
        limit: items per call at first; None: all that are given.
        what: the word for what is called, said when the limit falls.
    """

    def __init__(self, limit: int | None, what: str):
        self.limit = limit
        self._what = what

    def run(self, call: Callable[[list[T]], list[R]], items: list[T]) -> list[R]:
        """The results of ``call`` over all items, in their order.

        Raises:
            RuntimeError: whatever ``call`` raises that is not for want of memory, or if one item alone does not fit.
        """
        results: list[R] = []
        while len(results) < len(items):
            part = items[len(results) : len(results) + (self.limit or len(items))]
            made = self._attempt(call, part)
            if made is None:
                # Outside of the handler: while it runs, the traceback holds the tensors that did not fit.
                self.limit = len(part) // 2
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                print(f"[{self._what}] out of memory with {len(part)} images in a call; going on with {self.limit}", flush=True)
            else:
                results += made
        return results

    def _attempt(self, call: Callable[[list[T]], list[R]], part: list[T]) -> list[R] | None:
        try:
            return call(part)
        except RuntimeError as error:
            if is_out_of_memory(error) and len(part) > 1:
                return None
            raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is torch's want of memory, on a GPU or a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
