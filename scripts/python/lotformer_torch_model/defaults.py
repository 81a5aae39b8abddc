# SPDX-License-Identifier: MIT
"""Values of the keys that a recorded configuration leaves out: those of docs/config.md, as far as the model and its batches depend on them."""
DATA = {"max_length": 0, "pad_to": 0, "tokenizer": "default", "vocab": "default", "append_eos": False, "mask_zero_pixels": False,
        "input": "ids", "input_mean": 0.5, "input_std": 0.5}
MODEL = {"layers": 2, "dim": 64, "heads": 2, "head_dim": 0, "ff_dim": 128, "pooling": "mean", "end_positions": False}
EVAL = {"batch_size": 32, "drop_last": False}
ATTENTION = {
    "softmax": {"mode": "masked"},
    "performer": {"mode": "masked", "features": 128, "kernel": "softmax"},
    "sinkformer": {"mode": "truncated", "epsilon": 1.0, "half_iterations": 3, "eval_tolerance": 1e-6, "max_half_iterations": 200},
    "espformer": {"mode": "masked", "tau": 0.001, "inverse_temperature": 10.0, "slices": "axes", "slice_count": 0, "weights": "exact",
                  "weight_samples": 256, "hard": False},
    "lotformer": {"mode": "exact", "pivots": 32, "epsilon": 0.1, "half_iterations": 50, "eval_tolerance": 1e-6, "max_passes": 32,
                  "masses": "uniform", "token_masses": "uniform", "marginals": "both", "relaxation": "inf", "relaxation_learned": False,
                  "free_keys": "tokens", "qk_norm": "none"},
    "linear": {"floor": 1e-6},
    "causal_pivot": {"pivots": 32, "epsilon": 0.1},
    "mean": {},
    "none": {},
}


def completed(config):
    """The configuration with every key that the model and its batches look at."""
    given = config.get("model", {})
    attention = given.get("attention", {})
    kind = attention.get("kind", "lotformer")
    if kind not in ATTENTION:
        raise ValueError(f"model.attention.kind: {kind!r} is none of {', '.join(ATTENTION)}")
    model = {**MODEL, **given, "attention": {"kind": kind, **ATTENTION[kind], **attention}}
    model["head_dim"] = model["head_dim"] or model["dim"] // model["heads"]
    return {"task": "listops", **config, "data": {**DATA, **config.get("data", {})}, "model": model,
            "eval": {**EVAL, **config.get("eval", {})}}
