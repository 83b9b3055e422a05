"""How soon the HTML report of a deep network shows: writes one, and times headless Chromium opening it.

    python tools/bench_report.py [LAYERS]     default: 1000

The first contentful paint, the end of parsing, and how long every plot takes to be drawn, medians of five openings.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cnnc.analysis.report import to_html
from tests.report.browser import chromium
from tests.report.models import deep_net

_OPENINGS = 5
_TIMES = """
    const [navigation] = performance.getEntriesByType("navigation");
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    return [paint?.startTime ?? null, navigation.domContentLoadedEventEnd];
"""
_DRAW = """
    const done = arguments[0];
    const canvases = [...document.querySelectorAll(".canvas")];
    const start = performance.now();
    const next = () => {
      const left = canvases.find((canvas) => !canvas.querySelector(".main-svg"));
      if (!left) return done(performance.now() - start);
      left.scrollIntoView({ behavior: "instant" });
      setTimeout(next, 10);
    };
    next();
"""


def main(layers: int) -> None:
    """Print one line a figure."""
    analysis = deep_net(layers)
    start = time.perf_counter()
    source = to_html(analysis)
    print(f"{layers} layers: {len(source.encode()) / 1e6:.2f} MB, made in {time.perf_counter() - start:.2f} s")
    rows = []
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        page = Path(folder) / "report.html"
        page.write_text(source, encoding="utf-8")
        for _ in range(_OPENINGS):
            browser.get("about:blank")
            browser.get(page.as_uri())
            time.sleep(0.5)  # the paint is reported after the frame
            rows.append((*browser.execute_script(_TIMES), browser.execute_async_script(_DRAW)))
    names = ("first contentful paint", "page parsed and ready", "all plots drawn, from then")
    for name, times in zip(names, zip(*rows, strict=True), strict=True):
        print(f"{name:<28} {statistics.median(times):>6.0f} ms   ({min(times):.0f} to {max(times):.0f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
