"""Help people to annotate together: guide, batches for several people, agreement, adjudication, files of other tools.

How one person answers is in `synthgen.labels`; what the verbs do with a run folder is in `synthgen.run.reviewing`.
"""
