"""Send requests as batches through the files and batches API of OpenAI and others, at a lower price and hours later.

`synthgen.engines.http` writes the requests, reads the answers, and asks the same host's chat API.
"""
