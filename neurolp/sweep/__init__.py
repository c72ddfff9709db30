"""Many runs of one configuration, with some keys changed, on Dask.

* design: a sweep's configuration -> its points
* identity: what a point is, the hash of its configuration
* state: what is on disk, one folder, one state and one writer for each point
* point: one point, in a worker
* running: the driver: which points wait, run, are tried again
* workers: Dask
* memory: what a point needs at most
* collecting: settings and results -> one table
* plotting: pictures of a table
* api: all of it together
"""
