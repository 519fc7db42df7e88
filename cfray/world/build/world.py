"""Builds every model of the embedded world and writes each into its folder, in its library's own format."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from torch.nn import functional as F
from transformers import CLIPTokenizer

from cfray.world import corpora
from cfray.world.build.autoencoder import encode_pictures, train_autoencoder, train_decoder
from cfray.world.build.clip import pretrain_clip, write_clip_folder
from cfray.world.build.config import BuildWorldConfig
from cfray.world.build.loop import to_float
from cfray.world.build.parser import new_parser_processor, train_parser
from cfray.world.build.readers import new_reader_processor, train_reader
from cfray.world.build.text_to_image import Painter, new_pipeline, train_painter
from cfray.world.build.tokenizer import train_tokenizer
from cfray.world.people import GENDERS
from cfray.world.scenes import BODY_LABELS, professions

# Seeds of the training corpora; those that benchmarks hold out lie below 1000.
BIASED_SEED, SCENES_SEED, PORTRAITS_SEED = 1001, 2001, 3001
SCENES, PORTRAITS = 9600, 4800
TONES = [str(tone) for tone in range(1, 11)]


class WorldBuilder:
    """Trains each model once; ``work`` holds checkpoints and curves, so that a stopped build goes on where it was."""

    def __init__(self, config: BuildWorldConfig):
        self.config = config
        self.work, self.output = Path(config.work), Path(config.output)
        self.work.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(config.threads)
        print("[build_world] rendering", flush=True)
        self.scenes = corpora.people_in_scenes(SCENES, SCENES_SEED, captions_each=3)
        self.biased = corpora.biased_pairs(config.biased_pairs, BIASED_SEED)
        self.portraits = corpora.portraits(PORTRAITS, PORTRAITS_SEED)
        self.pictures = torch.from_numpy(self.scenes.pictures)
        self.tokenizer = self._tokenizer()

    def build(self) -> None:
        """Train and save all models that ``output`` does not hold yet."""
        self._build_text_to_image()
        self._build_parser()
        self._build_readers()
        self._build_clip()

    def _tokenizer(self) -> CLIPTokenizer:
        captions = [
            caption
            for rows in (self.scenes.captions, self.scenes.appearance_captions, self.biased.captions)
            for row in rows
            for caption in row
        ]
        return train_tokenizer(captions, self.work / "tokenizer")

    def _build_text_to_image(self) -> None:
        autoencoder = train_autoencoder(self.pictures, self.work, steps=self.config.autoencoder_steps)
        torch.manual_seed(12)
        painter = Painter(self.tokenizer)
        painter = self._train_on([self.scenes], "text-to-image", painter, autoencoder, self.config.text_to_image_steps)
        # Scenes first: they are the harder part, and portraits in the mix from the start would take a third of its steps.
        both = [self.scenes, self.portraits]
        painter = self._train_on(both, "text-to-image-portraits", painter, autoencoder, self.config.portrait_steps, lr=6e-4)
        # The encoder saw scenes alone; portraits come out in true colours once the decoder has seen them.
        pictures = torch.from_numpy(np.concatenate([pool.pictures for pool in both]))
        autoencoder = train_decoder(autoencoder, pictures, self.work, steps=self.config.decoder_steps)
        pipeline: StableDiffusionPipeline = new_pipeline(painter, autoencoder, self.tokenizer)
        self._save(
            "text-to-image", lambda folder: pipeline.to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
        )

    def _train_on(
        self, pools: list[corpora.Corpus], name: str, painter: Painter, vae: AutoencoderKL, steps: int, **settings: float
    ) -> Painter:
        """Train on the pictures of some corpora, each with its neutral captions and twice those that name who is in it."""
        pictures = torch.from_numpy(np.concatenate([pool.pictures for pool in pools]))
        latents = encode_pictures(vae, pictures) * vae.config.scaling_factor
        # A latent belongs to the body where any of its 4 x 4 pixels does.
        maps = np.concatenate([pool.label_maps for pool in pools])
        bodies = F.max_pool2d(torch.from_numpy(np.isin(maps, BODY_LABELS)).float(), 4) > 0
        captions = [
            neutral + named + named
            for pool in pools
            for neutral, named in zip(pool.captions, pool.appearance_captions, strict=True)
        ]
        return train_painter(name, painter, latents, bodies, captions, self.tokenizer, self.work, steps=steps, **settings)

    def _build_parser(self) -> None:
        pictures = torch.cat([self._as_painted(self.scenes), torch.from_numpy(self.portraits.pictures)])
        maps = torch.cat([torch.from_numpy(self.scenes.label_maps), torch.from_numpy(self.portraits.label_maps)])
        model = train_parser(pictures, maps, self.work, steps=self.config.parser_steps)
        self._save(
            "parser", lambda folder: (model.half().save_pretrained(folder), new_parser_processor().save_pretrained(folder))
        )

    def _build_readers(self) -> None:
        scenes = self._as_painted(self.scenes)
        people = torch.cat([scenes, self._as_painted(self.portraits)])
        labels = {axis: self.scenes.labels[axis] + self.portraits.labels[axis] for axis in ("tone", "gender")}
        tasks = {
            "skin-tone-reader": (people, [str(tone) for tone in labels["tone"]], TONES),
            "gender-reader": (people, labels["gender"], list(GENDERS)),
            "profession-classifier": (scenes, self.scenes.labels["profession"], list(professions())),
        }  # fmt: skip
        for name, (pictures, values, classes) in tasks.items():
            targets = torch.tensor([classes.index(value) for value in values])
            model = train_reader(name, pictures, targets, classes, self.work, steps=self.config.reader_steps)
            self._save(
                name,
                lambda folder, model=model: (
                    model.half().save_pretrained(folder),
                    new_reader_processor().save_pretrained(folder),
                ),
            )

    def _build_clip(self) -> None:
        captions = [row[0] for row in self.biased.captions]
        model = pretrain_clip(
            torch.from_numpy(self.biased.pictures), captions, self.tokenizer, self.work, steps=self.config.clip_steps
        )
        state = {key: value.half() if value.is_floating_point() else value for key, value in model.state_dict().items()}
        self._save("clip", lambda folder: write_clip_folder(folder, state, self.tokenizer))

    def _as_painted(self, corpus: corpora.Corpus) -> torch.Tensor:
        """The pictures, every other one as the autoencoder gives it back: readers and parser must also read painted ones."""
        folder = self.output / "text-to-image"
        autoencoder = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, use_safetensors=True).vae
        pictures = torch.from_numpy(corpus.pictures.copy())
        with torch.inference_mode():
            for start in range(0, len(pictures), 256):
                part = slice(start + 1, start + 256, 2)
                decoded = autoencoder(to_float(pictures[part])).sample.clamp(-1, 1)
                pictures[part] = ((decoded + 1) * 127.5).round().permute(0, 2, 3, 1).to(torch.uint8)
        return pictures

    def _save(self, name: str, save: Callable[[Path], object]) -> None:
        """Write a model's folder beside its place and move it there, so that a stopped build leaves no half of one."""
        partial = self.output / f".{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save(partial)
        shutil.rmtree(self.output / name, ignore_errors=True)
        partial.rename(self.output / name)
        print(f"[build_world] saved {self.output / name}", flush=True)
