"""A sweep's rows and page on S3."""

from cfray import storage
from cfray.sweep.findings import conclude
from cfray.sweep.page import write_page
from cfray.sweep.store import Store, ended_trials
from tests.unit.sweep.example import fill_store


def test_rows_and_page_on_s3_are_those_on_a_disk(object_store, sweep_config, tmp_path):
    bucket = object_store.create_bucket("sweeps")
    config = sweep_config(output=f"{bucket}/sweep")
    there, here = Store(config.output), Store(str(tmp_path))
    fill_store(here)
    fill_store(there)
    rows = there.rows()
    assert rows.equals(here.rows()) and there.begun() == here.begun()
    assert len(ended_trials(rows, [0.0, 1.0])) == 7 and there.base() is None
    there.write_base({"alpha": 0.0})
    assert there.base() == {"alpha": 0.0}
    page = write_page(config, rows, conclude(config, rows), running=False)
    assert page == f"{bucket}/sweep/sweep.html" and b"export sweep=s3://sweeps/sweep" in storage.read_bytes(page)
