"""A small byte-pair tokenizer in CLIP's format, trained on the captions of the world."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

VOCABULARY = 640
CONTEXT = 56


def train_tokenizer(captions: list[str], folder: Path) -> CLIPTokenizer:
    """Train on ``captions``, save to ``folder`` and return the tokenizer.

    The end token has the highest id, as in CLIP: an open_clip text tower pools at the position of the highest id.
    """
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 2, end_of_word_suffix="</w>", initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = CLIPTokenizer().backend_tokenizer.pre_tokenizer
    bpe.train_from_iterator((caption.lower() for caption in captions), trainer)
    learned = json.loads(bpe.to_str())["model"]
    vocabulary = dict(learned["vocab"])
    # CLIP's vocabulary has every byte twice, alone and at the end of a word, so that any text can be written.
    for symbol in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary.setdefault(symbol + "</w>", len(vocabulary))
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[tuple(pair) for pair in learned["merges"]], model_max_length=CONTEXT)
    tokenizer.save_pretrained(folder)
    return tokenizer
