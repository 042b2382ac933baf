"""Set up the process of a run: signals, the event loop, the garbage collector.

These modules know nothing of samples or engines.
"""
