"""The parts of `benchmarks/peers.py`: what is asked, who is driven, by which program, in which environment."""
