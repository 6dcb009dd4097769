// @clickhouse/client against the warehouse. Prints a report that clients_test.go compares with the truth: see clients.py.
'use strict'
const fs = require('node:fs')
const { createClient } = require('@clickhouse/client')

const env = (name) => process.env['BI_' + name]

// Without the first two, numbers come as JSON numbers, and JavaScript rounds them to 15 digits.
const client = createClient({
  url: `http://${env('HOST')}:${env('HTTP_PORT')}`, username: env('USER'), password: env('PASSWORD'), database: env('DATABASE'),
  clickhouse_settings: {
    output_format_json_quote_decimals: 1, output_format_json_quote_64bit_integers: 1,
    output_format_json_named_tuples_as_objects: 0, date_time_output_format: 'iso',
  },
})

const canon = (v) => {
  if (v === null) return null
  if (Array.isArray(v)) return v.map(canon)
  if (typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, canon(x)]))
  return String(v)
}

const ask = async (query) => {
  const answer = await client.query({ query, format: 'JSONCompactEachRow' })
  return answer.json()
}

const tables = async () => {
  const found = {}
  for (const [name, engine, comment] of await ask('SELECT name, engine, comment FROM system.tables WHERE database = currentDatabase()')) {
    const columns = (await ask('DESCRIBE TABLE ' + name)).map((r) => ({ name: r[0], type: r[1], comment: r[4] }))
    found[name] = { view: engine === 'View', comment, columns }
  }
  return found
}

// The refusal, or '' when it was let through.
const attempt = async (what) => {
  try {
    await what()
  } catch (e) {
    return `${e.message} ${e.type}`.slice(0, 400)
  }
  return ''
}

const main = async () => {
  const task = JSON.parse(fs.readFileSync(env('TASK'), 'utf8'))
  const report = { tables: await tables(), answers: {}, refusals: {}, settings: {} }
  for (const question of task.questions) {
    report.answers[question] = (await ask(question)).map(canon)
  }
  for (const query of task.refused) {
    report.refusals[query] = await attempt(() => client.command({ query }))
  }
  for (const [name, value] of Object.entries(task.constants)) {
    report.settings[name] = await attempt(() => client.query({ query: 'SELECT 1', clickhouse_settings: { [name]: value } }).then((r) => r.text()))
  }
  report.insert = await attempt(() => client.insert({ table: 'task_events', values: [{ event_id: 'evt_bi' }], format: 'JSONEachRow' }))
  await client.close()
  process.stdout.write(JSON.stringify(report))
}

main().catch((e) => {
  console.error(e)
  process.exit(1)
})
