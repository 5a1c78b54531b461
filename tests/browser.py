"""A headless Chromium for the tests of pages."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--virtual-time-budget=20000", "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=800,900",
)  # fmt: skip


def result_of(page: Path, script: str, profile: Path) -> str:
    """Open a page without a network, run a script in it, and return what it returns.

    Args:
        page: an html file.
        script: body of an asynchronous function of JavaScript that returns text.
        profile: an empty folder, for the profiles of the browser.
    """
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed: no browser to try the page in")
    call = (
        f"<script>(async () => {{ {script} }})().catch((error) => 'error: ' + error).then((text) =>"
        " { const made = document.createElement('pre'); made.id = 'result';"
        " made.textContent = text; document.body.replaceChildren(made); });</script></body>"
    )
    tried = page.with_name(f"tried-{page.name}")
    tried.write_text(page.read_text(encoding="utf-8").replace("</body>", call), encoding="utf-8")
    command = [program, *OPTIONS, "--dump-dom", tried.absolute().as_uri()]
    for attempt in range(3):  # on a busy machine, the page is shown before the script has ended
        # what an attempt has stored is not there in the next
        run = subprocess.run(
            [*command, f"--user-data-dir={profile / str(attempt)}"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if found := re.search(r'<pre id="result">(.*?)</pre>', run.stdout, re.DOTALL):
            return html.unescape(found[1])
    raise AssertionError(run.stderr[-2000:])
