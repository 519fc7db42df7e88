"""Files of embeddings: one Parquet file for each part of a gallery and each set of weights."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cfray import storage
from cfray.errors import UserError
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.images import Gallery

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Embedded:
    """Embeddings of the readable images of a gallery."""

    vectors: np.ndarray
    """(m, d) float32 of unit norm."""
    readable: np.ndarray
    """(n,) bool over the gallery, m of them true."""
    unreadable: dict[str, str]
    """Name and reason of each of the others."""


def weights_hash(state: State) -> str:
    """Sixteen hexadecimal digits of the names, types, shapes and values of weights, wherever they lie."""
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def describe(preprocess: Callable) -> str:
    """What a preprocessing does, the same in every process."""
    # Parts of torchvision's pipelines have no description of their own but their address.
    return re.sub(r" at 0x[0-9a-f]+", "", repr(preprocess))


def image_place(settings: Settings, weights: str, preprocess: Callable, part: Gallery) -> str:
    """The file of a part of a gallery. Its name changes with the weights, their precision, the preprocessing and the images."""
    digest = hashlib.blake2b(f"{describe(preprocess)}\n{part.fingerprint}".encode(), digest_size=8).hexdigest()
    precision = "" if settings.precision == "fp32" else f"-{settings.precision}"
    return storage.join(settings.cache, weights, f"{part.name}-{digest}{precision}.parquet")


def require_finite(names: Sequence[str], vectors: np.ndarray) -> np.ndarray:
    """The vectors (m, d) of m named items, checked: what is not finite is a model's fault and nothing to keep.

    Raises:
        UserError: if a vector is NaN or infinite.
    """
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if bad.size:
        raise UserError(
            f"{bad.size} of {len(vectors)} embeddings are NaN or infinite, first that of {names[bad[0]]!r}: the weights have "
            "diverged; train again with a lower learning rate"
        )
    return vectors


def save_embeddings(place: str, names: list[str], vectors: np.ndarray, unreadable: dict[str, str]) -> None:
    """Write vectors (m, d) of the readable ones of n items, and the reason of each of the others."""
    require_finite([name for name in names if name not in unreadable], vectors)
    rows = np.cumsum([name not in unreadable for name in names]) - 1
    indices = pa.array([None if name in unreadable else int(row) for name, row in zip(names, rows, strict=True)], pa.int64())
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), vectors.shape[1]).take(indices)
    errors = pa.array([unreadable.get(name) for name in names], pa.string())
    buffer = io.BytesIO()
    pq.write_table(pa.table({"name": names, "vector": column, "error": errors}), buffer)
    storage.write_bytes(place, buffer.getvalue())


def load_embeddings(place: str) -> Embedded:
    """Read what ``save_embeddings`` wrote."""
    table = pq.read_table(io.BytesIO(storage.read_bytes(place)))
    errors = dict(zip(table["name"].to_pylist(), table["error"].to_pylist(), strict=True))
    column = table["vector"].combine_chunks()
    size = column.type.list_size
    vectors = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    unreadable = {name: error for name, error in errors.items() if error is not None}
    return Embedded(vectors, ~column.is_null().to_numpy(zero_copy_only=False), unreadable)


def joined(parts: Sequence[Embedded]) -> Embedded:
    """The embeddings of a gallery from those of its parts, in order."""
    vectors = [part.vectors for part in parts if len(part.vectors)]
    return Embedded(
        np.concatenate(vectors) if vectors else parts[0].vectors,
        np.concatenate([part.readable for part in parts]),
        {name: error for part in parts for name, error in part.unreadable.items()},
    )
