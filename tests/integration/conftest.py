"""One Ray cluster and one small data set for all integration tests."""

from pathlib import Path

import pytest
import ray

from cfray.config import build_config
from cfray.generate.config import GenerateConfig

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cluster(s3_server):
    with pytest.MonkeyPatch.context() as environment:  # of the workers; tests that use S3 set their own
        for name, value in s3_server.environment.items():
            environment.setenv(name, value)
        environment.setenv("RAY_metrics_report_interval_ms", "1000")  # a test asks when Ray forgets a gauge
        ray.init(num_cpus=4, include_dashboard=False, object_store_memory=300 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()


def small_recipe(output: Path, **changes) -> GenerateConfig:
    """Four sets of two concepts with four variants each, painted in four steps."""
    painter = {"model": "world:text-to-image", "steps": 4, "num_cpus": 0.5}
    data = {
        "output": str(output),
        "concepts": {"file": "world-professions", "names": ["doctor", "chef"]},
        "appearances": {"file": "appearance-world", "variants": 4},
        "sets_per_concept": 4,
        "base": painter | {"batch_size": 2},
        "masks": {"model": "world:parser", "num_cpus": 0.5, "batch_size": 4, "min_area": 0.0, "max_area": 1.0},
        "inpaint": painter | {"batch_size": 2},
        "checks": {"min_variants": 2, "num_cpus": 0.2},
        "rows_per_file": 3,
    }
    return build_config(GenerateConfig, data | changes)


@pytest.fixture(scope="session")
def dataset(cluster, tmp_path_factory) -> str:
    """The place of a finished small data set."""
    from cfray.generate.pipeline import generate

    config = small_recipe(tmp_path_factory.mktemp("data") / "sets")
    generate(config)
    return config.output
