"""Speed, as ratios of variants measured side by side; see `python -m benchmarks.decoders`."""
