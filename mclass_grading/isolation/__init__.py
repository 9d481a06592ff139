"""A submission in a process of its own, behind walls.

* `process`, `worker`, `wire`: the process, and what may cross between it and the judge.
* `sandbox`, `cgroups`, `watchdog`: its walls, which are bubblewrap's, and who counts its memory and time.
"""
