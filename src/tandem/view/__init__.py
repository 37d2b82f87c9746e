"""Web pages over run folders, on this machine only: judge pairs of answers, browse items and traces.

What this room does not do: measure, or be reached from another machine. Pages come from templates with autoescaping and
are guarded as if every other page the browser shows were hostile: what they show was partly written by models.
"""
