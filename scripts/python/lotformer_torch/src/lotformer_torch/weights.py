# SPDX-License-Identifier: MIT
"""Weights of one layer out of a checkpoint of the framework."""
from .module import LOTFormerAttention

OPTIONS = ("mode", "epsilon", "tolerance", "eval_tolerance", "max_passes", "half_iterations", "pivot_init", "token_masses",
           "token_mass_spread", "marginals", "relaxation", "relaxation_learned", "free_keys", "qk_norm")
PARTS = ("qkv.", "attention.", "out.")


def layer_state(tensors, layer=0):
    """The state dict of a LOTFormerAttention out of {name: tensor} of a model.safetensors: `encoder.layer<layer>.` and its attention.

    ValueError where there is no such layer, or its attention is not LOTFormer.
    """
    prefix = f"encoder.layer{layer}."
    own = {name[len(prefix):]: value for name, value in tensors.items() if name.startswith(prefix)}
    own = {name: value for name, value in own.items() if name.startswith(PARTS)}
    if not own:
        raise ValueError(f"no tensor begins with {prefix!r}")
    if "attention.pivots" not in own:
        raise ValueError(f"{prefix}attention has no pivots: its attention is not LOTFormer")
    return own


def layer_from_checkpoint(tensors, config, layer=0):
    """A LOTFormerAttention with the options and weights of one layer, in evaluation mode, in the dtype of the weights.

    tensors: {name: tensor} of model.safetensors; config: state.json's "config" (its sections "model" and "model.attention" are looked at).
    """
    state, model = layer_state(tensors, layer), config.get("model", {})
    given = model.get("attention", {})
    if given.get("kind", "lotformer") != "lotformer":
        raise ValueError(f"model.attention.kind is {given['kind']!r}, not 'lotformer'")
    options = {name: given[name] for name in OPTIONS if name in given}
    heads, pivots, head_dim = state["attention.pivots"].shape
    # Merged pivots bring masses of their own, as a buffer, whatever the option says: loaded as masses that may be learned on.
    options["masses"] = "learned" if "attention.pivot_logits" in state else "uniform"
    module = LOTFormerAttention(state["qkv.weight"].shape[1], heads, pivots, head_dim=head_dim, bias="qkv.bias" in state, **options)
    module.to(state["qkv.weight"].dtype).load_state_dict(state, strict=True)
    return module.eval()
