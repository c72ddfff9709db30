"""Many runs of one configuration, with some keys changed, on Dask.

* design: a sweep's configuration -> its jobs
* identity: what a job is, the hash of its configuration
* state: what is on disk, one folder, one state and one writer for each job
* job: one job, in a worker
* running: the driver: which jobs wait, run, are tried again
* workers: Dask
* collecting: settings and results -> one table
* plotting: figures of a table
* api: all of it together
"""
