# SPDX-License-Identifier: MIT
"""Examples from files, and the batches that lotformer-eval makes of them."""
import dataclasses
import json
import pathlib

import torch

LISTOPS = ["<pad>", "[MIN", "[MAX", "[MED", "[SM", "]", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
OWN_LENGTH = {"listops": 2000, "text": 4000, "retrieval": 4000}


@dataclasses.dataclass
class Example:
    row: int
    label: int
    sequences: list  # of ids, one or two


@dataclasses.dataclass
class Batch:
    """ids int64 [S, B, N], lengths int64 [S, B], positions int64 [S, B, N] or None: what the model takes."""
    examples: list
    ids: torch.Tensor
    lengths: torch.Tensor
    positions: torch.Tensor


def listops_ids(text, tokenizer):
    table = [token for token in LISTOPS if tokenizer != "alnum" or token != "]"]
    unknown = len(table)
    words = [word for word in text.split() if word not in ("(", ")") and (tokenizer != "alnum" or word != "]")]
    return [table.index(word) if word in table else unknown for word in words]


def from_columns(config, cells):
    """(label, sequences) of one line of a TSV of the task."""
    task, data = config["task"], config["data"]
    if task == "listops":
        return int(cells[1]), [listops_ids(cells[0].decode("latin-1"), data["tokenizer"])]
    if task == "retrieval":
        return int(float(cells[0])), [[byte + 1 for byte in text] for text in cells[3:5]]
    if data["tokenizer"] == "ids":
        return int(cells[0]), [[int(word) + 1 for word in text.split()] for text in cells[1:]]
    return int(cells[0]), [[byte + 1 for byte in text] for text in cells[1:]]


def read_tsv(path, config):
    data, task = config["data"], config["task"]
    # Other tokenisers number by frequencies of the training files: show --json has what they yield.
    known = {"listops": ("default", "alnum"), "retrieval": ("default",), "custom": ("default", "ids")}
    if data["tokenizer"] not in known.get(task, ()) or data["vocab"] != "default" or data["append_eos"]:
        raise ValueError(f"{path}: a .tsv is read for {', '.join(known)} with default tokens; of others give the lines of "
                         "'lotformer-data show --json' as a .jsonl file")
    limit = data["max_length"] or OWN_LENGTH.get(task, 16384)
    columns = {"listops": (2,), "retrieval": (5,), "custom": (2, 3)}[task]
    examples = []
    lines = pathlib.Path(path).read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if (task == "listops" and number == 1) or (line == b"" and number == len(lines)):  # header, behind the last line end
            continue
        cells = line.removesuffix(b"\r").split(b"\t")
        if len(cells) not in columns:
            raise ValueError(f"{path}:{number}: {len(cells)} columns, a line of {task} has {' or '.join(map(str, columns))}")
        try:
            label, sequences = from_columns(config, cells)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        examples.append(Example(len(examples), label, [ids[:limit] for ids in sequences]))
    return examples


def read_json_lines(path):
    examples = []
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        try:
            entry = json.loads(line)
            examples.append(Example(entry.get("row", len(examples)), entry.get("label", -1), [s["ids"] for s in entry["sequences"]]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}:{number}: is no line of 'lotformer-data show --json': {error!r}") from None
    return examples


def read_examples(path, config, sequences):
    """The examples of a .jsonl file (lines of lotformer-data show --json) or of a .tsv of listops, retrieval or custom."""
    examples = read_json_lines(path) if str(path).endswith((".json", ".jsonl")) else read_tsv(path, config)
    for example in examples:
        if len(example.sequences) != sequences or not all(example.sequences):
            raise ValueError(f"{path}: row {example.row} has {len(example.sequences)} sequences or an empty one, "
                             f"the model takes {sequences}")
    return examples


def ink_first(ids):
    """Places of the pixels that are not black, then of the black ones; a black image keeps its first pixel."""
    places = sorted(range(len(ids)), key=lambda place: ids[place] == 0)
    return [ids[p] for p in places], places, max(1, sum(1 for i in ids if i != 0))


def make_batch(examples, config):
    masked = config["data"]["mask_zero_pixels"]
    width = max(config["data"]["pad_to"], *(len(ids) for e in examples for ids in e.sequences))
    if masked and not config["data"]["pad_to"]:
        width = max(ink_first(ids)[2] for e in examples for ids in e.sequences)
    shape = (len(examples[0].sequences), len(examples), width)
    ids, lengths = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape[:2], dtype=torch.int64)
    positions = torch.arange(width).expand(shape).clone() if masked else None
    for b, example in enumerate(examples):
        for s, sequence in enumerate(example.sequences):
            places, length = None, len(sequence)
            if masked:
                sequence, places, length = ink_first(sequence)
                positions[s, b, :min(len(places), width)] = torch.tensor(places[:width])
            ids[s, b, :min(len(sequence), width)] = torch.tensor(sequence[:width])
            lengths[s, b] = length
    return Batch(examples, ids, lengths, positions)


def batches(examples, config):
    """Batches of eval.batch_size, the longest examples first, as lotformer-eval makes them unless eval.drop_last is set."""
    size, masked = config["eval"]["batch_size"], config["data"]["mask_zero_pixels"]
    if not config["eval"]["drop_last"]:
        examples = sorted(examples, key=lambda e: -(ink_first(e.sequences[0])[2] if masked else len(e.sequences[0])))
    for begin in range(0, len(examples), size):
        yield make_batch(examples[begin:begin + size], config)
