"""The settings of the test's Superset, a new one for every run. Not for production."""

import os

SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = "sqlite:///" + os.path.join(os.environ["SUPERSET_HOME"], "superset.db")
TALISMAN_ENABLED = False  # it is about browsers that reach it over the network
