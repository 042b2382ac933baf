"""Hold the parts of `benchmarks/peers.py`: the requests, the clients, their programs and their environments."""
