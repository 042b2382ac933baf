"""The command `synthgen label`: its options, the session in a terminal or on a page, files, and what it says at the
end.

Leaves questions, answers and how they reach the ledger to `synthgen.labels`.
"""
