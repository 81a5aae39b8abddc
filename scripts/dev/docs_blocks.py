# SPDX-License-Identifier: MIT
"""Commands in the documentation: fenced blocks with their verdicts, and code within sentences.

A block of commands is fenced as ```sh and has a verdict in the line above it:
    <!-- command: run -->             the test docs_commands runs it, in a folder with small data, runs and settings
    <!-- command: run empty -->       the same in an empty folder
    <!-- command: long: why -->       run by the test of that name with label long only (`long empty: why` as well)
    <!-- command: shown: why -->      never run: a GPU, Slurm, the network, hours
A block without a language holds no command.
"""
import dataclasses
import pathlib
import re
import shlex

VERDICT = re.compile(r"^ *<!-- command: (run|long|shown)( empty)?(?:: (.+))? -->$")
FENCE = re.compile(r"^ *```(\w*) *$")
SPAN = re.compile(r"`([^`]+)`")
SHELLS = ("sh", "bash", "console")
COMMAND = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:\$ )?(?:(?:build/\S+/bin/)?lotformer-[a-z]+|scripts/\S+\.(?:sh|py)|cmake|ctest|ninja|git|docker|pip|python3|apt-get|man|tar|curl)(?= |$)")


@dataclasses.dataclass
class Block:
    file: str
    line: int
    language: str
    lines: list
    verdict: str = ""
    empty: bool = False
    why: str = ""

    @property
    def place(self):
        return f"{self.file}:{self.line}"

    @property
    def is_shell(self):
        return self.language in SHELLS

    def text(self):
        return "\n".join(self.lines) + "\n"


def documents(root):
    files = [root / "README.md", root / "CONTRIBUTING.md"]
    files += sorted((root / "docs").rglob("*.md")) + sorted((root / "src").rglob("README.md"))
    return [path for path in files if path.exists()]


def read(root, path):
    """(blocks, [(line, span)], complaints) of one page."""
    name = path.relative_to(root).as_posix()
    blocks, spans, complaints = [], [], []
    block, before = None, ""
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        fence = FENCE.match(line)
        if block is None and line.lstrip().startswith("```"):
            verdict = VERDICT.match(before)
            block = Block(name, number, fence.group(1) if fence else "?", [])
            if verdict:
                block.verdict, block.empty, block.why = verdict.group(1), bool(verdict.group(2)), verdict.group(3) or ""
        elif block is not None and fence:
            blocks.append(block)
            block = None
        elif block is not None:
            block.lines.append(line)
        else:
            if line.lstrip().startswith("<!-- command") and not VERDICT.match(line):
                complaints.append(f"{name}:{number}: no verdict that is known: {line.strip()}")
            spans += [(number, span) for span in SPAN.findall(line)]
        before = line
    if block is not None:
        complaints.append(f"{block.place}: a fence that does not end")
    return blocks, spans, complaints + [c for b in blocks for c in complaints_of(b)]


def complaints_of(block):
    """What is wrong with a block's fence and verdict."""
    if not block.is_shell:
        if block.verdict:
            return [f"{block.place}: a verdict, but the block is not fenced as ```sh"]
        if block.language == "" and any(COMMAND.match(line.strip()) for line in block.lines):
            return [f"{block.place}: holds a command: fence it as ```sh, with a verdict above (scripts/dev/docs_blocks.py)"]
        return []
    if not block.verdict:
        return [f"{block.place}: a block of commands without a verdict above it (scripts/dev/docs_blocks.py)"]
    if block.verdict != "run" and not block.why:
        return [f"{block.place}: the verdict '{block.verdict}' wants a reason: <!-- command: {block.verdict}: why -->"]
    return []


def commands(text):
    """The commands of a shell text, each a list of words, without comments, assignments, pipes and redirections."""
    result = []
    for line in text.replace("\\\n", " ").split("\n"):
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
            lexer.whitespace_split = True
            words = list(lexer)
        except ValueError:
            continue
        command = []
        for word in words + [";"]:
            if word and set(word) <= set("|&;"):
                if command:
                    result.append(command)
                command = []
            elif not command and re.match(r"^[A-Z_]+=", word):
                continue
            elif word not in ("$", "sudo", "time", "nice"):
                command.append(word)
    return [cut_redirection(command) for command in result]


def cut_redirection(words):
    for i, word in enumerate(words):
        if word in (">", ">>", "<", "2>", "2>&1"):
            return words[:i]
    return words


def program_of(words):
    """"lotformer-train", "scripts/sweep.sh", or None where it is neither."""
    head = words[0]
    name = pathlib.PurePosixPath(head).name
    if re.fullmatch(r"lotformer-(train|eval|data|bench|report|doctor)", name):
        return name
    return head if re.fullmatch(r"scripts/\S+\.(sh|py)", head) else None
