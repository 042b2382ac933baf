"""Help people to annotate together: guide, batches for several people, agreement, adjudication, files of other tools.

`synthgen.labels` asks one person. `synthgen.run.reviewing` implements the verbs on a run folder.
"""
