"""The command line, `python -m utils`: one module a command.

Each has `add_parser(commands)`, which describes its arguments, and `run(options)`, which does the
work and returns the exit code. `errors` turns what can go wrong into one line.
"""
