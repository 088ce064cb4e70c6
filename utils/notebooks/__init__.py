"""Tools for the book's notebooks: execute, time, stamp and check them.

``python -m utils.notebooks --help`` shows the commands; ``CONTRIBUTING.md`` says when to use
which. Chapters never import anything from here.
"""
