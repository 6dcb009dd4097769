// Opens the dashboard in a real browser as a user does, waits until every chart stands, takes the picture, and prints what
// the charts asked and were answered. Settings come in the environment: see browser_test.go.
const { chromium } = require('playwright-core');

const { CHROMIUM, SUPERSET_URL, SUPERSET_USER, SUPERSET_PASSWORD, DASHBOARD, CHARTS, PICTURE } = process.env;
const timeout = 120_000; // of each step: the first chart is also Superset's first query

// Without these, Chromium calls home at every start.
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

(async () => {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args });
  try {
    const page = await browser.newPage({ viewport: { width: 1440, height: 1000 } });
    page.setDefaultTimeout(timeout);
    // Superset's pages count their visitors at a host that nobody here has asked for.
    await page.route((url) => url.origin !== SUPERSET_URL, (route) => route.abort());
    const answers = [];
    page.on('response', (response) => {
      if (new URL(response.url()).pathname === '/api/v1/chart/data') answers.push(read(response));
    });
    await logIn(page);
    await page.goto(`${SUPERSET_URL}/superset/dashboard/${DASHBOARD}/?standalone=1`);
    const failures = await rendered(page, Number(CHARTS));
    await stands(page);
    await page.screenshot({ path: PICTURE, fullPage: true });
    console.log(JSON.stringify({ failures, answers: await Promise.all(answers) }));
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});

async function logIn(page) {
  await page.goto(`${SUPERSET_URL}/login/`);
  await page.locator('input#username').fill(SUPERSET_USER);
  await page.locator('input#password').fill(SUPERSET_PASSWORD);
  await page.locator('button[type=submit]').click();
  await page.waitForURL((url) => !url.pathname.startsWith('/login'));
}

// rendered waits until each chart shows something or an error, and returns the errors.
async function rendered(page, charts) {
  await page.waitForFunction((wanted) => {
    const all = [...document.querySelectorAll('[data-test-chart-id]')];
    const shows = (chart) => chart.querySelector('canvas, table tbody td, .header-line, [role=alert]')
      && !chart.querySelector('.loading, [data-test=loading-indicator]');
    return all.length === wanted && all.every(shows);
  }, charts, { timeout, polling: 'raf' });
  return page.locator('[data-test-chart-id] [role=alert]').allInnerTexts();
}

// stands waits until two pictures in a row are the same: bars grow for a second, and no event says when they are grown.
async function stands(page) {
  const until = Date.now() + timeout;
  for (let last; Date.now() < until;) {
    const picture = await page.screenshot({ fullPage: true });
    if (last && picture.equals(last)) return;
    last = picture;
  }
  throw new Error('the dashboard does not come to rest');
}

async function read(response) {
  const request = response.request().postDataJSON();
  return {
    chart: request.form_data.slice_id ?? 0, // 0: a filter's own question
    status: response.status(), request, answer: await response.text(),
  };
}
