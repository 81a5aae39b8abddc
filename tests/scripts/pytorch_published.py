# SPDX-License-Identifier: MIT
"""State dicts under the published names: what becomes of them here.

    pytorch_published.py GOLDEN           golden models: their parameters, imported, give the recorded logits in float64; refusals
    pytorch_published.py --make FOLDER    writes made-up state dicts of the published sizes and a vocabulary for import_published.py
"""
import json
import pathlib
import random
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "python"))
from lotformer_torch_model import build, read_safetensors  # noqa: E402
from lotformer_torch_model.published import convert  # noqa: E402

WORDS = ["MIN", "MAX", "MED", "SM", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]


def published(dim, hidden, heads, head_dim, layers, words, places, classes, attention, features=1):
    """A state dict with the published names and shapes, its numbers at the scale of trained ones."""
    inner, state = heads * head_dim, {}

    def pair(name, *shape):
        state[name + ".weight"] = torch.randn(*shape) * (shape[-1] ** -0.5)
        state[name + ".bias"] = torch.randn(shape[0]) * 0.1

    state["model.embeddings.word_embeddings.weight"] = torch.randn(words, dim)
    state["model.embeddings.position_embeddings.weight"] = torch.randn(places, dim) * 0.5
    for i in range(layers):
        layer = f"model.transformer_{i}"
        for norm in ("norm1", "norm2"):
            state[f"{layer}.{norm}.weight"], state[f"{layer}.{norm}.bias"] = 1 + torch.randn(dim) * 0.1, torch.randn(dim) * 0.1
        for name in ("W_q", "W_k", "W_v"):
            pair(f"{layer}.mha.{name}", inner, dim)
        pair(f"{layer}.mha.ff", dim, inner)
        pair(f"{layer}.mlpblock.0", hidden, dim)
        pair(f"{layer}.mlpblock.3", dim, hidden)
        if attention == "lotformer":
            state[f"{layer}.mha.attn.core.ref"] = torch.randn(heads, 4, head_dim) * 0.2
        if attention == "performer":
            state[f"{layer}.mha.attn.attn_fn.projection_matrix"] = torch.randn(128, head_dim)
    state["model.norm.weight"], state["model.norm.bias"] = 1 + torch.randn(dim) * 0.1, torch.randn(dim) * 0.1
    pair("seq_classifer.mlpblock.0", hidden, dim * features)
    state["seq_classifer.mlpblock.0.weight"] *= 30  # short sequences are a small part of the padded length that pooling divides by
    pair("seq_classifer.mlpblock.2", classes, hidden)
    return state


def make(folder):
    torch.manual_seed(5)
    vocab = random.Random(5).sample(WORDS, len(WORDS))
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n")
    for attention in ("softmax", "performer", "lotformer"):
        state = published(64, 128, 2, 32, 2, 32, 2048, 10, attention)
        torch.save({"model_state_dict": {"module." + name: value for name, value in state.items()}}, folder / f"{attention}.model")
        rows = convert(state, "lotformer", "listops", vocab, attention="softmax")[0]["encoder.token.weight"]
        words = state["model.embeddings.word_embeddings.weight"]
        for ours, word in enumerate(["MIN", "MAX", "MED", "SM"] + [str(d) for d in range(10)], 1):  # tokens of ours without "]"
            assert torch.equal(rows[ours], words[1 + vocab.index(word)]), word
        assert torch.equal(rows[0], words[0]) and len(rows) == 16
    torch.save(published(64, 128, 2, 32, 2, 512, 4096, 2, "lotformer", 4), folder / "dual.model")


def golden_logits(folder, case):
    """Largest difference of the logits of one golden model."""
    given = case["hyperparameters"]
    tensors = read_safetensors(folder / case["file"])
    state = {name.removeprefix("param."): value for name, value in tensors.items() if name.startswith("param.")}
    task = "retrieval" if given["dual"] else "listops"
    if given["dual"]:  # its table is smaller than that of the task
        name = "model.embeddings.word_embeddings.weight"
        state[name] = torch.cat([state[name], torch.zeros(300, given["dim"], dtype=torch.float64)])
    found, config, _ = convert(state, "lotformer", task, "ours", attention="softmax", epsilon=given.get("eps"),
                               half_iterations=given.get("half_iterations"), dtype=torch.float64)
    sides = ["0", "1"] if given["dual"] else ["0"]
    ids = torch.stack([tensors["input_ids_" + side][0] for side in sides])
    lengths = torch.stack([tensors["mask_" + side][0].sum(1).long() for side in sides])
    return float((build(config, found)(ids, lengths) - tensors["logits"]).abs().max())


def refusal(state, **more):
    try:
        convert(state, "lotformer", **{"task": "listops", "vocab": "ours", **more})
    except ValueError as error:
        return str(error)
    return "accepted"


def check_refusals():
    state = published(8, 8, 2, 4, 1, 32, 16, 10, "lotformer")
    softmax = {name: value for name, value in state.items() if "core.ref" not in name}
    wanted = [(refusal(state, vocab=None), "--vocab"), (refusal(softmax), "--attention softmax"),
              (refusal({**state, "model.transformer_0.mha.attn.conv.weight": torch.zeros(1)}), "attn.conv.weight"),
              (refusal(state, task="retrieval", vocab=None), "257"), (refusal(state, vocab=["MIN", "MAX"]), "each once"),
              (refusal({name: v for name, v in state.items() if "norm2" not in name}), "norm2.weight")]
    return [f"refusal without {word!r}: {text}" for text, word in wanted if word not in text]


def main():
    if sys.argv[1] == "--make":
        return make(pathlib.Path(sys.argv[2]))
    folder, complaints, count = pathlib.Path(sys.argv[1]), check_refusals(), 0
    for case in json.loads((folder / "index.json").read_text())["cases"]:
        if case["module"] == "model":
            count += 1
            error = golden_logits(folder, case)
            if not error <= case["tolerance"]["f64_logits"]:
                complaints.append(f"{case['file']}: logits differ by {error:.2g}")
    if complaints or count < 4:
        sys.exit("\n".join(complaints + [f"{count} golden models"]))
    print(f"{count} golden models give their logits after the import")


main()
