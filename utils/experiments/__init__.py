"""The book's long experiments: run once by one command, stored as JSON, read by the chapters.

Each module of this package that is listed in `registry.EXPERIMENTS` has

    DESCRIPTION   one sentence: what is asked
    SEEDS         the seeds of the stored runs, at least five where a claim is judged
    SETTINGS      plain values that say what was run; they are stored beside the results
    run(seed, settings) -> list of records (plain dicts), one a trained model or condition
    QUICK         settings of a cheap version, which the tests run

`python -m utils.experiments NAME` runs it and writes `book/results/NAME.json`.
"""
