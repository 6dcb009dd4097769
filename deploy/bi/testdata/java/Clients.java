import com.clickhouse.client.api.query.QuerySettings;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.Statement;
import java.sql.Struct;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;

/**
 * clickhouse-jdbc against the warehouse, with the properties that Metabase's driver gives it (its
 * select_sequential_consistency has a prefix since 0.9, which refuses names it does not know). Prints a report that
 * clients_test.go compares with the truth: see clients.py. The task is plain lines, since Java reads no JSON by itself:
 * "question SQL", "refused SQL", "constant name value".
 */
public class Clients {
  static final String DATABASE = System.getenv("BI_DATABASE");

  static Connection connect(Map<String, String> more) throws Exception {
    Properties p = new Properties();
    p.put("user", System.getenv("BI_USER"));
    p.put("password", System.getenv("BI_PASSWORD"));
    p.put("ssl", "false");
    p.put("use_server_time_zone_for_dates", "true");
    p.put("product_name", "metabase/v1.57.0");
    p.put("remember_last_set_roles", "true");
    p.put("http_connection_provider", "HTTP_URL_CONNECTION");
    p.put("jdbc_ignore_unsupported_values", "true");
    p.put("jdbc_schema_term", "schema");
    p.put("clickhouse_setting_select_sequential_consistency", "1");
    p.put("max_open_connections", "100");
    p.put("custom_http_params", "");
    p.putAll(more);
    String url = "jdbc:clickhouse://" + System.getenv("BI_HOST") + ":" + System.getenv("BI_HTTP_PORT") + "/" + DATABASE;
    Connection c = DriverManager.getConnection(url, p);
    // Metabase does so when a report has a time zone: no number may hang on it.
    QuerySettings settings = new QuerySettings();
    settings.setOption("session_timezone", "America/New_York");
    c.unwrap(com.clickhouse.jdbc.ConnectionImpl.class).setDefaultQuerySettings(settings);
    return c;
  }

  public static void main(String[] args) throws Exception {
    Map<String, Object> answers = new LinkedHashMap<>(), refusals = new LinkedHashMap<>(), settings = new LinkedHashMap<>();
    Map<String, Object> report = new LinkedHashMap<>();
    try (Connection c = connect(Map.of())) {
      report.put("tables", tables(c));
      for (String line : Files.readAllLines(Path.of(System.getenv("BI_TASK_LINES")))) {
        String rest = line.substring(line.indexOf(' ') + 1);
        if (line.startsWith("question ")) {
          answers.put(rest, ask(c, rest));
        } else if (line.startsWith("refused ")) {
          refusals.put(rest, attempt(() -> {
            try (Statement s = c.createStatement()) {
              s.execute(rest);
            }
          }));
        } else {
          String[] words = rest.split(" ");
          settings.put(words[0], attempt(() -> {
            try (Connection other = connect(Map.of("clickhouse_setting_" + words[0], words[1])); Statement s = other.createStatement()) {
              s.executeQuery("SELECT 1").next();
            }
          }));
        }
      }
      report.put("insert", attempt(() -> {
        try (PreparedStatement s = c.prepareStatement("INSERT INTO task_events (event_id) VALUES (?)")) {
          s.setString(1, "evt_bi");
          s.executeUpdate();
        }
      }));
    }
    report.put("answers", answers);
    report.put("refusals", refusals);
    report.put("settings", settings);
    StringBuilder out = new StringBuilder();
    json(out, report);
    System.out.println(out);
  }

  /** Tables as Metabase lists them. */
  static Map<String, Object> tables(Connection c) throws Exception {
    Map<String, Object> found = new LinkedHashMap<>();
    String[] types = {"TABLE", "VIEW", "FOREIGN TABLE", "REMOTE TABLE", "DICTIONARY", "MATERIALIZED VIEW", "MEMORY TABLE", "LOG TABLE"};
    try (ResultSet r = c.getMetaData().getTables(null, DATABASE, "%", types)) {
      while (r.next()) {
        List<Object> columns = new ArrayList<>();
        try (ResultSet k = c.getMetaData().getColumns(null, DATABASE, r.getString("TABLE_NAME").replace("_", "\\_"), "%")) {
          while (k.next()) {
            columns.add(Map.of("name", k.getString("COLUMN_NAME"), "type", k.getString("TYPE_NAME"), "comment", String.valueOf(k.getString("REMARKS"))));
          }
        }
        found.put(r.getString("TABLE_NAME"), Map.of("view", r.getString("TABLE_TYPE").equals("VIEW"), "comment", String.valueOf(r.getString("REMARKS")), "columns", columns));
      }
    }
    return found;
  }

  static List<Object> ask(Connection c, String sql) throws Exception {
    List<Object> rows = new ArrayList<>();
    try (Statement s = c.createStatement()) {
      s.setMaxRows(2000); // as Metabase does
      ResultSet r = s.executeQuery(sql);
      ResultSetMetaData m = r.getMetaData();
      while (r.next()) {
        List<Object> row = new ArrayList<>();
        for (int i = 1; i <= m.getColumnCount(); i++) {
          row.add(canon(value(r, m, i)));
        }
        rows.add(row);
      }
    }
    return rows;
  }

  /** A value as Metabase reads it: times with their zone, days as days. */
  static Object value(ResultSet r, ResultSetMetaData m, int i) throws Exception {
    String type = m.getColumnTypeName(i);
    if (type.contains("DateTime64") && !type.startsWith("Array") && !type.startsWith("Map")) {
      return r.getObject(i, OffsetDateTime.class);
    }
    if (type.equals("Date") || type.equals("Nullable(Date)")) {
      return r.getObject(i, LocalDate.class);
    }
    return r.getObject(i);
  }

  static Object canon(Object v) throws Exception {
    if (v == null) {
      return null;
    }
    if (v instanceof BigDecimal) {
      return ((BigDecimal) v).toPlainString();
    }
    if (v instanceof OffsetDateTime) {
      return DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").format(((OffsetDateTime) v).withOffsetSameInstant(ZoneOffset.UTC));
    }
    if (v instanceof Array) {
      return canon(((Array) v).getArray());
    }
    if (v instanceof Struct) {
      return canon(((Struct) v).getAttributes());
    }
    if (v instanceof byte[]) {
      return "bytes";
    }
    if (v instanceof Object[]) {
      return canon(java.util.Arrays.asList((Object[]) v));
    }
    if (v instanceof List) {
      List<Object> out = new ArrayList<>();
      for (Object x : (List<?>) v) {
        out.add(canon(x));
      }
      return out;
    }
    if (v instanceof Map) {
      Map<String, Object> out = new LinkedHashMap<>();
      for (Map.Entry<?, ?> e : ((Map<?, ?>) v).entrySet()) {
        out.put(String.valueOf(e.getKey()), canon(e.getValue()));
      }
      return out;
    }
    return String.valueOf(v);
  }

  interface Action {
    void run() throws Exception;
  }

  /** The refusal, or "" when it was let through. */
  static String attempt(Action what) {
    try {
      what.run();
    } catch (Exception e) {
      String all = "";
      for (Throwable t = e; t != null; t = t.getCause()) {
        all += t.getMessage() + " ";
      }
      return all.substring(0, Math.min(all.length(), 600));
    }
    return "";
  }

  static void json(StringBuilder out, Object v) {
    if (v == null || v instanceof Boolean) {
      out.append(v);
    } else if (v instanceof Map) {
      String before = "{";
      for (Map.Entry<?, ?> e : ((Map<?, ?>) v).entrySet()) {
        out.append(before);
        json(out, e.getKey());
        out.append(':');
        json(out, e.getValue());
        before = ",";
      }
      out.append(before.equals("{") ? "{}" : "}");
    } else if (v instanceof List) {
      String before = "[";
      for (Object x : (List<?>) v) {
        out.append(before);
        json(out, x);
        before = ",";
      }
      out.append(before.equals("[") ? "[]" : "]");
    } else {
      out.append('"');
      for (char ch : v.toString().toCharArray()) {
        if (ch == '"' || ch == '\\') {
          out.append('\\').append(ch);
        } else if (ch < 0x20) {
          out.append(String.format("\\u%04x", (int) ch));
        } else {
          out.append(ch);
        }
      }
      out.append('"');
    }
  }
}
