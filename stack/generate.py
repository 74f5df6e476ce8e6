"""``python -m stack.generate``: writes the files that are made from the panels."""

import json
from pathlib import Path
from typing import Final

from stack.board import board
from stack.recording_rules import rules_file

__all__ = ["FOLDER", "generated"]

FOLDER: Final = Path(__file__).parent


def generated() -> dict[str, str]:
    """The content of every file, by its path below this folder."""
    return {
        "grafana/boards/flashgauge.json": json.dumps(board(), indent=1, ensure_ascii=False) + "\n",
        "prometheus/recording.yml": rules_file(),
    }


if __name__ == "__main__":
    for name, text in generated().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
