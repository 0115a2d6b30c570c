"""Start, watch and stop the laptop profile's servers.

`catalogue` says what each service is, `supervisor` starts and stops them, `processes` finds
every process that belongs to them, `ports` tells who holds a port.
"""
