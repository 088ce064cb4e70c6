"""The book's models, one idea a module: cells, attention, encoders, decoders, seq2seq."""
