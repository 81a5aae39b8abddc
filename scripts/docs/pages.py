#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stages the pages of the documentation's site, and looks at the built one.

    pages.py stage ROOT FOLDER    Markdown of the repository -> FOLDER/docs, configuration -> FOLDER/mkdocs.yml
    pages.py check SITE           every page loads from SITE alone: no script, style, font or picture from a network

Pages are written for the forge, where links lead to any file. On the site a link to a page of the site stays one, a file beside a page
is copied, and a link to another file (source, script) becomes the file's name. A link to nothing is an error.
"""
import html.parser
import pathlib
import posixpath
import re
import shutil
import sys

# Pages outside docs/; keys are paths in the repository, values on the site.
ELSEWHERE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
KERNELS = "src/ops/pivot"
COPIED = {".png", ".svg", ".json", ".jsonl", ".yaml"}
LINK = re.compile(r'(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^()\s]+)\)|(<img [^>]*src=")([^"]+)(")')


class Problem(Exception):
    pass


def pages(root):
    """Path in the repository -> path on the site, of every page."""
    result = dict(ELSEWHERE)
    for path in sorted((root / "docs").rglob("*.md")):
        result[path.relative_to(root).as_posix()] = path.relative_to(root / "docs").as_posix()
    for path in sorted((root / KERNELS).rglob("README.md")):
        result[path.relative_to(root).as_posix()] = "kernels/" + path.relative_to(root / KERNELS).as_posix()
    return result


class Stage:
    def __init__(self, root, folder):
        self.root, self.docs = root, folder / "docs"
        self.pages = pages(root)
        self.copies = set()

    def on_site(self, path):
        """Where a file of the repository stands on the site, or None."""
        if path in self.pages:
            return self.pages[path]
        if (self.root / path).is_dir():
            return next((site for page, site in self.pages.items() if page.startswith(path + "/")), None)
        if path.startswith("docs/") and pathlib.PurePosixPath(path).suffix in COPIED:
            self.copies.add(path)
            return path[len("docs/"):]
        return None

    def address(self, page, line, link):
        """The address on the site that `link` of `page` has there; None: it has none."""
        if re.match(r"[a-z]+:", link) or link.startswith("#"):
            return link
        target, _, anchor = link.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
        if path.startswith("..") or not (self.root / path).exists():
            raise Problem(f"{page}:{line}: link to {target}, which does not exist")
        site = self.on_site(path)
        if site is None:
            return None
        here = posixpath.dirname(self.pages[page]) or "."
        return posixpath.relpath(site, here) + ("#" + anchor if anchor else "")

    def rewrite(self, page, number, line):
        def replace(match):
            if match.group(3):
                return match.group(3) + (self.address(page, number, match.group(4)) or "") + match.group(5)
            address = self.address(page, number, match.group(2))
            text = match.group(1)
            return f"{text}({address})" if address is not None else text.lstrip("!")[1:-1]
        return LINK.sub(replace, line)

    def write(self):
        for page, site in self.pages.items():
            text = (self.root / page).read_text(encoding="utf-8")
            target = self.docs / site
            target.parent.mkdir(parents=True, exist_ok=True)
            lines = [self.rewrite(page, i, line) if not fenced else line for i, (line, fenced) in enumerate(with_fences(text), 1)]
            lines = [line for line in lines if not line.lstrip().startswith("<!-- command: ")]   # verdicts for scripts/dev/docs_commands.py
            target.write_text("\n".join(spaced(lines)) + "\n", encoding="utf-8")
        for path in self.copies:
            target = self.docs / path[len("docs/"):]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / path, target)
        for name in ("site.css", "iframe-worker.js"):
            shutil.copyfile(self.root / "scripts/docs" / name, self.docs / name)


def with_fences(text):
    """(line, is it inside a fenced block or a fence itself?)"""
    inside = False
    for line in text.split("\n"):
        fence = line.lstrip().startswith("```")
        yield line, inside or fence
        if fence:
            inside = not inside


ITEM = re.compile(r"( {0,3})([-*]|\d+\.) ")


def spaced(lines):
    """The forge's Markdown begins a list or a table within a paragraph, and indents what belongs to an item by its mark; the site's wants a
    blank line before them and four blanks."""
    result, in_list, before = [], False, ""
    for line, fenced in with_fences("\n".join(lines)):
        item = None if fenced else ITEM.match(line)
        if item and not in_list and before.strip():
            result.append("")
        if not fenced and line.startswith("|") and before.strip() and not before.startswith("|"):
            result.append("")
        if item:
            in_list = True
        elif line.strip() and not line.startswith(" ") and not fenced:
            in_list = in_list and before.strip() != ""   # a line that goes on with its item
        indent = len(line) - len(line.lstrip(" "))
        if in_list and not (item and indent == 0) and 2 <= indent:
            line = " " * (indent + (4 - indent if indent < 4 else 0) if not fenced else indent + 1) + line.lstrip(" ")
        result.append(line)
        before = line
    return result


def nav_of(text, known):
    """The configuration's lines without the entries whose page is not there, and with a section of those that it does not name."""
    kept, named = [], set()
    for line in text.split("\n"):
        page = re.match(r" +- (?:[^:]+: )?([\w/.-]+\.md)$", line)
        if page:
            named.add(page.group(1))
            if page.group(1) not in known:
                print(f"note: the navigation names {page.group(1)}, which is not there", file=sys.stderr)
                continue
        kept.append(line)
    more = sorted(set(known) - named)
    if more:
        print(f"note: scripts/docs/mkdocs.yml does not name {', '.join(more)}: under More", file=sys.stderr)
        kept += ["  - More:"] + [f"      - {page}" for page in more]
    return "\n".join(line for line in kept if line.strip()) + "\n"


def stage(root, folder):
    shutil.rmtree(folder, ignore_errors=True)
    work = Stage(root, folder)
    work.write()
    config = (root / "scripts/docs/mkdocs.yml").read_text(encoding="utf-8")
    (folder / "mkdocs.yml").write_text(nav_of(config, set(work.pages.values())), encoding="utf-8")


class Loads(html.parser.HTMLParser):
    """Collects what a page makes the browser load (not what a reader may click on)."""
    RELS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload", "manifest"}

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "link" and not self.RELS & set((values.get("rel") or "").split()):
            return
        names = {"link": ["href"], "object": ["data"]}.get(tag, ["src", "srcset", "poster"])
        self.found += [values[name] for name in names if values.get(name)]


def check(site):
    count = 0
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            parser = Loads()
            parser.feed(path.read_text(encoding="utf-8"))
            found = parser.found
        elif path.suffix == ".css":
            found = re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", path.read_text(encoding="utf-8"))
        else:
            continue
        count += 1
        for address in found:
            if re.match(r"(https?:)?//", address):
                raise Problem(f"{path.relative_to(site)}: would load {address}")
    if count == 0:
        raise Problem(f"{site}: no pages")
    print(f"{count} pages and styles: nothing is loaded from elsewhere", file=sys.stderr)


def main(arguments):
    try:
        if arguments[:1] == ["stage"] and len(arguments) == 3:
            stage(pathlib.Path(arguments[1]), pathlib.Path(arguments[2]))
        elif arguments[:1] == ["check"] and len(arguments) == 2:
            check(pathlib.Path(arguments[1]))
        else:
            raise Problem("usage: pages.py stage ROOT FOLDER | check SITE")
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
