// Opens $LINK in $CHROMIUM, waits until every chart is drawn or says why not, and prints what is there. For browser_test.go.
const { mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { chromium } = require('playwright-core');

const { LINK, CHROMIUM, PICTURE } = process.env;

async function look() {
  const profile = mkdtempSync(join(tmpdir(), 'leadhouse-chromium-'));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    viewport: { width: 1600, height: 1400 },
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  try {
    const page = await browser.newPage();
    const foreign = [], faults = [];
    const own = new URL(LINK).host;
    page.on('request', r => { if (!r.url().startsWith('data:') && new URL(r.url()).host !== own) foreign.push(r.url()); });
    page.on('pageerror', e => faults.push(String(e)));
    await page.goto(LINK, { waitUntil: 'networkidle' }); // beside the charts it asks for the list of its own dashboards
    // drawAll is over once every chart has its plot or its error; the page's own error ends it as well.
    await page.waitForFunction(() => {
      const charts = [...document.querySelectorAll('#charts .chart')];
      const shown = e => e && e.textContent !== '' && getComputedStyle(e).display !== 'none';
      return shown(document.getElementById('global-error')) ||
        charts.length > 0 && charts.every(c => c.querySelector('canvas') || shown(c.querySelector('.query-error')));
    }, null, { timeout: 60_000 });
    const seen = await page.evaluate(() => ({
      Charts: [...document.querySelectorAll('#charts .chart')].map(c => ({
        Title: c.querySelector('.title').textContent,
        Error: c.querySelector('.query-error').textContent,
        Drawn: c.querySelector('canvas') !== null,
      })),
      GlobalError: document.getElementById('global-error').textContent,
    }));
    await page.screenshot({ path: PICTURE, fullPage: true });
    console.log(JSON.stringify({ ...seen, Foreign: foreign, Faults: faults }));
  } finally {
    await browser.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

look().catch(e => { console.error(e); process.exit(1); });
