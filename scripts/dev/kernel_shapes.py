# SPDX-License-Identifier: MIT
"""Data of kernel_calls.py: the shapes of the five tasks, what each loop of the kernels runs through, what does not run.

Every loop of the machine code that no line of TRIPS names is an error; so is a line that names no statement of the sources.
"""
import collections
from types import SimpleNamespace

# problems (batch x heads), tokens, pivots; head_dim 32, bf16, mode exact, marginals held, no padding.
SHAPES = {"listops": (64, 2048, 4), "text": (64, 4096, 32), "retrieval": (64, 4096, 64), "image": (128, 1024, 8),
          "pathfinder": (256, 1024, 64)}
HEADS = {"listops": 2, "text": 2, "retrieval": 2, "image": 2, "pathfinder": 2}
AIMS = {"listops": (100, 150), "text": (250, 400), "retrieval": (450, 700), "image": (80, 80), "pathfinder": (400, 600)}
# Flash softmax, forward and backward, microseconds: an earlier model by arithmetic, shared/reviews/gpu.md.
FLASH = {"listops": 649, "text": 2596, "retrieval": 2596, "image": 325, "pathfinder": 649}

Steps = collections.namedtuple("Steps", "passes newton grams mixed")
# Steps of a side, means: measured on a CPU by `pivot_step_mix` (tests/ops/pivot/step_mix.cpp), scores of 1 and of 10 epsilon, tokens and
# pivots random: where Newton's steps are always taken, and where a price decides.
MIXES = {
    "listops": {"1 ε": (Steps(3.75, 1.75, 1.75, 0), Steps(3.88, 0, 0, 1.88)),
        "10 ε": (Steps(4.88, 2.88, 2.88, 0), Steps(4.88, 2.88, 2.88, 0))},
    "text": {"1 ε": (Steps(3, 1, 1, 0), Steps(3.75, 0, 0, 1.75)),
        "10 ε": (Steps(5, 3, 3, 0), Steps(11.38, 0, 0, 9.38))},
    "retrieval": {"1 ε": (Steps(3, 1, 1, 0), Steps(3.5, 0, 0, 1.5)),
        "10 ε": (Steps(5, 3, 3, 0), Steps(11.75, 0, 0, 9.75))},
    "image": {"1 ε": (Steps(3.88, 1.88, 1.88, 0), Steps(4, 0, 0, 2)),
        "10 ε": (Steps(5, 3, 3, 0), Steps(5, 3, 3, 0))},
    "pathfinder": {"1 ε": (Steps(3, 1, 1, 0), Steps(3.5, 0, 0, 1.5)),
        "10 ε": (Steps(5.12, 3.12, 3.12, 0), Steps(13, 0, 0, 11))},
}

MULTIPROCESSORS, GHZ, BYTES_PER_US = 132, 1.755, 3.35e6
REGISTERS, THREADS, SHARED = 65536, 2048, 227 << 10
STAGE, HEAD_DIM, UNROLL = 64, 32, 8
# Of core.cpp: blocks that a CTA of a streamed kernel has before the cluster grows; splits.
STREAM_BLOCKS, MOST_SPLITS = 4, 4
WIDE = (32, 64)  # pivots of which a resident solver with 16 warps exists

# Cycles that an instruction of a warp keeps a pipe busy: one of the four of a multiprocessor, or (SM) the one that they share.
PIPES = {
    "issue": {}, "fma": {"FFMA": 1, "FMUL": 1, "FADD": 1, "IMAD": 2},
    "alu": {op: 2 for op in ("LOP3", "IADD3", "SHF", "ISETP", "FSETP", "PRMT", "SEL", "FSEL", "FMNMX", "F2FP", "LEA", "IMNMX", "VIADD")},
    "mufu": {"MUFU": 8}, "tensor": {"HMMA": 7},
    "memory, SM": {"LDS": 1, "STS": 1, "SHFL": 1, "LDSM": 4, "LDG": 2, "STG": 2, "LD": 2, "ST": 2},
}


def layout(r, wide=False):
    """Threads and rows of a block as layout.h has them."""
    warps = 16 if wide else 8 if r >= 16 else 4
    quad = r >= 16
    columns, rows = (r // 4, 2) if quad else (r, 1)
    units = 64 // (columns * rows)
    return SimpleNamespace(r=r, d=HEAD_DIM, warps=warps, t=32 * warps, quad=quad, block=(16 if quad else 32) * warps, units=units,
                           across=min(r, 32 * warps // min(r, 16)), wide=wide)


# (function, text of the loop's statement) -> times an iteration of the source runs. v: layout(), and
# c CTAs of the cluster, blocks of a CTA, problems, batch, splits, redo clusters.
TRIPS = [
    ("load_matrix|store_operand|weigh_rows|fold_column|mix_rows", "share.first", lambda v: v.r * v.d / v.t),
    ("column_total", "part < share.step", lambda v: v.t / v.d),
    ("add_token_products|add_row_products", "first < dim", lambda v: v.d / 32),
    ("pivot_products", "n < dim; n += kProductColumns", lambda v: v.d / 32),
    ("pivot_products", "n < dim; n += 4", lambda v: v.d / 4),
    ("for_blocks|load_tiles", "u < L::kUnits", lambda v: v.units),
    ("for_blocks", "b < cta.rows.blocks", lambda v: v.blocks),
    ("for_stages", "first < L::kBlockRows", lambda v: v.block / STAGE),
    ("add_block", "k < cta.stage_rows", lambda v: STAGE / 16),
    ("add_rows", "k < kWarp", lambda v: 1),
    ("store", "e < L::R * columns", lambda v: v.r * v.d / v.t),
    ("reduce_columns", "r = 0; r < cta.ranks", lambda v: v.c),
    ("reduce_columns", "r = 1; r < cta.ranks", lambda v: v.c - 1),
    ("reduce_partials", "e < count", lambda v: max(1, v.r * max(v.r, v.d) / (4 * v.c * v.t))),
    ("solve", "exact || t < schedule.updates", lambda v: 1),  # the phases say how often
    ("solve", "k < end", lambda v: min(16, v.r)),
    ("plan_step", "newton_pays", lambda v: 8),  # passes that are foreseen
    ("clear_shared", "j < L::R", lambda v: 1),
    ("keep_solution|mass_gradient", "e < 2 * dim", lambda v: 1),
    ("mass_gradient", "d < dim && j < pivots", lambda v: v.d / min(32, v.t // v.r)),
    ("pivot_reduce", "term < 2", lambda v: 2 * v.batch * v.splits / 8),
    ("pivot_reduce", "which < 2", lambda v: 1),
    ("pivot_reduce", "group < groups", lambda v: 8),
]


def shared_bytes(v, label):
    """Dynamic shared memory of a CTA, by exchange.h and instantiate.h."""
    row = v.d + 4
    fixed = v.warps * (v.r + 2) + 17 * (v.r + 2) + 18 * v.r + 2 * v.t + 38
    matrices = 1 if label in ("F1", "redo") else 2
    matrix = 1.5 * v.r * (v.d + 8) if v.quad else v.r * row
    scratch = v.r * row * v.quad if label == "F2" else 1.5 * STAGE * (v.r + v.d + 16) if v.quad else STAGE * (v.r + v.d + 8)
    scores = 64 * v.t if label == "F1" and v.wide else 0
    return 2048 if label == "B4" else 4 * (fixed + matrices * matrix + scratch + scores)


# Functions that do not run in these calls.
NEVER = {"largest_exponents", "first_pivot_update", "truncated_step", "adjoint_fixed", "row_dot", "step_back", "keep_nothing",
         "adjoint_of_nothing", "place_constant", "reduce_relaxation", "weigh_rows", "any_starving", "write_mass_gradients", "relaxed_terms",
         "relaxed_measure"}
NEVER_STREAMED = {"solve_side"}  # nothing is flagged, and at these shapes a cluster looks at all its flags in one round
# (kernel, function, source text, weight): lines that run as often as the weight says: 0 float32 tokens, other modes, relaxed
# marginals; 0.5 what one side of the two does.
SHARES = [
    ("", "", r"(add_token_products|add_row_products|write_values)<L, false>|add_rows<false>", 0),
    ("", "store", r"static_cast<float\*>\(data\)", 0),
    ("", "quad", r"at\[0\]|at\[1\]|const Pair\* at|const Quad x|memcpy", 0),
    ("", "add_block", r"sum.template add<kTerms>", lambda functions: "newton_step" in functions),
    ("", "", r"expm1f|log1pf", 0),
    ("", "load_gluing", r"s.pivot_last \?|product|p.potentials", 0),
    ("pivot_apply", "pivot_apply", r"pivot_products\(cta, weights", 0.5),
    ("", "load_side_matrix", r"p.pivots, (0, 0|1, 1)\)", 0),
    ("", "decide", r"highest = column_max", 0),  # two trials in a row were rejected
    ("", "share", r"masses\[row\]", 0),  # every token has 1 / n
]
# Lines of a function behind this text do not run.
ENDS = [("score_gradient", "if (p.mode == Mode::exact) return;"), ("target_at", "if (!(kappa > 0)) return {0, 0, 0};")]

# (function, share of a CTA's warps that run it): the others wait, and keep no pipe busy.
WARPS = [("eliminate", lambda v: min(256, v.t) / v.t), ("show_column", lambda v: min(1, 16 / v.t * 2)), ("decide|propose|propose_newton", lambda v: 1 / v.warps),
         ("add", lambda v: 1 if not v.quad else min(1, (v.r // 16) * (v.r // 16 + 1) / 2 / v.warps))]

# Phases of a kernel: the first that fits, by functions in the call path (all of them; "!" none of them), and how often a CTA runs it.
PHASES = {
    "pivot_solve": [
        ("Gram", "weighted_sum newton_step", lambda v: v.steps.grams + 1), ("Y", "weighted_sum", lambda v: v.keys),
        ("system", "solve_system", lambda v: v.steps.newton), ("decide", "decide", lambda v: v.steps.passes),
        ("mix", "mix_step", lambda v: v.steps.mixed),
        ("propose", "propose", lambda v: v.steps.passes - 1 - v.steps.newton), ("Newton's x", "propose_newton", lambda v: v.steps.newton),
        ("evaluate", "evaluate", lambda v: v.steps.passes),
        ("Z", "load_operand", lambda v: 1), ("scores", "load_tiles", lambda v: 1), ("exp", "make_kernel", lambda v: 1)],
    "pivot_output": [("glue", "load_side_matrix", lambda v: 1), ("Z", "load_operand", lambda v: 1), ("block", "", lambda v: 1)],
    "pivot_adjoint": [
        ("glue", "load_side_matrix", lambda v: 1), ("Z", "load_operand", lambda v: 1), ("dW", "pool_gradient", lambda v: 1 - v.side),
        ("mass", "mass_gradient", lambda v: v.side), ("h'", "potential_gradient", lambda v: 1), ("system", "solve_system", lambda v: 1)],
    "pivot_apply": [("glue", "load_side_matrix", lambda v: 1), ("Z", "load_operand", lambda v: 1), ("scores", "scores", lambda v: 1),
                    ("w", "token_products", lambda v: 1), ("dA", "score_gradient", lambda v: 1), ("dZ", "add_rows", lambda v: 1),
                    ("dX, dV", "pivot_products", lambda v: 1)],
    "pivot_reduce": [],
}
