#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds the documentation's commands against the programs.

    docs_commands.py check                every block of commands has a verdict; scripts and presets that are named exist
    docs_commands.py parse BIN            every lotformer-* command line parses, every --set key, value and option that is named exists
    docs_commands.py run BIN [--long]     runs the blocks whose verdict is run (with --long: long)

BIN: the folder of the programs. The verdicts are described in docs_blocks.py.
"""
import json
import pathlib
import re
import subprocess
import sys

import docs_blocks
import docs_run

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEY = re.compile(r"(?<![\w./-])(?:data|model|train|eval)\.[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*(?![\w/{*-])")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
FILES = re.compile(r"\.(md|tsv|txt|json|jsonl|yaml|h|cpp|cu|py|sh|bin|safetensors)$")
# What a reader is to replace, and the modules and tasks that the pages about adding one invent.
PLACEHOLDER = re.compile(r"^(?:[A-Z][A-Z_]*|\.\.\.|foo|parity|.*<.*>.*)$")
# Options of other tools that the pages name.
FOREIGN = {"--preset", "--build", "--install", "--prefix", "--test-dir", "--amend", "--gpus", "--rm", "--privileged", "--shm-size",
           "--partition", "--gres", "--cpus-per-task", "--time", "--no-cache", "--build-arg", "--target", "--cpus", "--user", "--index-url", "--key", "--rank", "--local-rank",
           "--mpi", "--bind-to", "--oversubscribe", "--kill-on-bad-exit", "--component", "--cflags", "--libs", "--define-variable", "--disable-new-dtags"}


def words_of_page(page):
    """(place, words) of every command in its blocks and sentences."""
    blocks, spans, _ = page
    for block in blocks:
        if block.is_shell:
            for words in docs_blocks.commands(block.text()):
                yield block.place, words
    for place, span in spans:
        if docs_blocks.COMMAND.match(span):
            for words in docs_blocks.commands(span):
                yield place, words


def read_pages():
    pages = []
    for path in docs_blocks.documents(ROOT):
        blocks, spans, complaints = docs_blocks.read(ROOT, path)
        name = path.relative_to(ROOT).as_posix()
        pages.append((blocks, [(f"{name}:{line}", span) for line, span in spans], complaints))
    return pages


def preset_names():
    presets = json.loads((ROOT / "CMakePresets.json").read_text(encoding="utf-8"))
    return {entry["name"] for kind in ("configurePresets", "buildPresets", "testPresets") for entry in presets.get(kind, [])}


def check_script(place, words):
    """A script that is named is there and knows the options that it is given."""
    script = ROOT / words[0]
    if not script.is_file():
        return [f"{place}: {words[0]} does not exist"]
    text = script.read_text(encoding="utf-8") + "".join(path.read_text(encoding="utf-8") for path in (ROOT / "scripts/lib").glob("*.sh"))
    return [f"{place}: {words[0]} has no option {word.split('=')[0]}" for word in words[1:]
            if OPTION.match(word) and word.split("=")[0] not in text and "lotformer-" not in text]


def check(pages):
    presets, complaints = preset_names(), []
    for page in pages:
        complaints += page[2]
        for place, words in words_of_page(page):
            if words[0].startswith("scripts/"):
                complaints += check_script(place, words)
            if "--preset" in words[:-1] and words[words.index("--preset") + 1] not in presets:
                complaints.append(f"{place}: there is no preset {words[words.index('--preset') + 1]}")
    return complaints


class Programs:
    """The built programs, asked in ways that need no data, and few times: a start of one with torch costs half a second."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.answers = {}
        config = self.output("lotformer-train", ["--help-config"])[1]
        self.keys = {line.split(" = ")[0].strip() for line in config.split("\n") if re.match(r"  [a-z][\w.]* = ", line)}
        self.kinds = re.findall(r"^model\.attention with kind: (\w+)$", config, re.MULTILINE)
        self.manuals = {}     # "lotformer-bench attention" -> its options
        for name in ("train", "eval", "data", "bench", "report", "doctor"):
            self.read_manual(f"lotformer-{name}")
        self.options = FOREIGN.union(*self.manuals.values())
        for path in [*(ROOT / "scripts").rglob("*.sh"), *(ROOT / "scripts").rglob("*.py")]:
            if path.name != "docs_commands.py":
                self.options |= set(OPTION.findall(path.read_text(encoding="utf-8")))

    def read_manual(self, program):
        command = program
        for line in self.output(program, ["--man"])[1].replace("\\-", "-").split("\n"):
            if line.startswith(".SS "):
                command = line[4:].split(" [")[0]
            elif line.startswith(".SH EXAMPLES"):
                command = program
            elif line.startswith(".B "):
                self.manuals.setdefault(command, set()).update(OPTION.findall(line))
        self.manuals[program].add("--parse-only")

    def output(self, name, arguments):
        """(exit code, stdout, last line of stderr), asked once."""
        key = (name, *arguments)
        if key not in self.answers:
            done = subprocess.run([str(self.folder / name), *arguments], capture_output=True, text=True, cwd=ROOT, check=False)
            self.answers[key] = (done.returncode, done.stdout, (done.stderr.strip().split("\n") or [""])[-1])
        return self.answers[key]

    def unknown_options(self, name, arguments):
        """Options of a command line that the program, or its command, does not have."""
        inner = next((word for word in arguments if f"{name} {word}" in self.manuals), None)
        known = self.manuals[f"{name} {inner}"] if inner else self.manuals[name]
        return [word for word in (argument.split("=")[0] for argument in arguments) if OPTION.fullmatch(word) and word not in known]

    def refusal(self, name, arguments):
        """What the program says against the command line, or None. A sentence that names a program and an option leaves out what else it needs."""
        code, _, error = self.output(name, arguments)
        return None if code == 0 or "is required" in error else error

    def has_key(self, key):
        return key in self.keys or any(known.startswith(key + ".") for known in self.keys)


def split_settings(words):
    """(words without --set, [KEY=VALUE]); the form --set=KEY=VALUE as well."""
    rest, settings = [], []
    i = 0
    while i < len(words):
        if words[i] == "--set" and i + 1 < len(words):
            settings.append(words[i + 1])
            i += 1
        elif words[i].startswith("--set="):
            settings.append(words[i][len("--set="):])
        else:
            rest.append(words[i])
        i += 1
    return rest, settings


def without_placeholders(arguments):
    """A command line as a program can parse it: no brackets of a synopsis, a configuration where one is to be filled in."""
    result = []
    for word in (argument.strip("[]") for argument in arguments):
        if result and result[-1] == "--config" and PLACEHOLDER.match(word):
            result.append("lra/base.yaml")
        elif word != "...":
            result.append(word)
    return result


def parse_command(programs, place, words):
    """Complaints about one lotformer-* command line."""
    name, arguments = docs_blocks.program_of(words), without_placeholders(words[1:])
    line = " ".join(words)
    complaints = [f"{place}: {line}: no option {option} here" for option in programs.unknown_options(name, arguments)]
    rest, settings = split_settings(arguments)
    complaints += [f"{place}: {line}: --set {s}: there is no key {s.split('=')[0]}" for s in settings
                   if not PLACEHOLDER.match(s) and not programs.has_key(s.split("=")[0])]
    if complaints:
        return complaints
    known = [word for s in settings if "=" in s and not PLACEHOLDER.match(s.split("=", 1)[1]) for word in ("--set", s)]
    config = rest[rest.index("--config") + 1] if "--config" in rest[:-1] else "lra/base.yaml"
    task = value_of(rest, "--task", "TASK") if name == "lotformer-data" else "TASK"
    if not PLACEHOLDER.match(task):
        known = ["--set", f"task={task}", *known]
    refusal = None
    if name == "lotformer-train" and "--config" in rest:
        refusal = programs.refusal(name, rest + known + ["--print-config"])
    elif settings and known and name != "lotformer-eval":
        refusal = programs.refusal("lotformer-train", ["--config", config, "--print-config", *known])
    if not refusal and name in ("lotformer-data", "lotformer-report"):
        refusal = programs.refusal(name, ["--parse-only", *arguments])
    return [f"{place}: {line}: {refusal}"] if refusal else []


def value_of(words, option, default):
    return words[words.index(option) + 1] if option in words[:-1] else default


def check_sweep(programs, place, words):
    """What scripts/sweep.sh --dry-run would say, in less than its dozens of starts."""
    complaints = [f"{place}: scripts/sweep.sh: {word} does not exist" for word in words[1:] if word.endswith(".yaml") and not (ROOT / word).exists()]
    folder = value_of(words, "--configs", "lra")
    for task in re.split(r"[ ,]+", value_of(words, "--tasks", "listops")):
        if not (ROOT / "configs" / folder / f"{task}.yaml").exists():
            complaints.append(f"{place}: scripts/sweep.sh: no configuration {folder}/{task}.yaml")
    for kind in re.split(r"[ ,]+", value_of(words, "--attention", "softmax")):
        if kind not in programs.kinds:
            complaints.append(f"{place}: scripts/sweep.sh: no module {kind}")
    for setting in split_settings(words)[1]:
        key = setting.split("=")[0].split(":")[-1]
        if not programs.has_key(key):
            complaints.append(f"{place}: scripts/sweep.sh: --set {setting}: there is no key {key}")
    return complaints


def check_names(programs, place, span):
    """Keys and options that a sentence names."""
    complaints = [f"{place}: there is no key {key}" for key in KEY.findall(span) if not FILES.search(key) and not programs.has_key(key)]
    return complaints + [f"{place}: nothing here has an option {option}" for option in OPTION.findall(span) if option not in programs.options]


def parse(pages, folder):
    programs, complaints, count = Programs(folder), [], 0
    for page in pages:
        for place, words in words_of_page(page):
            name = docs_blocks.program_of(words)
            if name and name.startswith("lotformer-"):
                complaints += parse_command(programs, place, words)
                count += 1
            elif name == "scripts/sweep.sh" and len(words) > 1:
                complaints += check_sweep(programs, place, words)
                count += 1
        for place, span in page[1]:
            complaints += check_names(programs, place, span)
    print(f"{count} command lines were parsed", file=sys.stderr)
    return complaints


def main(arguments):
    sys.stdout.reconfigure(line_buffering=True)
    pages = read_pages()
    if arguments == ["check"]:
        complaints = check(pages)
    elif arguments[:1] == ["parse"] and len(arguments) == 2:
        complaints = parse(pages, arguments[1])
    elif arguments[:1] == ["run"] and arguments[2:] in ([], ["--long"]) and len(arguments) > 1:
        blocks = [block for page in pages for block in page[0]]
        complaints = docs_run.run(ROOT, pathlib.Path(arguments[1]), blocks, "long" if arguments[2:] else "run")
    else:
        print(__doc__, file=sys.stderr)
        return 2
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
