# SPDX-License-Identifier: MIT
"""Reads a run's event files with the real tensorboard package and compares them with its metrics.jsonl.

    tensorboard_reads.py RUN     exit code 1 and a sentence where they differ
"""
import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def numbers(value, tag):
    """Leaves of a line that are numbers: (tag, number)."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from numbers(member, f"{tag}/{key}")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield tag, value


def wanted(run):
    """{tag: {step: number}} of metrics.jsonl."""
    tags = {}
    for text in (run / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        prefix = line["split"] + (f"_{line['checkpoint']}" if "checkpoint" in line else "")
        for key, value in line.items():
            if key not in ("step", "epoch", "examples"):
                for tag, number in numbers(value, f"{prefix}/{key}"):
                    tags.setdefault(tag, {})[line["step"]] = number
    return tags


def main():
    run = pathlib.Path(sys.argv[1])
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "histograms": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    complaints = []
    for tag, steps in wanted(run).items():
        found = {e.step: e.value for e in events.Scalars(tag)} if tag in tags["scalars"] else {}
        if found.keys() != steps.keys():
            complaints.append(f"{tag}: steps {sorted(found)} instead of {sorted(steps)}")
        elif any(abs(found[s] - steps[s]) > 1e-6 * max(1, abs(steps[s])) for s in steps):
            complaints.append(f"{tag}: other numbers")
    if not any("configuration" in tag for tag in tags["tensors"]):
        complaints.append("no text of the configuration")
    masses = [tag for tag in tags["histograms"] if tag.startswith("pivot_masses/")]
    if not masses:
        complaints.append("no histogram of pivot masses")
    for tag in masses:
        histogram = events.Histograms(tag)[-1].histogram_value
        if sum(histogram.bucket) != histogram.num or histogram.num < 1:
            complaints.append(f"{tag}: buckets hold {sum(histogram.bucket)} of {histogram.num}")
    pictures = [tag for tag in tags["images"] if tag.startswith("query_plan/")]
    if not pictures or not events.Images(pictures[0])[-1].encoded_image_string.startswith(b"\x89PNG"):
        complaints.append("no pictures of plans")
    if complaints:
        sys.exit("\n".join(complaints))
    print(f"{len(tags['scalars'])} scalars, {len(masses)} histograms, {len(pictures)} pictures as metrics.jsonl has them")


main()
