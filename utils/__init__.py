"""Attention, step by step: the code behind the book. Import from the modules.

What lives where (a module imports only from those below it):

==================  ============================================================
``commands``        the command line: train, translate, evaluate
``presets``         every model of the book by name, with its data and training
``experiments``     long experiments whose results live in ``book/results``
``explorers``       attention to touch: widgets, and the same in a page without a kernel
``plots``           numbers and labels in, matplotlib axes out
``picture_plots``   a caption as a row of pictures with its weights
``training``        ``fit``: training with early stopping and exact resume
``training_config`` its frozen settings; ``history``: what a run shows
``distributed``     one training on several processes or GPUs (torchrun)
``losses``          nats per target token; ``captioning_loss``: with hard attention
``translator``      raw text in, text out; finds a model by name or folder
``decoding``        greedy and beam search, sampling, hypotheses with their attention
``checkpoints``     weights (safetensors) and configuration (JSON), atomic
``metrics``         BLEU, exact match, alignment error rate
``significance``    paired bootstrap: do two systems differ by more than chance?
``grounding``       does attention lie on the object a word names?
``models``          cells, attention, encoders, decoders, encoder–decoder, captioning
``datasets``        vocabulary, subwords, batching, the grammar with gold alignments,
                    scenes, Multi30k
``runtime``         seeds, devices, mixed precision
``notebooks``       tools that execute and check the book's notebooks
==================  ============================================================

Importing anything from here changes no global state: no seed, no number of threads, no
matplotlib backend.
"""
