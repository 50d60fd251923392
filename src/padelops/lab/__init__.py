"""
A real cluster on one machine: PostgreSQL nodes, store, cache, payments, mail, worker and API.

It is there to be broken: what `padelops failover` promises is only believed after nodes were
killed, frozen and cut off in here, with bookings running.

Source: DESIGN.md sections 2 and 8.
"""
