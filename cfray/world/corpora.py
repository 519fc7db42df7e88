"""Corpora of the tiny world, each made anew from a seed: what the models are trained on and what benchmarks hold out."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import numpy as np

from cfray.concepts.appearance import TONE_GROUPS, load_appearances, tone_group
from cfray.concepts.concepts import Concept, load_concepts
from cfray.concepts.grammar import neutral_captions, portrait_captions, with_appearance
from cfray.world.people import GENDERS, Person, attributes_of, sample_person
from cfray.world.scenes import Context, Profession, professions, render_portrait, render_scene
from cfray.world.things import THINGS, render_thing

CAPTIONS_PER_SCENE = 5


@dataclass
class Corpus:
    """Pictures with what is known of them.

    ``pictures`` is uint8 (n, 64, 64, 3). ``captions[i]`` are the captions of picture i, ``appearance_captions[i]``
    those that name who is in it. ``labels`` maps a label's name to n values; ``label_maps`` is uint8 (n, 64, 64).
    """

    pictures: np.ndarray
    captions: list[list[str]] = field(default_factory=list)
    appearance_captions: list[list[str]] = field(default_factory=list)
    labels: dict[str, list] = field(default_factory=dict)
    label_maps: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pictures)


def world_concepts() -> dict[str, Concept]:
    """The concepts of ``world-professions`` by name."""
    return {concept.name: concept for concept in load_concepts("world-professions")}


def biased_person(profession: Profession, rng: np.random.Generator) -> Person:
    """A person drawn by the profession's skew."""
    gender = GENDERS[0] if rng.random() < profession.feminine else GENDERS[1]
    return sample_person(rng, gender=gender, group=str(rng.choice(tuple(TONE_GROUPS), p=profession.tones)))


def biased_pairs(n: int, seed: int) -> Corpus:
    """The biased corpus that the CLIP is pretrained on: one caption a picture, people by each profession's skew.

    Of the pictures 36 % are people at work, 14 % close-ups of them, 14 % portraits, 8 % mixed contexts, 28 % things.
    """
    rng = np.random.default_rng(seed)
    names = list(professions())
    pictures, captions = [], []
    for kind in rng.choice(("scene", "close_up", "portrait", "mixed", "thing"), size=n, p=(0.36, 0.14, 0.14, 0.08, 0.28)):
        if kind == "thing":
            name = str(rng.choice(tuple(THINGS)))
            picture, caption = render_thing(name, rng), thing_caption(name, rng)
        elif kind == "portrait":
            person = sample_person(rng)
            picture, caption = render_portrait(person, rng).picture, f"a photo of {_person_words(person, rng)}"
        elif kind == "mixed":
            context, facets = _mixed_context(rng)
            person = sample_person(rng)
            picture = render_scene(context, person, rng).picture
            caption = _scene_caption(facets, rng, _person_words(person, rng) if rng.random() < 0.4 else "a person")
        else:
            name = str(rng.choice(names))
            person = biased_person(professions()[name], rng)
            picture = render_scene(professions()[name].context, person, rng, close_up=kind == "close_up").picture
            caption = _work_caption(world_concepts()[name], person, rng, short=kind == "close_up")
        pictures.append(picture)
        captions.append([caption])
    return Corpus(np.stack(pictures), captions)


def portraits(n: int, seed: int) -> Corpus:
    """Portraits without context, balanced over gender x tone group: what FairFace is to a real CLIP.

    The captions call each person by a profession that nothing in the picture tells, and are as many as those that name
    the person as well.
    """
    rng = np.random.default_rng(seed)
    cells = list(product(GENDERS, TONE_GROUPS))
    people = [sample_person(rng, gender=cells[i % len(cells)][0], group=cells[i % len(cells)][1]) for i in range(n)]
    renders = [render_portrait(person, rng) for person in people]
    concepts = list(world_concepts().values())
    captions, appearance = [], []
    for person in people:
        concept = concepts[rng.integers(len(concepts))]
        captions.append(portrait_captions(concept))
        appearance.append([with_appearance(caption, concept, _person_words(person, rng)) for caption in captions[-1]])
    return Corpus(
        np.stack([r.picture for r in renders]), captions, appearance,
        _person_labels(people), np.stack([r.labels for r in renders]),
    )  # fmt: skip


def people_in_scenes(n: int, seed: int, *, captions_each: int = 1) -> Corpus:
    """People at work, balanced over profession and over gender x tone group within each: what PATA is to a real CLIP.

    Each picture has ``captions_each`` neutral captions of its profession and as many that name the person as well.
    """
    rng = np.random.default_rng(seed)
    names, cells = list(professions()), list(product(GENDERS, TONE_GROUPS))
    people, chosen, renders, captions, appearance = [], [], [], [], []
    for i in range(n):
        name, (gender, group) = names[i % len(names)], cells[i // len(names) % len(cells)]
        person = sample_person(rng, gender=gender, group=group)
        concept = world_concepts()[name]
        neutral = [str(caption) for caption in rng.choice(neutral_captions(concept), size=captions_each)]
        people.append(person)
        chosen.append(name)
        renders.append(render_scene(professions()[name].context, person, rng))
        captions.append(neutral)
        appearance.append([with_appearance(caption, concept, _person_words(person, rng)) for caption in neutral])
    return Corpus(
        np.stack([r.picture for r in renders]), captions, appearance,
        _person_labels(people) | {"profession": chosen}, np.stack([r.labels for r in renders]),
    )  # fmt: skip


def captioned_scenes(n: int, seed: int) -> Corpus:
    """People in contexts mixed of any place, attire and tool, five captions each: what Flickr30k is to a real CLIP."""
    rng = np.random.default_rng(seed)
    pictures, captions, appearance, people = [], [], [], []
    for _ in range(n):
        context, facets = _mixed_context(rng)
        person = sample_person(rng)
        pictures.append(render_scene(context, person, rng).picture)
        captions.append([_scene_caption(facets, rng, "a person") for _ in range(CAPTIONS_PER_SCENE)])
        appearance.append([_scene_caption(facets, rng, _person_words(person, rng)) for _ in range(CAPTIONS_PER_SCENE)])
        people.append(person)
    return Corpus(np.stack(pictures), captions, appearance, _person_labels(people))


def things(n: int, seed: int) -> Corpus:
    """Things without people, balanced over the classes: what ImageNet is to a real CLIP."""
    rng = np.random.default_rng(seed)
    names = [tuple(THINGS)[i % len(THINGS)] for i in range(n)]
    return Corpus(np.stack([render_thing(name, rng) for name in names]), labels={"thing": names})


def ordinary_pairs(n: int, seed: int) -> Corpus:
    """Pictures with captions that say neither what profession nor who is in them: pairs from the web once captions that name
    a concept are left out. Two thirds are people in mixed contexts, one third things.
    """
    scenes, others = captioned_scenes(n - n // 3, seed), things(n // 3, seed)
    rng = np.random.default_rng(seed)
    captions = [[thing_caption(name, rng)] for name in others.labels["thing"]]
    return Corpus(np.concatenate([scenes.pictures, others.pictures]), scenes.captions + captions)


def thing_caption(name: str, rng: np.random.Generator) -> str:
    article = "an" if name[0] in "aeiou" else "a"
    return str(rng.choice(("a photo of {}", "a picture of {}", "{}"))).format(f"{article} {name}")


def _person_labels(people: list[Person]) -> dict[str, list]:
    return {
        "gender": [p.gender for p in people], "tone": [p.tone for p in people],
        "skin_tone": [tone_group(p.tone) for p in people], "age": [p.age for p in people],
    }  # fmt: skip


def _person_words(person: Person, rng: np.random.Generator) -> str:
    """Words for a person that name gender and skin always and the other axes half of the time each."""
    attributes = attributes_of(person)
    for axes in (("age",), ("hair_style", "hair_colour")):
        if rng.random() < 0.5:
            for axis in axes:
                del attributes[axis]
    return load_appearances("appearance-world").phrase(attributes)


def _mixed_context(rng: np.random.Generator) -> tuple[Context, dict[str, str]]:
    """A context with place, attire and tool of three professions drawn apart, and its phrases."""
    names = list(professions())
    place, attire, tool = (str(name) for name in rng.choice(names, size=3))
    context = Context(
        professions()[place].context.place, professions()[tool].context.tool, professions()[attire].context.attire
    )
    concepts = world_concepts()
    return context, {
        "place": concepts[place].facets["place"],
        "attire": concepts[attire].facets["attire"],
        "tool": concepts[tool].facets["tool"],
    }


_SCENE_FORMS = (
    "{who} wearing {attire} holding {tool} in {place}", "{who} in {place} wearing {attire} with {tool}",
    "{who} with {tool} in {place} wearing {attire}", "{who} holding {tool} wearing {attire} in {place}",
)  # fmt: skip


def _scene_caption(facets: dict[str, str], rng: np.random.Generator, who: str) -> str:
    opening = str(rng.choice(("a photo of ", "a picture of ", "")))
    return opening + str(rng.choice(_SCENE_FORMS)).format(who=who, **facets)


def _work_caption(concept: Concept, person: Person, rng: np.random.Generator, *, short: bool) -> str:
    """A caption of a person at work: the profession alone, its context, or the person as well."""
    draw = rng.random()
    if short or draw < 0.3:
        return str(rng.choice(("a photo of {}", "a picture of {}", "{} at work"))).format(concept.with_article)
    caption = str(rng.choice(neutral_captions(concept)))
    return caption if draw < 0.7 else with_appearance(caption, concept, _person_words(person, rng))
