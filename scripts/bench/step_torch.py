#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A training step of the same model in PyTorch, eager and compiled, beside `lotformer-bench step`: one JSON line each.

    scripts/bench/step_torch.py --data FILE.tsv [--attention published softmax] [--modes eager compiled] [--batch 32] [--rounds 5]
                                [--width 2048] [--device cpu] [--precision fp32]

FILE.tsv is a split of ListOps (Source<TAB>Target); the batch is its first rows, padded to --width as the published code pads. The model is the
encoder of configs/lra/listops.yaml under protocol=lotformer: 2 layers, width 64, 2 heads of 32, MLP 128, pre-norm, dropout 0.1, mean over all
tokens, head of two layers; AdamW and a clip of the gradient norm. `published`: LOTFormer as published, 50 half-iterations a side in float32 on 4
pivots, padding counted as tokens; `softmax`: scaled_dot_product_attention with the padding mask and dropout on the weights. Medians of rounds in
which every candidate takes its turn, after two steps of warm-up. For developers; needs torch.
"""
import argparse
import json
import pathlib
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from published_iteration import attention  # noqa: E402

VOCABULARY = {token: number for number, token in enumerate(["", "[MIN", "[MAX", "[MED", "[SM", "]", *"0123456789"])}
DIM, HEADS, HEAD_DIM, LAYERS, MLP, PIVOTS, CLASSES, DROPOUT = 64, 2, 32, 2, 128, 4, 10, 0.1
EPSILON, HALF_ITERATIONS = 0.1, 50


def read_batch(path, count, width, device):
    ids, lengths, labels = torch.zeros(count, width, dtype=torch.long), [], []
    with open(path, encoding="utf-8") as file:
        next(file)
        for row in range(count):
            source, target = next(file).rstrip("\n").split("\t")
            tokens = [VOCABULARY[word] for word in source.replace("(", " ").replace(")", " ").split()][:width]
            ids[row, :len(tokens)] = torch.tensor(tokens)
            lengths.append(len(tokens))
            labels.append(int(target))
    return ids.to(device), torch.tensor(lengths, device=device), torch.tensor(labels, device=device)


class Published(nn.Module):
    def __init__(self):
        super().__init__()
        self.pivots = nn.Parameter(torch.randn(HEADS, PIVOTS, HEAD_DIM) * 0.02)

    def forward(self, q, k, v, mask):
        return attention(q.float(), k.float(), v.float(), self.pivots, EPSILON, HALF_ITERATIONS)


class Softmax(nn.Module):
    def forward(self, q, k, v, mask):
        return F.scaled_dot_product_attention(q, k, v, mask, DROPOUT if self.training else 0.0)


class Layer(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.qkv, self.out = nn.Linear(DIM, 3 * HEADS * HEAD_DIM), nn.Linear(HEADS * HEAD_DIM, DIM)
        self.ff1, self.ff2 = nn.Linear(DIM, MLP), nn.Linear(MLP, DIM)
        self.attention = attention()

    def forward(self, x, mask):
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, tokens, 3, HEADS, HEAD_DIM).permute(2, 0, 3, 1, 4).unbind(0)
        attended = self.attention(q, k, v, mask).transpose(1, 2).reshape(batch, tokens, HEADS * HEAD_DIM)
        x = x + F.dropout(self.out(attended.to(x.dtype)), DROPOUT, self.training)
        hidden = F.dropout(F.gelu(self.ff1(self.norm2(x))), DROPOUT, self.training)
        return x + F.dropout(self.ff2(hidden), DROPOUT, self.training)


class Classifier(nn.Module):
    def __init__(self, attention, width):
        super().__init__()
        self.token, self.position = nn.Embedding(len(VOCABULARY), DIM), nn.Embedding(width, DIM)
        self.layers = nn.ModuleList(Layer(attention) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(DIM)
        self.head = nn.Sequential(nn.Linear(DIM, MLP), nn.ReLU(), nn.Linear(MLP, CLASSES))

    def forward(self, ids, lengths):
        tokens = ids.shape[1]
        real = torch.arange(tokens, device=ids.device) < lengths.unsqueeze(1)
        x = F.dropout(self.token(ids) + self.position.weight[:tokens], DROPOUT, self.training)
        for layer in self.layers:
            x = layer(x, real[:, None, None, :])
        pooled = (self.norm(x) * real.unsqueeze(-1)).sum(1) / tokens
        return self.head(pooled.float())


def make_step(attention, mode, options, batch):
    torch.manual_seed(0)
    ids, lengths, labels = batch
    model = Classifier({"published": Published, "softmax": Softmax}[attention], options.width).to(options.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    forward = torch.compile(model, dynamic=False) if mode == "compiled" else model
    autocast = torch.autocast(options.device, torch.bfloat16, enabled=options.precision == "bf16")

    def step():
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            loss = F.cross_entropy(forward(ids, lengths), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if options.device == "cuda":
            torch.cuda.synchronize()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--attention", nargs="+", default=["published", "softmax"], choices=["published", "softmax"])
    parser.add_argument("--modes", nargs="+", default=["eager", "compiled"], choices=["eager", "compiled"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    options = parser.parse_args()
    batch = read_batch(options.data, options.batch, options.width, options.device)
    steps = {(a, m): make_step(a, m, options, batch) for a in options.attention for m in options.modes}
    times = {name: [] for name in steps}
    for step in steps.values():
        step(), step()
    for _ in range(options.rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    for (attention, mode), seconds in times.items():
        print(json.dumps({"kind": "step_torch", "attention": attention, "mode": mode, "median_us": statistics.median(seconds) * 1e6,
                          "rounds": options.rounds, "batch": options.batch, "width": options.width, "real_tokens": int(batch[1].sum()),
                          "device": options.device, "precision": options.precision, "threads": torch.get_num_threads(), "torch": torch.__version__}),
              flush=True)


if __name__ == "__main__":
    main()
