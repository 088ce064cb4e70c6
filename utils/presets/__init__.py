"""Every model of the book by name, with its data and its training.

`definitions` says what each preset is, `tasks` makes the data, the model and the scores.
"""
