# SPDX-License-Identifier: MIT
"""lotformer_torch beside the framework, beside the plain-PyTorch model, and under torch's own tools.

    torch_operators.py --answers PROGRAM --work FOLDER [--checkpoint RUN] [--only NAME...]

PROGRAM is pivot_answers. Each check is a function below; exit code 1 and one sentence a complaint.
"""
import argparse
import copy
import pathlib
import subprocess
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "python"))
import lotformer_torch  # noqa: E402
from lotformer_torch import LOTFormerAttention, layer_from_checkpoint, lotformer_attention, truncated_attention  # noqa: E402
from lotformer_torch_model import read_checkpoint, read_safetensors, write_safetensors  # noqa: E402
from lotformer_torch_model.attention import build_attention  # noqa: E402
from lotformer_torch_model.defaults import completed  # noqa: E402
from lotformer_torch_model.model import Layer  # noqa: E402

B, H, N, D, R = 3, 2, 37, 8, 5
LENGTHS = torch.tensor([37, 11, 1])


def inputs(dtype=torch.float64, tokens=N, spread=1.0, seed=0):
    """q, k, v, pivots, masses, a gradient of the output"""
    generator = torch.Generator().manual_seed(seed)
    q, k, v, d = (torch.randn(B, H, tokens, D, generator=generator, dtype=torch.float64) for _ in range(4))
    z = torch.randn(H, R, D, generator=generator, dtype=torch.float64) * spread
    masses = torch.softmax(torch.randn(H, R, generator=generator, dtype=torch.float64), -1)
    return [x.to(dtype) for x in (q, k, v, z, masses, d)]


def token_masses(dtype, lengths, seed=5):
    logits = torch.randn(B, H, N, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    if lengths is not None:
        logits = logits.masked_fill((torch.arange(N) >= lengths.unsqueeze(1)).unsqueeze(1), -torch.inf)
    return torch.softmax(logits, -1)


def gradients(function, tensors, d_out):
    """(output, gradients of sum(output * d_out) with respect to the tensors)"""
    own = [x.detach().clone().requires_grad_() for x in tensors]
    out = function(*own)
    return out.detach(), torch.autograd.grad((out * d_out).sum(), own)


def same_as_framework(options):
    """Bit for bit, with one and with two threads: the operators in stock torch and those of the framework's own program."""
    cases = []
    for dtype in (torch.float32, torch.float64):
        for mode in ("exact", "truncated", "reference"):
            cases.append((mode, dtype, {}))
        cases += [("exact", dtype, {"lengths": LENGTHS}), ("truncated", dtype, {"lengths": LENGTHS}),
                  ("exact", dtype, {"lengths": LENGTHS, "kappa": torch.tensor([[0, 0.5], [torch.inf, 2.0]], dtype=dtype)}),
                  ("exact", dtype, {"query_masses": token_masses(dtype, None), "key_masses": token_masses(dtype, None, 6)})]
    for number, (mode, dtype, more) in enumerate(cases):
        q, k, v, z, masses, d_out = inputs(dtype, spread=0.7)
        if mode == "truncated":
            masses = masses.log()
        numbers = {"epsilon": 0.3, "tolerance": 1e-5, "max_passes": 32, "half_iterations": 7}
        threads = 1 + number % 2
        torch.set_num_threads(threads)
        call, answer = options.work / "call.safetensors", options.work / "answer.safetensors"
        write_safetensors(call, {"q": q, "k": k, "v": v, "pivots": z, "masses": masses, "d_out": d_out, **more},
                          {"mode": mode, "threads": str(threads), **{name: str(value) for name, value in numbers.items()}})
        subprocess.run([options.answers, call, answer], check=True)
        wanted = read_safetensors(answer)
        lengths, names = more.get("lengths"), ["q", "k", "v", "pivots"] + (["masses"] if mode != "reference" else [])
        weights = [name for name in ("query_masses", "key_masses") if name in more]

        def run(*own):
            given = dict(zip(names + weights, own))
            if mode == "exact":
                return lotformer_attention(*own[:5], lengths=lengths, epsilon=0.3, tolerance=1e-5, kappa=more.get("kappa"),
                                           **{name: given[name] for name in weights})
            return truncated_attention(*own[:4], given.get("masses"), lengths=lengths, epsilon=0.3, half_iterations=7, reference=mode == "reference")

        tensors = [q, k, v, z] + ([masses] if mode != "reference" else []) + [more[name] for name in weights]
        out, found = gradients(run, tensors, d_out)
        assert torch.equal(out, wanted["out"]), f"case {number} {mode} {dtype}: output differs by {(out - wanted['out']).abs().max():.1e}"
        for name, own in zip(names + weights, found):
            assert torch.equal(own, wanted["d_" + name]), f"case {number} {mode} {dtype}: gradient of {name} differs by {(own - wanted['d_' + name]).abs().max():.1e}"
    torch.set_num_threads(1)
    return f"{len(cases)} calls: outputs and gradients are those of the framework bit for bit"


def gradcheck(options):
    """Finite differences in float64, with masses as softmaxes, because their gradient is defined up to a constant."""
    q, k, v, z, _, _ = (x[:, :, :6] if x.dim() == 4 else x for x in inputs(spread=0.7))
    logits, weights = torch.randn(H, R, dtype=torch.float64), torch.randn(2, B, H, 6, dtype=torch.float64)
    kappa, lengths = torch.tensor([[0.3, 1.0], [0.5, 2.0]], dtype=torch.float64), torch.tensor([6, 4, 1])
    real = (torch.arange(6) < lengths.unsqueeze(1)).unsqueeze(1)

    def exact(q, k, v, z, logits):
        return lotformer_attention(q, k, v, z, torch.softmax(logits, -1), lengths=lengths, epsilon=0.4, tolerance=1e-13, max_passes=200)

    def weighted(q, k, z, logits, weights, kappa):
        a, b = torch.softmax(weights.masked_fill(~real, -torch.inf), -1)
        return lotformer_attention(q, k, v, z, torch.softmax(logits, -1), lengths=lengths, epsilon=0.4, tolerance=1e-13, max_passes=200,
                                   kappa=kappa, query_masses=a, key_masses=b)

    def truncated(q, k, v, z, logits):
        return truncated_attention(q, k, v, z, torch.log_softmax(logits, -1), lengths=lengths, epsilon=0.4, half_iterations=5)

    def check(function, *tensors):
        assert torch.autograd.gradcheck(function, [x.clone().requires_grad_() for x in tensors], eps=1e-6, atol=1e-6, rtol=1e-5)

    check(exact, q, k, v, z, logits)
    check(weighted, q, k, z, logits, weights, kappa)
    check(truncated, q, k, v, z, logits)
    return "exact, exact with token masses and penalties, truncated"


def operator_checks(options):
    """torch.library.opcheck: schema, autograd registration, fake tensors, ahead-of-time dispatch with dynamic shapes."""
    q, k, v, z, masses, _ = inputs()
    for x in (q, k, v, z, masses):
        x.requires_grad_()
    operators = torch.ops.lotformer
    torch.library.opcheck(operators.pivot_exact.default, (q, k, v, z, masses, None, LENGTHS, None, None, 0.3, 1e-9, 50, True))
    torch.library.opcheck(operators.pivot_truncated.default, (q, k, v, z, masses.detach().log().requires_grad_(), LENGTHS, 0.3, 4, False))
    return "pivot_exact, pivot_truncated"


def meta(options):
    """Shapes, types and strides without numbers."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    q, k, v, z, masses, _ = inputs(torch.float32)
    real = lotformer_attention(q, k, v, z, masses, report=True)
    on_meta = lotformer_attention(*(x.to("meta") for x in (q, k, v, z, masses)), report=True)
    with FakeTensorMode() as mode:
        fake = lotformer_attention(*(mode.from_tensor(x) for x in (q, k, v, z, masses)), report=True)
    for other in (on_meta, fake):
        for mine, wanted in ((other[0], real[0]), *zip(other[1], real[1])):
            assert (mine.shape, mine.dtype, mine.stride()) == (wanted.shape, wanted.dtype, wanted.stride())
    return f"{list(real[0].shape)} with strides {list(real[0].stride())}"


def compiled(options):
    """torch.compile(fullgraph=True) gives what eager gives, forward and backward, also for another length of the sequences."""
    worst = 0
    for backend in ("aot_eager", "inductor"):
        for dynamic in (False, True):
            torch._dynamo.reset()
            torch.manual_seed(0)
            layer = LOTFormerAttention(16, H, R, token_masses="uniform/learned", relaxation="inf/2", pivot_init="unit_score")
            fast = torch.compile(copy.deepcopy(layer), backend=backend, fullgraph=True, dynamic=dynamic)
            for tokens in (N, N + 4) if dynamic else (N,):
                x, lengths = torch.randn(B, tokens, 16), torch.tensor([tokens, 9, 2])
                results = []
                for module in (layer, fast):
                    own = x.clone().requires_grad_()
                    out = module(own, lengths)
                    module.zero_grad()
                    out.square().mean().backward()
                    results.append([out, own.grad, *(p.grad for p in module.parameters())])
                for mine, wanted in zip(*results):
                    difference = (mine - wanted).abs().max() / wanted.abs().max().clamp_min(1e-30)
                    worst = max(worst, float(difference))
    assert worst <= 2e-5, f"compiled results differ by {worst:.1e} of the largest"
    return f"aot_eager and inductor, fixed and dynamic shapes: within {worst:.1e} of the largest entry"


def autocast(options):
    """bf16 tokens: transport stays float32; the result is that of the same numbers in float32, rounded."""
    q, k, v, z, masses, _ = inputs(torch.bfloat16)
    z, masses = z.float(), torch.full((H, R), 1 / R)
    wanted = lotformer_attention(q.float(), k.float(), v.float(), z, masses).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = lotformer_attention(q, k, v, z, masses)
        raw = torch.ops.lotformer.pivot_exact(q, k, v, z, masses, None, None, None, None, 0.1, 1e-4, 32, False)[0]
    assert found.dtype == torch.bfloat16 and torch.equal(found, wanted) and torch.equal(raw.bfloat16(), wanted)
    layer, x = LOTFormerAttention(16, H, R), torch.randn(B, N, 16)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x, LENGTHS)
    difference = float((y.float() - layer(x, LENGTHS)).detach().abs().max())
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16 and difference < 0.03 and all(torch.isfinite(p.grad).all() for p in layer.parameters()), difference
    return f"a layer under autocast differs by {difference:.1e}"


def padding(options):
    """What stands in padding reaches no bit of the output or of a gradient, and a padded sequence is the short one."""
    q, k, v, z, masses, d_out = inputs()
    spoilt = [x.clone() for x in (q, k, v)]
    for x in spoilt:
        for b, n in enumerate(LENGTHS):
            x[b, :, n:] = torch.nan
    run = lambda *own: lotformer_attention(*own, lengths=LENGTHS, tolerance=1e-9)  # noqa: E731
    clean, dirty = gradients(run, [q, k, v, z, masses], d_out), gradients(run, [*spoilt, z, masses], d_out)
    for mine, wanted in ((dirty[0], clean[0]), *zip(dirty[1], clean[1])):
        assert torch.equal(mine, wanted), "padding has an influence"
    n = int(LENGTHS[1])
    alone = lotformer_attention(q[1:2, :, :n], k[1:2, :, :n], v[1:2, :, :n], z, masses, tolerance=1e-9)
    assert torch.allclose(clean[0][1:2, :, :n], alone, rtol=0, atol=1e-8) and not clean[0][1, :, n:].any()
    ones = lotformer_attention(q, k, torch.ones_like(v), z, masses, lengths=LENGTHS)
    assert torch.allclose(ones.sum((1, 2, 3)), (LENGTHS * H * D).double()), "rows of the map do not sum to 1"
    return "NaN in padding changes nothing"


def refusals(options):
    """Wrong calls are ValueError and TypeError of Python, not crashes."""
    q, k, v, z, masses, _ = inputs(torch.float32)
    wrong = [lambda: lotformer_attention(q, k[:, :, :3], v, z, masses), lambda: lotformer_attention(q, k, v, z[:, :, :3], masses),
             lambda: lotformer_attention(q, k, v, z, masses, lengths=torch.tensor([1, 2, N + 1])),
             lambda: lotformer_attention(q, k, v, z, masses, max_passes=0), lambda: LOTFormerAttention(10, 3),
             lambda: LOTFormerAttention(16, 2, mode="exakt"), lambda: LOTFormerAttention(16, 2, marginals="query"),
             lambda: layer_from_checkpoint({"encoder.layer0.qkv.weight": z}, {})]
    for number, call in enumerate(wrong):
        try:
            call()
        except (ValueError, TypeError) as error:
            assert str(error)
        else:
            raise AssertionError(f"wrong call {number} was taken")
    return f"{len(wrong)} wrong calls"


def plain_layer(config, state):
    """The framework's encoder layer in plain PyTorch, float64, which pytorch_model.sh holds against lotformer-eval."""
    attention = build_attention(completed(config)["model"]["attention"], {name[10:]: x.double() for name, x in state.items() if name.startswith("attention.")})
    heads, _, head_dim = state["attention.pivots"].shape
    layer = Layer(state["out.weight"].shape[0], heads * head_dim, 8, heads, attention).double()
    layer.load_state_dict({name: x.double() for name, x in state.items()}, strict=False)
    return layer


def plain_attention(layer, x, mask):
    batch, tokens, _ = x.shape
    qkv = layer.qkv(x).reshape(batch, tokens, 3, layer.heads, -1).permute(2, 0, 3, 1, 4)
    return layer.out(layer.attention(*qkv, mask).transpose(1, 2).reshape(batch, tokens, -1))


def state_dicts(options):
    """Options and weights of a layer, by the names of a checkpoint, give what the plain model gives."""
    variants = [{}, {"masses": "uniform"}, {"mode": "truncated", "half_iterations": 6}, {"mode": "reference", "half_iterations": 6}, {"qk_norm": "l2"},
                {"token_masses": "uniform/learned"}, {"token_masses": "learned"}, {"relaxation": "2/0.5"}, {"relaxation": 1.5, "relaxation_learned": True},
                {"marginals": "key"}, {"marginals": "query", "free_keys": "pivots"}, {"marginals": "none", "free_keys": "pivots"}]
    mask, x, worst = torch.arange(N) < LENGTHS.unsqueeze(1), torch.randn(B, N, 16, dtype=torch.float64), 0
    for variant in variants:
        torch.manual_seed(1)
        source = LOTFormerAttention(16, H, R, epsilon=0.2, **variant)
        tensors = {f"encoder.layer1.{name}": value + 0.3 * torch.randn_like(value) for name, value in source.state_dict().items()}
        config = {"model": {"dim": 16, "heads": H, "attention": {"kind": "lotformer", "masses": "learned", "epsilon": 0.2, "pivots": R,
                                                                 "eval_tolerance": 1e-12, "max_passes": 200, **variant}}}
        layer = layer_from_checkpoint({name: value.double() for name, value in tensors.items()}, config, layer=1)
        plain = plain_layer(config, {name[15:]: value for name, value in tensors.items()})
        found, wanted = layer(x, LENGTHS), plain_attention(plain, x, mask)
        worst = max(worst, float((found - wanted).detach().abs().max()))
        assert worst < 1e-8, f"{variant}: differs by {worst:.1e} from the plain model"
    return f"{len(variants)} variants within {worst:.1e} of the plain model"


def checkpoint(options):
    """Both layers of a run of lotformer-train."""
    if not options.checkpoint:
        return "skipped: lotformer-train is not built"
    found = read_checkpoint(options.checkpoint, "last")
    worst = 0
    for number in (0, 1):
        state = {name: value for name, value in found.tensors.items()}
        config = {"model": {**found.config["model"], "attention": {**found.config["model"]["attention"], "eval_tolerance": 1e-12, "max_passes": 200}}}
        layer = layer_from_checkpoint({name: value.double() for name, value in state.items() if value.is_floating_point()}, config, number)
        x = torch.randn(B, N, layer.qkv.in_features, dtype=torch.float64)
        plain = plain_layer(config, lotformer_torch.layer_state(found.tensors, number))
        wanted = plain_attention(plain, x, torch.arange(N) < LENGTHS.unsqueeze(1))
        worst = max(worst, float((layer(x, LENGTHS) - wanted).detach().abs().max()))
    assert worst < 1e-8, f"differs by {worst:.1e} from the plain model"
    return f"a trained checkpoint within {worst:.1e} of the plain model"


def learns(options):
    """Twenty steps of Adam on a toy problem, compared with where they started."""
    torch.manual_seed(0)
    layer = LOTFormerAttention(16, 2, 4, pivot_init="unit_score")
    x = torch.randn(8, 20, 16)
    target = x.roll(1, -1).mean(1, keepdim=True) + 0.1 * x
    optimizer, losses = torch.optim.Adam(layer.parameters(), 2e-2), []
    for _ in range(20):
        loss = (layer(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2, losses
    return f"loss {losses[0]:.3f} to {losses[-1]:.3f} in 20 steps"


CHECKS = (same_as_framework, gradcheck, operator_checks, meta, padding, autocast, refusals, state_dicts, checkpoint, learns, compiled)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--checkpoint")
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {lotformer_torch.LIBRARY}")
    complaints = []
    for check in CHECKS:
        if options.only and check.__name__ not in options.only:
            continue
        torch.manual_seed(0)
        try:
            print(f"{check.__name__}: {check(options)}", flush=True)
        except Exception as error:  # every check runs, whatever the one before found
            complaints.append(f"{check.__name__}: {type(error).__name__}: {error}")
    if complaints:
        sys.exit("\n".join(complaints))


main()
