"""One Python client against the warehouse, as a BI tool uses it. Prints a report that clients_test.go compares with the truth.

usage: clients.py connect|sqlalchemy|driver      (the task is in BI_TASK, a JSON file; where the warehouse is, in BI_…)
"""
import datetime
import decimal
import json
import os
import sys

HOST, DATABASE, USER, PASSWORD = (os.environ["BI_" + n] for n in ("HOST", "DATABASE", "USER", "PASSWORD"))
HTTP_PORT, NATIVE_PORT = int(os.environ["BI_HTTP_PORT"]), int(os.environ["BI_NATIVE_PORT"])


def canon(v):
    """A value as text, the same from every client; containers stay containers."""
    if v is None:
        return None
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, decimal.Decimal):
        return format(v, "f")
    if isinstance(v, datetime.datetime):
        # A time without a zone would be a guess: both clients give one for DateTime64(3, 'UTC') if they are asked to.
        zone = "Z" if v.tzinfo is not None and v.utcoffset() == datetime.timedelta(0) else "?"
        return v.strftime("%Y-%m-%dT%H:%M:%S.") + "%03d" % (v.microsecond // 1000) + zone
    if isinstance(v, datetime.date):
        return v.isoformat()
    if isinstance(v, float):
        return repr(v)
    if isinstance(v, (bytes, bytearray)):
        return "bytes"
    if isinstance(v, dict):
        return {k: canon(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [canon(x) for x in v]
    return str(v)


class Connect:
    """clickhouse-connect over HTTP."""

    def __init__(self):
        import clickhouse_connect

        # aware: times of a DateTime64(3, 'UTC') carry their zone; without it they come without one, and mean UTC all the same.
        self.client = clickhouse_connect.get_client(
            host=HOST, port=HTTP_PORT, username=USER, password=PASSWORD, database=DATABASE, tz_mode="aware")

    def tables(self):
        found = {}
        for name, engine, comment in self.ask("SELECT name, engine, comment FROM system.tables WHERE database = currentDatabase()"):
            columns = [{"name": r[0], "type": r[1], "comment": r[4]} for r in self.ask("DESCRIBE TABLE " + name)]
            found[name] = {"view": engine == "View", "comment": comment, "columns": columns}
        return found

    def ask(self, sql):
        return self.client.query(sql).result_rows

    def run(self, sql):
        self.client.command(sql)

    def with_setting(self, name, value):
        self.client.query("SELECT 1", settings={name: value})

    def insert(self):
        self.client.insert("task_events", [["evt_bi"]], column_names=["event_id"])


class SQLAlchemy(Connect):
    """clickhouse-connect's dialect for SQLAlchemy, which Superset and many others stand on."""

    def __init__(self):
        import sqlalchemy

        self.sa = sqlalchemy
        url = sqlalchemy.URL.create("clickhousedb", USER, PASSWORD or None, HOST, HTTP_PORT, DATABASE, {"tz_mode": "aware"})
        self.engine = sqlalchemy.create_engine(url)

    def tables(self):
        inspector = self.sa.inspect(self.engine)
        views = set(inspector.get_view_names(DATABASE))
        found = {}
        for name in set(inspector.get_table_names(DATABASE)) | views:
            columns = [{"name": c["name"], "type": getattr(c["type"], "name", "") or str(c["type"]), "comment": c["comment"] or ""}
                       for c in inspector.get_columns(name, DATABASE)]
            found[name] = {"view": name in views, "columns": columns,
                           "comment": inspector.get_table_comment(name, DATABASE)["text"] or ""}
        return found

    def ask(self, sql):
        with self.engine.connect() as c:
            return [tuple(r) for r in c.exec_driver_sql(sql)]

    def run(self, sql):
        self.ask(sql)

    def with_setting(self, name, value):
        url = self.engine.url.update_query_dict({name: str(value)})
        with self.sa.create_engine(url).connect() as c:
            c.exec_driver_sql("SELECT 1").fetchall()

    def insert(self):
        table = self.sa.table("task_events", self.sa.column("event_id", self.sa.String), schema=DATABASE)
        with self.engine.begin() as c:
            c.execute(table.insert(), [{"event_id": "evt_bi"}])


class Driver(Connect):
    """clickhouse-driver over the native protocol."""

    def __init__(self, **settings):
        import clickhouse_driver

        self.new = lambda **settings: clickhouse_driver.Client(
            HOST, port=NATIVE_PORT, user=USER, password=PASSWORD, database=DATABASE, settings=settings)
        self.client = self.new()

    def ask(self, sql):
        return self.client.execute(sql)

    def run(self, sql):
        self.client.execute(sql)

    def with_setting(self, name, value):
        self.client.execute("SELECT 1", settings={name: value})

    def insert(self):
        self.client.execute("INSERT INTO task_events (event_id) VALUES", [{"event_id": "evt_bi"}])


def attempt(what):
    """The first line of the refusal, or "" when it was let through."""
    try:
        what()
    except Exception as e:
        return (str(e).strip() or repr(e))[:400]
    return ""


def main():
    client = {"connect": Connect, "sqlalchemy": SQLAlchemy, "driver": Driver}[sys.argv[1]]()
    with open(os.environ["BI_TASK"]) as f:
        task = json.load(f)
    tables = client.tables()
    report = {"tables": tables, "answers": {}, "refusals": {}, "settings": {}}
    for question in task["questions"]:
        report["answers"][question] = [[canon(v) for v in row] for row in client.ask(question)]
    for statement in task["refused"]:
        report["refusals"][statement] = attempt(lambda: client.run(statement))
    for name, value in task["constants"].items():
        report["settings"][name] = attempt(lambda: client.with_setting(name, value))
    report["insert"] = attempt(client.insert)
    json.dump(report, sys.stdout)


main()
