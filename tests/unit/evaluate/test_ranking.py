import numpy as np

from cfray.evaluate.embedding_files import Embedded
from cfray.evaluate.ranking import rank_people
from cfray.metrics import similarity


def test_images_that_differ_in_the_last_bit_are_ranked_by_what_they_are(settings):
    # The second image is nearer to the query, by less than float32 can tell in a score.
    images = np.array([[0.6, np.nextafter(np.float32(0.8), np.float32(1))], [0.6, 0.8], [0, 1], [0, 1]], np.float32)
    query = np.array([[1, 0]], np.float32)
    scores = similarity(query, images)[0]
    assert scores[0] == scores[1]
    labels = {"gender": ["man", "woman", "man", "woman"], "age": ["old", None, "old", "young"]}
    summaries, results = rank_people(query, Embedded(images, np.ones(4, bool), {}), labels, [1], settings, "jobs")
    assert summaries["gender"]["groups"]["woman"]["top_share"] == {"1": 1.0}
    # An image without a label is left out of the rankings of that attribute only.
    assert {name: group["members"] for name, group in summaries["age"]["groups"].items()} == {"old": 2, "young": 1}
    assert [result.target for result in results["age"]] == ["uniform", "pool"]
