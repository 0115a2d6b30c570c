"""What Airflow may ask of the Docker engine: a proxy before the engine's socket.

Who may create any container is root on the host, and the case this exists for is an attacker in
Airflow. So nothing of a request is passed on as it came. `wire` parses it strictly, `routes` knows
the few requests that the task operator needs, `create` rebuilds the body of a create from the keys
it knows, `mounts` looks at the folders themselves, and `server` asks the engine whose container a
request means before it passes the request on. Standard library only.
"""
