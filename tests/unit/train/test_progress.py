import pickle

from cfray.train.progress import StepProgress


def test_steps_are_counted_from_reports_and_those_that_come_again_once():
    callback = pickle.loads(pickle.dumps(StepProgress(100)))  # as it travels to the controller
    for step in (25, 50, 25, 50, 75):
        callback.after_report(None, [{"step": step}, {"step": step}], None)
    assert callback.progress.line().startswith("[train] 75/100 steps, ")
