"""Price a recipe of jobs/generate.py before anything runs, and balance its actor pools over a cluster.

    python jobs/plan.py --config jobs/configs/professions-sdxl.yaml pricing.gpus=16 'pricing.seconds={base: 0.4, ...}'
    python jobs/plan.py --config jobs/configs/professions-sdxl.yaml pricing.gpus=16 pricing.measure_sets=4

The last line is what to add to the command line of jobs/generate.py. Only measure_sets needs a cluster.
"""

import ray

from cfray.generate.pricing import PlanConfig, price, recommended
from cfray.runs import run_job


def main(config: PlanConfig) -> str:
    seconds, stored = dict(config.pricing.seconds), None
    if config.pricing.measure_sets is not None:
        from cfray.generate.measuring import measure  # loads torch, which a price from given seconds does without

        with ray.init():
            measured, stored = measure(config, config.pricing.measure_sets)
        seconds = measured | seconds
    priced = price(config, seconds, stored)
    print(f"{priced['concepts']} concepts, {priced['sets']} sets, {priced['images']} pictures, {priced['storage_gb']:.1f} GB")
    print(f"{'stage':10} {'images':>10} {'s/image':>9} {'GPU-hours':>10} {'CPU-hours':>10}")
    for name, stage in priced["stages"].items():
        print("{:10} {images:>10} {seconds_per_image:>9.3f} {gpu_hours:>10.2f} {cpu_hours:>10.2f}".format(name, **stage))
    cost = "" if priced["cost"] is None else f", {priced['cost']:.2f} at {config.pricing.price_per_gpu_hour:g} per GPU-hour"
    print(f"{priced['gpu_hours']:.2f} GPU-hours in all{cost}")
    for schedule in priced["schedules"]:
        way = "one stage after the other" if schedule["stage_by_stage"] else "all stages at once"
        actors = ", ".join(f"{name} {count}" for name, count in schedule["actors"].items())
        print(f"{way}: {schedule['hours']:.2f} hours, {100 * schedule['efficiency']:.0f} % busy with actors {actors}")
    best = recommended(priced["schedules"])
    settings = [f"{name}.actors={count}" for name, count in best["actors"].items()]
    return " ".join([*settings, *(["stage_by_stage=true"] if best["stage_by_stage"] else [])])


if __name__ == "__main__":
    run_job(PlanConfig, __doc__, main)
