"""The same jobs on many machines: pieces that are ordinary files, and what joins them again.

shards   one part of N of a job, for Slurm arrays and queues of machines
merge    pieces → one file
"""
