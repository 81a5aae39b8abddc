# SPDX-License-Identifier: MIT
"""Reads a run's event files with the real tensorboard package and compares them with its metrics.jsonl.

    tensorboard_reads.py RUN     exit code 1 and a sentence where they differ
"""
import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def leaves(value, tag, wanted):
    """Members of a line that `wanted` takes: (tag, value)."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from leaves(member, f"{tag}/{key}", wanted)
    elif wanted(value):
        yield tag, value


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_list(value):
    return isinstance(value, list) and len(value) > 0


def wanted(run, kind):
    """{tag: {step: value}} of metrics.jsonl."""
    tags = {}
    for text in (run / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        prefix = line["split"] + (f"_{line['checkpoint']}" if "checkpoint" in line else "")
        for key, value in line.items():
            if key not in ("step", "epoch", "examples"):
                for tag, leaf in leaves(value, f"{prefix}/{key}", kind):
                    tags.setdefault(tag, {})[line["step"]] = leaf
    return tags


def main():
    run = pathlib.Path(sys.argv[1])
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "histograms": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    complaints = []
    for tag, steps in wanted(run, is_number).items():
        found = {e.step: e.value for e in events.Scalars(tag)} if tag in tags["scalars"] else {}
        if found.keys() != steps.keys():
            complaints.append(f"{tag}: steps {sorted(found)} instead of {sorted(steps)}")
        elif any(abs(found[s] - steps[s]) > 1e-6 * max(1, abs(steps[s])) for s in steps):
            complaints.append(f"{tag}: other numbers")
    if not any("configuration" in tag for tag in tags["tensors"]):
        complaints.append("no text of the configuration")
    lists = wanted(run, is_list)
    if not lists:
        complaints.append("no list in metrics.jsonl, so none was looked for")
    for tag, steps in lists.items():
        found = {e.step: e.histogram_value for e in events.Histograms(tag)} if tag in tags["histograms"] else {}
        if found.keys() != steps.keys():
            complaints.append(f"{tag}: steps {sorted(found)} instead of {sorted(steps)}")
        elif any(found[s].num != len(steps[s]) or abs(found[s].max - max(steps[s])) > 1e-6 for s in steps):
            complaints.append(f"{tag}: other numbers")
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
