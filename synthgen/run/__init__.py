"""One run from its command line to its end: preparing, building, the loop, stop rules, going on, and looking at it.

Each stage's work is left to the stage; this package says in which order it happens, and what is kept.
"""
