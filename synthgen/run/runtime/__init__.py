"""Sets up a run's process: signals, the event loop, the garbage collector.

Knows nothing of samples or engines.
"""
