"""Attention, step by step: the code behind the book. Import from the modules.

What lives where (a module imports only from those below it):

==================  ============================================================
``__main__``        the command line, ``python -m utils``
``experiments``     long experiments whose results live in ``book/results``
``explorers``       the interactive figures
``plots``           numbers and labels in, matplotlib axes out
``training``        frozen configuration, ``fit``, history, exact resume
``decoding``        greedy and beam search, hypotheses with their attention
``checkpoints``     weights (safetensors) and configuration (JSON), atomic
``metrics``         BLEU, exact match, alignment error rate
``models``          cells, attention, encoders, decoders, encoder–decoder
``datasets``        vocabulary, batching, the grammar with gold alignments
``runtime``         seeds, devices, mixed precision
``notebooks``       tools that execute and check the book's notebooks
==================  ============================================================

Importing anything from here changes no global state: no seed, no number of threads, no
matplotlib backend.
"""
