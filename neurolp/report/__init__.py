"""Reports: one self-contained page of HTML about a file or a sweep.

* contents: what a report says, of one file
* sweeps: what a report says, of the folder of a sweep
* pictures: figures as inline SVG, which follows the colours of the page
* charts: figures of curves as charts to zoom and to point at, by Bokeh
* page: the page of these, by a Jinja template; :func:`neurolp.report`
* watching: how far a run has come that another process is writing
"""
