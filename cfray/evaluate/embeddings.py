"""Embeddings of galleries and texts: images decoded in batches, once for any number of weights, and kept in Parquet files."""

from __future__ import annotations

import hashlib
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cfray import storage
from cfray.clip.embed import embed_images, embed_texts
from cfray.clip.model import ClipModel
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.images import Gallery, Picture, UnreadableError, decode
from cfray.metrics import class_prototypes

# Batches prepared at once for all weights: loading weights costs about as much as embedding a few images.
BATCHES_PER_CHUNK = 4
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


class Encoder:
    """Embeds with the weights that ``clip`` has now, and looks up first what was embedded with them before.

    Args:
        clip: the model; its weights must not change while the encoder is used.
        settings: ``cache`` is the place of the Parquet files, one folder for each set of weights.
    """

    def __init__(self, clip: ClipModel, settings: Settings):
        self._clip, self._settings = clip, settings
        self._folder = storage.join(settings.cache, weights_hash(clip.model.state_dict()))

    def images(self, gallery: Gallery) -> Embedded:
        """Embeddings of a gallery. With a warm cache no image is read."""
        place = _image_place(self._folder, self._clip, gallery)
        if not storage.exists(place):
            embed_in_one_pass(self._clip, [self._clip.model.state_dict()], [gallery], self._settings)
        return _load(place)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """(n, d) float32 embeddings of unit norm."""
        return self._kept("texts", list(texts), lambda: self._embed(texts))

    def prototypes(self, prompts: Sequence[Sequence[str]]) -> np.ndarray:
        """(C, d) unit vectors, each the mean of the embeddings of one class's prompts (``class_prototypes``)."""

        def compute() -> np.ndarray:
            # Thousands of classes have too many prompts to hold their embeddings at once.
            return np.concatenate([class_prototypes([self._embed(row) for row in part]) for part in _parts(prompts, 64)])

        return self._kept("prototypes", [prompt for row in prompts for prompt in (*row, "")], compute)

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        return embed_texts(self._clip, list(texts), batch=self._settings.batch_size).numpy()

    def _kept(self, kind: str, texts: list[str], compute: Callable[[], np.ndarray]) -> np.ndarray:
        digest = hashlib.blake2b("\n".join(texts).encode(), digest_size=8)
        # Two tokenizers can go with the same weights; the ids of one text tell them apart.
        digest.update(self._clip.tokenize(texts[:1]).numpy().tobytes())
        place = storage.join(self._folder, f"{kind}-{digest.hexdigest()}.parquet")
        if not storage.exists(place):
            vectors = compute()
            _save(place, [str(row) for row in range(len(vectors))], vectors, {})
        return _load(place).vectors


def embed_in_one_pass(clip: ClipModel, states: Sequence[State], galleries: Sequence[Gallery], settings: Settings) -> None:
    """Embed galleries with several sets of weights, every image read and decoded once, and keep the results.

    What is in the cache already is not embedded again. The weights of ``clip`` are those of the last state afterwards.

    Args:
        clip: the model that all states belong to.
        states: state dicts, on any device; all of them are kept in memory by the caller.
        galleries: see ``Gallery``.
        settings: ``batch_size`` images go through the model at once; ``decode_threads`` prepare the next ones meanwhile.
    """
    _embed_once([(clip, state) for state in states], galleries, settings)


def embed_models_in_one_pass(clips: Sequence[ClipModel], galleries: Sequence[Gallery], settings: Settings) -> None:
    """``embed_in_one_pass`` for models of any architecture: decoded once for all, prepared once for each kind of input."""
    _embed_once([(clip, None) for clip in clips], galleries, settings)


def _embed_once(models: Sequence[tuple[ClipModel, State | None]], galleries: Sequence[Gallery], settings: Settings) -> None:
    """Embed with every (model, weights to load or None for those that it has)."""
    hashes = [weights_hash(clip.model.state_dict() if state is None else state) for clip, state in models]
    for gallery in galleries:
        places = {
            _image_place(storage.join(settings.cache, folder), clip, gallery): (clip, state)
            for folder, (clip, state) in zip(hashes, models, strict=True)
        }
        places = {place: model for place, model in places.items() if not storage.exists(place)}
        if not places:
            continue
        names = [picture.name for picture in gallery.pictures]
        unreadable: dict[str, str] = {}
        vectors: dict[str, list[np.ndarray]] = {place: [] for place in places}
        preprocesses = {_description(clip): clip.preprocess for clip, _ in places.values()}
        loaded = None
        for inputs, failed in _prepared(preprocesses, gallery.pictures, settings):
            unreadable |= failed
            for place, (clip, state) in places.items():
                batch = inputs[_description(clip)]
                if len(batch):
                    if state is not None and state is not loaded:
                        clip.model.load_state_dict(state)
                        loaded = state
                    vectors[place].append(embed_images(clip, batch, batch=settings.batch_size).numpy())
        for place, parts in vectors.items():
            _save(place, names, np.concatenate(parts) if parts else np.empty((0, 1), np.float32), unreadable)


def weights_hash(state: State) -> str:
    """Sixteen hexadecimal digits of the names, types, shapes and values of weights, wherever they lie."""
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _image_place(folder: str, clip: ClipModel, gallery: Gallery) -> str:
    digest = hashlib.blake2b(f"{_description(clip)}\n{gallery.fingerprint}".encode(), digest_size=8).hexdigest()
    return storage.join(folder, f"{gallery.name}-{digest}.parquet")


def _description(clip: ClipModel) -> str:
    """What the preprocessing does."""
    # Parts of torchvision's pipelines have no description of their own but their address, which differs in every process.
    return re.sub(r" at 0x[0-9a-f]+", "", repr(clip.preprocess))


def _prepared(
    preprocesses: Mapping[str, Callable], pictures: Sequence[Picture], settings: Settings
) -> Iterator[tuple[dict[str, torch.Tensor], dict[str, str]]]:
    """Chunks of model inputs (b, 3, H, W) in order, for each way to prepare them, and the pictures of each chunk that cannot
    be decoded."""

    def prepare(picture: Picture) -> dict[str, torch.Tensor] | UnreadableError:
        try:
            image = decode(picture.read(), picture.box)
        except UnreadableError as error:
            return error
        return {key: preprocess(image) for key, preprocess in preprocesses.items()}

    def collect(part: Sequence[Picture], futures: list) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
        results = [future.result() for future in futures]
        inputs = [result for result in results if not isinstance(result, UnreadableError)]
        failed = {p.name: str(result) for p, result in zip(part, results, strict=True) if isinstance(result, UnreadableError)}
        stacked = {key: torch.stack([row[key] for row in inputs]) if inputs else torch.empty(0) for key in preprocesses}
        return stacked, failed

    with ThreadPoolExecutor(settings.decode_threads) as pool:
        ahead: deque = deque()
        for part in _parts(pictures, settings.batch_size * BATCHES_PER_CHUNK):
            ahead.append((part, [pool.submit(prepare, picture) for picture in part]))
            if len(ahead) == 2:
                yield collect(*ahead.popleft())
        while ahead:
            yield collect(*ahead.popleft())


def _parts(items: Sequence, size: int) -> Iterator[Sequence]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _save(place: str, names: list[str], vectors: np.ndarray, unreadable: dict[str, str]) -> None:
    rows = np.cumsum([name not in unreadable for name in names]) - 1
    indices = pa.array([None if name in unreadable else int(row) for name, row in zip(names, rows, strict=True)], pa.int64())
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), vectors.shape[1]).take(indices)
    errors = pa.array([unreadable.get(name) for name in names], pa.string())
    buffer = io.BytesIO()
    pq.write_table(pa.table({"name": names, "vector": column, "error": errors}), buffer)
    storage.write_bytes(place, buffer.getvalue())


def _load(place: str) -> Embedded:
    table = pq.read_table(io.BytesIO(storage.read_bytes(place)))
    errors = dict(zip(table["name"].to_pylist(), table["error"].to_pylist(), strict=True))
    column = table["vector"].combine_chunks()
    size = column.type.list_size
    vectors = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    unreadable = {name: error for name, error in errors.items() if error is not None}
    return Embedded(vectors, ~column.is_null().to_numpy(zero_copy_only=False), unreadable)
