"""Airflow on SQLite, as four processes, bound to this machine.

Each process has a log and a session of its own (one `airflow standalone` would hide which
died, and its children outlive a SIGTERM to it).
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import urllib.parse
from importlib import metadata
from pathlib import Path

from cli.console import progress, tail
from laptop.services.launch import Launch, base_env
from nightshift import credentials, files
from nightshift.errors import ConfigurationError
from nightshift.settings import Settings

COMPONENTS = {
    "api-server": ("api-server", "--workers", "1"),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
"""Airflow's processes and the commands that start them; logs are read from disk, not served."""


def home(settings: Settings) -> Path:
    """AIRFLOW_HOME: database, task logs, generated configuration."""
    return settings.home / "airflow"


def database(settings: Settings) -> Path:
    """Airflow's SQLite file."""
    return home(settings) / "airflow.db"


def environment(settings: Settings) -> dict[str, str]:
    """The whole environment of Airflow's processes, its connections included."""
    folder = home(settings)
    env = base_env(settings)
    options = {
        "CORE__DAGS_FOLDER": str(settings.dags),
        "CORE__PLUGINS_FOLDER": str(settings.project / "plugins"),
        # LocalExecutor, with an eye on its processes: Airflow's own leaves a task queued for ever
        # whose process died before the task ran.
        "CORE__EXECUTOR": "nightshift_provider.executors.local.NightshiftLocalExecutor",
        "CORE__PARALLELISM": "4",
        "CORE__LOAD_EXAMPLES": "False",
        # The button that tries a connection; it makes Airflow call any address that a user names.
        "CORE__TEST_CONNECTION": "Enabled" if settings.bind == "127.0.0.1" else "Disabled",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{settings.airflow_user}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "CORE__EXECUTION_API_SERVER_URL": f"{settings.airflow_url}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database(settings)}",
        "API__HOST": settings.bind,
        "API__PORT": str(settings.airflow_port),
        "API__BASE_URL": settings.airflow_url,
        "API__WORKERS": "1",
        # A folder with a new or changed DAG is read again after ten seconds, not five minutes.
        "DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
        # A task's supervisor often learns of its end only at the next heartbeat. With the default
        # of five seconds the executor's "ended" of a task that deferred may come after the task
        # runs again, and the scheduler then takes it for killed and fails it.
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # Between two looks at what is due. A night is a chain of some fifteen tasks, and with the
        # default of one second it waits half of that at each link.
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
        "OPERATORS__DEFAULT_DEFERRABLE": "True",
        "LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    # Airflow's parser takes % as the start of an interpolation.
    env.update({f"AIRFLOW__{k}": v.replace("%", "%%") for k, v in options.items()})
    env["AIRFLOW_HOME"] = str(folder)
    # For the task that cleans it; Airflow hides the connection above from tasks.
    env["NIGHTSHIFT_AIRFLOW_DATABASE"] = f"sqlite:///{database(settings)}?timeout=30"
    token = credentials.read(settings, credentials.OPENMLDB_TOKEN)
    env["AIRFLOW_CONN_OPENMLDB_DEFAULT"] = json.dumps(
        {
            "conn_type": "openmldb",
            "host": settings.openmldb_host,
            "port": settings.openmldb_port,
            **({"login": "nightshift", "password": token} if token else {}),
        }
    )
    return env


def password(settings: Settings) -> str:
    """Password of the UI's user: `NIGHTSHIFT_AIRFLOW_PASSWORD`, else one made at random, once."""
    return credentials.ensure(settings, credentials.AIRFLOW_PASSWORD)


def command(settings: Settings, *arguments: str) -> list[str]:
    """Arguments that run Airflow's command line with the project's interpreter.

    `-P` keeps the working folder off the import path, where a stray file would shadow a module.
    """
    return [str(settings.project / ".venv/bin/python"), "-P", "-m", "airflow", *arguments]


def launch(settings: Settings, component: str) -> Launch:
    """How one of `COMPONENTS` is started."""
    arguments = list(COMPONENTS[component])
    env = environment(settings)
    if component == "api-server":
        arguments += ["--host", settings.bind, "--port", str(settings.airflow_port)]
    else:
        # A trigger by API writes its audit row in the api-server's event loop, which may hold up
        # the very request that has SQLite locked; that ends when the audit row gives up, after
        # SQLite's five seconds. The others wait longer: a scheduler that meets a lock ends.
        env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] += "?timeout=30"
    return Launch(command(settings, *arguments), env, settings.project)


def prepare(settings: Settings) -> None:
    """Make the folder, the login, the database and its pools; quick where all is there.

    Raises:
        ConfigurationError: the migration or the pools failed; names the log.
    """
    # Here, since `up` and `status` are parsed before anything is installed.
    from nightshift.scaffold.write import ensure_dag_files

    folder = home(settings)
    folder.mkdir(parents=True, exist_ok=True)
    ensure_dag_files(settings)
    passwords = folder / "passwords.json"
    files.write_private(passwords, files.dump_json({settings.airflow_user: password(settings)}))
    stamp = folder / "prepared"
    pools = settings.include / "pools.json"
    wanted = f"{metadata.version('apache-airflow')} {files.sha256_file(pools)}"
    made = (folder / "airflow.cfg").exists() and _has_tables(database(settings))
    if made and stamp.exists() and stamp.read_text() == wanted:
        return
    with progress("Airflow's database"):
        _run(settings, "db", "migrate")
        _run(settings, "pools", "import", str(pools))
    files.write_text(stamp, wanted)


def _run(settings: Settings, *arguments: str) -> None:
    log = settings.home / "logs" / "airflow-prepare.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        code = subprocess.run(
            command(settings, *arguments),
            env=environment(settings),
            cwd=settings.project,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if code != 0:
        raise ConfigurationError(
            f"Airflow's database {database(settings)} could not be prepared: `airflow "
            f"{' '.join(arguments)}` ended with {code}. Log: {log}\n{tail(log)}"
        )


def _has_tables(path: Path) -> bool:
    try:
        address = f"file:{urllib.parse.quote(str(path))}?mode=ro"
        with sqlite3.connect(address, uri=True) as connection:
            found = connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE name = 'dag_run'"
            ).fetchone()
        return bool(found[0])
    except sqlite3.Error:
        return False
