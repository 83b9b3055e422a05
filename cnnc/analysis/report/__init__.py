"""An analysis as one HTML page that needs no network: tables, plots, pictures of the first kernels.

Read: `page.py` (puts the page together), `columns.py` and `summary.py` (what it says), `plots/` (a file a plot),
`measured.py` (the parts of an analysis that may be absent), `text.py` (how a model's strings become harmless).
"""

from cnnc.analysis.report.page import to_html

__all__ = ["to_html"]
