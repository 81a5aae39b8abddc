#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Cycles of the CUDA kernels of pivot attention, from their machine code, without a GPU.

Compiles src/ops/pivot/cuda/kernels_R.cu for one architecture with line information, disassembles it, reads each
instruction's control word (stall count, scoreboards), and runs one warp once through the code of each phase. A phase
is a function of the sources wherever it was inlined. Two kinds of lines, for every kernel:

    KERNEL PHASE once CYCLES       all of the phase's code once: every loop one time, both sides of every branch, the
                                   slow paths of divisions and roots included
    KERNEL PHASE loop N CYCLES     an iteration of its N-th loop in the order of addresses, inner loops one time; of 200 and more

Not seen: warps that hide each other's latency or share issue slots, bank conflicts, bandwidth, the instruction cache.
Take a figure as +-50 %, the ratio of two versions of one loop as good.

    scripts/dev/kernel_cycles.py --pivots 4 64                   prints the table
    scripts/dev/kernel_cycles.py --pivots 4 64 --check TABLE     exit code 1 when a line is slower than the table says
    scripts/dev/kernel_cycles.py --cubin K.cubin                 of a file that is there already

nvdisasm comes with the CUDA toolkit; `scripts/deps.sh --disassembler` fetches it.
"""
import argparse
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src/ops/pivot/cuda"
# Phases of each kernel, by the function that holds them. The code of a phase within another counts in both.
PHASES = {
    "pivot_solve": ["load_matrix", "load_tiles", "make_kernel", "evaluate", "decide", "solve_system", "mix_step", "propose", "propose_newton", "weighted_sum"],
    "pivot_output": ["load_side_matrix", "scores", "block_probabilities", "pivot_products"],
    "pivot_adjoint": ["load_side_matrix", "pool_gradient", "mass_gradient", "potential_gradient", "solve_system"],
    "pivot_apply": ["load_side_matrix", "scores", "token_products", "score_gradient", "pivot_products", "add_rows"],
    "pivot_reduce": ["pivot_reduce"],
}
# Cycles until a result may be used, where the stall count does not say it. Shared memory, shuffles, special functions, matrix
# instructions: published microbenchmarks of this architecture, rounded; a global load is one from the L2 cache.
LATENCY = {
    "LDS": 29, "LDSM": 33, "SHFL": 25, "MUFU": 22, "LDG": 270, "LD": 300, "LDL": 35, "LDC": 40, "HMMA": 33, "S2R": 25, "S2UR": 25,
    "F2F": 22, "I2F": 22, "F2I": 22, "BAR": 22, "FCHK": 15, "STS": 12, "ST": 20, "STG": 20, "ATOM": 300, "POPC": 20, "BREV": 20,
    "FLO": 20, "R2UR": 12, "MEMBAR": 500, "CCTL": 50, "UCGABAR_WAIT": 200,
}
OTHER_LATENCY = 6
LEAST_LOOP = 200  # cycles of an iteration; shorter loops count in their phase only


@dataclasses.dataclass
class Instruction:
    text: str
    stall: int
    sets: tuple  # scoreboards that the instruction sets: (when it has read, when it has written)
    waits: int   # mask of scoreboards that it waits for
    functions: set  # from the innermost that was inlined to the kernel
    places: tuple   # ((file, line), ...) of the same

    @property
    def opcode(self):
        return re.sub(r"^@!?U?P\w+\s+", "", self.text).split()[0].split(".")[0]


def functions_of(path):
    """[(line, name)] of the device functions and kernels of a source file."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r"\s*(?:explicit |static )?PIVOT_DEVICE\b.*?(\w+)\(", line) or re.match(r"(pivot_\w+)\(PivotArgs", line)
        if match:
            found.append((number, match.group(1)))
    return found


class Places:
    """From a file and a line to the function that stands there."""

    def __init__(self):
        self.files = {path.name: functions_of(path) for path in SOURCES.glob("*.h")}

    def function(self, file, line):
        before = [name for number, name in self.files.get(file, []) if number <= line]
        return before[-1] if before else ""


def control(word):
    """The control bits in the upper half of an instruction: stall, scoreboards, mask of waits."""
    bits = word >> 41 & 0x1FFFFF
    return bits & 15, (bits >> 8 & 7, bits >> 5 & 7), bits >> 11 & 63


def short_name(symbol):
    """pivot_solve<64x8,resident> of a mangled kernel, as in resources.txt."""
    match = re.match(r"_ZN9lotformer3ops5pivot4cuda\d+(pivot_[a-z]+)I(.*)", symbol)
    if not match:
        return None
    name, rest = match.groups()
    layout = re.search(r"Li(\d+)ELi(\d+)ELb[01]E", rest)
    if not layout:
        return f"{name}<{re.search(r'Li([0-9]+)E', rest).group(1)}>"
    form = re.search(r"Lb([01])E", rest[layout.end():])
    suffix = "" if not form else ",resident" if form.group(1) == "1" else ",streamed"
    return f"{name}<{layout.group(1)}x{layout.group(2)}{suffix}>"


def disassemble(nvdisasm, cubin):
    """{kernel: (instructions, {label: index})}"""
    text = subprocess.run([nvdisasm, "-gi", "-hex", "-c", cubin], check=True, capture_output=True, text=True).stdout
    places, kernels = Places(), {}
    instructions, labels, chain, lines, pending = [], {}, set(), [], None
    for line in text.splitlines():
        if match := re.match(r"\.text\.(\S+):", line):
            instructions, labels, chain, lines = [], {}, set(), []
            if name := short_name(match.group(1)):
                kernels[name] = (instructions, labels)
        elif match := re.match(r'\s*//## File "([^"]+)", line (\d+)(?: inlined at "([^"]+)", line (\d+))?', line):
            if pending is None and instructions and chain is instructions[-1].functions:
                chain, lines = set(), []
            for file, number in (match.group(1, 2), match.group(3, 4)):
                if file and (place := (pathlib.Path(file).name, int(number))) not in lines[-1:]:
                    lines.append(place)
                    chain.add(places.function(*place))
        elif match := re.match(r"(\.L_x_\d+):", line):
            labels[match.group(1)] = len(instructions)
        elif match := re.match(r"\s+/\*[0-9a-f]{4,6}\*/\s+(.*?)\s*;?\s*/\* 0x[0-9a-f]{16} \*/", line):
            pending = match.group(1)
        elif pending is not None and (match := re.match(r"\s+/\* (0x[0-9a-f]{16}) \*/", line)):
            instructions.append(Instruction(pending, *control(int(match.group(1), 16)), chain, tuple(lines)))
            pending = None
    return kernels


def cycles(instructions):
    """Of one warp that runs through the instructions."""
    now, ready = 0, {}
    for i in instructions:
        now = max([now] + [time for board, time in ready.items() if i.waits >> board & 1])
        latency = LATENCY.get(i.opcode, OTHER_LATENCY)
        for board, after in zip(i.sets, (min(latency, 12), latency)):
            if board != 7:
                ready[board] = max(ready.get(board, 0), now + after)
        now += max(1, i.stall)
    return now


def loops(instructions, labels, inside):
    """(first, last) of the loops whose ends are both in `inside`, in the order of addresses. A jump back without a condition over a
    call is no loop: it leads from the slow path of a division, which stands behind everything else."""
    found = []
    for index in inside:
        match = re.match(r"(@\S+ +)?BRA\b.*?(\.L_x_\d+)", instructions[index].text)
        target = labels.get(match.group(2)) if match else None
        if target is None or target >= index or target not in inside:
            continue
        if not match.group(1) and any(i.opcode == "CALL" for i in instructions[target:index]):
            continue
        found.append((target, index))
    return sorted(found)


def measure(kernels):
    """[(kernel, phase, kind, cycles)]"""
    lines = []
    for kernel, (instructions, labels) in sorted(kernels.items()):
        for phase in PHASES[kernel.split("<")[0]]:
            inside = {n for n, i in enumerate(instructions) if phase in i.functions}
            code = [instructions[n] for n in sorted(inside)]
            if not code:
                continue
            lines.append((kernel, phase, "once", cycles(code)))
            for number, (first, last) in enumerate(loops(instructions, labels, inside), 1):
                body = [instructions[n] for n in sorted(inside) if first <= n <= last]
                iteration = (cycles(body * 6) - cycles(body * 2)) // 4
                if iteration >= LEAST_LOOP:
                    lines.append((kernel, phase, f"loop {number}", iteration))
    return lines


def compile_cubin(nvcc, pivots, architecture, folder):
    folder.mkdir(parents=True, exist_ok=True)
    cubin = folder / f"kernels_{pivots}.{architecture}.cubin"
    subprocess.run([nvcc, "-cubin", f"-arch={architecture}", "-lineinfo", "-O3", "-DNDEBUG", "-std=c++17", f"-I{ROOT / 'src'}", "-o", cubin,
                    SOURCES / f"kernels_{pivots}.cu"], check=True)
    return cubin


def read_table(path):
    table = {}
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            words = line.split()
            table[tuple(words[:2]) + (" ".join(words[2:-1]),)] = int(words[-1])
    return table


def complaints(lines, table, share):
    """What is slower by more than `share` than stated, and phases that the table does not know or that are gone. Loops may change
    in number: where they do, only the whole phase is compared."""
    count = lambda keys: {k[:2]: sum(1 for other in keys if other[:2] == k[:2]) for k in keys}
    measured = {line[:3]: line[3] for line in lines}
    now, before = count(measured), count(table)
    for key, value in measured.items():
        if key[2] != "once" and now[key[:2]] != before.get(key[:2]):
            continue
        if key not in table:
            yield f"{' '.join(key)}: {value} cycles, not in the table"
        elif value > table[key] * (1 + share):
            yield f"{' '.join(key)}: {value} cycles, stated {table[key]}"
    kernels = {key[0] for key in measured}
    for key in table:
        if key[2] == "once" and key[0] in kernels and key not in measured:
            yield f"{' '.join(key)}: no such phase any more"


def find(tool, given):
    """The path that was given, or the tool of the toolkit, or what scripts/deps.sh fetched."""
    deps = pathlib.Path(os.environ.get("LOTFORMER_DEPS_DIR", ROOT / ".deps"))
    places = [given] if given else [tool, f"/usr/local/cuda/bin/{tool}", *deps.glob(f"{tool}-*/nvidia/*/bin/{tool}")]
    for place in places:
        if path := shutil.which(place):
            return path
    sys.exit(f"kernel_cycles: {tool} not found; see --help")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pivots", nargs="+", type=int, default=[4, 8, 16, 32, 64, 128], choices=[4, 8, 16, 32, 64, 128])
    parser.add_argument("--cubin", nargs="+", help="instead of compiling")
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--check", type=pathlib.Path, metavar="TABLE")
    parser.add_argument("--share", type=float, default=0.15, help="how much slower a line may be (default 0.15)")
    parser.add_argument("--nvdisasm")
    parser.add_argument("--nvcc")
    options = parser.parse_args()
    nvdisasm = find("nvdisasm", options.nvdisasm)
    if options.cubin:
        cubins = options.cubin
    else:
        nvcc = find("nvcc", options.nvcc)
        cubins = [compile_cubin(nvcc, r, options.arch, ROOT / "build/kernel-cycles") for r in options.pivots]
    lines = [line for cubin in cubins for line in measure(disassemble(nvdisasm, cubin))]
    if not lines:
        sys.exit("kernel_cycles: no kernel of ours in there")
    if not options.check:
        for line in lines:
            print(*line)
        return
    wrong = list(complaints(lines, read_table(options.check), options.share))
    print("\n".join(wrong + [f"{len(lines)} lines, {len(wrong)} complaints against {options.check}"]))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
