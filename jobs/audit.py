"""Audit a data set of counterfactual sets: who was asked for, who is there, diversity, and what concepts tell about people.

Needs actors x num_cpus CPUs (and actors x num_gpus GPUs). With webdataset.output=PLACE the kept sets are exported as well.
"""

import ray

from cfray import storage
from cfray.audit.config import AuditConfig
from cfray.audit.job import audit
from cfray.report.audit import audit_text
from cfray.runs import run_job


def main(config: AuditConfig) -> str:
    with ray.init():  # left before the result is printed, so that no worker's late line follows it
        result = audit(config)
    print(audit_text(result), end="")
    return storage.join(config.output, "audit.html")


if __name__ == "__main__":
    run_job(AuditConfig, __doc__, main)
