"""The report: LM calls as one HTML page that needs nothing else, for people who ask which LM answered and why.

And as a few lines of Markdown, for the summary of a CI job.

This room knows LM calls only as the JSON values of `LMCall.to_dict()` and `LMChange.to_dict()`; where they come from
(a bridge's journal, a pytest run, a file) is the caller's business.
"""

from dspex_testkit.report.journal_file import Entries, read_entries
from dspex_testkit.report.markdown import render_markdown
from dspex_testkit.report.page import render, write

__all__ = ["Entries", "read_entries", "render", "render_markdown", "write"]
