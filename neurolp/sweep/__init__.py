"""Sweeps: many runs of one configuration with some keys changed, on Dask.

* schema: the keys of a sweep's configuration
* design: from these keys to the jobs, and the hash that names a job
* state: the files of a sweep, one folder and one writer for each job
* job: one job, in a worker
* running: the driver, which submits jobs and tries failed ones again
* workers: Dask workers, here or on a cluster
* search: draws that depend on earlier results, by Optuna
* collecting: one table of settings and results
* plotting: figures of a table
* api: :class:`neurolp.Sweep`
"""
