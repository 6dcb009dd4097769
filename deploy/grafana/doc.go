// Package grafana is the dashboards for Grafana, its provisioning, and the tests of both. There is no code: Grafana reads the
// files.
//
//	dashboards/      leadhouse-sales.json, leadhouse-operations.json
//	provisioning/    the data source, of variables of the environment, and where the dashboards are
//
// They need the data source plugin grafana-clickhouse-datasource 4.0 or newer, and the user that leadhouse schema bi-user makes.
// Their queries name no database: it is the data source's default one.
//
// # Promises
//
//   - **Every query of a panel or a variable runs**, as that user, and has the columns that its panel names.
//   - **A delivery that came twice is counted once**, also where the user has no setting final: the queries read views, or say
//     FINAL.
//   - Amounts of different currencies are never added: every panel with money has a row or a line for each.
//
// # What happens when
//
//	a view waits for its tables     its panels show ClickHouse's error, the others are drawn
//	a dashboard is changed there    it is not saved: it is provisioned. Save a copy, or change the file
package grafana
