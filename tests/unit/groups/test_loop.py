"""Fitting in one process: on portraits with cached features, and on images in class folders."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from cfray.dataset.schema import KEPT, encode_png, set_schema
from cfray.dataset.store import write_part
from cfray.errors import UserError
from cfray.groups.augmentation import counterfactual_images
from cfray.groups.classifier import load_classifier
from cfray.groups.config import CounterfactualsConfig
from cfray.groups.inputs import Inputs
from cfray.world.people import GENDERS, sample_person
from cfray.world.scenes import professions, render_scene
from tests.portraits import METHODS, here, recipe


@pytest.fixture(scope="module")
def fitted(places, tmp_path_factory) -> tuple[dict, Path]:
    output = tmp_path_factory.mktemp("fit") / "run"
    return here(recipe(places, output)), output


def test_every_method_learns_and_keeps_its_best_epoch(fitted):
    results, _ = fitted
    assert set(results) == {"ERM-0", "CLIP groups-0", "penalty-0"}
    for run in results.values():
        losses = [row["selection_loss"] for row in run["curve"]]
        assert losses[-1] < losses[0]
        assert run["epoch"] == 1 + int(np.argmin(losses))
    assert len(results["ERM-0"]["predictions"]) == 48


def test_weights_move_to_the_cells_with_the_highest_loss(fitted):
    curve = fitted[0]["CLIP groups-0"]["curve"]
    first, last = np.array(curve[0]["weights"]), np.array(curve[-1]["weights"])
    hardest = np.nanargmax(np.nanmean([row["cell_losses"] for row in curve[:-1]], axis=0))
    assert first == pytest.approx(np.full(4, 0.25))
    assert last[hardest] > first[hardest]
    assert last.sum() == pytest.approx(1)


def test_true_groups_reach_no_training(fitted):
    inputs = Inputs.load(str(fitted[1] / "inputs.safetensors"))
    assert set(inputs.groups) == {"inferred"}


def test_oracle_and_random_groups_are_other_cells(places, tmp_path):
    columns = {"labels": places["train"], "class_column": "age", "group_column": "gender"}
    methods = [{"name": groups, "mode": "resample", "groups": groups} for groups in ("true", "random")]
    results = here(recipe(places, tmp_path / "run", oracle=True, train=columns, methods=methods))
    inputs = Inputs.load(str(tmp_path / "run/inputs.safetensors"))
    assert set(inputs.groups) == {"inferred", "true"}
    assert set(inputs.groups["true"]) == {"train", "validation"}
    assert results["true-0"]["curve"] != results["random-0"]["curve"]


def test_what_was_finished_is_not_fitted_again(places, tmp_path):
    results = here(recipe(places, tmp_path / "run", methods=METHODS[:2]), {"ERM-0": {"kept": True}})
    assert results["ERM-0"] == {"kept": True}
    assert set(results) == {"ERM-0", "CLIP groups-0"}
    assert not (tmp_path / "run/classifiers/erm-0").exists()


def test_the_classifier_is_there_to_be_used(fitted):
    results, output = fitted
    model, classes, backbone = load_classifier(str(output / "classifiers/clip-groups-0"))
    assert (classes, backbone.clip) == (["not old", "old"], "world:clip")
    with torch.no_grad():
        predicted = model(Inputs.load(str(output / "inputs.safetensors")).features["test"]).argmax(dim=1)
    assert predicted.tolist() == results["CLIP groups-0"]["predictions"]


def test_groups_need_no_prompts(places, tmp_path):
    groups = {"clip": "world:clip", "n_groups": 3}
    here(recipe(places, tmp_path / "run", groups=groups, methods=METHODS[1:2]))
    assert Inputs.load(str(tmp_path / "run/inputs.safetensors")).relevancy["inferred"]["train"].shape[1] == 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    """Class folders of scenes, most doctors women and most chefs men; and a table of the test's."""
    root, rng, table = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0), ["file,profession,gender"]
    for split, sizes in (("train", (8, 3)), ("test", (2, 2))):
        for name, order in (("doctor", ("feminine", "masculine")), ("chef", ("masculine", "feminine"))):
            (root / split / name).mkdir(parents=True)
            for gender, n in zip(order, sizes, strict=True):
                for i in range(n):
                    picture = render_scene(professions()[name].context, sample_person(rng, gender=gender), rng).picture
                    Image.fromarray(picture).save(root / split / name / f"{gender}-{i}.png")
                    table += [f"{name}/{gender}-{i}.png,{name},{gender}"] if split == "test" else []
    (root / "test.csv").write_text("\n".join(table))
    return {"train": str(root / "train"), "test": str(root / "test"), "table": str(root / "test.csv")}


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> str:
    """Six counterfactual sets of doctors and of chefs, rendered, each of a woman and a man."""
    place, rng, rows = tmp_path_factory.mktemp("sets"), np.random.default_rng(1), []
    for name in ("doctor", "chef"):
        for number in range(6):
            people = [sample_person(rng, gender=gender) for gender in GENDERS]
            pictures = [encode_png(render_scene(professions()[name].context, person, rng).picture) for person in people]
            rows.append({
                "set_id": f"{name}-{number}", "concept": name, "status": KEPT,
                "variants": [{"image": picture, "attributes": {"gender": person.gender}, "status": KEPT}
                             for picture, person in zip(pictures, people, strict=True)],
            })  # fmt: skip
    write_part(str(place), pa.Table.from_pylist(rows, schema=set_schema(["gender"])))
    return str(place)


@pytest.mark.parametrize(
    "backbone",
    [{"kind": "timm", "name": "resnet10t", "size": 32}, {"kind": "torchvision", "name": "squeezenet1_1", "size": 32},
     {"kind": "linear", "clip": "world:clip"}],
    ids=lambda backbone: backbone["kind"],
)  # fmt: skip
def test_images_in_folders_are_augmented_with_counterfactuals_of_their_concept(sets, folders, tmp_path, backbone):
    methods = [{"name": "both", "mode": "resample", "augment": ["standard", "counterfactuals"]}, {"name": "JTT", "mode": "jtt"}]
    test = {"images": folders["test"], "labels": folders["table"], "class_column": "profession", "group_column": "gender"}
    config = recipe(
        folders, tmp_path / "run", train={"images": folders["train"]}, test=test, backbone=backbone,
        counterfactuals={"data": sets}, methods=methods, positive=None, validation_share=0.3,
        fitting={"epochs": 1, "batch": 8, "views": 1, "jtt_epochs": 1},
    )  # fmt: skip
    results = here(config)
    assert len(results["both-0"]["predictions"]) == 8
    inputs = Inputs.load(str(tmp_path / "run/inputs.safetensors"))
    counterfactuals = inputs.extra_sources == 1
    assert counterfactuals.sum() == 24
    assert set(inputs.extra_labels[counterfactuals].tolist()) == {0, 1}
    assert set(inputs.extra_groups["inferred"][counterfactuals].tolist()) == {0, 1}


def test_counterfactuals_are_of_a_class_by_concept_or_by_axis(sets):
    renamed = CounterfactualsConfig(data=sets, classes={"physician": "doctor"})
    _, by_concept = counterfactual_images(renamed, ["chef", "physician"])
    assert np.bincount(by_concept).tolist() == [12, 12]
    _, by_axis = counterfactual_images(
        CounterfactualsConfig(data=sets, axis="gender", classes={"woman": "feminine", "man": "masculine"}), ["man", "woman"]
    )
    assert np.bincount(by_axis).tolist() == [12, 12]
    for config, message in (
        ({}, "class 'pilot' has no counterfactual in .* which shows chef, doctor"),
        ({"axis": "age"}, "counterfactuals.axis='age' is not in .*; it has gender"),
    ):
        with pytest.raises(UserError, match=message):
            counterfactual_images(CounterfactualsConfig(data=sets, **config), ["doctor", "pilot"])
