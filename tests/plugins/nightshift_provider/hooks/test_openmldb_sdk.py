"""The SDK's client, as far as it goes without a cluster."""

import subprocess
import sys

AS_A_WORKER = """
import setproctitle
setproctitle.setproctitle("airflow worker -- LocalExecutor: <idle>")
from nightshift.errors import ConfigurationError, ServiceUnavailable
from nightshift_provider.hooks.openmldb_sdk import SDKClient
try:
    SDKClient(zk="127.0.0.1:1", zk_path="/o")
except (ConfigurationError, ServiceUnavailable) as error:
    print("answered:", error)
"""


def test_the_library_loads_in_a_process_with_airflows_name():
    # It would spin for ever at the blank in the process's name.
    done = subprocess.run(
        [sys.executable, "-c", AS_A_WORKER], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.startswith("answered: the cluster at ZooKeeper 127.0.0.1:1/o"), done
