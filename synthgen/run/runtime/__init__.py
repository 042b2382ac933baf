"""What a run's process runs on: signals, the event loop, the garbage collector.

Knows nothing of samples or engines.
"""
