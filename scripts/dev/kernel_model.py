# SPDX-License-Identifier: MIT
"""Time of the phases of one kernel from its machine code and the data of kernel_shapes.py; kernel_calls.py says what it assumes."""
import collections
import math
import pathlib
import re
import struct
import sys

import kernel_cycles as machine
import kernel_shapes as shapes

TEXT = {path.name: path.read_text().splitlines() for path in machine.SOURCES.glob("*.h")}
PLACES = machine.Places()
USED = set()  # lines of TRIPS


def stale_data(all_kernels):
    """What kernel_shapes.py says and the sources do not have, or with `all_kernels` no kernel's code."""
    lines = [line for file in TEXT.values() for line in file]
    names = {name for functions in PLACES.files.values() for _, name in functions}
    yield from (f"NEVER: no function {name}" for name in (shapes.NEVER | shapes.NEVER_STREAMED) - names)
    yield from (f"SHARES: no line has {text}" for _, _, text, _ in shapes.SHARES if not any(re.search(text, line) for line in lines))
    yield from (f"ENDS: no line has {text}" for _, text in shapes.ENDS if not any(text in line for line in lines))
    yield from (f"WARPS: no function {f}" for f, _ in shapes.WARPS if not any(re.fullmatch(f, name) for name in names))
    if all_kernels:
        yield from (f"TRIPS: no loop {text} of {f}" for n, (f, text, _) in enumerate(shapes.TRIPS) if n not in USED)


def path_of(instruction):
    """Its places in our sources, from the kernel inwards."""
    return [place for place in reversed(instruction.places) if place[0] in TEXT]


def complete(instructions, kernel):
    """The line information of some instructions lacks the outer places: they are taken from the last complete path before that leads
    through the same function."""
    known = {}
    for instruction in instructions:
        path = path_of(instruction)
        if path and (outer := PLACES.function(*path[0])) != kernel and outer in known:
            instruction.places = tuple(reversed(known[outer] + path))
        elif path:
            known.update({PLACES.function(*place): path[:depth] for depth, place in enumerate(path)})


def text_of(place):
    return TEXT[place[0]][place[1] - 1].strip()


def statement(body):
    """(call path, function, line, text) of the loop statement that a body of instructions stems from: the longest path that nearly
    all of them share, and the first `for` or `while` among their lines in that function, or above."""
    paths = [path for path in map(path_of, body) if path]
    prefix = []
    while True:
        counts = collections.Counter(p[len(prefix)] for p in paths if len(p) > len(prefix) + 1 and p[:len(prefix)] == prefix)
        place, count = counts.most_common(1)[0] if counts else (None, 0)
        if count < min(0.9 * len(paths), len(paths) - 1):
            break
        prefix.append(place)
    inner = collections.Counter(p[len(prefix)] for p in paths if len(p) > len(prefix) and p[:len(prefix)] == prefix)
    file = collections.Counter(place[0] for place in inner.elements()).most_common(1)[0][0]
    lines = sorted(number for name, number in inner if name == file)
    # What is always unrolled is no loop.
    is_loop = lambda n, file=file: re.search(r"\b(for|while) \(", TEXT[file][n - 1]) and not TEXT[file][n - 2].endswith("PIVOT_UNROLL")
    above = [n for n in range(lines[0], max(0, lines[0] - 25), -1) if is_loop(n)]
    number = (above or [n for n in range(lines[0], lines[-1] + 1) if is_loop(n)] or [lines[0]])[0]
    if not is_loop(number):  # code of several loops: the statement that most of it comes from
        file, number = max((place for path in paths for place in path if is_loop(place[1], place[0])), key=collections.Counter(
            place for path in paths for place in path).get, default=(file, number))
    return tuple(prefix), PLACES.function(file, number), (file, number), TEXT[file][number - 1]


class Loop:
    def __init__(self, first, last, body):
        self.first, self.last, self.size = first, last, len(body)
        self.path, self.function, self.place, self.text = statement(body)

    def iterations(self, v):
        for number, (function, text, count) in enumerate(shapes.TRIPS):
            if re.fullmatch(function, self.function) and text in self.text:
                USED.add(number)
                return count(v)
        sys.exit(f"kernel_calls: no line of TRIPS for the loop of {self.function}: {self.text.strip()}")


def trips(loops, v):
    """{loop: times the machine code runs through it}. A loop that the compiler has unrolled comes several times: the largest copy
    does the work, as many iterations of the source at a time as it is larger than the smallest."""
    result, groups = {}, collections.defaultdict(list)
    for loop in loops:
        groups[loop.path, loop.place, sum(1 for o in loops if o.first < loop.first and o.last > loop.last)].append(loop)
    for group in groups.values():
        group.sort(key=lambda loop: -loop.size)
        copies = [loop for loop in group if loop.size > 0.8 * group[0].size]
        count = group[0].iterations(v)
        file, number = group[0].place
        hinted = any("UNROLL_8" in line for line in TEXT[file][number - 2:number - 1])
        unrolled = shapes.UNROLL if hinted else 1 if len(copies) == len(group) else max(1, round(group[0].size / group[-1].size))
        for loop in group:
            result[loop] = 0 if loop not in copies else count / unrolled
    return result


class Kernel:
    def __init__(self, name, instructions, labels, registers, size):
        self.name, self.kind, self.instructions, self.registers, self.size = name, name.split("<")[0], instructions, registers, size
        complete(instructions, self.kind)
        found = {}
        for first, last in machine.loops(instructions, labels, range(len(instructions))):
            found[first] = max(last, found.get(first, 0))
        self.loops = [Loop(first, last, instructions[first:last + 1]) for first, last in sorted(found.items())]
        self.parts = self.assign(labels)
        running = {index for indices in self.parts.values() for index in indices}
        # A loop whose code mostly does not run is none that the shapes go through, but for the kernel's own.
        self.loops = [o for o in self.loops if o.function not in shapes.NEVER and (
            o.function == self.kind or sum(n in running for n in range(o.first, o.last + 1)) > o.size / 4)]

    def assign(self, labels):
        """{(phase, share): [index, ...]} of the instructions that run at all."""
        parts, slow = collections.defaultdict(list), self.slow_paths(labels)
        for index, instruction in enumerate(self.instructions):
            path = path_of(instruction)
            functions = [PLACES.function(*place) for place in path]
            never = shapes.NEVER | (shapes.NEVER_STREAMED if "streamed" in self.name else set())
            share = 0 if index in slow or set(functions) & never else self.share(path, functions)
            if share and path:
                parts[self.phase(set(functions)), share].append(index)
        return parts

    def slow_paths(self, labels):
        """Instructions that a forward jump leads around when nothing is out of the ordinary: they hold a call. And those for warps
        whose lanes have parted (BRA.DIV), which ours do not do where they exchange anything."""
        found = set()
        for index, instruction in enumerate(self.instructions):
            if match := re.match(r"(?:@\S+ +)?BRA\.DIV\b.*?(\.L_x_\d+)", instruction.text):
                last = first = labels[match.group(1)]
                while not re.match(r"BRA\b", self.instructions[last].text):
                    last += 1
                found.update(range(first, last + 1))
            match = re.match(r"@\S+ +BRA\b.*?(\.L_x_\d+)", instruction.text)
            target = labels.get(match.group(1), 0) if match else 0
            if index < target < index + 40 and any(i.opcode == "CALL" for i in self.instructions[index:target]):
                found.update(range(index + 1, target))
        return found

    def share(self, path, functions):
        for place, function in zip(path, functions):
            for kernel, where, text, weight in shapes.SHARES:
                if (not kernel or kernel == self.kind) and (not where or where == function) and re.search(text, text_of(place)):
                    weight = weight(functions) if callable(weight) else weight
                    if weight < 1:
                        return weight
            for where, text in shapes.ENDS:
                if where == function and place[1] > next(n for n, line in enumerate(TEXT[place[0]], 1) if text in line):
                    return 0
        return 1

    def phase(self, functions):
        for name, wanted, _ in shapes.PHASES[self.kind]:
            if set(wanted.split()) <= functions:
                return name
        return "rest"

    def costs(self, v, warps):
        """{phase: (cycles of one warp, {pipe: cycles of the multiprocessor})}"""
        times = trips(self.loops, v)
        result = collections.defaultdict(lambda: [0, collections.Counter()])
        for (phase, share), indices in self.parts.items():
            latency, busy = result[phase][0], result[phase][1]
            result[phase][0] = latency + share * self.latency(indices, times)
            for index in indices:
                functions = [PLACES.function(*place) for place in path_of(self.instructions[index])]
                active = min([share_of(v) for names, share_of in shapes.WARPS for f in functions if re.fullmatch(names, f)], default=1)
                count = share * active * math.prod(times[loop] for loop in self.loops if loop.first <= index <= loop.last)
                for pipe, table in shapes.PIPES.items():
                    cycles = 1 if pipe == "issue" else table.get(self.instructions[index].opcode, 0) * self.width(index)
                    busy[pipe] += count * cycles * warps * (1 if pipe.endswith("SM") else 0.25)
        return result

    def width(self, index):
        match = re.search(r"\b(?:LDS|STS|LDG|STG)\S*\.(64|128)\b", self.instructions[index].text)
        return int(match.group(1)) // 32 if match else 1

    def latency(self, indices, times):
        inside = set(indices)

        def cycles(first, last, repeats=1):
            return machine.cycles([self.instructions[n] for n in indices if first <= n <= last] * repeats)

        def extra(loop):
            children = [o for o in nested if loop.first <= o.first and o.last <= loop.last and o is not loop]
            direct = [o for o in children if not any(o is not x and x.first <= o.first and o.last <= x.last for x in children)]
            once = (cycles(loop.first, loop.last, 6) - cycles(loop.first, loop.last, 2)) / 4
            return (times[loop] - 1) * once + times[loop] * sum(map(extra, direct))

        nested = [loop for loop in self.loops if sum(1 for n in range(loop.first, loop.last + 1) if n in inside) >= 2]
        top = [o for o in nested if not any(o is not x and x.first <= o.first and o.last <= x.last for x in nested)]
        return cycles(0, len(self.instructions)) + sum(map(extra, top))


def registers_of(cubin):
    """{symbol: registers} from the sections .nv.info of an ELF file."""
    data = pathlib.Path(cubin).read_bytes()
    start, = struct.unpack_from("<Q", data, 0x28)
    count, names = struct.unpack_from("<HH", data, 0x3C)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, start + 64 * i) for i in range(count)]
    string = lambda base, offset: data[base + offset:data.index(b"\0", base + offset)].decode()
    by_name = {string(headers[names][4], header[0]): header for header in headers}
    symbols, strings = by_name[".symtab"], by_name[".strtab"]
    offset, end, found = by_name[".nv.info"][4], sum(by_name[".nv.info"][4:6]), {}
    while offset < end:
        form, attribute, value = struct.unpack_from("<BBH", data, offset)
        if form == 4 and attribute == 0x2F:  # registers of a symbol
            index, registers = struct.unpack_from("<II", data, offset + 4)
            name, = struct.unpack_from("<I", data, symbols[4] + 24 * index)
            found[machine.short_name(string(strings[4], name))] = registers
        offset += 4 + (value if form == 4 else 0)
    return found


def read_kernels(cubin, nvdisasm):
    registers = registers_of(cubin)
    return {name: Kernel(name, code, labels, registers[name], 16 * len(code))
            for name, (code, labels) in machine.disassemble(nvdisasm, cubin).items()}
