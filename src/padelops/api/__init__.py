"""
The HTTP door: a thin way in to the same desk that the terminal and scripts work through.

A request goes through `server` (processes), `wire` (bytes, deadlines, a bounded queue), `app` (who
asks, what for, in which words it is answered) and one function of `routes/`; it holds no rule of
the booking core.
"""
