"""A folder of received messages: each as JSON and as a page to look at."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from threading import Lock
from typing import Any

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class Inbox:
    """Keeps messages in memory and, with a folder, as `<id>.json` and `<id>.html`.

    Args:
        folder: created when the first message comes; None keeps messages in memory only.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.messages: dict[str, dict[str, Any]] = {}
        self._lock = Lock()

    def keep(self, message_id: str, record: dict[str, Any], *, title: str, body: str) -> None:
        """Add a message, or replace the one of that id (an edited one).

        Args:
            message_id: unique; becomes the file name.
            record: JSON values.
            title: plain text.
            body: HTML, already safe.
        """
        with self._lock:
            self.messages[message_id] = record
            if self.folder is None:
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            name = _UNSAFE.sub("-", message_id)[:120]
            page = _PAGE.replace("{title}", escape(title)).replace("{body}", body)
            _write(self.folder / f"{name}.json", json.dumps(record, indent=1, ensure_ascii=False))
            _write(self.folder / f"{name}.html", page)

    def __len__(self) -> int:
        return len(self.messages)


def _write(path: Path, text: str) -> None:
    # Readers (the demo, a browser) never see half a file.
    scratch = path.with_suffix(path.suffix + ".part")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body{margin:24px auto;max-width:720px;padding:0 16px;color:#1d1c1d;font:15px/1.5 system-ui,sans-serif}
h1{font-size:20px;line-height:1.3}h2{font-size:16px}
table{border-collapse:collapse}td,th{padding:2px 12px 2px 0;text-align:left;vertical-align:top}
.fields{display:grid;grid-template-columns:1fr 1fr;gap:8px 24px}.quiet{color:#616061;font-size:13px}
.reply{border-left:3px solid #ddd;margin:12px 0;padding-left:12px}
code{background:#f4f4f4;color:#b42318;padding:0 2px}.section{margin:10px 0}
</style></head><body>{body}</body></html>
"""
