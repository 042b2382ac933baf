"""Share the work of one run among several loops, each in a process of its own, and merge what they accept.

A shard is a usual run in `RUN/shards/NUMBER`; how one loop works is left to `synthgen.run`.
"""
