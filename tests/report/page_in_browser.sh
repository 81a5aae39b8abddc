#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The page of lotformer-report in headless Chromium: nothing on the console, every picture drawn, nothing fetched. Exit code 77 without one.
#   tests/report/page_in_browser.sh PROGRAM    PROGRAM: lotformer-report
#   tests/report/page_in_browser.sh --page index.html    one that is there already
set -euo pipefail
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || { echo "skipped: no Chromium"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ $1 == --page ]]; then
  page=$2
else
  "$1" "$here/../data/report" --out "$work/report" --no-pictures >/dev/null
  page=$work/report/index.html
fi
page=$(realpath "$page")

# look WIDTH [OPTION]: the page as the browser has built it, and what it said meanwhile.
look() {
  "$browser" --headless=new --no-sandbox --disable-gpu --user-data-dir="$work/profile" --virtual-time-budget=20000 --window-size="$1",1000 \
    --enable-logging=stderr "${@:2}" --dump-dom "file://$page" >"$work/dom" 2>"$work/log"
  if grep -o '<p class="warn failed">[^<]*' "$work/dom"; then
    echo "error: a part of the page failed at width $1 ${*:2}"
    exit 1
  fi
  if grep CONSOLE "$work/log"; then
    echo "error: the console is not empty at width $1 ${*:2}"
    exit 1
  fi
  python3 - "$work/dom" <<'CHECK'
import html.parser
import sys


class Charts(html.parser.HTMLParser):
    """Counts the places of pictures, and those that hold drawn marks; width of the page's sections."""
    def __init__(self):
        super().__init__()
        self.charts = self.drawn = self.marks = 0

    def handle_starttag(self, tag, attributes):
        names = (dict(attributes).get("class") or "").split()
        if tag == "div" and "chart" in names and "hidden" not in dict(attributes):
            self.charts += 1
            self.drawn += "js-plotly-plot" in names
        self.marks += bool({"points", "point", "hm", "js-line"} & set(names))


page = Charts()
page.feed(open(sys.argv[1], encoding="utf8").read())
if page.charts < 6 or page.drawn < page.charts or page.marks < page.charts:
    sys.exit(f"error: {page.charts} pictures, {page.drawn} drawn, {page.marks} groups of marks")
print(f"{page.charts} pictures drawn")
CHECK
}

look 1200
look 1200 --blink-settings=preferredColorScheme=0
look 400
