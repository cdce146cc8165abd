"""privsync for many environments on Airflow 3: dev, then test, then prod, then the overview.

Each environment takes only what the one before it has applied and verified; Airflow runs the tasks
in that order, and --require-applied holds also when somebody starts one by hand. Lock, journal and
reports are in PostgreSQL, so that tasks may run on any worker.

Before the first run: put privsync and the policy on the workers (here /opt/privsync), and make the
Airflow connections privsync_dev, privsync_test and privsync_prod (host: the base URL; login and
password: the account) and privsync_state (password: the store's).
"""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

# In the order of promotion.
ENVIRONMENTS = ["dev", "test", "prod"]

STATE = {
    "PRIVSYNC_STATE": "postgres://privsync@db.example.com/privsync?sslmode=verify-full",
    "PGPASSWORD": "{{ conn.privsync_state.password }}",
}

with DAG(
    dag_id="privsync_fleet",
    schedule="17 1 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    # privsync retries what is worth it; another try would only meet the same guard.
    default_args={"retries": 0, "execution_timeout": timedelta(hours=2)},
) as dag:
    overview = BashOperator(
        task_id="overview",
        bash_command="privsync fleet status --detailed-exitcode "
        + " ".join(f"--expect {name}" for name in ENVIRONMENTS),
        env=STATE,
        append_env=True,
        cwd="/opt/privsync",
        trigger_rule="all_done",
    )
    previous = None
    for name in ENVIRONMENTS:
        requires = f" --require-applied {previous}" if previous else ""
        task = BashOperator(
            task_id=f"apply_{name}",
            bash_command=f"privsync apply -f policy --env {name}{requires} --yes --lock-timeout 10m --deadline 90m --no-progress",
            env={
                "PRIVSYNC_URL": "{{ conn.privsync_%s.host }}" % name,
                "PRIVSYNC_USERNAME": "{{ conn.privsync_%s.login }}" % name,
                "PRIVSYNC_PASSWORD": "{{ conn.privsync_%s.password }}" % name,
                **STATE,
            },
            append_env=True,
            cwd="/opt/privsync",
        )
        if previous:
            dag.get_task(f"apply_{previous}") >> task
        task >> overview
        previous = name
