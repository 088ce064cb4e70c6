"""Store the answers that pages open with: `python -m utils.explorers NAME…` after an export."""

from __future__ import annotations

import sys

from utils.explorers.captions import CaptionEngine, caption_setup
from utils.explorers.examples import default_examples, store_answers
from utils.explorers.live import load_engine


def main(names: list[str]) -> int:
    """Compute and store each model's answers to the default examples; returns the exit status."""
    if not names:
        print("which models? python -m utils.explorers NAME…", file=sys.stderr)
        return 2
    for name in names:
        try:
            engine = load_engine(name)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
        if isinstance(engine, CaptionEngine):
            examples = caption_setup(engine, title=name, name=name)["examples"][:1]
        else:
            examples = default_examples(engine)[:1]
        print(store_answers(name, engine, examples))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
