"""Makes the users of MLflow, with the passwords of their Secrets: whoever computes or drives is no administrator.

`mlflow-migrate` runs it after the migrations. It may run again at any time; a password that has changed in its Secret
changes here, the administrator's too.
"""

import os

from mlflow.server.auth.config import read_auth_config
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore as Accounts
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs

EXPERIMENT = "vsml"  # pipeline/track/store.py
GRANTS = [  # of all but the administrator, beside the experiment: old checkpoints are removed, rules are registered
    ("run", "*", "MANAGE"),
    ("registered_model", "*", "EDIT"),
]

runs = Runs(os.environ["MLFLOW_BACKEND_STORE_URI"], "mlflow-artifacts:/")
found = runs.get_experiment_by_name(EXPERIMENT)
experiment = found.experiment_id if found else runs.create_experiment(EXPERIMENT)

accounts = Accounts()
accounts.init_db(read_auth_config().database_uri)
for role in ("ADMIN", "DRIVER", "STAGE"):
    name, password = (os.environ[f"MLFLOW_AUTH_{role}_{what}"] for what in ("USERNAME", "PASSWORD"))
    if accounts.has_user(name):
        accounts.update_user(name, password=password)
    else:
        accounts.create_user(name, password, is_admin=role == "ADMIN")
    if role != "ADMIN":
        for grant in [("experiment", experiment, "EDIT"), *GRANTS]:
            accounts.grant_user_permission(name, *grant)
    print(f"User {name} is {'the administrator' if role == 'ADMIN' else f'at work in experiment {EXPERIMENT}'}.")
