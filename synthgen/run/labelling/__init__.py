"""Run `synthgen label`: options, the session in a terminal or on a web page, files, and the closing lines.

`synthgen.labels` chooses the questions and writes the answers to the ledger.
"""
