"""What only the laptop profile needs: set-up, services, data, the demo.

`setup` makes the environments, `services` starts and stops the servers, `data` makes or lays
out source tables, `triton` starts the real Triton from its wheel, `openmldb-embedded` is a
package of its own. Nothing here is imported by DAGs, plugins, tasks or the predict server.
"""
