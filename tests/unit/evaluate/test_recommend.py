from cfray.evaluate.suite import recommend


def point(alpha, skew, **accuracy):
    summary = {
        "maxskew@10": {"uniform": {"value": skew}, "pool": {"value": 9.0}},
        "ndkl@10": {"uniform": {"value": 9.0}},
        "absent_groups": 0,
    }
    return {"alpha": alpha, "fairness": {"portraits": {"gender": summary}, "other": {}}, "accuracy": accuracy}


def test_least_skew_within_the_accuracy_allowed():
    points = [point(0, 0.9, a=0.80, b=0.5), point(0.5, 0.4, a=0.79, b=0.6), point(1, 0.1, a=0.78, b=0.6)]
    assert recommend(points, 0.01) == 0.5
    assert recommend(points, 0.02) == 1
    assert recommend(points, 0.0) == 0


def test_recall_on_captions_that_name_appearance_does_not_decide():
    points = [point(0, 0.9, a=0.8, **{"recall@5_appearance": 0.9}), point(1, 0.1, a=0.8, **{"recall@5_appearance": 0.2})]
    assert recommend(points, 0.01) == 1
