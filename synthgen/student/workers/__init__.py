"""Train a student in several processes, on the GPUs of one machine or on the machines of a Ray cluster.

Each worker runs the same `fit` as a training in one process, on its part of every batch. The work ends with a
checkpoint of the last step, from which the run's own process takes the weights. The caller decides on the kind of
student, the rows and the number of steps.
"""
