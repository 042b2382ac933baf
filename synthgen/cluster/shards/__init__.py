"""Divide the work of one run among several loops, each in its own process, and merge the samples that they accept.

A shard is a usual run in `RUN/shards/NUMBER`; how one loop works is left to `synthgen.run`.
"""
